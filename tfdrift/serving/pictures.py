"""Pictures of one lesion's prediction: its slices, its samples, its volumes."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfdrift.cohort.crop import choose_slices
from tfdrift.imaging.drawing import Panel, draw_panels
from tfdrift.serving.lesion import LesionPrediction

NOW_COLOUR, PREDICTED_COLOUR = "gold", "deepskyblue"
UNIT = "scanner units"
MAX_SAMPLES_SHOWN = 16
_SAMPLES_A_ROW = 8
_GOOD_SHARE = 0.8
_INK, _QUIET, _BLUE = "#1d2733", "#8a94a0", "#1878b4"


def draw_slices(prediction: LesionPrediction) -> Figure:
    """Draw up to three slices: the MRI, the mean predicted post, the mean drift and its standard deviation."""
    crops, rows, titles = prediction.crops, [], []
    post, drift = prediction.post.mean(axis=0), prediction.drift.mean(axis=0)
    spread, expected = prediction.drift.std(axis=0, ddof=1), prediction.sample_masks.mean(axis=0) >= 0.5
    for row in choose_slices(crops.gtv, "three"):
        now, then = (crops.gtv[row], NOW_COLOUR), (expected[row], PREDICTED_COLOUR)
        rows.append(
            [
                Panel(crops.surroundings[row], "MRI now", "image", (now,)),
                Panel(post[row], "predicted second MRI", "image", (now, then)),
                Panel(drift[row], "drift (mean of the samples)", "drift", (now,)),
                Panel(spread[row], "spread of the drift (std)", "uncertainty", (now,)),
            ]
        )
        titles.append(f"slice {crops.slices[row] + 1}")
    return draw_panels(rows, titles, image_range=(0.0, _white(prediction)), unit=UNIT)


def draw_samples(prediction: LesionPrediction) -> Figure:
    """Draw samples of the slice that is the largest now, each with the volume of the whole lesion in that sample."""
    row = int(np.argmax(prediction.crops.gtv.sum(axis=(1, 2))))
    panels = [
        Panel(
            post[row],
            f"{volume_mm3:,.0f} mm³",
            "image",
            ((prediction.crops.gtv[row], NOW_COLOUR), (mask[row], PREDICTED_COLOUR)),
        )
        for post, mask, volume_mm3 in zip(
            prediction.post[:MAX_SAMPLES_SHOWN], prediction.sample_masks, prediction.sample_volumes_mm3, strict=False
        )
    ]
    rows = [panels[start : start + _SAMPLES_A_ROW] for start in range(0, len(panels), _SAMPLES_A_ROW)]
    return draw_panels(rows, image_range=(0.0, _white(prediction)), unit=UNIT)


def draw_volumes(prediction: LesionPrediction) -> Figure:
    """Draw the volume now, 80% of it, and the samples' volumes with their mean and 90% interval on one axis."""
    figure = Figure(figsize=(8.2, 1.5), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    volumes, now = prediction.sample_volumes_mm3, prediction.volume_mm3
    low, high = prediction.interval_mm3
    highest = 1.08 * max(now, float(volumes.max()))
    axes.axvspan(0, _GOOD_SHARE * now, color="#e6f2e8", lw=0)
    axes.text(_GOOD_SHARE * now, 1.62, "below 80% of now ", ha="right", va="top", fontsize=8, color="#4b7a54")
    axes.axvline(now, color="#c79a00", lw=1.6)
    axes.text(now, 1.62, " now", ha="left", va="top", fontsize=8, color="#8f6f00")
    axes.plot([low, high], [1, 1], color=_BLUE, lw=5, alpha=0.35, solid_capstyle="butt")
    axes.plot([volumes.mean()], [1], marker="D", ms=7, color=_BLUE)
    axes.plot(volumes, np.zeros(len(volumes)), "|", color=_INK, ms=12, alpha=0.7)
    axes.set(xlim=(0, highest), ylim=(-0.6, 1.7), yticks=[0, 1], xlabel="volume, mm³")
    axes.set_yticklabels(["each sample", "mean and 90%"])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(labelsize=8, colors=_INK, length=3)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.label.set(fontsize=8, color=_INK)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=_QUIET)
    return figure


def _white(prediction: LesionPrediction) -> float:
    """Return the signal shown white: the largest of the lesion now."""
    return float(prediction.crops.scale.max())
