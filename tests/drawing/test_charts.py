import numpy as np

from tfdrift.drawing import charts


def points(axes):
    """Return the points of every line of axes."""
    return [np.asarray(line.get_xydata()).tolist() for line in axes.lines]


def test_axes_stand_in_rows_and_columns_under_one_title():
    figure, axes = charts.new_chart(2, 3, size_inch=(6, 4), title="all")
    assert axes.shape == (2, 3)
    assert figure.get_suptitle() == "all"


def test_axes_of_a_row_share_their_scale_where_asked():
    _, axes = charts.new_chart(1, 2, size_inch=(6, 4), share_y=True)
    axes[0, 0].set_ylim(-3, 7)
    assert axes[0, 1].get_ylim() == (-3, 7)


def test_an_estimate_is_a_mark_on_its_interval():
    _, axes = charts.new_chart(size_inch=(3, 2))
    charts.draw_estimate(axes[0, 0], 2, (0.5, 0.25, 1.0), colour="red")
    assert points(axes[0, 0]) == [[[0.25, 2.0], [1.0, 2.0]], [[0.5, 2.0]]]


def test_an_open_mark_is_white():
    _, axes = charts.new_chart(size_inch=(3, 2))
    for filled in (True, False):
        charts.draw_estimate(axes[0, 0], 0, (0.5, 0.25, 1.0), colour="red", filled=filled)
    marks = [line.get_markerfacecolor() for line in axes[0, 0].lines if line.get_marker() == "o"]
    assert marks == ["red", "white"]


def test_the_first_row_is_on_top():
    _, axes = charts.new_chart(size_inch=(3, 2))
    charts.name_rows(axes[0, 0], ["first", "second"])
    bottom, top = axes[0, 0].get_ylim()
    assert bottom > 1 > 0 > top
    assert [label.get_text() for label in axes[0, 0].get_yticklabels()] == ["first", "second"]


def test_a_curve_has_the_band_of_its_intervals():
    _, axes = charts.new_chart(size_inch=(3, 2))
    charts.draw_curve(axes[0, 0], [0, 1], [2, 3], ([1, 2], [3, 5]), colour="red")
    assert points(axes[0, 0]) == [[[0, 2], [1, 3]]]
    (band,) = axes[0, 0].collections
    corners = {tuple(corner) for corner in np.asarray(band.get_paths()[0].vertices).tolist()}
    assert corners >= {(0, 1), (1, 2), (0, 3), (1, 5)}


def test_references_are_lines_across_the_axes():
    _, axes = charts.new_chart(size_inch=(3, 2))
    charts.draw_reference(axes[0, 0], 4)
    charts.draw_reference(axes[0, 0], 5, across="y")
    assert points(axes[0, 0]) == [[[4, 0], [4, 1]], [[0, 5], [1, 5]]]


def test_levels_are_whole_numbers_and_may_run_from_noisy_to_clean():
    _, axes = charts.new_chart(size_inch=(3, 2))
    charts.draw_curve(axes[0, 0], [0, 1, 2], [2, 3, 4], colour="red")
    for _ in range(2):  # saying it twice does not turn it back
        charts.level_axis(axes[0, 0], "level", noisy_first=True)
    left, right = axes[0, 0].get_xlim()
    assert left > right
    assert all(float(tick).is_integer() for tick in axes[0, 0].get_xticks())
