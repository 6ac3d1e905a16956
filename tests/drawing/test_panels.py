import numpy as np
import pytest

from tfdrift.drawing.panels import Panel, draw_panels, robust_limit
from tfdrift.errors import DataError

SQUARE = np.zeros((8, 8), bool)
SQUARE[2:5, 3:6] = True


def pixels(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def grid(rows: int, columns: int):
    kinds = ["image", "drift", "uncertainty"]
    image = np.linspace(-1, 1, 64).reshape(8, 8)
    return [[Panel(image, f"{r} {c}", kinds[c % 3]) for c in range(columns)] for r in range(rows)]


@pytest.mark.parametrize(("rows", "columns", "kinds"), [(1, 1, 1), (1, 12, 3), (12, 1, 1), (12, 12, 3), (2, 2, 2)])
def test_one_axes_a_panel_and_one_colour_bar_a_kind(rows, columns, kinds):
    assert len(draw_panels(grid(rows, columns)).axes) == rows * columns + kinds


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4), (12, 12)])
def test_nothing_is_cut_off_or_drawn_over_another_panel(rows, columns):
    figure = draw_panels(grid(rows, columns), row_titles=["a row"] * rows, title="a title")
    figure.canvas.draw()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert all(box is not None for box in boxes)
    edges = np.array([box.extents for box in boxes if box is not None])
    assert edges[:, :2].min() >= 0
    assert edges[:, 2].max() <= figure.bbox.width
    assert edges[:, 3].max() <= figure.bbox.height
    area = np.maximum(np.minimum(edges[:, None, 2:], edges[None, :, 2:]), 0) - np.maximum(
        edges[:, None, :2], edges[None, :, :2]
    )
    overlap = (area > 1).all(axis=-1) & ~np.eye(len(edges), dtype=bool)
    assert not overlap.any()


def test_drift_is_red_above_white_at_and_blue_below_zero():
    image = np.repeat([[-1.0], [0.0], [1.0]], 3, axis=1)
    figure = draw_panels([[Panel(image, kind="drift")]], drift_limit=1.0)
    box = figure.axes[0].get_window_extent()
    column = pixels(figure)[::-1, int((box.x0 + box.x1) / 2)]
    low, zero, high = (column[int(box.y0 + share * box.height)].astype(int) for share in (1 / 6, 1 / 2, 5 / 6))
    red, _, blue = np.arange(3)
    # Row 0 of an image is on top: blue above, red below.
    assert high[blue] > high[red] + 50
    assert low[red] > low[blue] + 50
    assert zero.min() >= 240


def test_drift_limits_are_symmetric_and_shared_by_all_panels():
    rows = [[Panel(np.full((4, 4), 0.3), kind="drift"), Panel(np.full((4, 4), -0.7), kind="drift")]]
    figure = draw_panels(rows)
    assert [axes.images[0].get_clim() for axes in figure.axes[:2]] == [(-0.7, 0.7)] * 2


def test_robust_limit_ignores_the_empty_background_and_one_hot_pixel():
    image = np.zeros((100, 100))
    image[:20, :50] = -0.5
    image[99, 99] = 40.0
    assert robust_limit([image]) == 0.5


def test_a_contour_runs_half_way_between_pixel_centres():
    figure = draw_panels([[Panel(SQUARE, contours=((SQUARE, "red"),))]])
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([np.min(corners, axis=0), np.max(corners, axis=0)], [[2.5, 1.5], [5.5, 4.5]])


def test_an_outline_that_touches_the_border_is_closed():
    full = np.ones((8, 8), bool)
    figure = draw_panels([[Panel(full, contours=((full, "red"),))]])
    corners = np.asarray(figure.axes[0].collections[0].get_paths()[0].vertices)
    np.testing.assert_array_equal(corners[0], corners[-1])


def test_a_value_that_is_not_a_number_is_shown_in_a_colour_no_map_has():
    image = np.full((4, 4), np.nan)
    box = (figure := draw_panels([[Panel(image)]])).axes[0].get_window_extent()
    middle = pixels(figure)[int(figure.bbox.height - (box.y0 + box.y1) / 2), int((box.x0 + box.x1) / 2)]
    np.testing.assert_array_equal(middle, [50, 205, 50])


def test_an_image_with_channels_is_refused():
    with pytest.raises(DataError, match=r"\[H, W\] image, got shape \[8, 8, 1\]"):
        Panel(np.zeros((8, 8, 1)))


def test_an_unknown_kind_is_refused():
    with pytest.raises(DataError, match="panel kind 'heat' is unknown; choose from image, drift, uncertainty"):
        Panel(SQUARE, kind="heat")


def test_a_contour_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"mask has shape \[4, 4\], the image \[8, 8\]"):
        Panel(SQUARE, contours=((np.ones((4, 4), bool), "red"),))


def test_no_panel_is_refused():
    with pytest.raises(DataError, match="no panel to draw"):
        draw_panels([])


def test_row_titles_that_do_not_match_are_refused():
    with pytest.raises(DataError, match="1 row titles for 2 rows"):
        draw_panels(grid(2, 1), row_titles=["a"])


def outline(mask: np.ndarray, **settings) -> np.ndarray:
    (line,) = draw_panels([[Panel(np.zeros(mask.shape), contours=((mask, "gold"),), **settings)]]).axes[0].collections
    return np.concatenate([path.vertices for path in line.get_paths()])


def test_a_smooth_outline_of_a_disc_is_nearer_to_its_circle():
    rows, columns = np.indices((24, 24)) - 11.5
    off = [
        np.abs(np.hypot(*(outline(np.hypot(rows, columns) <= 7, smooth=smooth) - 11.5).T) - 7)
        for smooth in (False, True)
    ]
    assert off[1].max() < 0.75 * off[0].max()
    assert off[1].mean() < 0.25


def test_pixels_are_as_tall_as_told():
    assert draw_panels([[Panel(np.zeros((4, 4)), aspect=1.5)]]).axes[0].get_aspect() == 1.5
