import numpy as np
import pytest
from skimage.measure import points_in_poly

from tests.imaging.mock_dicom import edge_loops
from tfdrift.errors import DataError
from tfdrift.imaging import polygons
from tfdrift.imaging.polygons import fill_polygons


def fill(*loops, rows=12, columns=14) -> np.ndarray:
    shape = (1, rows, columns)
    return fill_polygons([np.array(loop, float) for loop in loops], np.zeros(len(loops), int), shape)[0]


def centres(rows=12, columns=14) -> np.ndarray:
    row, column = np.mgrid[:rows, :columns]
    return np.column_stack([column.ravel(), row.ravel()])


def rectangle(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@pytest.mark.parametrize("seed", range(20))
def test_random_polygons_agree_with_scikit_image(seed):
    # No centre lies on a random edge, so the two libraries' rules there do not matter.
    loop = np.random.default_rng(seed).uniform(-3, 16, (9, 2))
    expected = points_in_poly(centres(), loop).reshape(12, 14)
    np.testing.assert_array_equal(fill(loop), expected)


@pytest.mark.parametrize("seed", range(10))
def test_the_edges_of_any_pixels_fill_to_those_pixels(seed):
    plane = np.random.default_rng(seed).random((12, 14)) < 0.5
    loops = [np.array(loop) - 0.5 for loop in edge_loops(plane)]
    np.testing.assert_array_equal(fill(*loops), plane)


def test_direction_and_start_of_a_polygon_do_not_matter():
    loop = np.random.default_rng(0).uniform(0, 12, (8, 2))
    for other in (loop[::-1], np.roll(loop, 3, axis=0)):
        np.testing.assert_array_equal(fill(other), fill(loop))


def test_a_hole_and_an_island_in_it():
    filled = fill(rectangle(0.5, 0.5, 10.5, 10.5), rectangle(2.5, 2.5, 8.5, 8.5), rectangle(4.5, 4.5, 6.5, 6.5))
    assert filled.sum() == 10 * 10 - 6 * 6 + 2 * 2


def test_a_keyhole_is_the_hole_it_stands_for():
    outer, hole = rectangle(0.5, 0.5, 10.5, 10.5), rectangle(2.5, 2.5, 8.5, 8.5)
    # In along a line through pixel centres, once around the hole, and back along the same line.
    keyhole = [
        *outer,
        (0.5, 0.5),
        (0.5, 5),
        (2.5, 5),
        (2.5, 8.5),
        (8.5, 8.5),
        (8.5, 2.5),
        (2.5, 2.5),
        (2.5, 5),
        (0.5, 5),
    ]
    np.testing.assert_array_equal(fill(keyhole), fill(outer, hole))


def test_a_centre_on_a_shared_edge_is_in_exactly_one_of_two_polygons():
    left, right = rectangle(1, 1, 5, 9), rectangle(5, 1, 10, 9)
    np.testing.assert_array_equal(fill(left) + fill(right), fill(rectangle(1, 1, 10, 9)))


def test_a_centre_on_the_left_and_upper_edge_is_inside_and_on_the_others_outside():
    np.testing.assert_array_equal(np.argwhere(fill(rectangle(2, 3, 4, 5))), [[3, 2], [3, 3], [4, 2], [4, 3]])


def test_parts_beyond_the_image_do_not_spill_into_it():
    np.testing.assert_array_equal(fill(rectangle(-50, -50, 3.5, 4.5)), fill(rectangle(-0.5, -0.5, 3.5, 4.5)))
    assert not fill(rectangle(20, 2, 30, 8)).any()


def test_polygons_of_other_slices_do_not_mix():
    square = np.array(rectangle(0.5, 0.5, 3.5, 3.5))
    filled = fill_polygons([square, square], np.array([0, 2]), (3, 5, 5))
    np.testing.assert_array_equal(filled.sum(axis=(1, 2)), [9, 0, 9])


def test_a_disc_has_the_area_of_a_disc_to_one_boundary_layer():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    filled = fill(np.column_stack([40 + 30.3 * np.cos(angle), 40 + 30.3 * np.sin(angle)]), rows=80, columns=80)
    assert abs(filled.sum() - np.pi * 30.3**2) < 2 * np.pi * 30.3


def test_more_crossings_than_memory_should_hold_are_refused(monkeypatch):
    monkeypatch.setattr(polygons, "MAX_CROSSINGS", 10)
    with pytest.raises(DataError, match="cross pixel rows 20 times; at most 10"):
        fill(rectangle(0.5, 0.5, 10.5, 10.5))
