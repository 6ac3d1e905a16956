"""What is written appears whole or not at all, and what the operating system says against it becomes one line."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tfdrift.errors import ResourceError, UsageError


@contextlib.contextmanager
def writing(
    where: object,
    *,
    to_do: str = "free space or choose another folder",
    also: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn what the operating system says against a write in the block into a `ResourceError`.

    Args:
        where: what is written, for the message: a path, or words where a path would tell too much.
        to_do: what the user can do about it.
        also: what a library raises instead of an OSError, such as `tf.errors.OpError`.

    Raises:
        ResourceError: the disk is full, or something cannot be made or written.

    Example:
        >>> with writing("a folder below a file"):
        ...     Path(__file__, "below").mkdir()
        Traceback (most recent call last):
        tfdrift.errors.ResourceError: cannot write to a folder below a file: Not a directory; free space or choose another folder
    """  # noqa: E501 - a traceback's line cannot be broken
    try:
        yield
    except (OSError, *also) as error:
        reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
        raise ResourceError(f"cannot write to {where}: {reason}; {to_do}") from None


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a file to write, which replaces `path` when the block ends; `path` is never seen half written.

    Args:
        path: in a folder that exists. The file to write has the same name, in a hidden folder beside it.
    """
    # A folder of its own, so that two processes that write the same file cannot mix up their halves.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        part.replace(path)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file that is there with all of its content or as it was before.

    Args:
        path: in a folder that exists.
        content: text is written as UTF-8, its ends of lines as they are.
    """
    with whole_file(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def refuse_used(out: Path) -> None:
    """Refuse an output folder that is a file or holds something.

    Raises:
        UsageError: it is.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder; give one that does not exist yet")


@contextlib.contextmanager
def staged(out: Path, *, area: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """Give a folder to fill, which becomes `out` when the block ends, and one for what is not kept.

    Both lie in a hidden folder, the area. What a killed process has left there is swept away first. A lock, which the
    system frees when its process dies, keeps two processes from using one area.

    Args:
        out: a folder that does not exist or is empty. The folder to fill has the same name, alone in its parent.
        area: on the file system of `out`; None is `.<name>.staging` beside it.

    Raises:
        UsageError: `out` is a file, a folder that is not empty, or the current folder.
        ResourceError: another process uses the area, or it cannot be written.
    """
    out = out.resolve()
    area = out.with_name(f".{out.name}.staging") if area is None else area.resolve()
    lock = area / "lock"
    with writing(out):
        refuse_used(out)
        if out == Path.cwd():
            raise UsageError("the current folder cannot be replaced; give the name of a new one")
        area.mkdir(parents=True, exist_ok=True)
        with _locked(lock, f"another process is writing {out}; wait for it or choose another folder"):
            refuse_used(out)  # another process may just have finished it
            for left in area.iterdir():
                if left != lock:
                    shutil.rmtree(left)
            # Under a new name, so that a child of the killed process, should it still run, cannot write into this one.
            work = Path(tempfile.mkdtemp(dir=area))
            whole, scratch = work / "whole" / out.name, work / "scratch"
            try:
                whole.mkdir(parents=True)
                scratch.mkdir()
                yield whole, scratch
                whole.rename(out)
            finally:
                shutil.rmtree(work)
                lock.unlink()
                area.rmdir()


@contextlib.contextmanager
def _locked(lock: Path, refusal: str) -> Iterator[None]:
    held = FileLock(lock, blocking=False)
    try:
        held.acquire()
    except Timeout:
        raise ResourceError(refusal) from None
    try:
        yield
    finally:
        held.release()
