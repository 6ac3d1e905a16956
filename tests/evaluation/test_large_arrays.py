"""Arrays in a file are those of memory, and what is made of parts is what is made of the whole."""

import tempfile

import numpy as np
import pytest

from tfdrift.errors import ResourceError
from tfdrift.evaluation import large_arrays
from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.document import as_json
from tfdrift.evaluation.large_arrays import joined, new_array, parts


@pytest.fixture
def on_disk(monkeypatch, tmp_path):
    """Every array in a file below this folder, every part a few numbers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(large_arrays, "ON_DISK_FROM", 1)
    monkeypatch.setattr(large_arrays, "PART_BYTES", 4000)
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
    monkeypatch.setattr(large_arrays, "PART_BYTES", 100)
    found = list(parts(np.zeros((5, 20), np.float32), 1))
    assert found == [slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20)]
    assert list(parts(np.zeros((5, 0)), 1)) == [slice(0, 0)]


@pytest.mark.usefixtures("on_disk")
def test_a_file_that_the_disk_has_no_room_for_is_told():
    message = r"cannot write to a temporary file of \d+.* GiB: .*; set TMPDIR to a folder on a disk with more space"
    with pytest.raises(ResourceError, match=message):
        new_array((2**50,), np.float64)


def test_scores_are_the_same_to_the_bit_in_memory_and_on_disk(make_answers, assessed, on_disk):
    others = [make_answers("direct", shrink=0.7, count=1)]
    again = assess(make_answers(), others, attainable=assessed.metrics.attainable)
    assert as_json(again.metrics) == as_json(assessed.metrics)
    assert again.lesions == assessed.lesions
    assert list(on_disk.iterdir()) == []
