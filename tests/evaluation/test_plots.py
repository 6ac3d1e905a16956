import numpy as np
import pytest

from tfdrift.evaluation import plots


@pytest.fixture(scope="module")
def metrics(assessed):
    return assessed.metrics


def lines(figure, axes=0):
    """Return the points of every curve in one of a figure's axes."""
    return [np.asarray(line.get_xydata()) for line in figure.axes[axes].lines]


def test_every_method_has_its_skill_and_interval(metrics):
    drawn = lines(plots.draw_skills(metrics))
    for place, entry in enumerate(entry for entry in metrics["methods"].values() if "scores" in entry):
        skill = entry["scores"]["skill"]
        assert any(np.array_equal(points, [[skill["value"], place]]) for points in drawn)
        assert any(np.array_equal(points, [[skill["low"], place], [skill["high"], place]]) for points in drawn)


def test_what_can_be_attained_is_a_line(metrics):
    assert any(np.array_equal(points[:, 0], [0.9, 0.9]) for points in lines(plots.draw_skills(metrics)))


def test_levels_show_both_skills_and_circle_the_best(metrics):
    drawn = lines(plots.draw_levels(metrics))
    for key in ("skill", "drift_skill"):
        expected = [[entry["level"], entry[key]] for entry in metrics["levels"]]
        assert any(np.array_equal(points, expected) for points in drawn)
    best = metrics["best_level"]
    assert any(np.array_equal(points, [[best["level"], best["skill"]]]) for points in drawn)


def test_only_methods_with_a_spread_are_drawn_against_it(metrics):
    figure = plots.draw_error_by_spread(metrics)
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert labels == ["Method 1", "error = spread"]


def test_reliability_leaves_out_what_cannot_be_calibrated(metrics):
    figure = plots.draw_reliability(metrics)
    points = metrics["methods"]["Method 1"]["uncertainty"]["drift"]["reliability"]
    raw = [[point["nominal"], point["raw"]] for point in points]
    calibrated = [[point["nominal"], point["calibrated"]] for point in points if point["calibrated"] is not None]
    assert len(calibrated) < len(raw)
    drawn = lines(figure)
    assert any(np.array_equal(curve, raw) for curve in drawn)
    assert any(np.array_equal(curve, calibrated) for curve in drawn)


def test_snapshots_start_with_the_truth_and_end_with_the_last_level():
    truth, shown = np.random.default_rng(0).random((8, 8)), np.random.default_rng(1).random((21, 8, 8))
    figure = plots.draw_snapshots(truth, shown, list(range(20, -1, -1)))
    panels = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    np.testing.assert_array_equal(panels[0], truth)
    np.testing.assert_array_equal(panels[1], shown[0])
    np.testing.assert_array_equal(panels[6], shown[20])
