"""The tasks of `processes.run_each` on other machines, handed out by a Dask scheduler.

A worker of Dask calls `run_each` again for each task: a new process, so that a task meets what it meets on one machine,
one that crashes or hangs does not cost its worker, and the bits are the same. The tasks of a worker that dies are given
to others; after three more deaths with the same task (`distributed.scheduler.allowed-failures`) that one is given up.
Every machine must see the same files at the same paths.

Dask pickles what it is given and runs it: whoever reaches a scheduler runs code on its workers.
"""

import contextlib
import functools
import logging
import math
import os
import queue
import re
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from tfdrift import __version__
from tfdrift.errors import ResourceError, TfdriftError, UsageError
from tfdrift.processes import Outcome, run_each

# `distributed` is imported inside the functions: it is an extra, and a task's process has no need of it.

_LOOK_SECONDS = 0.5
_CONNECT_SECONDS = 10
_PATIENCE_SECONDS = 10  # without any worker, until it is told
_ADDRESS = re.compile(r"(?:[a-z]+://)?(?:[\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}")


def run_anywhere(
    function: Callable[..., Any],
    tasks: Iterable[tuple],
    *,
    workers: int,
    scheduler: str | None,
    time_limit_seconds: float = math.inf,
    stopping: Callable[[], bool] = lambda: False,
    echo: Callable[[str], None] = lambda _line: None,
) -> Generator[Outcome, None, None]:
    """Call a function once for each task, here or on the workers of a scheduler; see `tfdrift.processes.run_each`.

    Args:
        function: see there; on a cluster every worker must be able to import it.
        tasks: see there.
        workers: how many run at a time here; without meaning where there is a scheduler, whose workers have slots.
        scheduler: address of a Dask scheduler, such as `tcp://10.0.0.1:8786`; None is this machine.
        time_limit_seconds: see there.
        stopping: see there.
        echo: takes a line where a cluster has no worker.

    Raises:
        UsageError: the address is none, or nobody answers there.
        ResourceError: the extra `cluster` is not installed, the scheduler is lost, or a worker has another tfdrift.
        TfdriftError: see there.
    """
    if scheduler is None:
        return run_each(function, tasks, workers=workers, time_limit_seconds=time_limit_seconds, stopping=stopping)
    return _run_on_cluster(function, tasks, scheduler, time_limit_seconds, stopping, echo)


def check_scheduler(address: str) -> None:
    """Refuse an address at which no scheduler answers, before work that would be in vain.

    Raises:
        UsageError: the address is none, or nobody answers there.
        ResourceError: the extra `cluster` is not installed.
    """
    with _connected(address):
        pass


@contextlib.contextmanager
def local_cluster(*, count: int, host: str, port: int) -> Iterator[str]:
    """Start a scheduler and workers on this machine, one task each at a time, and yield the scheduler's address.

    Args:
        count: of workers, each a process that is started again if it dies.
        host: address to listen on.
        port: to listen on; 0 is any that is free.

    Raises:
        ResourceError: the extra `cluster` is not installed, or the port is taken.
    """
    distributed = _distributed()
    try:
        cluster = distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            host=host,
            scheduler_port=port,
            dashboard_address=f"{host}:0",
            memory_limit=0,  # what a task takes is not in the worker's own process
            silence_logs=logging.CRITICAL,
        )
    except (OSError, RuntimeError) as error:
        raise ResourceError(f"no workers on {host}:{port}: {error.__cause__ or error}; try another --port") from None
    with cluster:
        yield cluster.scheduler_address


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise ResourceError("a cluster needs Dask; run: pip install 'tfdrift[cluster]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a lost connection is told by us, in one line
    return distributed


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    distributed = _distributed()
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"--scheduler {address}: must be the address of a Dask scheduler, such as tcp://10.0.0.1:8786")
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise UsageError(
            f"--scheduler {address}: no Dask scheduler answers there; start one, such as by tfdrift workers"
        ) from None
    try:
        yield client
    finally:
        client.close(timeout=_CONNECT_SECONDS)


def _run_on_cluster(
    function: Callable[..., Any],
    tasks: Iterable[tuple],
    address: str,
    time_limit_seconds: float,
    stopping: Callable[[], bool],
    echo: Callable[[str], None],
) -> Generator[Outcome, None, None]:
    waiting = enumerate(tasks)
    following = next(waiting, None)
    if following is None:
        return
    with _connected(address) as client:
        crew = _Crew(client, address, function, time_limit_seconds, echo)
        try:
            while following is not None or crew.running:
                if stopping():
                    following = None
                    crew.stop()
                room = crew.room() if following is not None else 0
                while following is not None and room > 0:
                    crew.submit(*following)
                    following, room = next(waiting, None), room - 1
                outcome = crew.next_outcome()
                if outcome is not None:
                    yield outcome
        finally:
            crew.stop_and_wait()


