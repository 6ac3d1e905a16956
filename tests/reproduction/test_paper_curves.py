import dataclasses

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from tests.random_samples import make_samples
from tests.reproduction.random_predictions import make_predictions
from tfdrift.reproduction.paper_curves import (
    LOWEST_SKILL,
    draw_groups,
    draw_levels,
    draw_losses,
    draw_ranking,
    draw_volumes,
)
from tfdrift.reproduction.paper_scores import score_run
from tfdrift.reproduction.regions import Difference


def heights(line) -> list[float]:
    return np.asarray(line.get_ydata(), float).tolist()


def inside_figure(figure) -> bool:
    figure.canvas.draw()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    edges = np.array([box.extents for box in boxes if box is not None])
    return (
        edges.min() >= -1 and edges[:, 2].max() <= figure.bbox.width + 1 and edges[:, 3].max() <= figure.bbox.height + 1
    )


def responding():
    """Three lesions: one grows, one shrinks, one has no follow-up."""
    values = {"pre_mm3": [100, 100, 50], "post_mm3": [120, 80, 50], "follow_up_mm3": [150, 60, np.nan]}
    arrays = {name: np.array(numbers, np.float32) for name, numbers in values.items()}
    return dataclasses.replace(make_samples(count=3), **arrays)


def test_volumes_of_the_two_lesions_and_of_all_with_a_follow_up():
    figure = draw_volumes(responding(), 0, 1)
    grows, shrinks, every = figure.axes
    assert heights(grows.lines[0]) == [100, 120, 150]
    assert heights(shrinks.lines[0]) == [100, 80, 60]
    assert sorted(heights(line) for line in every.lines[:-1]) == [[100, 80, 60], [100, 120, 150]]
    assert "2 lesions" in every.get_title()
    assert inside_figure(figure)


def history(steps: int, every: int = 25) -> list[dict]:
    lines = [
        {"step": step, "part": "train", "recon_loss": 1 / step, "drift_loss": 2 / step}
        for step in range(every, steps + 1, every)
    ]
    return [*lines, {"step": steps, "part": "validation", "loss": 9.0}]


def test_losses_are_those_of_the_first_1600_and_the_last_800_of_5000_steps():
    figure = draw_losses(history(5000), steps=5000, recon_name="noise", title="t")
    recon_first, drift_first, recon_last, drift_last = figure.axes
    assert np.asarray(recon_first.lines[0].get_xdata()).tolist() == list(range(25, 1601, 25))
    assert np.asarray(recon_last.lines[0].get_xdata()).tolist() == list(range(4225, 5001, 25))
    assert heights(recon_first.lines[0])[0] == 1 / 25
    assert heights(drift_last.lines[0])[-1] == 2 / 5000
    assert drift_first.get_ylabel() == "drift loss"


def test_a_training_of_two_steps_still_gives_a_curve():
    figure = draw_losses(history(2, every=1), steps=2, recon_name="noise", title="t")
    assert [len(heights(axes.lines[0])) for axes in figure.axes] == [1, 1, 1, 1]


def test_levels_run_from_noisy_to_clean_with_a_line_a_run():
    scores = [score_run(make_predictions(error=error)) for error in (0.05, 0.06)]
    figure = draw_levels(scores, title="t")
    skill_axes = figure.axes[0]
    left, right = skill_axes.get_xlim()
    assert left > 2 > 0 > right
    for line, score in zip(skill_axes.lines[:2], scores, strict=True):
        assert heights(line) == [entry["post"]["skill"]["value"] for entry in score["levels"]]
    assert inside_figure(figure)


def test_a_run_that_failed_does_not_flatten_the_others_and_the_axis_says_so():
    figure = draw_levels([score_run(make_predictions(error=error)) for error in (0.05, 5.0)], title="t")
    assert LOWEST_SKILL - 0.2 < figure.axes[0].get_ylim()[0] < LOWEST_SKILL
    assert figure.axes[0].get_ylabel() == "skill over no change (above -1)"


def test_runs_that_all_failed_are_shown_as_they_are():
    figure = draw_levels([score := score_run(make_predictions(error=5.0))], title="t")
    assert figure.axes[0].get_ylim()[0] < score["levels"][0]["post"]["skill"]["value"]
    assert figure.axes[0].get_ylabel() == "skill over no change"


def test_the_ranking_has_a_row_a_run_in_order():
    scores = [score_run(make_predictions(error=error)) for error in (0.05, 0.2)]
    figure = draw_ranking(scores, [], title="t")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [score["label"] for score in scores]
    first, last = figure.axes[0].get_ylim()
    assert first > last  # the first row on top
    assert inside_figure(figure)


def test_only_a_run_that_can_be_told_apart_has_a_filled_mark():
    scores = [score_run(make_predictions(error=error)) for error in (0.05, 0.2, 0.3)]
    p_values = zip((1, 2), ({"post": 0.04, "drift": 0.06}, {"post": 1.0, "drift": 1.0}), strict=True)
    compared = [
        {"run": scores[row]["label"], **{name: {"p_holm": p_value} for name, p_value in of.items()}}
        for row, of in p_values
    ]
    figure = draw_ranking(scores, compared, title="t")
    for axes, filled in zip(figure.axes, ([False, True, False], [False, False, False]), strict=True):
        marks = [line for line in axes.lines if line.get_marker() == "o"]
        assert [mark.get_markerfacecolor() != "white" for mark in marks] == filled


def test_a_run_of_the_ranking_that_lies_outside_is_named_with_its_skill():
    scores = [score_run(make_predictions(error=error)) for error in (0.05, 5.0)]
    figure = draw_ranking(scores, [], title="t")
    for axes, name in zip(figure.axes, ("post", "drift"), strict=True):
        assert axes.get_xlim()[0] == LOWEST_SKILL
        assert [text.get_text() for text in axes.texts] == [f"◂ {scores[1]['final'][name]['skill']['value']:.2f}"]
    assert inside_figure(figure)


def test_groups_show_every_lesion_and_the_p_value():
    poor = np.array([True, True, False])
    names = ("true drift, core", "true drift, rim")
    tests = {name: Difference(0.1, 0.05, 0.15, 0.03, 99) for name in names}
    figure = draw_groups({name: np.array([0.1, 0.2, -0.1]) for name in names}, poor, tests)
    for axes in figure.axes:
        clouds = [part for part in axes.collections if isinstance(part, PathCollection)]
        dots = [np.asarray(cloud.get_offsets())[:, 1].tolist() for cloud in clouds]
        assert dots == [[0.1, 0.2], [-0.1]]
        assert axes.get_xlabel() == "+0.100 [+0.050, +0.150]\np = 0.03"
    assert inside_figure(figure)


def test_a_lesion_without_a_core_is_left_out_of_the_mean():
    names = ("true drift, core", "predicted drift, core")
    tests = {name: Difference(0.0, 0.0, 0.0, 1.0, 9) for name in names}
    values = np.array([0.4, np.nan, -0.2])
    figure = draw_groups(dict.fromkeys(names, values), np.array([True, True, False]), tests)
    segments = [part.get_segments() for part in figure.axes[0].collections if isinstance(part, LineCollection)]
    assert [float(part[0][0][1]) for part in segments] == pytest.approx([0.4, -0.2])
