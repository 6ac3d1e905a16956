"""What does not fit into memory: rows in a table, and arrays in a file.

Rows lie in SQLite's own temporary file, in `SQLITE_TMPDIR` or `TMPDIR`; few rows never leave memory. Arrays from a size
on lie in a file in `TMPDIR`, which takes pages of memory only while they are read or written, and what is made of them
is made part by part. Nobody else sees either file, and they are gone with the process, whatever happens.
"""

import contextlib
import math
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

import numpy as np

from tfdrift.errors import ResourceError
from tfdrift.files import writing

Made = TypeVar("Made")
ON_DISK_FROM = 2**28
"""Bytes from which on an array lies in a file."""
PART_BYTES = 2**26
"""Bytes of the parts that are computed with at a time."""


class Table:
    """Rows of bytes in the order in which they were added.

    Args:
        what: of what, for messages; no identity.

    Raises:
        ResourceError: the disk is full; the methods raise it too.

    Example:
        >>> table = Table("names")
        >>> for name, group in (("b", "second"), ("a", "first"), ("c", "first")):
        ...     table.add(name.encode(), group=group)
        >>> list(table.groups()), list(table.rows(group="first")), len(table)
        (['first', 'second'], [b'a', b'c'], 3)
    """

    def __init__(self, what: str) -> None:
        self._what, self._count = what, 0
        with self._writing():
            self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            for line in (
                "PRAGMA journal_mode = OFF",
                "CREATE TABLE row (number INTEGER PRIMARY KEY, of_group BLOB, name BLOB, body BLOB)",
                "CREATE INDEX by_group ON row (of_group, number)",
                "CREATE INDEX by_name ON row (name, number)",
                "BEGIN",  # never ended: what is not written yet is read all the same
            ):
                self._connection.execute(line)

    def add(self, body: bytes, *, group: str = "", name: str = "") -> None:
        """Add a row.

        Args:
            body: of the row.
            group: that it belongs to.
            name: to be found or sorted by; several rows may have the same.
        """
        with self._writing():
            self._connection.execute(
                "INSERT INTO row (number, of_group, name, body) VALUES (?, ?, ?, ?)",
                (self._count, _key(group), _key(name), body),
            )
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> bytes:
        number = place + self._count if place < 0 else place
        found = self._connection.execute("SELECT body FROM row WHERE number = ?", (number,)).fetchone()
        if found is None:
            raise IndexError(place)
        return found[0]

    def groups(self) -> Iterator[str]:
        """Yield each group once, in the order of Python's strings."""
        for (key,) in self._connection.execute("SELECT DISTINCT of_group FROM row ORDER BY of_group"):
            yield key.decode("utf-8", "surrogatepass")

    def rows(self, *, group: str | None = None, name: str | None = None) -> Iterator[bytes]:
        """Yield the rows, or those of a group or a name, in the order in which they were added.

        Args:
            group: None for all.
            name: None for all.
        """
        wanted = {"of_group": group, "name": name}
        given = {column: _key(value) for column, value in wanted.items() if value is not None}
        where = " WHERE " + " AND ".join(f"{column} = ?" for column in given) if given else ""
        for (body,) in self._connection.execute(f"SELECT body FROM row{where} ORDER BY number", tuple(given.values())):
            yield body

    def sorted_by_name(self) -> "Table":
        """Return another table with the rows by name, in the order of Python's strings."""
        found = Table(self._what)
        for (body,) in self._connection.execute("SELECT body FROM row ORDER BY name, number"):
            found.add(body)
        return found

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ResourceError(
                f"cannot write a temporary file of {self._what}: {error}; free space, or set TMPDIR to another folder"
            ) from None


class Each(Sequence[Made]):
    """A sequence whose elements are made when they are asked for, so that one at a time is in memory.

    Args:
        keys: of the elements, in their order: a sequence, or the rows of a `Table`.
        make: an element of a key.

    Example:
        >>> squares = Each(range(1000), lambda number: number**2)
        >>> len(squares), squares[-1], list(squares[:3])
        (1000, 998001, [0, 1, 4])
    """

    def __init__(self, keys: Sequence | Table, make: Callable[..., Made]) -> None:
        self._keys, self._make = keys, make

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, place: int) -> Made: ...
    @overload
    def __getitem__(self, place: slice) -> "Each[Made]": ...
    def __getitem__(self, place: int | slice) -> "Made | Each[Made]":
        if isinstance(place, slice):
            return Each(range(len(self))[place], self.__getitem__)
        return self._make(self._keys[place])


def new_array(shape: Sequence[int], dtype: np.dtype | type) -> np.ndarray:
    """Return an array to be filled, in memory or, from `ON_DISK_FROM` bytes on, in a file that nobody else sees.

    The file lies in the system's folder for temporary files, `TMPDIR`, and is gone with the array, whatever happens.

    Args:
        shape: of the array.
        dtype: of its numbers.

    Raises:
        ResourceError: the disk has no room for it.

    Example:
        >>> new_array((2, 3), np.float32).shape
        (2, 3)
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < ON_DISK_FROM:
        return np.empty(shape, dtype)
    to_do = "set TMPDIR to a folder on a disk with more space, or ask for fewer outcomes"
    with writing(f"a temporary file of {size / 2**30:.1f} GiB", to_do=to_do), tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # a disk that fills up later would kill the process
            os.posix_fallocate(file.fileno(), 0, size)
        return np.asarray(np.memmap(file, dtype, "r+" if hasattr(os, "posix_fallocate") else "w+", shape=tuple(shape)))


def joined(arrays: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
    """Return arrays one after the other, as `numpy.concatenate` does, in a `new_array`.

    Args:
        arrays: of the same type, and of the same shape but for the axis.
        axis: along which.
    """
    first = arrays[0]
    shape = [*first.shape]
    shape[axis] = sum(array.shape[axis] for array in arrays)
    whole, start = new_array(shape, first.dtype), 0
    for array in arrays:
        place = [slice(None)] * first.ndim
        place[axis] = slice(start, start + array.shape[axis])
        whole[tuple(place)] = array
        start += array.shape[axis]
    return whole


def parts(array: np.ndarray, axis: int = 0) -> Iterator[slice]:
    """Yield slices along an axis of an array, each of about `PART_BYTES`; one for an array that is no larger.

    Args:
        array: any.
        axis: that is cut.

    Example:
        >>> list(parts(np.zeros((3, 4))))
        [slice(0, 3, None)]
    """
    length = array.shape[axis]
    at_once = max(1, length * PART_BYTES // max(array.nbytes, 1))
    for start in range(0, max(length, 1), at_once):
        yield slice(start, min(start + at_once, length))


def _key(text: str) -> bytes:
    # Bytes sort as Python's strings do, and names of files may hold what is no text.
    return text.encode("utf-8", "surrogatepass")
