"""Scores of predicted images and drift, a number for each slice; `intervals` makes one of many patients' numbers."""

import numpy as np
from skimage.metrics import structural_similarity

from tfdrift.evaluation.intervals import Estimate, ratio_interval
from tfdrift.training.losses import ssim_window


def squared_errors(predicted: np.ndarray, target: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Return the mean squared error of each slice.

    Args:
        predicted: float [n, S, S, 1].
        target: the same shape.
        inside: bool, the same shape; only these pixels count, NaN for a slice without any. None counts all.

    Returns:
        float64 [n].
    """
    return _mean_inside((predicted.astype(np.float64) - target) ** 2, inside)


def absolute_errors(predicted: np.ndarray, target: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Return the mean absolute error of each slice, float64 [n]; arguments as of `squared_errors`."""
    return _mean_inside(np.abs(predicted.astype(np.float64) - target), inside)


def psnr(squared_error: np.ndarray, *, data_range: float) -> np.ndarray:
    """Return the peak signal-to-noise ratio 10 log10(range^2 / MSE) of each slice, in dB.

    Args:
        squared_error: float [n], of `squared_errors`.
        data_range: 1 for images.

    Returns:
        float64 [n]; infinite where the error is 0.

    Source: Wang and Bovik (2009).

    Example:
        >>> psnr(np.array([0.01]), data_range=1.0)
        array([20.])
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(data_range**2 / squared_error)


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

    Source: see `skill` and `tfdrift.evaluation.intervals.ratio_interval`.
    """
    ratio = ratio_interval(errors, copy_errors, patient, seed=seed, draws=draws)
    return Estimate(1 - ratio.value, 1 - ratio.high, 1 - ratio.low)


def ssim(
    predicted: np.ndarray, target: np.ndarray, *, data_range: float, inside: np.ndarray | None = None
) -> np.ndarray:
    """Return the structural similarity of each slice, by scikit-image with the Gaussian window of the loss.

    Only windows that lie wholly in the image count.

    Args:
        predicted: float [n, S, S, 1].
        target: the same shape.
        data_range: 1 for images, 2 for drift.
        inside: bool, the same shape; only windows centred on these pixels count, NaN for a slice without any.

    Returns:
        float64 [n], at most 1.

    Source: Wang et al. (2004), eq. 13.
    """
    side, sigma = ssim_window(target.shape[1])
    valid = slice(side // 2, target.shape[1] - side // 2)
    maps = [
        structural_similarity(
            a[..., 0].astype(np.float64),
            b[..., 0].astype(np.float64),
            data_range=data_range,
            gaussian_weights=True,
            sigma=sigma,
            use_sample_covariance=False,
            full=True,
        )[1][valid, valid]
        for a, b in zip(predicted, target, strict=True)
    ]
    return _mean_inside(np.stack(maps)[..., None], None if inside is None else inside[:, valid, valid])


def drift_correlation(predicted: np.ndarray, target: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of predicted and true drift over the pixels of each slice's GTV.

    Args:
        predicted: float [n, S, S, 1].
        target: the same shape.
        inside: bool, the same shape.

    Returns:
        float64 [n] in [-1, 1]; NaN where either is constant, as the drift of `copy` is.

    Source: Pearson (1895).
    """
    first, second = predicted.astype(np.float64), target.astype(np.float64)
    first, second = (values - _mean_inside(values, inside)[:, None, None, None] for values in (first, second))
    covariance = _mean_inside(first * second, inside)
    scale = np.sqrt(_mean_inside(first**2, inside) * _mean_inside(second**2, inside))
    # A constant keeps a rounding error of its mean; correlation with that would be noise.
    defined = scale > 1e-12
    return np.divide(covariance, scale, out=np.full(len(scale), np.nan), where=defined)


def sign_agreement(predicted: np.ndarray, target: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the share of the GTV's pixels whose drift is predicted with the right sign.

    Pixels without any true drift do not count.

    Args:
        predicted: float [n, S, S, 1].
        target: the same shape.
        inside: bool, the same shape.

    Returns:
        float64 [n] in [0, 1]; NaN for a slice without drift. A predicted drift of 0, as that of `copy`, agrees with
        neither sign.

    Source: the hit rate of a forecast's direction, Pesaran and Timmermann (1992).
    """
    return _mean_inside((np.sign(predicted) == np.sign(target)).astype(np.float64), inside & (target != 0))


def _mean_inside(values: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    if inside is None:
        return values.mean(axis=(1, 2, 3))
    pixels = inside.sum(axis=(1, 2, 3))
    total = np.where(inside, values, 0.0).sum(axis=(1, 2, 3))
    return np.divide(total, pixels, out=np.full(len(values), np.nan), where=pixels > 0)
