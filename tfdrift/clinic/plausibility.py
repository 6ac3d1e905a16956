"""What makes a prediction doubtful: reasons to distrust it that can be seen without knowing the outcome."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfdrift.axes import first_channel, image_axes
from tfdrift.clinic.lesion import Crops, LesionPrediction
from tfdrift.cohort.dose import has_dose

MAX_PLANE_SPACING_MM = 2.0
MAX_SLICE_SPACING_MM = 3.0
"""Coarser voxels show a metastasis of 5 mm in two slices or less; radiosurgery plans on 1 to 1.5 mm."""

FEW_SLICES = 3
FEW_VOXELS = 100
ROUNDING = 1e-5  # of the largest signal: what batches of different sizes may differ by


def doubts(
    prediction: LesionPrediction, image_shape: tuple[int, ...], orientation: str, facts: Mapping[str, Any]
) -> list[str]:
    """Return what speaks against trusting the prediction of a lesion, a sentence each, without identity.

    Args:
        prediction: of the lesion.
        image_shape: rows and columns of the MRI.
        orientation: of its slices, such as `axial`.
        facts: `config.json` of the model; without the ranges of its training data these are not compared.
    """
    found = [*_of_the_place(prediction, image_shape), *_of_the_signal(prediction.crops)]
    data = facts.get("data", {})
    ranges = data.get("ranges")
    if ranges:
        found += _beyond_training(prediction.crops, ranges)
    else:
        found.append(
            "what the model was trained on is not known here, so size and signal could not be compared with it"
        )
    seen = data.get("orientations")  # older models and toys do not tell
    if seen and orientation not in seen:
        found.append(f"the slices are {orientation}, the model has seen {', '.join(sorted(seen))} ones only")
    if np.ptp(prediction.post, axis=0).max() <= ROUNDING * prediction.crops.scale.max():
        found.append("all outcomes are the same: the model draws no noise, so their spread says nothing")
    return found


def dose_beyond_training(crops: Crops, channels: Sequence[str], facts: Mapping[str, Any]) -> list[str]:
    """Return a sentence where a lesion's dose is one that the training data do not hold; none where it is not known.

    Args:
        crops: of the lesion.
        channels: of the model.
        facts: `config.json` of the model.
    """
    seen = facts.get("data", {}).get("ranges", {}).get("dose_gy")
    if not has_dose(channels) or crops.more is None or seen is None:
        return []
    dose_gy, (low, high) = crops.mean_dose_gy(channels), seen
    if not dose_gy.any() or (low <= dose_gy.min() and dose_gy.max() <= high):
        return []
    span = " to ".join(dict.fromkeys(f"{gy:.1f}" for gy in (dose_gy.min(), dose_gy.max())))
    return [f"the mean dose in the GTV is {span} Gy, in the training data it was {low:.1f} to {high:.1f} Gy"]


def _of_the_place(prediction: LesionPrediction, image_shape: tuple[int, ...]) -> list[str]:
    found, crops = [], prediction.crops
    if prediction.touches_edge > 0:
        found.append(
            f"in {prediction.touches_edge:.0%} of the outcomes the lesion reaches the edge of its crop of "
            f"{crops.box.side_mm:.1f} mm: it is larger than the crop, and its volume is cut off"
        )
    reach = crops.box.side_mm / 2 / np.array(crops.spacing_mm[1:])
    center = np.array([crops.box.center_row, crops.box.center_column])
    if (center - reach < -0.5).any() or (center + reach > np.array(image_shape) - 0.5).any():
        found.append("the crop reaches beyond the edge of the image, where the signal is taken as zero")
    if crops.left_out:
        found.append(f"{crops.left_out} slices of the lesion are too small for a crop pixel and left out")
    filled = int(crops.gtv.any(axis=(1, 2)).sum())
    if filled < FEW_SLICES:
        found.append(f"the lesion is on {filled} slice{'s' * (filled > 1)} only")
    voxels = int(prediction.gtv.sum())
    if voxels < FEW_VOXELS:
        found.append(f"the lesion has only {voxels} voxels, so its volume changes in steps of {100 / voxels:.0f}%")
    slice_mm, *plane_mm = crops.spacing_mm
    if max(plane_mm) > MAX_PLANE_SPACING_MM or slice_mm > MAX_SLICE_SPACING_MM:
        found.append(
            f"voxels of {plane_mm[1]:.2f} x {plane_mm[0]:.2f} x {slice_mm:.2f} mm are coarse: at most "
            f"{MAX_PLANE_SPACING_MM:g} mm in the plane and {MAX_SLICE_SPACING_MM:g} mm between slices are advised"
        )
    return found


def _of_the_signal(crops: Crops) -> list[str]:
    if (crops.image < 0).any():
        return ["the signal is negative in places inside the lesion; MR magnitude images are not"]
    return []


def _beyond_training(crops: Crops, ranges: Mapping[str, list[float]]) -> list[str]:
    found = []
    low, high = ranges["pixel_mm"]
    if not low <= crops.pixel_mm <= high:
        found.append(
            f"a crop pixel is {crops.pixel_mm:.2f} mm, the spacing in the training data was {low:.2f} to {high:.2f} mm"
        )
    low, high = ranges["mean_signal"]
    axes, gtv = image_axes(crops.shown), crops.shown_gtv
    means = np.sum(first_channel(crops.shown) * gtv, axis=axes) / gtv.sum(axis=axes) / crops.shown_scale
    beyond = (means < low) | (means > high)
    if beyond.any():
        of = f" in {beyond.sum()} of {len(means)} slices"
        found.append(
            f"the signal is unlike the training data{'' if crops.whole is not None else of}: its mean is "
            f"{means.min():.2f} to {means.max():.2f} of the largest, there {low:.2f} to {high:.2f}"
        )
    return found
