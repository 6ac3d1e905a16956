"""Commands that the page started: each a process of its own, with what it says, how far it is, and its end."""

import asyncio
import codecs
import contextlib
import dataclasses
import os
import re
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TFDRIFT = (sys.executable, "-m", "tfdrift_cli")
PATIENCE_SECONDS = 30.0
"""How long a command may take to heed a request to stop before it is killed."""

_LINES_KEPT = 400
_OF = re.compile(r"(?P<unit>file|patient|lesion|step) (?P<done>\d+)(?: of |/)(?P<total>\d+)\b(?P<rest>.*)")


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a command is.

    Args:
        done: how many units.
        total: of how many.
        unit: such as `patient`.
        words: what else its line says.
    """

    done: int
    total: int
    unit: str
    words: str


def progress_of(line: str) -> Progress | None:
    """Return what a line of output says of progress; None where it says nothing of it.

    Args:
        line: as `tfdrift cohort import`, `train` and `predict` write them where there is no terminal.

    Example:
        >>> progress_of("patient 3 of 9")
        Progress(done=3, total=9, unit='patient', words='')
        >>> progress_of("step 100/1500  loss 0.0312  left 00:42").words
        'loss 0.0312  left 00:42'
    """
    found = _OF.match(line)
    if found is None:
        return None
    return Progress(int(found["done"]), int(found["total"]), found["unit"], found["rest"].strip())


class Job:
    """A command while it runs and after.

    Args:
        kind: what it is for, such as `predict`.
        arguments: of the process.
        out: folder that it writes, whose hidden staging folder is swept away should it have to be killed.
        told: what the page was told of it; no path.
        shows_output: whether its standard output is lines for a person, and no document.
        then: what belongs to it once the process has ended well, done in a thread.
        patience_seconds: see `PATIENCE_SECONDS`.
    """

    def __init__(
        self,
        kind: str,
        arguments: Sequence[str],
        *,
        out: Path | None = None,
        told: dict[str, Any] | None = None,
        shows_output: bool = True,
        then: Callable[[], None] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.kind, self.arguments, self.out, self.told = kind, list(arguments), out, told or {}
        self.state = "running"
        self.lines: list[str] = []
        self.output = ""
        self.progress: Progress | None = None
        self.error = ""
        self.code: int | None = None
        self.ended = asyncio.Event()
        self._started = asyncio.Event()
        self._shows_output, self._then = shows_output, then
        self._patience_seconds = patience_seconds
        self._since = time.monotonic()
        self._seconds: float | None = None
        self._asked_to_stop = False
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Start the process and follow it to its end."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C in the server's terminal is the server's to pass on
                env={**os.environ, "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        except OSError as error:
            self._end("failed", f"the command cannot be started: {error.strerror}")
            return
        self._started.set()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        await asyncio.gather(self._read(self._process.stdout, True), self._read(self._process.stderr, False))
        self.code = await self._process.wait()
        if self.code == 0:
            try:
                if self._then is not None:
                    await asyncio.to_thread(self._then)
            except (OSError, RuntimeError) as error:
                self._end("failed", f"what it wrote cannot be read again ({type(error).__name__})")
            else:
                self._end("done")
        elif self._asked_to_stop:
            self._end("stopped")
        else:
            said = [line.removeprefix("Error: ") for line in self.lines if line.startswith("Error: ")]
            how = f"was killed by signal {-self.code}, perhaps for want of memory" if self.code < 0 else "failed"
            self._end("failed", said[-1] if said else f"the command {how} (exit code {self.code})")

    async def stop(self) -> None:
        """Ask the command to stop as Ctrl-C does, so that it leaves nothing half written; kill it if it does not."""
        if self.state != "running":
            return
        self._asked_to_stop = True
        await self._started.wait()
        self._signal(signal.SIGINT)
        try:
            await asyncio.wait_for(self.ended.wait(), self._patience_seconds)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.ended.wait()
            if self.out is not None:
                shutil.rmtree(self.out.with_name(f".{self.out.name}.staging"), ignore_errors=True)

    def document(self) -> dict[str, Any]:
        """Return what the page shows of it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": "stopping" if self.state == "running" and self._asked_to_stop else self.state,
            "progress": dataclasses.asdict(self.progress) if self.progress else None,
            "seconds": self._seconds if self._seconds is not None else time.monotonic() - self._since,
            "lines": self.lines[-60:],
            "error": self.error,
            "told": self.told,
        }

    async def _read(self, stream: asyncio.StreamReader, is_output: bool) -> None:
        rest = ""
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while chunk := await stream.read(2**16):
            text = decode(chunk)
            if is_output and not self._shows_output:
                self.output += text
                continue
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                self._hear(line.rstrip())
        if rest.strip():
            self._hear(rest.rstrip())

    def _hear(self, line: str) -> None:
        if not line:
            return
        self.progress = progress_of(line) or self.progress
        self.lines = [*self.lines, line][-_LINES_KEPT:]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    def _end(self, state: str, error: str = "") -> None:
        self.state, self.error = state, error
        self._seconds = time.monotonic() - self._since
        self._started.set()
        self.ended.set()


class Jobs:
    """All commands that a server started."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task] = set()

    def start(self, job: Job) -> Job:
        """Start a job that was not started yet, and return it."""
        self._jobs[job.id] = job
        task = asyncio.get_running_loop().create_task(job.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def get(self, name: str) -> Job | None:
        """Return a job by its id."""
        return self._jobs.get(name)

    def list(self, kind: str | None = None) -> list[Job]:
        """Return the jobs of a kind, or all, the newest last."""
        return [job for job in self._jobs.values() if kind in (None, job.kind)]

    async def stop_all(self) -> None:
        """Stop what still runs, and wait for it."""
        await asyncio.gather(*(job.stop() for job in self._jobs.values()))
