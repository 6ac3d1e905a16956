"""Pictures of one lesion's prediction: its slices, its outcomes, its volumes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from tfdrift.clinic.lesion import Crops, LesionPrediction
from tfdrift.clinic.movement import Field
from tfdrift.cohort.crop import choose_slices
from tfdrift.cohort.response import POOR_RESPONSE
from tfdrift.cohort.volumes import predicted_mask
from tfdrift.drawing.colours import SERIES
from tfdrift.drawing.figure import new_figure
from tfdrift.drawing.panels import Panel, colour_scales, draw_panel

NOW_COLOUR, PREDICTED_COLOUR = "gold", "deepskyblue"
UNIT = "scanner units"
MAX_OUTCOMES_SHOWN = 16
_OUTCOMES_A_ROW = 8
_BAR_MM = 10.0
_EDGES = {"left": (0.05, 0.5), "right": (0.95, 0.5), "top": (0.5, 0.95), "bottom": (0.5, 0.05)}
_INK, _QUIET, _BLUE, _ARROWS = "#1d2733", "#8a94a0", "#1878b4", "#ff5fa2"


def side_letters(direction: Sequence[float]) -> dict[str, str]:
    """Return the patient's side at each edge of a slice as it is drawn: R, L, A, P, H or F.

    Args:
        direction: of the grid, 3 x 3 row by row; an oblique edge gets the letter it is nearest to.

    Example:
        >>> side_letters((1, 0, 0, 0, 1, 0, 0, 0, 1))
        {'left': 'R', 'right': 'L', 'top': 'A', 'bottom': 'P'}
    """
    along_row, along_column = np.reshape(direction, (3, 3)).T[:2]

    def letter(toward: np.ndarray) -> str:
        axis = int(np.argmax(np.abs(toward)))
        return ("RL", "AP", "FH")[axis][int(toward[axis] > 0)]

    return {
        "left": letter(-along_row),
        "right": letter(along_row),
        "top": letter(-along_column),
        "bottom": letter(along_column),
    }


def draw_slices(prediction: LesionPrediction, direction: Sequence[float]) -> Figure:
    """Draw slices on the MRI's own grid: the MRI, the mean predicted MRI alone and in it, drift and spread.

    They are up to three, and where it is predicted to grow beyond its first or last slice the largest one there.

    Args:
        prediction: of the lesion.
        direction: of the series' grid, see `side_letters`.
    """
    crops = prediction.crops
    chosen = shown_slices(crops.gtv, prediction.predicted_gtv)
    rows = []
    for row in chosen:
        now, then = (prediction.gtv[row], NOW_COLOUR), (prediction.predicted_gtv[row], PREDICTED_COLOUR)
        rows.append(
            [
                _panel(prediction, crops.mri[row], "MRI now", (now,)),
                _panel(prediction, prediction.post_mean[row], "predicted\nlesion", (now, then)),
                _panel(prediction, prediction.in_surroundings[row], "predicted lesion\nin the MRI now", (now, then)),
                _panel(prediction, prediction.drift_mean[row], "drift, mean of\nthe outcomes", (now,), "drift"),
                _panel(
                    prediction,
                    np.sqrt(prediction.drift_variance[row]),
                    "drift, standard\ndeviation",
                    (now,),
                    "uncertainty",
                ),
            ]
        )
    scales = colour_scales([panel for row in rows for panel in row], (0.0, _white(prediction)), None)
    figure = new_figure(8.6, 1.8 * len(rows) + 0.95)
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            draw_panel(grid[row, column], panel, "", scales[panel.kind])
            if row == 0:
                grid[row, column].set_title(panel.title, fontsize=8.5, color=_INK)
        for edge, text in side_letters(direction).items():
            _write(grid[row, 0], *_EDGES[edge], text, 8)
        _draw_bar(grid[row, 0], crops.spacing_mm[2])
        _write(grid[row, 2], 0.5, 0.05, "outside blue: the MRI now", 6)
        grid[row, 0].set_ylabel(_slice_words(crops, chosen[row]), fontsize=9, color=_INK)
    for kind, columns in {"image": [0, 1, 2], "drift": [3], "uncertainty": [4]}.items():
        below = grid[:, columns].ravel().tolist()
        bar = figure.colorbar(scales[kind], ax=below, location="bottom", aspect=18 * len(columns), pad=0.02)
        bar.locator = MaxNLocator(3 * len(columns), steps=[1, 2, 5, 10])
        bar.update_ticks()
        bar.ax.tick_params(labelsize=8, length=2, colors=_INK)
        bar.set_label(f"{'signal' if kind == 'image' else 'drift'}, {UNIT}", fontsize=8, color=_INK)
        bar.outline.set_linewidth(0.5)
    return figure


def _panel(
    prediction: LesionPrediction,
    image: np.ndarray,
    title: str = "",
    contours: tuple[tuple[np.ndarray, str], ...] = (),
    kind: str = "image",
) -> Panel:
    """Return a panel of a slice on the MRI's own grid, shown as a viewer shows an MRI."""
    _, row_mm, column_mm = prediction.crops.spacing_mm
    return Panel(image, title, kind, contours, smooth=True, aspect=row_mm / column_mm)


