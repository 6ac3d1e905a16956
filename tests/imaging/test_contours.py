import numpy as np
import pytest

from tests.imaging.mock_dicom import random_grid, to_mm
from tfdrift.errors import DataError
from tfdrift.imaging import contours
from tfdrift.imaging.contours import SAME_CONTOUR_MM, first_crossing, unique_contours


def circle(x=0.0, y=0.0, radius=6.0, points=64, start=0.0, z=0.0):
    angle = start + np.arange(points) * 2 * np.pi / points
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle), np.full(points, z)], axis=1)


def rectangle(left, top, right, bottom):
    return np.array([[left, top, 0.0], [right, top, 0], [right, bottom, 0], [left, bottom, 0]])


def turned(points):
    """The same contour in an oblique plane somewhere else, still in mm."""
    grid = random_grid(np.random.default_rng(3))
    return to_mm(grid, points / np.array(grid.spacing_mm))


SAME = {
    "another start": np.roll(circle(), 7, axis=0),
    "another direction": circle()[::-1],
    "a closing point": np.vstack([circle(), circle()[:1]]),
    "rounded": np.round(circle(), 1),
    "points in between": np.stack([circle(), (circle() + np.roll(circle(), -1, axis=0)) / 2], axis=1).reshape(-1, 3),
    "all of these": np.round(np.vstack([circle()[::-1], circle()[-1:]]), 1),
}
CROSSING = {
    "aside": (circle(), circle(0.3)),
    "overlapping": (rectangle(0, 0, 4, 4), rectangle(2, 2, 6, 6)),
    "a plus sign, no point of either inside the other": (rectangle(0, 4, 9, 5), rectangle(4, 0, 5, 9)),
    "out through one side": (rectangle(0, 0, 4, 4), rectangle(1, 1, 2, 9)),
}
APART = {
    "a hole": (circle(), circle(radius=2)),
    "side by side": (rectangle(0, 0, 2, 2), rectangle(5, 0, 7, 2)),
    "a common edge": (rectangle(0, 0, 2, 2), rectangle(2, 0, 4, 2)),
    "a common corner": (rectangle(0, 0, 2, 2), rectangle(2, 2, 4, 4)),
    "a hole that touches": (rectangle(0, 0, 4, 4), rectangle(0, 1, 2, 2)),
    "over the edge by rounding": (rectangle(0, 0, 4, 4), rectangle(3.95, 0, 6, 4)),
    "in two planes": (circle(), circle(3, z=1.0)),
}


@pytest.mark.parametrize("other", SAME.values(), ids=SAME)
def test_one_outline_told_in_two_ways_counts_once(other):
    assert unique_contours([circle(20), circle(), other]) == [0, 1]
    assert unique_contours([turned(circle()), turned(other)]) == [0]


@pytest.mark.parametrize("other", [circle(2 * SAME_CONTOUR_MM), circle(radius=6.2), circle(z=1.0), circle()[:32]])
def test_two_outlines_stay_two(other):
    assert unique_contours([circle(), other]) == [0, 1]


@pytest.mark.parametrize("pair", CROSSING.values(), ids=CROSSING)
def test_contours_that_cross_are_found_in_any_plane(pair):
    assert first_crossing([circle(50), *pair]) == (1, 2)
    assert first_crossing([turned(points) for points in reversed(pair)]) == (0, 1)


@pytest.mark.parametrize("pair", APART.values(), ids=APART)
def test_contours_that_touch_nest_or_keep_apart_do_not_cross(pair):
    assert first_crossing([*pair]) is None
    assert first_crossing([turned(points) for points in reversed(pair)]) is None


@pytest.mark.parametrize("ask", [unique_contours, first_crossing])
def test_contours_of_too_many_points_are_refused(ask, monkeypatch):
    monkeypatch.setattr(contours, "MAX_EDGE_PAIRS", 1000)
    with pytest.raises(DataError, match="more points than can be compared"):
        ask([circle(), circle(start=0.001)])


def test_thousands_of_contours_and_one_of_a_hundred_thousand_points_are_within_the_bound():
    many = [circle(20 * (k % 50), 20 * (k // 50), points=4) for k in range(2000)]
    assert len(unique_contours(many)) == 2000
    assert first_crossing([circle(points=100_000), rectangle(-1, -1, 1, 1)]) is None
