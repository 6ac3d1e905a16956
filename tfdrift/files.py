"""A folder that appears whole or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tfdrift.errors import ResourceError, UsageError


@contextlib.contextmanager
def staged(out: Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder to fill, which becomes `out` when the block ends, and one for what is not kept.

    Both lie in `.<name>.importing` beside `out`. What a killed process has left there is swept away first. A lock,
    which the system frees when its process dies, keeps two processes from filling one `out`.

    Args:
        out: a folder that does not exist or is empty.

    Raises:
        UsageError: `out` is a file, a folder that is not empty, or the current folder.
        ResourceError: another process is filling it, or it cannot be written.
    """
    out = out.resolve()
    staging = out.with_name(f".{out.name}.importing")
    lock = staging / "lock"
    try:
        _check_free(out)
        staging.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            _check_free(out)  # another process may just have finished it
            for left in staging.iterdir():
                if left != lock:
                    shutil.rmtree(left)
            # Under a new name, so that a child of the killed process, should it still run, cannot write into this one.
            work = Path(tempfile.mkdtemp(dir=staging))
            whole, scratch = work / "whole", work / "scratch"
            try:
                whole.mkdir()
                scratch.mkdir()
                yield whole, scratch
                whole.rename(out)
            finally:
                shutil.rmtree(work)
                lock.unlink()
                staging.rmdir()
    except Timeout:
        raise ResourceError(f"another import into {out} is running; wait for it or choose another folder") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ResourceError(f"cannot write {out}: {reason}; free space or choose another folder") from None


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder; give one that does not exist yet")
    if out == Path.cwd():
        raise UsageError("the current folder cannot be replaced; give the name of a new one")
