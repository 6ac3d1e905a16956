"""Curves of an evaluation: skills, levels, error against spread, reliability."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfdrift.drawing.panels import Panel, draw_panels
from tfdrift.evaluation.assessment import ONE
from tfdrift.methods import METHODS

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
_DPI = 144
_SNAPSHOTS = 6


def draw_skills(metrics: dict[str, Any]) -> Figure:
    """Draw the skill of every method with its interval, and what can be attained at all.

    Args:
        metrics: the document of an evaluation.
    """
    shown = {name: entry["scores"]["skill"] for name, entry in metrics["methods"].items() if "scores" in entry}
    figure, axes = _figure(6.4, 0.9 + 0.36 * len(shown))
    for place, (name, skill) in enumerate(shown.items()):
        colour = BLUE if name in (metrics["label"], metrics["label"] + ONE) else GREY
        axes.plot([skill["low"], skill["high"]], [place, place], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot(skill["value"], place, "o", color=colour, markersize=6)
    attainable = metrics["attainable"]
    if attainable:
        axes.axvline(attainable["skill"], color=GREEN, linestyle="--", linewidth=1)
        axes.annotate(
            "attainable", (attainable["skill"], 1), xycoords=("data", "axes fraction"), xytext=(3, -3),
            textcoords="offset points", va="top", color=GREEN, fontsize=8,
        )  # fmt: skip
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(shown)), list(shown))
    axes.set(xlabel="skill over copy (95% interval over patients)", ylim=(len(shown) - 0.4, -0.6))
    axes.set_xlim(right=max(1.0, axes.get_xlim()[1]))
    return figure


def draw_levels(metrics: dict[str, Any]) -> Figure:
    """Draw the skill of the post image and of the drift at each level, with the best level marked.

    Args:
        metrics: the document of an evaluation of a method with levels.
    """
    entries = metrics["levels"]
    levels = [entry["level"] for entry in entries]
    figure, axes = _figure(6.4, 3.2)
    for key, label, colour in (("skill", "post image", BLUE), ("drift_skill", "drift map", ORANGE)):
        band = [entry["skill_interval" if key == "skill" else "drift_interval"] for entry in entries]
        axes.plot(levels, [entry[key] for entry in entries], "o-", color=colour, label=label, markersize=3.5)
        low, high = ([interval[side] for interval in band] for side in ("low", "high"))
        axes.fill_between(levels, low, high, color=colour, alpha=0.13, linewidth=0)
    best = metrics["best_level"]
    axes.plot(best["level"], best["skill"], "o", markersize=11, markerfacecolor="none", color="black")
    axes.annotate(
        f"best: level {best['level']}", (best["level"], best["skill"]), xytext=(0, 11), textcoords="offset points",
        fontsize=8, ha="center",
    )  # fmt: skip
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(ylabel="skill over copy")
    along = METHODS[metrics["method"]].level_axis
    assert along is not None  # there are levels
    axes.set_xlabel(along.label)
    if along.falls:
        axes.invert_xaxis()
    axes.margins(y=0.14)
    axes.legend(frameon=False, fontsize=8, loc="best")
    return figure


def draw_error_by_spread(metrics: dict[str, Any]) -> Figure:
    """Draw the drift's error in groups of pixels from the least to the most spread, against that spread.

    Args:
        metrics: the document of an evaluation with several outcomes.
    """
    figure, axes = _figure(6.4, 3.4)
    colours = iter((BLUE, ORANGE, GREEN, GREY, "black"))
    largest = 0.0
    for name, entry in _with_several_outcomes(metrics).items():
        groups = entry["drift"]["error_by_spread"]
        spreads, errors = ([group[key] for group in groups] for key in ("spread", "error"))
        axes.plot(spreads, errors, "o-", color=next(colours, GREY), label=name, markersize=4)
        largest = max(largest, *spreads, *errors)
    axes.plot([0, largest], [0, largest], color="0.6", linewidth=0.8, linestyle="--", label="error = spread")
    axes.set(xlabel="spread of the outcomes (RMS)", ylabel="error of their mean (RMS)", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_reliability(metrics: dict[str, Any]) -> Figure:
    """Draw what the intervals cover against what they promise, before and after calibration.

    Args:
        metrics: the document of an evaluation.
    """
    entry = metrics["methods"][metrics["label"]]["uncertainty"]
    figure = Figure(figsize=(6.8, 3.6), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("drift", "volume"), strict=True):
        _style(axes)
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
        for key, label, colour in (("raw", "raw quantiles", ORANGE), ("calibrated", "calibrated", BLUE)):
            points = [(point["nominal"], point[key]) for point in entry[kind]["reliability"] if point[key] is not None]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=colour, label=label, markersize=4)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="nominal coverage")
        axes.set_title(f"{kind} of the GTV's pixels" if kind == "drift" else "volume of the lesions", fontsize=9)
    figure.axes[0].set_ylabel("observed, mean over patients")
    figure.axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def draw_snapshots(truth: np.ndarray, shown: np.ndarray, levels: list[int | None]) -> Figure:
    """Draw the drift map of one slice at some of the levels, beside the truth.

    Args:
        truth: float [S, S], the true drift.
        shown: float [L, S, S], predicted at each level.
        levels: the L levels.
    """
    rows = np.unique(np.linspace(0, len(levels) - 1, _SNAPSHOTS).astype(int))
    panels = [Panel(image=shown[row], title=f"level {levels[row]}", kind="drift") for row in rows]
    return draw_panels([[Panel(image=truth, title="true drift", kind="drift"), *panels]])


def _with_several_outcomes(metrics: dict[str, Any]) -> dict[str, Any]:
    entries = {name: entry["uncertainty"] for name, entry in metrics["methods"].items() if "uncertainty" in entry}
    return {name: entry for name, entry in entries.items() if entry["outcomes"] > 1}


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _style(axes)
    return figure, axes


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
