"""Scores of predicted images and drift, a number for each slice; `intervals` makes one of many patients' numbers.

A slice is an image [S, S, C] or, where lesions are whole, [D, S, S, C]. To add a score write its function and its entry
in `METRICS`: tables, reports and `docs/evaluation.md` follow.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from skimage.metrics import structural_similarity

from tfdrift.axes import image_axes, per_image, window_axes
from tfdrift.cohort.volumes import predicted_mask
from tfdrift.statistics.intervals import Estimate, ratio_interval
from tfdrift.training.losses import DRIFT_RANGE, IMAGE_RANGE, ssim_window


def squared_errors(predicted: np.ndarray, target: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Return the mean squared error of each slice.

    Args:
        predicted: float [n, ..., S, S, C].
        target: the same shape.
        inside: bool, the same shape; only these pixels count, NaN for a slice without any. None counts all.

    Returns:
        float64 [n].
    """
    return _mean_inside((predicted.astype(np.float64) - target) ** 2, inside)


def absolute_errors(predicted: np.ndarray, target: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Return the mean absolute error of each slice.

    Args:
        predicted: float [n, ..., S, S, C].
        target: the same shape.
        inside: bool, the same shape; only these pixels count, NaN for a slice without any. None counts all.

    Returns:
        float64 [n].
    """
    return _mean_inside(np.abs(predicted.astype(np.float64) - target), inside)


def dice(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return how well where a predicted image shows the lesion agrees with its second GTV, for each slice.

    Args:
        predicted: float [n, ..., S, S, 1], second MRIs in units of the first one's largest signal.
        true: float [n, ..., S, S, 1], 0 outside the second GTV.

    Returns:
        float64 [n], 2 |A and B| / (|A| + |B|); NaN where neither shows anything.

    Source: Dice (1945); `tfdrift.cohort.volumes.predicted_mask` for A.

    Example:
        >>> true = np.zeros((1, 4, 4, 1))
        >>> true[0, 1:3, 1:3] = 0.8
        >>> dice(true, true), dice(np.roll(true, 1, axis=1), true)
        (array([1.]), array([0.5]))
    """
    slices = predicted.reshape(-1, *predicted.shape[-3:-1])
    shown = predicted_mask(slices, np.ones(len(slices))).reshape(predicted.shape)
    axes, is_lesion = image_axes(predicted), true > 0
    both, sizes = 2.0 * (shown & is_lesion).sum(axis=axes), shown.sum(axis=axes) + is_lesion.sum(axis=axes)
    return np.divide(both, sizes, out=np.full(len(predicted), np.nan), where=sizes > 0)


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

    Source: see `skill` and `tfdrift.statistics.intervals.ratio_interval`.
    """
    ratio = ratio_interval(errors, copy_errors, patient, seed=seed, draws=draws)
    return Estimate(1 - ratio.value, 1 - ratio.high, 1 - ratio.low)


def ssim(
    predicted: np.ndarray, target: np.ndarray, *, data_range: float, inside: np.ndarray | None = None
) -> np.ndarray:
    """Return the structural similarity of each slice, by scikit-image with the Gaussian window of the loss.

    Only windows that lie wholly in the image count. The window of a cube is a cube. Of a lesion with several slices it
    is the mean over them, as in the loss: slices are thicker than pixels, so a window through them would compare other
    distances.

    Args:
        predicted: float [n, ..., S, S, C].
        target: the same shape.
        data_range: 1 for images, 2 for drift.
        inside: bool, the same shape; only windows centred on these pixels count, NaN for a slice without any.

    Returns:
        float64 [n], at most 1.

    Source: Wang et al. (2004), eq. 13.
    """
    windowed = window_axes(target)
    side, sigma = ssim_window(target.shape[windowed[-1]])
    maps = np.empty(target.shape)
    for place in np.ndindex(target.shape[: windowed[0]]):
        maps[place] = structural_similarity(
            predicted[place].astype(np.float64),
            target[place].astype(np.float64),
            data_range=data_range,
            gaussian_weights=True,
            sigma=sigma,
            use_sample_covariance=False,
            channel_axis=-1,
            full=True,
        )[1]
    border = side // 2
    valid = [slice(None)] * target.ndim
    for axis in windowed:
        valid[axis] = slice(border, target.shape[axis] - border)
    return _mean_inside(maps[tuple(valid)], None if inside is None else inside[tuple(valid)])


def drift_correlation(predicted: np.ndarray, target: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of predicted and true drift over the pixels of each slice's GTV.

    Args:
        predicted: float [n, ..., S, S, C].
        target: the same shape.
        inside: bool, the same shape.

    Returns:
        float64 [n] in [-1, 1]; NaN where either is constant, as the drift of `copy` is.

    Source: Pearson (1895).
    """
    first, second = predicted.astype(np.float64), target.astype(np.float64)
    first, second = (values - per_image(_mean_inside(values, inside), values) for values in (first, second))
    covariance = _mean_inside(first * second, inside)
    scale = np.sqrt(_mean_inside(first**2, inside) * _mean_inside(second**2, inside))
    # A constant keeps a rounding error of its mean; correlation with that would be noise.
    defined = scale > 1e-12
    return np.divide(covariance, scale, out=np.full(len(scale), np.nan), where=defined)


def sign_agreement(predicted: np.ndarray, target: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the share of the GTV's pixels whose drift is predicted with the right sign.

    Pixels without any true drift do not count.

    Args:
        predicted: float [n, ..., S, S, C].
        target: the same shape.
        inside: bool, the same shape.

    Returns:
        float64 [n] in [0, 1]; NaN for a slice without drift. A predicted drift of 0, as that of `copy`, agrees with
        neither sign.

    Source: the hit rate of a forecast's direction, Pesaran and Timmermann (1992).
    """
    return _mean_inside((np.sign(predicted) == np.sign(target)).astype(np.float64), inside & (target != 0))


def _mean_inside(values: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    axes = image_axes(values)
    if inside is None:
        return values.mean(axis=axes)
    pixels = inside.sum(axis=axes)
    total = np.where(inside, values, 0.0).sum(axis=axes)
    return np.divide(total, pixels, out=np.full(len(values), np.nan), where=pixels > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of predicted slices.

    Args:
        of: what is compared with the truth, `post` or `drift`.
        function: takes what is predicted and what is true, float [n, ..., S, S, C], and the GTV of either session, bool
            of the same shape; gives float64 [n], NaN for a slice that does not define it.
        better: `high` or `low`.
        words: heading of its column.
        meaning: for a reader who does not know it.
        digits: decimals that are shown.
        on_page: whether the page has a column for it; all stand in the files.
        skill: name of the skill that this error makes: 1 - error / error of no change.
    """

    of: str
    function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    better: str
    words: str
    meaning: str
    digits: int = 3
    on_page: bool = True
    skill: str | None = None


METRICS: dict[str, Metric] = {
    "mse": Metric(
        of="post", function=lambda predicted, true, _: squared_errors(predicted, true), better="low", words="MSE",
        meaning="mean squared error", digits=4, skill="skill",
    ),
    "mae": Metric(
        of="post", function=lambda predicted, true, _: absolute_errors(predicted, true), better="low", words="MAE",
        meaning="mean absolute error", digits=4,
    ),
    "ssim": Metric(
        of="post", function=lambda predicted, true, _: ssim(predicted, true, data_range=IMAGE_RANGE), better="high",
        words="SSIM", meaning="structural similarity, 1 for equal images",
    ),
    "gtv_mse": Metric(
        of="post", function=squared_errors, better="low", words="MSE, GTV", meaning="MSE inside the GTV", digits=4,
    ),
    "gtv_mae": Metric(
        of="post", function=absolute_errors, better="low", words="MAE, GTV", meaning="MAE inside the GTV", digits=4,
        on_page=False,
    ),
    "gtv_ssim": Metric(
        of="post",
        function=lambda predicted, true, gtv: ssim(predicted, true, data_range=IMAGE_RANGE, inside=gtv),
        better="high", words="SSIM, GTV", meaning="SSIM of the windows centred in the GTV",
    ),
    "dice": Metric(
        of="post", function=lambda predicted, true, _: dice(predicted, true), better="high", words="Dice",
        meaning="overlap of where the image shows the lesion with the second GTV",
    ),
    "drift_mse": Metric(
        of="drift", function=lambda predicted, true, _: squared_errors(predicted, true), better="low",
        words="drift MSE", meaning="MSE of the drift map", digits=4, on_page=False, skill="drift_skill",
    ),
    "drift_correlation": Metric(
        of="drift", function=drift_correlation, better="high", words="drift corr.",
        meaning="Pearson's correlation of the drift over the pixels of the GTV",
    ),
    "sign_agreement": Metric(
        of="drift", function=sign_agreement, better="high", words="drift sign",
        meaning="share of the GTV's pixels that get brighter or darker as predicted",
    ),
    "drift_ssim": Metric(
        of="drift", function=lambda predicted, true, _: ssim(predicted, true, data_range=DRIFT_RANGE), better="high",
        words="drift SSIM", meaning="SSIM of the drift map", on_page=False,
    ),
    "psnr": Metric(
        of="post",
        function=lambda predicted, true, _: psnr(squared_errors(predicted, true), data_range=IMAGE_RANGE),
        better="high", words="PSNR, dB", meaning="peak signal-to-noise ratio",
    ),
    "gtv_psnr": Metric(
        of="post",
        function=lambda predicted, true, gtv: psnr(squared_errors(predicted, true, gtv), data_range=IMAGE_RANGE),
        better="high", words="PSNR, GTV", meaning="PSNR inside the GTV", on_page=False,
    ),
}  # fmt: skip
"""Every score of a slice by the name that it has in files."""
