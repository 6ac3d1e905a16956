"""A process for each task, so that one that crashes, hangs or eats the memory costs no other.

A pool of long-lived processes breaks as a whole when one of them is killed, and cannot stop a task that hangs; what
libraries do is measured in docs/adr/0003-a-process-for-each-patient.md. Tasks here take many seconds, beside which the
one that a process takes to start counts little.
"""

import contextlib
import dataclasses
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from tfdrift.errors import DataError, TfdriftError

_LOOK_SECONDS = 0.5  # between two looks at whether to stop: a signal's handler does not end a wait


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ended.

    Args:
        task: its place in the list.
        value: what it returned; None where it failed.
        fault: why it failed, without identity; empty where it did not.
    """

    task: int
    value: Any = None
    fault: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Running:
    task: int
    process: SpawnProcess
    deadline: float


def run_each(
    function: Callable[..., Any],
    tasks: Iterable[tuple],
    *,
    workers: int,
    time_limit_seconds: float = math.inf,
    stopping: Callable[[], bool] = lambda: False,
) -> Generator[Outcome, None, None]:
    """Call a function once for each task and yield how each ended, in the order in which they end.

    What a task prints is dropped: libraries repeat values in their warnings, and values can be names.

    Args:
        function: of a module, as a new process must find it; what it returns must be picklable.
        tasks: positional arguments of each call; each is taken when a process is free for it.
        workers: how many run at a time.
        time_limit_seconds: a task that takes longer is killed.
        stopping: asked again and again; once it says yes no more tasks start, and those that run get a SIGTERM, which
            they may heed in their own time.

    Raises:
        TfdriftError: a task met one that is not about its data, such as a full disk; the others are stopped.
    """
    waiting = enumerate(tasks)
    running: dict[Connection, _Running] = {}
    told = all_started = False
    try:
        while running or not all_started:
            if not told and stopping():
                told = all_started = True
                for one in running.values():
                    one.process.terminate()
                continue
            while not all_started and len(running) < workers:
                following = next(waiting, None)
                if following is None:
                    all_started = True
                    break
                task, arguments = following
                connection, process = _start(function, arguments)
                running[connection] = _Running(
                    task=task, process=process, deadline=time.monotonic() + time_limit_seconds
                )
            if not running:
                break
            left_seconds = min(one.deadline for one in running.values()) - time.monotonic()
            for connection in wait(list(running), min(max(left_seconds, 0), _LOOK_SECONDS)):
                assert isinstance(connection, Connection)
                yield _ended(connection, running.pop(connection))
            for connection, one in list(running.items()):
                if one.deadline < time.monotonic():
                    del running[connection]
                    _kill(connection, one)
                    yield Outcome(task=one.task, fault=f"stopped after {time_limit_seconds:g} seconds")
    finally:
        for connection, one in running.items():
            _kill(connection, one)


def _start(function: Callable[..., Any], arguments: tuple) -> tuple[Connection, SpawnProcess]:
    # spawn: a forked child would inherit the threads' locks of whatever the caller has loaded.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, function, arguments), daemon=True)
    with _no_interrupt():
        process.start()
    there.close()  # now its end is seen when the process dies
    return here, process


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Put Ctrl-C off while a process starts, which inherits that it does not heed it; the parent is the one to stop."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it takes the mask away again when it starts, which is with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(connection: Connection, function: Callable[..., Any], arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, see `_no_interrupt`
    threading.Thread(target=_end_with_parent, daemon=True).start()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        connection.send((function(*arguments), ""))
    except DataError as error:
        connection.send((None, str(error)))
    except TfdriftError as error:
        connection.send((error, ""))
    except Exception as error:  # noqa: BLE001 - a fault of ours in one task must not cost the others; it is told
        connection.send((None, f"unexpected {type(error).__name__}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _ended(connection: Connection, one: _Running) -> Outcome:
    try:
        value, fault = connection.recv()
    except EOFError:
        one.process.join()
        code = one.process.exitcode or 0
        how = f"was killed by signal {-code}, perhaps for want of memory" if code < 0 else f"ended with code {code}"
        return Outcome(task=one.task, fault=f"its process {how}")
    finally:
        connection.close()
    one.process.join()
    if isinstance(value, TfdriftError):
        raise value
    return Outcome(task=one.task, value=value, fault=fault)


def _kill(connection: Connection, one: _Running) -> None:
    one.process.kill()
    one.process.join()
    connection.close()
