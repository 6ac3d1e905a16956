"""How far tissue is said to move against how far it moved, where that is known: on the phantom."""

import dataclasses

import numpy as np

from tfdrift.axes import image_axes
from tfdrift.evaluation.metrics import skill_interval
from tfdrift.statistics.intervals import Estimate, mean_interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Movement:
    """The error of a field of displacements in the GTV of the first MRI, in the plane of the slice.

    Args:
        error_mm: mean end-point error, the distance between where tissue is said to go and where it went.
        still_mm: the same of "nothing moves", which is the mean length of the true displacement.
        skill: 1 - mean squared error / that of "nothing moves"; 1 is perfect, NaN where nothing moves.
    """

    error_mm: Estimate
    still_mm: Estimate
    skill: Estimate


def score_movement(predicted: np.ndarray, true: np.ndarray, pre_mask: np.ndarray, patient: np.ndarray) -> Movement:
    """Return the scores of displacements, each slice with the same weight and intervals over patients.

    Args:
        predicted: float [n, ..., S, S, 2], in mm along rows and columns.
        true: the same shape.
        pre_mask: bool [n, ..., S, S, 1], the GTV of the first MRI, with a pixel at least in each slice.
        patient: str [n].

    Source: Baker et al. (2011), sec. 4, the end-point error of optical flow.

    Example:
        >>> true, said = np.full((1, 2, 2, 2), [5.0, 0.0]), np.full((1, 2, 2, 2), [2.0, 4.0])
        >>> score_movement(said, true, np.ones((1, 2, 2, 1), bool), np.array(["a"])).error_mm.value
        5.0
    """

    axes = image_axes(pre_mask)

    def inside(values: np.ndarray) -> np.ndarray:
        return np.sum(values * pre_mask, axis=axes) / np.sum(pre_mask, axis=axes)

    wrong, still = (np.sum(found.astype(np.float64) ** 2, axis=-1, keepdims=True) for found in (predicted - true, true))
    return Movement(
        error_mm=mean_interval(inside(np.sqrt(wrong)), patient),
        still_mm=mean_interval(inside(np.sqrt(still)), patient),
        skill=skill_interval(inside(wrong), inside(still), patient),
    )
