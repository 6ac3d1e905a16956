"""Rows on disk in their order, by group and by name, with any text that a file system gives; and arrays in files."""

import resource
import sqlite3
import tempfile

import numpy as np
import pytest

from tfdrift import on_disk as storage
from tfdrift.errors import ResourceError
from tfdrift.on_disk import Each, Table, joined, new_array, parts

NAMES = ["b", "a", "\udcff", "B", "", "ä", "\U0001f600", "a\0b", "a b"]


def filled() -> Table:
    table = Table("names")
    for number, name in enumerate(NAMES * 2):
        table.add(str(number).encode(), group=name, name=name)
    return table


def test_rows_come_in_the_order_in_which_they_were_added():
    numbers = [str(number).encode() for number in range(2 * len(NAMES))]
    table = filled()
    assert list(table.rows()) == numbers
    assert [table[place] for place in range(len(table))] == numbers
    assert table[-1] == numbers[-1]


def test_groups_and_names_are_sorted_as_python_sorts_text():
    table = filled()
    assert list(table.groups()) == sorted(NAMES)
    expected = sorted(range(2 * len(NAMES)), key=lambda number: (NAMES * 2)[number])
    assert [int(row) for row in table.sorted_by_name().rows()] == expected


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_found_by_group_and_by_name(name):
    table, place = filled(), NAMES.index(name)
    expected = [str(place).encode(), str(place + len(NAMES)).encode()]
    assert list(table.rows(group=name)) == list(table.rows(name=name)) == expected


def test_a_row_can_be_added_while_others_are_read():
    table = filled()
    for row in table.rows(name="a"):
        table.add(row + b" again", group="again")
    assert list(table.rows(group="again")) == [b"1 again", b"10 again"]


def test_rows_beyond_the_last_are_none():
    with pytest.raises(IndexError):
        filled()[2 * len(NAMES)]
    assert list(Each(Table("nothing"), bytes)) == []


def test_what_is_made_of_rows_is_made_when_it_is_asked_for():
    made = []

    def make(row: bytes) -> int:
        made.append(row)
        return int(row)

    each = Each(filled(), make)
    assert (len(each), made) == (18, [])
    assert (each[-1], list(each[2:4]), 5 in each) == (17, [2, 3], True)


def test_memory_is_flat_in_the_number_of_rows():
    table, body = Table("rows"), bytes(1000)
    for number in range(5000):
        table.add(body, group=str(number % 7), name=str(number))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(5000, 40000):
        table.add(body, group=str(number % 7), name=str(number))
    assert sum(1 for _ in table.rows(group="3")) == 5714
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # KB; the rows alone are 35,000


def test_a_full_disk_is_told_without_the_rows(monkeypatch):
    def full(*_args, **_kwargs):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(ResourceError, match="cannot write a temporary file of headers: database or disk is full; free"):
        Table("headers")


@pytest.fixture
def on_disk(monkeypatch, tmp_path):
    """Every array in a file below this folder, every part a few numbers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(storage, "ON_DISK_FROM", 1)
    monkeypatch.setattr(storage, "PART_BYTES", 4000)
    return tmp_path


def test_an_array_in_a_file_has_no_name_and_keeps_what_is_written(on_disk):
    array = new_array((3, 4), np.float32)
    assert isinstance(array.base, np.memmap)
    assert list(on_disk.iterdir()) == []
    array[:] = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(array.reshape(4, 3).mean(axis=0), [4.5, 5.5, 6.5])


def test_a_small_array_is_in_memory():
    assert new_array((3, 4), np.float32).base is None


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("axis", [0, 1])
def test_joined_arrays_are_concatenated(axis):
    one = np.arange(24.0).reshape(2, 3, 4)
    other = -one[:1] if axis == 0 else -one[:, :2]
    np.testing.assert_array_equal(joined([one, other], axis), np.concatenate([one, other], axis))


def test_parts_follow_one_another_to_the_end(monkeypatch):
    monkeypatch.setattr(storage, "PART_BYTES", 100)
    found = list(parts(np.zeros((5, 20), np.float32), 1))
    assert found == [slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20)]
    assert list(parts(np.zeros((5, 0)), 1)) == [slice(0, 0)]


@pytest.mark.usefixtures("on_disk")
def test_a_file_that_the_disk_has_no_room_for_is_told():
    message = r"cannot write to a temporary file of \d+.* GiB: .*; set TMPDIR to a folder on a disk with more space"
    with pytest.raises(ResourceError, match=message):
        new_array((2**50,), np.float64)