def _write(axes: Axes, x: float, y: float, text: str, size: float) -> None:
    """Write on a picture, at shares of its width and height."""
    written = axes.text(x, y, text, color="white", fontsize=size, ha="center", va="center")
    written.set(transform=axes.transAxes, path_effects=[withStroke(linewidth=2, foreground="black")])


def _draw_bar(axes: Axes, column_mm: float) -> None:
    """Draw a bar of 10 mm in the lower right corner, and say its length."""
    start, end = axes.get_xlim()
    share = _BAR_MM / column_mm / (end - start)
    line = axes.plot([0.96 - share, 0.96], [0.13, 0.13], color="white", lw=1.6, transform=axes.transAxes)
    line[0].set_path_effects([withStroke(linewidth=3, foreground="black")])
    _write(axes, 0.96 - max(share, 0.3) / 2, 0.2, f"{_BAR_MM:g} mm", 6)


def shown_slices(now: np.ndarray, then: np.ndarray) -> list[int]:
    """Return the slices to draw: those that stand for the lesion now, and the largest that it grows into at each end.

    Args:
        now: bool [n, S, S], the lesion.
        then: bool [n, S, S], as it is expected.

    Example:
        >>> now, then = np.zeros((2, 6, 4, 4), bool)
        >>> now[2:4, 1:3, 1:3] = then[1:4, 1:3, 1:3] = True
        >>> shown_slices(now, then)
        [1, 2, 3]
    """
    filled, areas = np.flatnonzero(now.any(axis=(1, 2))), then.sum(axis=(1, 2))
    beyond = [np.where(ends, areas, 0) for ends in (np.arange(len(now)) < filled[0], np.arange(len(now)) > filled[-1])]
    return sorted([*choose_slices(now, "three"), *(int(one.argmax()) for one in beyond if one.any())])


def _slice_words(crops: Crops, row: int) -> str:
    return f"slice {crops.slices[row] + 1}" + ("" if crops.gtv[row].any() else "\nbeyond the GTV")


def draw_movement(prediction: LesionPrediction, field: Field) -> Figure:
    """Draw the slices of `draw_slices`: arrows of the movement in true length, growth, gain and what is new.

    They are shown inside the lesion, now or predicted: elsewhere both images are 0 and nothing tells how they move.

    Args:
        prediction: of the lesion.
        field: how it moves.
    """
    crops, expected = prediction.crops, prediction.predicted_gtv
    chosen = shown_slices(crops.gtv, expected)
    inside = (prediction.gtv | expected)[..., None]
    shown = {name: images * inside for name, images in field.grid.items()}
    figure = new_figure(8.6, 2.15 * len(chosen) + 0.75)
    grid = figure.subplots(len(chosen), 4, squeeze=False)
    columns = {
        "": ("MRI now, and where it moves", f"signal, {UNIT}"),
        "log_jacobian": ("growth", "log of the growth in area"),
        "log_gain": ("gain", "log of the factor of the signal"),
        "residual": ("what is new", f"residual, {UNIT}"),
    }
    for column, (name, (title, unit)) in enumerate(columns.items()):
        panels = []
        for row in chosen:
            contours = ((prediction.gtv[row], NOW_COLOUR), (expected[row], PREDICTED_COLOUR))
            image = shown[name][row, ..., 0] if name else crops.mri[row]
            panels.append(_panel(prediction, image, title, contours, "drift" if name else "image"))
        (scale,) = colour_scales(panels, (0.0, _white(prediction))).values()
        for place, panel in enumerate(panels):
            draw_panel(grid[place, column], panel, "", scale)
        grid[0, column].set_title(title, fontsize=9, color=_INK)
        bar = figure.colorbar(scale, ax=grid[:, column].tolist(), location="bottom", aspect=18, pad=0.02)
        bar.locator = MaxNLocator(3, steps=[1, 2, 5, 10])
        bar.update_ticks()
        bar.ax.tick_params(labelsize=8, length=2, colors=_INK)
        bar.set_label(unit, fontsize=8, color=_INK)
        bar.outline.set_linewidth(0.5)
    spacing_mm = np.array(crops.spacing_mm[1:])
    every = np.maximum(1, np.round(2 * crops.pixel_mm / spacing_mm)).astype(int)
    for place, row in enumerate(chosen):
        grid[place, 0].set_ylabel(_slice_words(crops, row), fontsize=9, color=_INK)
        _draw_arrows(grid[place, 0], shown["displacement_mm"][row][..., -2:] / spacing_mm, inside[row, ..., 0], every)
    return figure


