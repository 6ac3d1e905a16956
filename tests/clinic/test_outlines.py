import numpy as np
import pytest

from tfdrift.clinic.outlines import trace_outlines
from tfdrift.imaging.contours import first_crossing, unique_contours
from tfdrift.imaging.polygons import fill_polygons


def area(outline) -> float:
    """Area of a closed polygon by the shoelace sum; a line gone along twice adds nothing."""
    (x, y), (x_next, y_next) = outline.T, np.roll(outline, -1, axis=0).T
    return abs((x * y_next - x_next * y).sum()) / 2


def random_mask(seed) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(2, 14, 2)
    mask = rng.random((rows, columns)) < rng.choice([0.3, 0.5, 0.7, 0.9])
    mask[0, 0] = True
    return mask


@pytest.mark.parametrize("seed", range(60))
def test_filled_outlines_are_the_mask_again(seed):
    mask = random_mask(seed)
    outlines = trace_outlines(mask)
    filled = fill_polygons(outlines, np.zeros(len(outlines), int), (1, *mask.shape))[0]
    np.testing.assert_array_equal(filled, mask)


@pytest.mark.parametrize("seed", range(60))
def test_outlines_enclose_a_pixel_of_area_for_each_pixel(seed):
    mask = random_mask(seed)
    assert sum(map(area, trace_outlines(mask))) == mask.sum()


@pytest.mark.parametrize("seed", range(60))
def test_outlines_of_a_mask_neither_cross_nor_repeat(seed):
    flat = [np.pad(outline, ((0, 0), (0, 1))) for outline in trace_outlines(random_mask(seed))]
    assert first_crossing(flat) is None
    assert unique_contours(flat) == list(range(len(flat)))


def test_a_hole_is_joined_to_its_outline_by_a_line_gone_along_twice():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    (outline,) = trace_outlines(mask)
    steps = {(*start, *end) for start, end in zip(outline.tolist(), np.roll(outline, -1, axis=0).tolist(), strict=True)}
    assert [step for step in steps if (*step[2:], *step[:2]) in steps and step[1] < step[3]] == [(1.5, -0.5, 1.5, 1.5)]
    assert len(outline) == 4 + 4 + 3  # corners of outline and hole, one corner twice, the line's other end twice


def test_an_island_in_a_hole_has_an_outline_of_its_own():
    mask = np.ones((7, 7), bool)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    assert sorted(map(area, trace_outlines(mask))) == [1, 24]


def test_pixels_that_touch_at_a_corner_have_an_outline_each():
    assert [len(outline) for outline in trace_outlines(np.eye(3, dtype=bool))] == [4, 4, 4]


def test_an_empty_mask_has_no_outline():
    assert trace_outlines(np.zeros((3, 4), bool)) == []
