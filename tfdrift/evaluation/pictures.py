"""Pictures of an evaluation: skills, levels, error against spread, reliability, and lesions beside the truth."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tfdrift.axes import image_axes, picture
from tfdrift.cohort.samples import Samples
from tfdrift.drawing.charts import (
    draw_curve,
    draw_estimate,
    draw_legend,
    draw_reference,
    draw_title,
    level_axis,
    name_rows,
    new_chart,
)
from tfdrift.drawing.colours import AFTER, BEFORE, BLUE, GREEN, GREY, ORANGE, SERIES
from tfdrift.drawing.panels import Panel, draw_panels
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.document import Metrics
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.evaluation.scores import ONE
from tfdrift.evaluation.uncertainty import spread
from tfdrift.methods import METHODS
from tfdrift.methods.method import LevelAxis

SNAPSHOTS = 6


def draw_pictures(metrics: Metrics, answers: Answers) -> dict[str, Figure]:
    """Return the pictures of the page by name; those that a method has nothing to show in are left out.

    Args:
        metrics: of the evaluation.
        answers: what was evaluated.
    """
    held_out = answers.held_out
    mean = {"post": answers.post.mean(axis=0), "drift": answers.drift.mean(axis=0)}
    pictures = {"skills": draw_skills(metrics), "reliability": draw_reliability(metrics)}
    errors = squared_errors(mean["post"], held_out.post)
    spreads = spread(answers.drift) if len(answers.drift) > 1 else None
    pictures["lesions"] = draw_lesions(held_out, mean, errors, spreads)
    axis = METHODS[metrics.method].level_axis
    if axis is not None and len(answers.levels) > 1:
        pictures["levels"] = draw_levels(metrics, axis)
        pictures["snapshots"] = draw_snapshots(held_out.drift[answers.shown_row], answers.shown, answers.levels)
    if len(answers.post) > 1:
        pictures["spread"] = draw_error_by_spread(metrics)
    return pictures


def draw_skills(metrics: Metrics) -> Figure:
    """Draw the skill of every method with its interval, and what can be attained at all."""
    shown = {name: found["skill"] for name, found in metrics.scored.items()}
    figure, ((axes,),) = new_chart(size_inch=(6.4, 0.9 + 0.36 * len(shown)))
    for place, (name, skill) in enumerate(shown.items()):
        ours = name in (metrics.label, metrics.label + ONE)
        draw_estimate(axes, place, skill, colour=BLUE if ours else GREY)
    if metrics.attainable:
        best = metrics.attainable.skill
        draw_reference(axes, best, color=GREEN)
        axes.annotate(
            "attainable", (best, 1), xycoords=("data", "axes fraction"), xytext=(-3, 1), textcoords="offset points",
            ha="right", va="bottom", color=GREEN, fontsize=8,
        )  # fmt: skip
    draw_reference(axes, 0, style="-")
    name_rows(axes, list(shown))
    axes.set_xlabel("skill over copy (95% interval over patients)")
    axes.set_xlim(right=max(1.0, axes.get_xlim()[1]))
    return figure


def draw_levels(metrics: Metrics, axis: LevelAxis) -> Figure:
    """Draw the skill of the post image and of the drift at each level, with the best level marked.

    Args:
        metrics: of a method with levels.
        axis: what they are.
    """
    levels = [entry.level for entry in metrics.levels]
    figure, ((axes,),) = new_chart(size_inch=(6.4, 3.2))
    for values, bands, label, colour in (
        ([e.skill for e in metrics.levels], [e.skill_interval for e in metrics.levels], "post image", BLUE),
        ([e.drift_skill for e in metrics.levels], [e.drift_interval for e in metrics.levels], "drift map", ORANGE),
    ):
        band = [band.low for band in bands], [band.high for band in bands]
        draw_curve(axes, levels, values, band, colour=colour, label=label, marker="o", markersize=3.5)
    best = metrics.best_level
    axes.plot(best.level, best.skill, "o", markersize=11, markerfacecolor="none", color="black")
    axes.annotate(
        f"best: level {best.level}", (best.level, best.skill), xytext=(0, 11), textcoords="offset points", fontsize=8,
        ha="center",
    )  # fmt: skip
    draw_reference(axes, 0, across="y", style="-")
    level_axis(axes, axis.label, noisy_first=axis.falls)
    axes.set_ylabel("skill over copy")
    axes.margins(y=0.14)
    draw_legend(axes, loc="best")
    return figure


def draw_error_by_spread(metrics: Metrics) -> Figure:
    """Draw the drift's error in groups of pixels from the least to the most spread, against that spread.

    Args:
        metrics: of methods of which one at least has several outcomes.
    """
    figure, ((axes,),) = new_chart(size_inch=(6.4, 3.4))
    largest, drawn = 0.0, 0
    for name, entry in metrics.methods.items():
        if entry.uncertainty is None or entry.uncertainty.outcomes == 1:
            continue
        groups = entry.uncertainty.drift.error_by_spread or []
        spreads, errors = [group.spread for group in groups], [group.error for group in groups]
        colour = SERIES[drawn % len(SERIES)]
        draw_curve(axes, spreads, errors, colour=colour, label=name, marker="o", markersize=4)
        largest, drawn = max(largest, *spreads, *errors), drawn + 1
    axes.plot([0, largest], [0, largest], color="0.6", linewidth=0.8, linestyle="--", label="error = spread")
    axes.set(xlabel="spread of the outcomes (RMS)", ylabel="error of their mean (RMS)", xlim=(0, None), ylim=(0, None))
    draw_legend(axes)
    return figure


def draw_reliability(metrics: Metrics) -> Figure:
    """Draw what the intervals cover against what they promise, before and after calibration."""
    found = metrics.ours.uncertainty
    assert found is not None
    figure, axes = new_chart(1, 2, size_inch=(6.8, 3.6), share_y=True)
    for panel, scores, title in zip(
        axes[0],
        (found.drift, found.volume),
        ("drift of the GTV's pixels", "volume of the lesions"),
        strict=True,
    ):
        panel.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
        raw = [(point.nominal, point.raw) for point in scores.reliability]
        calibrated = [(point.nominal, point.calibrated) for point in scores.reliability if point.calibrated is not None]
        for points, label, colour in ((raw, "raw quantiles", ORANGE), (calibrated, "calibrated", BLUE)):
            if points:
                draw_curve(panel, *zip(*points, strict=True), colour=colour, label=label, marker="o", markersize=4)
        panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="nominal coverage")
        draw_title(panel, title)
    axes[0, 0].set_ylabel("observed, mean over patients")
    draw_legend(axes[0, 0], loc="upper left")
    return figure


def draw_snapshots(truth: np.ndarray, shown: np.ndarray, levels: Sequence[int | None]) -> Figure:
    """Draw the drift map of one slice at some of the levels, beside the truth.

    Args:
        truth: float [..., S, S, 1], the true drift.
        shown: float [L, ..., S, S, 1], predicted at each level.
        levels: the L levels.
    """
    rows = np.unique(np.linspace(0, len(levels) - 1, SNAPSHOTS).astype(int))
    panels = [Panel(picture(shown[row]), f"level {levels[row]}", "drift") for row in rows]
    return draw_panels([[Panel(picture(truth), "true drift", "drift"), *panels]])


def draw_lesions(
    held_out: Samples, predicted: dict[str, np.ndarray], errors: np.ndarray, spreads: np.ndarray | None = None
) -> Figure:
    """Draw pre | post | predicted post | drift | predicted drift of the best, the median and the worst lesion.

    Lesions are ranked by their mean squared error; the slice shown is the one with most drift.

    Args:
        held_out: n slices.
        predicted: `post` and `drift`, float32 [n, ..., S, S, 1].
        errors: float [n], squared error of each slice.
        spreads: float [n, ..., S, S, 1], standard deviation of the predicted drift over outcomes, for one panel more.
    """
    drift = held_out.drift
    change = np.mean(drift.astype(np.float64) ** 2, axis=image_axes(drift))
    ranked = []
    for lesion in np.unique(held_out.lesion):
        rows = np.flatnonzero(held_out.lesion == lesion)
        ranked.append((errors[rows].mean(), int(rows[np.argmax(change[rows])])))
    ranked.sort()
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    rows, titles = [], []
    for name, place in places.items():
        row = ranked[place][1]
        both = outlines(held_out, row)
        panels = [
            Panel(picture(held_out.pre[row]), "pre", contours=both[:1]),
            Panel(picture(held_out.post[row]), "post", contours=both),
            Panel(picture(predicted["post"][row]), "predicted post", contours=both),
            Panel(picture(drift[row]), "drift", "drift", both),
            Panel(picture(predicted["drift"][row]), "predicted drift", "drift", both),
        ]
        if spreads is not None:
            panels.append(Panel(picture(spreads[row]), "its spread", "uncertainty", both))
        rows.append(panels)
        titles.append(f"{name} of {len(ranked)}")
    return draw_panels(rows, row_titles=titles, title="Held-out lesions: GTV before (gold) and after (blue) treatment")


def outlines(samples: Samples, row: int) -> tuple[tuple[np.ndarray, str], ...]:
    """Return the GTV before and after treatment with their colours, for `Panel.contours`.

    Args:
        samples: slices.
        row: which one.
    """
    return (picture(samples.pre_mask[row]), BEFORE), (picture(samples.post_mask[row]), AFTER)
