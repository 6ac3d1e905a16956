"""Scores of predicted images, and how sure one may be of them: intervals over patients, never over slices."""

from typing import NamedTuple

import numpy as np
from skimage.metrics import structural_similarity

from tfdrift.training.losses import ssim_window


class Estimate(NamedTuple):
    """A score with its 95% bootstrap interval over patients."""

    value: float
    low: float
    high: float


def squared_errors(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each slice.

    Args:
        predicted: float [n, S, S, 1].
        target: the same shape.

    Returns:
        float64 [n].
    """
    return np.mean((predicted.astype(np.float64) - target) ** 2, axis=(1, 2, 3))


def skill(errors: np.ndarray, copy_errors: np.ndarray) -> float:
    """Return 1 - MSE(model) / MSE(copy) over all slices: 1 is perfect, 0 no better than predicting no change.

    Args:
        errors: float [n], the model's squared error of each slice.
        copy_errors: float [n], that of post = pre.

    Returns:
        At most 1; NaN where nothing changes at all.

    Source: Murphy (1988), eq. 4, the mean squared error skill score with persistence as reference.

    Example:
        >>> skill(np.array([1.0, 1.0]), np.array([2.0, 6.0]))
        0.75
    """
    total = copy_errors.sum()
    return float(1 - errors.sum() / total) if total > 0 else float("nan")


def skill_interval(
    errors: np.ndarray, copy_errors: np.ndarray, patient: np.ndarray, *, seed: int = 0, draws: int = 2000
) -> Estimate:
    """Return the skill with its 95% percentile bootstrap interval; patients are drawn, their slices stay together.

    Args:
        errors: float [n], the model's squared error of each slice.
        copy_errors: float [n], that of post = pre.
        patient: str [n].
        seed: of the draws.
        draws: number of resamples.

    Source: Efron and Tibshirani (1993), ch. 13, with the patient as unit.
    """
    names, row = np.unique(patient, return_inverse=True)
    of_model, of_copy = np.bincount(row, errors), np.bincount(row, copy_errors)
    chosen = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    low, high = np.nanquantile(1 - of_model[chosen].sum(axis=1) / of_copy[chosen].sum(axis=1), [0.025, 0.975])
    return Estimate(skill(errors, copy_errors), float(low), float(high))


def ssim(predicted: np.ndarray, target: np.ndarray, *, data_range: float) -> np.ndarray:
    """Return the structural similarity of each slice, by scikit-image with the Gaussian window of the loss.

    Args:
        predicted: float [n, S, S, 1].
        target: the same shape.
        data_range: 1 for images, 2 for drift.

    Returns:
        float64 [n], at most 1.

    Source: Wang et al. (2004), eq. 13.
    """
    side, sigma = ssim_window(target.shape[1])
    inside = slice(side // 2, target.shape[1] - side // 2)
    maps = [
        structural_similarity(
            a[..., 0].astype(np.float64),
            b[..., 0].astype(np.float64),
            data_range=data_range,
            gaussian_weights=True,
            sigma=sigma,
            use_sample_covariance=False,
            full=True,
        )[1]
        for a, b in zip(predicted, target, strict=True)
    ]
    return np.array([m[inside, inside].mean() for m in maps])
