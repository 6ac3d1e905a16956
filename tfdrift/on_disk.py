"""Rows on disk, as many as there are: a list that does not fit into memory, in groups and by name.

The rows lie in SQLite's own temporary file: nobody else sees it, and it is gone with the process, whatever happens. It
lies in `SQLITE_TMPDIR` or `TMPDIR`; few rows never leave memory.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

from tfdrift.errors import ResourceError

Made = TypeVar("Made")


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


def _key(text: str) -> bytes:
    # Bytes sort as Python's strings do, and names of files may hold what is no text.
    return text.encode("utf-8", "surrogatepass")