class _Crew:
    """The tasks that a scheduler has been given and not yet answered.

    Args:
        client: of the scheduler.
        address: of the scheduler.
        function: that the tasks call.
        time_limit_seconds: of a task.
        echo: takes a line where there is no worker.
    """

    def __init__(
        self,
        client: Any,
        address: str,
        function: Callable[..., Any],
        time_limit_seconds: float,
        echo: Callable[[str], None],
    ) -> None:
        import distributed

        self._client, self._address, self._echo = client, address, echo
        self._name = f"tfdrift-{uuid.uuid4().hex}"  # of keys, which logs and dashboards show
        self._stop = distributed.Event(self._name, client=client)
        self._told_to_stop = False
        self._call = functools.partial(
            _work, function=function, limit=time_limit_seconds, folder=Path.cwd(), version=__version__, stop=self._name
        )
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._without_workers_since: float | None = None
        self.running: dict[int, Any] = {}

    def room(self) -> int:
        """Return how many tasks more the scheduler should have: some in reserve, and not all of a long list at once."""
        slots = sum(self._client.nthreads().values())
        return max(2 * slots, 8) - len(self.running)

    def submit(self, task: int, arguments: tuple) -> None:
        """Give the scheduler a task."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a task is large
            future = self._client.submit(self._call, arguments, key=f"{self._name}-{task}", pure=False)
        self.running[task] = future
        future.add_done_callback(lambda _future: self._ended.put(task))

    def next_outcome(self) -> Outcome | None:
        """Return how a task ended, waiting for a moment; None where none did, or one that did not start.

        Raises:
            TfdriftError: see `run_anywhere`.
        """
        try:
            task = self._ended.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            self._look_after_workers()
            return None
        return self._outcome(task, self.running.pop(task))

    def stop(self) -> None:
        """Have running tasks end in their own time, and others not start."""
        if not self._told_to_stop:
            self._told_to_stop = True
            self._stop.set()

    def stop_and_wait(self) -> None:
        """Stop what still runs, so that no task writes when this returns."""
        if not self.running:
            return
        with contextlib.suppress(OSError, TimeoutError, RuntimeError, ValueError):  # the scheduler is gone
            self.stop()
            while self.running and self._client.status == "running" and self._client.nthreads():
                with contextlib.suppress(queue.Empty):
                    self.running.pop(self._ended.get(timeout=_LOOK_SECONDS))

    def _look_after_workers(self) -> None:
        if self._client.status not in ("running", "connecting"):
            raise ResourceError(f"the scheduler {self._address} is gone; start it again, then the same command")
        try:
            there = bool(self._client.nthreads())
        except (OSError, TimeoutError):  # told at the next look
            return
        if there:
            self._without_workers_since = None
        elif self._told_to_stop:
            self.running.clear()
        elif self._without_workers_since is None:
            self._without_workers_since = time.monotonic()
        elif time.monotonic() - self._without_workers_since > _PATIENCE_SECONDS:
            self._without_workers_since = math.inf
            self._echo(f"waiting for workers: {self._address} has none")

    def _outcome(self, task: int, future: Any) -> Outcome | None:
        if future.status == "finished":
            ended = future.result()
        elif future.status == "error":
            ended = self._why(task, future.exception())
        else:
            raise ResourceError(f"the scheduler {self._address} is gone; start it again, then the same command")
        if isinstance(ended, TfdriftError):
            raise ended
        return ended and Outcome(task=task, value=ended.value, fault=ended.fault)

    def _why(self, task: int, error: BaseException) -> Outcome | ResourceError:
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            return Outcome(task=task, fault="its worker died, again and again, perhaps for want of memory")
        return ResourceError(
            f"the workers of {self._address} cannot do this ({type(error).__name__}); they need tfdrift {__version__}"
        )


def _work(
    arguments: tuple, *, function: Callable[..., Any], limit: float, folder: Path, version: str, stop: str
) -> Outcome | TfdriftError | None:
    """Do a task on a worker; None where it was not started. Raises nothing: Dask would log the arguments."""
    import multiprocessing

    import distributed

    if version != __version__:
        return ResourceError(f"a worker has tfdrift {__version__}, and this command is {version}; install the same")
    multiprocessing.current_process().daemon = False  # Dask's own worker processes may have no children otherwise
    worker = distributed.get_worker()
    key = worker.get_current_task()
    event = distributed.Event(stop)

    def stopping() -> bool:
        mine = worker.state.tasks.get(key)
        return mine is None or mine.state == "cancelled" or bool(event.is_set())  # cancelled: whoever asked is gone

    try:
        for outcome in run_each(
            _in_folder, [(folder, function, arguments)], workers=1, time_limit_seconds=limit, stopping=stopping
        ):
            return outcome
    except TfdriftError as error:
        return error
    except Exception as error:  # noqa: BLE001 - see above
        return Outcome(task=0, fault=f"unexpected {type(error).__name__} on a worker")
    return None


def _in_folder(folder: Path, function: Callable[..., Any], arguments: tuple) -> Any:
    """Call a function where the command was given, so that paths mean the same."""
    try:
        os.chdir(folder)
    except OSError:
        raise ResourceError(
            f"a worker does not see {folder}; every machine needs the same folders at the same paths"
        ) from None
    return function(*arguments)