def _draw_arrows(axes: Axes, displacement: np.ndarray, inside: np.ndarray, every: np.ndarray) -> None:
    """Draw an arrow at every second crop pixel of the lesion, from where the tissue is to where it goes."""
    rows, columns = np.nonzero(inside)
    kept = (rows % every[0] == 0) & (columns % every[1] == 0)
    rows, columns = rows[kept], columns[kept]
    down, right = np.moveaxis(displacement[rows, columns], -1, 0)
    axes.quiver(columns, rows, right, down, angles="xy", scale_units="xy", scale=1, color=_ARROWS, width=0.008)


def draw_outcomes(prediction: LesionPrediction) -> Figure:
    """Draw outcomes of the slice that is the largest now, each with the volume of the whole lesion in that outcome."""
    row = int(np.argmax(prediction.crops.gtv.sum(axis=(1, 2))))
    shown = min(len(prediction.post), MAX_OUTCOMES_SHOWN)
    num_rows = -(-shown // _OUTCOMES_A_ROW)
    figure = new_figure(8.6, 1.3 * num_rows)
    grid = figure.subplots(num_rows, _OUTCOMES_A_ROW, squeeze=False).ravel()
    for axes in grid[shown:]:
        axes.set_axis_off()
    scale = colour_scales([Panel(prediction.post[0, row])], (0.0, _white(prediction)), None)["image"]
    for outcome, axes in enumerate(grid[:shown]):
        draw_panel(axes, _outcome(prediction, outcome, row), "", scale)
        axes.set_title(f"{prediction.outcome_volumes_mm3[outcome]:,.0f} mm³", fontsize=8, color=_INK, pad=3)
    return figure


def _outcome(prediction: LesionPrediction, outcome: int, row: int) -> Panel:
    """Return the panel of a slice in one outcome."""
    image = prediction.crops.on_grid(prediction.post[outcome, row])
    (mask,) = predicted_mask(image[None], prediction.crops.scale[row : row + 1])
    return _panel(prediction, image, contours=((prediction.gtv[row], NOW_COLOUR), (mask, PREDICTED_COLOUR)))


def draw_scenarios(prediction: LesionPrediction, scenarios: Mapping[str, LesionPrediction]) -> Figure:
    """Draw the largest slice now beside outcomes of it in each case, the cases one below the other, from equal draws.

    Args:
        prediction: the forecast.
        scenarios: what is predicted in each case, by what it is called.
    """
    row = int(np.argmax(prediction.crops.gtv.sum(axis=(1, 2))))
    figure = new_figure(8.6, 1.45 * len(scenarios) + 0.1)
    grid = figure.subplots(len(scenarios), _OUTCOMES_A_ROW, squeeze=False)
    scale = colour_scales([Panel(prediction.post[0, row])], (0.0, _white(prediction)), None)["image"]
    now = _panel(prediction, prediction.crops.mri[row], contours=((prediction.gtv[row], NOW_COLOUR),))
    for line, (words, case) in zip(grid, scenarios.items(), strict=True):
        draw_panel(line[0], now, "", scale)
        line[0].set_title("now", fontsize=8, color=_INK, pad=3)
        line[0].set_ylabel("\n".join(words.replace(" responds", "\nresponds").split(", ")), fontsize=7, color=_INK)
        for outcome, axes in enumerate(line[1:]):
            if outcome >= len(case.post):
                axes.set_axis_off()
                continue
            draw_panel(axes, _outcome(case, outcome, row), "", scale)
            axes.set_title(f"{case.outcome_volumes_mm3[outcome]:,.0f} mm³", fontsize=8, color=_INK, pad=3)
    return figure


def draw_course(
    prediction: LesionPrediction, course: Sequence[tuple[float, str, LesionPrediction]], axis: str
) -> Figure:
    """Draw the volume against a number that the model was told, with the raw 90% of the outcomes at each.

    Args:
        prediction: the forecast.
        course: (the number, what else was told, the prediction).
        axis: what the number is called.
    """
    figure = new_figure(8.6, 2.6)
    axes = figure.add_subplot()
    axes.axhline(prediction.volume_mm3, color="#c79a00", lw=1.2, label="now")
    for place, words in enumerate(dict.fromkeys(words for _, words, _ in course)):
        points = sorted(((number, case) for number, other, case in course if other == words), key=lambda one: one[0])
        numbers, colour = [number for number, _ in points], SERIES[place % len(SERIES)]
        low, high = zip(*(case.interval_mm3 for _, case in points), strict=True)
        axes.fill_between(numbers, low, high, color=colour, alpha=0.2, lw=0)
        means = [case.outcome_volumes_mm3.mean() for _, case in points]
        axes.plot(numbers, means, marker="o", color=colour, label=words or "mean and raw 90% of the outcomes")
    axes.set(xlabel=axis, ylabel="volume, mm³", ylim=(0, None))
    axes.legend(fontsize=8, frameon=False)
    axes.tick_params(labelsize=8, colors=_INK)
    return figure


def draw_volumes(prediction: LesionPrediction, calibrated_mm3: tuple[float, float] | None = None) -> Figure:
    """Draw the volume now, 80% of it, and the outcomes' volumes with their mean and 90% interval on one axis.

    Args:
        prediction: of the lesion.
        calibrated_mm3: the calibrated interval, if there is one.
    """
    figure = new_figure(8.6, 1.5 if calibrated_mm3 is None else 1.9)
    axes = figure.add_subplot()
    volumes, now = prediction.outcome_volumes_mm3, prediction.volume_mm3
    low, high = prediction.interval_mm3
    rows = {"each outcome": 0, "mean and raw 90%": 1} | ({} if calibrated_mm3 is None else {"calibrated 90%": 2})
    top = len(rows) - 0.38
    highest = 1.08 * max(now, float(volumes.max()), *(calibrated_mm3 or ()))
    axes.axvspan(0, POOR_RESPONSE * now, color="#e6f2e8", lw=0)
    axes.text(POOR_RESPONSE * now, top, "below 80% of now ", ha="right", va="top", fontsize=8, color="#4b7a54")
    axes.axvline(now, color="#c79a00", lw=1.6)
    axes.text(now, top, " now", ha="left", va="top", fontsize=8, color="#8f6f00")
    axes.plot([low, high], [1, 1], color=_BLUE, lw=5, alpha=0.35, solid_capstyle="butt")
    if calibrated_mm3 is not None:
        axes.plot(calibrated_mm3, [2, 2], color=_BLUE, lw=5, solid_capstyle="butt")
    axes.plot([volumes.mean()], [1], marker="D", ms=7, color=_BLUE)
    axes.plot(volumes, np.zeros(len(volumes)), "|", color=_INK, ms=12, alpha=0.7)
    axes.set(xlim=(0, highest), ylim=(-0.6, top + 0.08), yticks=list(rows.values()), xlabel="volume, mm³")
    axes.set_yticklabels(list(rows))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.tick_params(labelsize=8, colors=_INK, length=3)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.label.set(fontsize=8, color=_INK)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=_QUIET)
    return figure


def _white(prediction: LesionPrediction) -> float:
    """Return the signal shown white: the largest of the lesion now."""
    return float(prediction.crops.scale.max())
