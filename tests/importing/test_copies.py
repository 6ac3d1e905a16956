import dataclasses

import numpy as np
import pytest

from tests.imaging.mock_dicom import contours_of, make_grid, structures_dataset, write
from tests.imaging.mock_segmentation import segmentation_dataset
from tfdrift.imaging.structures import read_structures
from tfdrift.importing.copies import same_content

GRID = make_grid()
MASK = np.zeros(GRID.size[::-1], bool)
MASK[1:3, 2:4, 2:5] = True


@pytest.mark.parametrize("kind", ["RTSTRUCT", "SEG"])
def test_what_is_read_of_one_object_twice_is_the_same_and_of_another_is_not(tmp_path, kind):
    def read(mask, name):
        if kind == "RTSTRUCT":
            return read_structures(write(structures_dataset({name: contours_of(mask, GRID)}), tmp_path / "a.dcm"))
        return read_structures(write(segmentation_dataset(GRID, {name: mask}), tmp_path / "a.dcm"))

    assert same_content(read(MASK, "GTV"), read(MASK, "GTV"))
    assert not same_content(read(MASK, "GTV"), read(MASK, "GTV 2"))
    smaller = MASK.copy()
    smaller[1] = False
    assert not same_content(read(MASK, "GTV"), read(smaller, "GTV"))
    one = read(MASK, "GTV")
    assert not same_content(one, dataclasses.replace(one, series_uids=frozenset({"1.2.3"})))


@pytest.mark.parametrize(
    ("one", "other"), [((1, 2), (1, 2, 3)), (1, 1.0), (np.zeros(2), np.zeros(2, np.float32)), ("a", None)]
)
def test_values_of_other_types_or_lengths_are_not_the_same(one, other):
    assert not same_content(one, other)
