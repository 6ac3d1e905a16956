"""Charts of scores: axes in one style, estimates with their intervals in rows, curves over levels with their bands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfdrift.drawing.colours import INK, QUIET
from tfdrift.drawing.figure import new_figure

TICK_PT, LABEL_PT, TITLE_PT = 8, 9, 10


def new_chart(
    rows: int = 1,
    columns: int = 1,
    *,
    size_inch: tuple[float, float],
    title: str | None = None,
    share_y: bool = False,
    grid: str | None = None,
) -> tuple[Figure, np.ndarray]:
    """Return a figure with axes in the style of all charts.

    Args:
        rows: of axes.
        columns: of axes.
        size_inch: width and height of the figure.
        title: above all axes.
        share_y: the axes of a row have one vertical scale.
        grid: `x`, `y` or `both` for faint lines.

    Returns:
        The figure, and its axes, object [rows, columns].

    Example:
        >>> figure, axes = new_chart(1, 2, size_inch=(6, 3))
        >>> axes.shape
        (1, 2)
    """
    figure = new_figure(*size_inch)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    for panel in axes.ravel():
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(QUIET)
        panel.tick_params(labelsize=TICK_PT, color=QUIET)
        panel.xaxis.label.set_size(LABEL_PT)
        panel.yaxis.label.set_size(LABEL_PT)
        if grid:
            panel.grid(axis=grid, alpha=0.25)
            panel.set_axisbelow(True)
    if title:
        figure.suptitle(title, fontsize=TITLE_PT + 1, fontweight="bold", color=INK)
    return figure, axes


def draw_title(axes: Axes, text: str) -> None:
    """Write a title in the size of all charts.

    Args:
        axes: above which.
        text: of the title.
    """
    axes.set_title(text, fontsize=TITLE_PT)


def draw_legend(axes: Axes, **place: Any) -> None:
    """Draw a legend without a frame.

    Args:
        axes: whose labelled marks it names.
        place: where, as for `Axes.legend`.
    """
    axes.legend(frameon=False, fontsize=TICK_PT, **place)


def draw_reference(axes: Axes, value: float, *, across: str = "x", style: str = "--", **given: Any) -> None:
    """Draw a quiet line at a value that others are read against, such as no skill.

    Args:
        axes: into which.
        value: where.
        across: the axis that the value belongs to, `x` for an upright line.
        style: of the line.
        given: as for `Axes.axvline`, such as a `label` or another colour.
    """
    line = axes.axvline if across == "x" else axes.axhline
    line(value, **{"color": QUIET, "linewidth": 1, "linestyle": style, "zorder": 0, **given})


def draw_estimate(
    axes: Axes, place: float, estimate: Sequence[float], *, colour: str, filled: bool = True, **given: Any
) -> None:
    """Draw a value as a mark on its interval, lying, at a height.

    Args:
        axes: into which.
        place: height.
        estimate: value, low and high.
        colour: of both.
        filled: whether the mark is; an open one is less sure.
        given: as for `Axes.plot`, of the mark.
    """
    value, low, high = estimate
    axes.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.6, solid_capstyle="round")
    inside = colour if filled else "white"
    axes.plot(value, place, "o", **{"color": colour, "markerfacecolor": inside, "markersize": 6, **given})


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write names of rows at heights 0, 1, ... from top to bottom.

    Args:
        axes: whose vertical axis it is.
        names: of the rows; empty ones leave room without a name.
    """
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def draw_curve(
    axes: Axes,
    places: Sequence[Any],
    values: Sequence[float],
    band: tuple[Sequence[float], Sequence[float]] | None = None,
    *,
    colour: str,
    **given: Any,
) -> None:
    """Draw a curve with the band of its intervals.

    Args:
        axes: into which.
        places: m positions, numbers such as levels or names such as those of sessions.
        values: m.
        band: m low and m high ends.
        colour: of both.
        given: as for `Axes.plot`, such as a `label`.
    """
    axes.plot(places, values, **{"color": colour, "linewidth": 1.6, **given})
    if band is not None:
        axes.fill_between(places, *band, color=colour, alpha=0.13, linewidth=0)


def level_axis(axes: Axes, words: str, *, noisy_first: bool) -> None:
    """Make the horizontal axis one of levels, which are whole numbers.

    Args:
        axes: whose.
        words: what the levels are.
        noisy_first: draw high levels left, in the order in which a sampler passes them.
    """
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(words)
    if noisy_first and not axes.xaxis_inverted():
        axes.invert_xaxis()
