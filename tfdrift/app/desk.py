"""What a server of the page has at hand: folders, commands, and a private folder for what is only looked at."""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tfdrift.app.folders import Folders
from tfdrift.app.jobs import Job, Jobs
from tfdrift.errors import DataError

_PREFIX = "tfdrift-app-"
_LOCK = "lock"


class Desk:
    """The state of a server.

    What is only looked at, such as a patient's MRI as the viewer takes it, lies in a folder that its owner alone may
    read and that goes with the server. What a killed server has left is swept away by the next one.

    Args:
        root: the page sees nothing of the disk outside of it, but models and runs.
        models: folder of models.
        runs: folder of run folders.
        area: where the private folder is made; the system's own place where None.
    """

    def __init__(self, root: Path, models: Path, runs: Path, area: Path | None = None) -> None:
        self.folders = Folders(root.resolve())
        self.models, self.runs = models.resolve(), runs.resolve()
        self.jobs = Jobs()
        area = Path(tempfile.gettempdir()) if area is None else area
        sweep(area)
        self._private = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=area))
        self._lock = FileLock(self._private / _LOCK)
        self._lock.acquire()
        self._files: dict[str, dict[str, Path]] = {}

    def new_folder(self) -> Path:
        """Return a new private folder."""
        return Path(tempfile.mkdtemp(dir=self._private))

    def start(
        self,
        kind: str,
        arguments: Sequence[str],
        *,
        files: dict[str, Path] | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """Start a command, and return what the page shows of it.

        Args:
            kind: what it is for.
            arguments: of its process.
            files: that the page may have once it is done, by name.
            settings: of `Job`.
        """
        job = self.jobs.start(Job(kind, arguments, **settings))
        self._files[job.id] = files or {}
        return job.document()

    def job(self, name: object, *, kind: str | None = None, done: bool = False) -> Job:
        """Return a command.

        Args:
            name: its id, as the page sent it.
            kind: that it must be of.
            done: whether it must have ended well.

        Raises:
            DataError: there is no such command.
        """
        job = self.jobs.get(name) if isinstance(name, str) else None
        if job is None or kind not in (None, job.kind) or (done and job.state != "done"):
            raise DataError("this is not there any more; tfdrift was started again since. Begin anew")
        return job

    def file(self, name: str, file: str) -> Path | None:
        """Return a file of a command that has ended well, or None.

        Args:
            name: id of the command.
            file: one of its `files`.
        """
        job = self.jobs.get(name)
        path = self._files.get(name, {}).get(file)
        return path if job is not None and job.state == "done" and path is not None and path.is_file() else None

    def add_file(self, name: str, file: str, path: Path) -> None:
        """Let the page have one more file of a command.

        Args:
            name: id of the command.
            file: what the page calls it.
            path: where it is.
        """
        self._files[name][file] = path

    def file_names(self, name: str) -> list[str]:
        """Return the files of a command that are there."""
        return [file for file in self._files.get(name, {}) if self.file(name, file)]

    async def close(self) -> None:
        """Stop every command, and remove the private folder."""
        await self.jobs.stop_all()
        self.clear()

    def clear(self) -> None:
        """Remove the private folder."""
        self._lock.release()
        shutil.rmtree(self._private, ignore_errors=True)


def sweep(area: Path) -> None:
    """Remove the private folders of servers that were killed; a lock tells which still run.

    Args:
        area: that they lie in.
    """
    for left in area.glob(f"{_PREFIX}*"):
        with contextlib.suppress(Timeout, OSError):
            with FileLock(left / _LOCK, blocking=False):
                pass
            shutil.rmtree(left)
