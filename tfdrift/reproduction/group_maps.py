"""Mean drift from the middle of a lesion to its surroundings, group by group: lesions of all sizes in one space.

The common space has one axis, the place s of a pixel: 0 in the middle of the first GTV, 1 on its surface, and beyond 1
outside, in the same unit (half the width of the GTV). Figures 7 and 8 of the paper show drift lesion by lesion.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from tfdrift.axes import spatial_axes
from tfdrift.cohort.response import POOR_RESPONSE
from tfdrift.cohort.samples import Samples
from tfdrift.drawing.charts import draw_curve, draw_legend, draw_reference, draw_title, new_chart
from tfdrift.drawing.colours import BEFORE, GOOD, POOR
from tfdrift.drawing.panels import Panel, draw_panels
from tfdrift.evaluation.document import as_document
from tfdrift.evaluation.response import Lesions, lesions_of, ratio_outcomes
from tfdrift.reproduction.predictions import Predictions
from tfdrift.statistics.intervals import interval_words, mean_interval

EDGES = np.linspace(0, 1.5, 16)
"""Of the bins of s."""
ZONES = {"core": (0.0, 0.5), "rim": (0.5, 1.0), "around": (1.0, 1.5)}
"""Ranges of s with a mean of their own."""
IN_THE_MIDDLE = 1.5
"""Exponent from area to volume of a lesion that is seen through its middle and shrinks alike in all directions."""
_DISC_PIXELS = 96


def places(mask: np.ndarray) -> np.ndarray:
    """Return the place s of each pixel: 0 in the middle of the GTV, 1 on its surface, more outside.

    Distances are from the middle of a pixel to the surface, which lies half a pixel beyond the outermost pixels.

    Args:
        mask: bool [S, S], with a pixel at least.

    Returns:
        float64 [S, S].

    Example:
        >>> places(np.pad(np.ones((3, 3), bool), 1))[2].round(2).tolist()
        [1.33, 0.67, 0.0, 0.67, 1.33]
    """
    inside = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1] - 0.5
    outside = np.asarray(ndimage.distance_transform_edt(~mask)) - 0.5
    return 1 + np.where(mask, -inside, outside) / inside.max()


def profiles(images: np.ndarray, masks: np.ndarray, lesion: np.ndarray, edges: np.ndarray = EDGES) -> np.ndarray:
    """Return the mean of each lesion in each bin of s, over all pixels of its slices.

    Args:
        images: float [n, ..., S, S, 1], such as drift.
        masks: bool [n, ..., S, S, 1], the first GTV.
        lesion: str [n].
        edges: float [K + 1], ascending.

    Returns:
        float64 [m, K], lesions in the order of `np.unique`; NaN where a lesion has no such pixel.
    """
    names, owner = np.unique(lesion, return_inverse=True)
    rows, columns = spatial_axes(masks)[-2:]
    values, gtv = (array.reshape(-1, masks.shape[rows], masks.shape[columns]) for array in (images, masks))
    owner = np.repeat(owner, len(gtv) // len(masks))  # a lesion for each slice of its image
    shown = gtv.any(axis=(1, 2))
    values, gtv, owner = values[shown], gtv[shown], owner[shown]
    within = np.stack([np.digitize(places(mask), edges) - 1 for mask in gtv])
    count = len(edges) - 1
    kept = (within >= 0) & (within < count)
    cell = (owner[:, None, None] * count + within)[kept]
    total = np.bincount(cell, values[kept].astype(np.float64), len(names) * count)
    pixels = np.bincount(cell, minlength=len(names) * count)
    means = np.divide(total, pixels, out=np.full(len(total), np.nan), where=pixels > 0)
    return means.reshape(len(names), count)


def score_groups(predicted: Predictions) -> dict[str, Any]:
    """Return the mean drift of groups of lesions by s, true and predicted, with intervals over patients, for JSON.

    Lesions are grouped by what is left of them: at the follow-up where that is known, at the second MRI, and as it is
    foreseen for the second MRI.

    Args:
        predicted: of a run about patients it has not seen.
    """
    samples = predicted.samples
    lesions = lesions_of(samples)
    foreseen = ratio_outcomes(predicted.final["post"][None], samples, np.full(len(samples), IN_THE_MIDDLE))[0]
    classes = {
        "left at the follow-up": lesions.poor,
        "left at the second MRI": (lesions.ratio >= POOR_RESPONSE).astype(float),
        "foreseen for the second MRI": (foreseen >= POOR_RESPONSE).astype(float),
    }
    drifts = {"true": samples.drift, "predicted": predicted.final["drift"]}
    return {
        "label": predicted.run.label,
        "lesions": len(lesions.name),
        "patients": len(set(lesions.patient.tolist())),
        "edges": EDGES.tolist(),
        "groups": [
            {
                "by": by,
                "group": group,
                "lesions": int(chosen.sum()),
                "drifts": {word: _of_group(drift, samples, lesions, chosen) for word, drift in drifts.items()},
            }
            for by, poor in classes.items()
            for group, chosen in (("80% or more", poor == 1), ("less", poor == 0))
            if chosen.any()
        ],
    }


def _of_group(drift: np.ndarray, samples: Samples, lesions: Lesions, chosen: np.ndarray) -> dict[str, Any]:
    patient = lesions.patient[chosen]

    def means(edges: np.ndarray) -> list[dict[str, Any]]:
        found = profiles(drift, samples.pre_mask, samples.lesion, edges)[chosen]
        return [as_document(mean_interval(column, patient)) for column in found.T]

    return {
        "profile": means(EDGES),
        "zones": {zone: means(np.array(ends))[0] for zone, ends in ZONES.items()},
    }


def as_group_table(scores: Sequence[Mapping[str, Any]]) -> str:
    """Return the mean drift of groups in core, rim and around as a Markdown table.

    Args:
        scores: of `score_groups`.
    """
    lines = [f"| run | lesions by what is | | lesions | drift | {' | '.join(ZONES)} |", f"|{'---|' * (len(ZONES) + 5)}"]
    for score in scores:
        for group in score["groups"]:
            for word, drift in group["drifts"].items():
                cells = [interval_words(drift["zones"][zone], signed=True) for zone in ZONES]
                told = [score["label"], group["by"], group["group"], str(group["lesions"]), word, *cells]
                lines.append(f"| {' | '.join(told)} |")
    return "\n".join([*lines, ""])


def draw_discs(score: Mapping[str, Any], title: str) -> Figure:
    """Return the mean drift of each group as a round lesion with its surroundings, true above predicted.

    Args:
        score: of `score_groups`.
        title: of the figure.
    """
    axis = (np.arange(_DISC_PIXELS) + 0.5) / _DISC_PIXELS * 2 * EDGES[-1] - EDGES[-1]
    place = np.hypot(*np.meshgrid(axis, axis))
    middles = (EDGES[:-1] + EDGES[1:]) / 2
    rows = []
    for word in ("true", "predicted"):
        row = []
        for group in score["groups"]:
            means = [np.nan if one["value"] is None else one["value"] for one in group["drifts"][word]["profile"]]
            known = np.isfinite(means)
            disc = np.interp(place, middles[known], np.array(means)[known])
            disc = np.where(place > EDGES[-1], 0, disc)
            words = f"{group['by']}: {group['group']}, {group['lesions']} lesions" if word == "true" else ""
            row.append(Panel(disc, words, "drift", ((place < 1, BEFORE),)))
        rows.append(row)
    return draw_panels(rows, ["true drift", "predicted drift"], title)


def draw_profiles(score: Mapping[str, Any], title: str) -> Figure:
    """Return the mean drift of each group against s with its interval over patients, true above predicted.

    Args:
        score: of `score_groups`.
        title: of the figure.
    """
    kinds = list(dict.fromkeys(group["by"] for group in score["groups"]))
    figure, panels = new_chart(2, len(kinds), size_inch=(3.4 * len(kinds) + 0.6, 5.6), title=title, share_y=True)
    middles = (EDGES[:-1] + EDGES[1:]) / 2
    for row, word in zip(panels, ("true", "predicted"), strict=True):
        for axes, by in zip(row, kinds, strict=True):
            for group in (one for one in score["groups"] if one["by"] == by):
                found = group["drifts"][word]["profile"]
                value, low, high = (
                    [np.nan if one[end] is None else one[end] for one in found] for end in ("value", "low", "high")
                )
                colour = POOR if group["group"] == "80% or more" else GOOD
                words = f"{group['group']} ({group['lesions']})"
                draw_curve(axes, middles.tolist(), value, (low, high), colour=colour, label=words)
            draw_reference(axes, 0, across="y")
            draw_reference(axes, 1, style=":")
            axes.set_xlim(EDGES[0], EDGES[-1])
            axes.set_xticks([0, 1], ["middle", "surface"])
        row[0].set_ylabel(f"{word} drift\n(of the first image's largest signal)")
    for axes, by in zip(panels[0], kinds, strict=True):
        draw_title(axes, by)
        draw_legend(axes, loc="lower left")
    return figure
