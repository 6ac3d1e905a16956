"""The part of the disk that the page may see: one folder and what is below it, named by paths from there."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from tfdrift.errors import DataError

ENTRIES_SHOWN = 2000
_KINDS = {".nii": "nifti", ".nii.gz": "nifti", ".dcm": "dicom", ".csv": "table"}


@dataclasses.dataclass(frozen=True)
class Folders:
    """Paths below one folder, as the page writes them: with `/`, and empty for the folder itself.

    Args:
        root: resolved.
    """

    root: Path

    def path(self, name: object) -> Path:
        """Return what a path of the page means.

        Args:
            name: as the page sent it.

        Raises:
            DataError: it is no text, leads out of the folder, also by a link, or does not exist.
        """
        found = self.new(name)
        if not found.exists():
            raise DataError("this folder or file is not there any more; choose again")
        return found

    def new(self, name: object) -> Path:
        """Return what a path of the page means, whether it exists or not.

        Args:
            name: as the page sent it.

        Raises:
            DataError: it is no text, or leads out of the folder.
        """
        if not isinstance(name, str) or "\0" in name:
            raise DataError("a path must be text")
        found = (self.root / name.lstrip("/")).resolve()
        if not found.is_relative_to(self.root):
            raise DataError("this lies outside of the folder that tfdrift app was started for (--root)")
        return found

    def name(self, path: Path) -> str:
        """Return the inverse of `path`."""
        name = path.resolve().relative_to(self.root).as_posix()
        return "" if name == "." else name

    def listing(self, name: object) -> dict[str, Any]:
        """Return what is in a folder: folders, files that the page can use, and how many others there are.

        Args:
            name: as the page sent it.

        Raises:
            DataError: see `path`, or it is no folder that can be listed.
        """
        folder = self.path(name)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name.casefold())
        except OSError as error:
            raise DataError(f"this folder cannot be listed: {error.strerror}") from None
        folders, files, others = [], [], 0
        for entry in entries:
            if entry.name.startswith(".") or not Path(entry.path).resolve().is_relative_to(self.root):
                continue
            told = {"name": _shown(entry.name), "path": _shown(self.name(Path(entry.path)))}
            if entry.is_dir():
                folders.append(told)
            elif kind := _kind(entry.name):
                files.append({**told, "kind": kind})
            else:
                others += 1
        return {
            "path": self.name(folder),
            "parent": None if folder == self.root else self.name(folder.parent),
            "trail": [self.root.name or "/", *Path(self.name(folder)).parts],
            "folders": folders[:ENTRIES_SHOWN],
            "files": files[:ENTRIES_SHOWN],
            "more": max(0, len(folders) - ENTRIES_SHOWN) + max(0, len(files) - ENTRIES_SHOWN),
            "others": others,
        }


def _kind(name: str) -> str | None:
    return next((kind for end, kind in _KINDS.items() if name.lower().endswith(end)), None)


def _shown(name: str) -> str:
    # File names are bytes; those that are not UTF-8 would break JSON.
    return os.fsencode(name).decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
