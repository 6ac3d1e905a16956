import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.evaluation import pictures
from tfdrift.methods.method import LevelAxis

AXIS = LevelAxis(title="Levels", says="There are levels.", label="a level", falls=True)


@pytest.fixture(scope="module")
def metrics(assessed):
    return assessed.metrics


def lines(figure, axes=0):
    """Return the points of every curve in one of a figure's axes."""
    return [np.asarray(line.get_xydata()) for line in figure.axes[axes].lines]


def test_every_method_has_its_skill_and_interval(metrics):
    drawn = lines(pictures.draw_skills(metrics))
    for place, scores in enumerate(metrics.scored.values()):
        skill = scores["skill"]
        assert any(np.array_equal(points, [[skill.value, place]]) for points in drawn)
        assert any(np.array_equal(points, [[skill.low, place], [skill.high, place]]) for points in drawn)


def test_what_can_be_attained_is_a_line(metrics):
    assert any(np.array_equal(points[:, 0], [0.9, 0.9]) for points in lines(pictures.draw_skills(metrics)))


def test_levels_show_both_skills_and_circle_the_best(metrics):
    drawn = lines(pictures.draw_levels(metrics, AXIS))
    for key in ("skill", "drift_skill"):
        expected = [[entry.level, getattr(entry, key)] for entry in metrics.levels]
        assert any(np.array_equal(points, expected) for points in drawn)
    best = metrics.best_level
    assert any(np.array_equal(points, [[best.level, best.skill]]) for points in drawn)


def test_only_methods_with_a_spread_are_drawn_against_it(metrics):
    figure = pictures.draw_error_by_spread(metrics)
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert labels == ["Method 1", "error = spread"]


def test_reliability_leaves_out_what_cannot_be_calibrated(metrics):
    figure = pictures.draw_reliability(metrics)
    points = metrics.ours.uncertainty.drift.reliability
    raw = [[point.nominal, point.raw] for point in points]
    calibrated = [[point.nominal, point.calibrated] for point in points if point.calibrated is not None]
    assert len(calibrated) < len(raw)
    drawn = lines(figure)
    assert any(np.array_equal(curve, raw) for curve in drawn)
    assert any(np.array_equal(curve, calibrated) for curve in drawn)


def test_snapshots_start_with_the_truth_and_end_with_the_last_level():
    truth, shown = np.random.default_rng(0).random((8, 8, 1)), np.random.default_rng(1).random((21, 8, 8, 1))
    figure = pictures.draw_snapshots(truth, shown, list(range(20, -1, -1)))
    panels = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    np.testing.assert_array_equal(panels[0], truth[..., 0])
    np.testing.assert_array_equal(panels[1], shown[0, ..., 0])
    np.testing.assert_array_equal(panels[6], shown[20, ..., 0])


def shown_rows(figure, images):
    """Return which of `images` stand in the figure, top to bottom."""
    panels = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    shown = [panel for panel in panels if any(np.array_equal(panel, image) for image in images)]
    return [next(i for i, image in enumerate(images) if np.array_equal(panel, image)) for panel in shown]


def test_the_best_the_median_and_the_worst_lesion_are_shown_in_this_order():
    samples = make_samples(count=5, size=8)
    errors = np.array([0.9, 0.1, 0.5, 0.3, 2.0])
    predicted = {"post": samples.post + 1, "drift": samples.drift + 1}
    figure = pictures.draw_lesions(samples, predicted, errors)
    assert shown_rows(figure, samples.pre[..., 0]) == [1, 2, 4]


@pytest.mark.parametrize("falls", [True, False])
def test_levels_run_from_noisy_to_clean_where_a_method_walks_so(metrics, falls):
    axes = pictures.draw_levels(metrics, AXIS._replace(falls=falls)).axes[0]
    left, right = axes.get_xlim()
    assert (left > right) == falls
    assert axes.get_xlabel() == "a level"
