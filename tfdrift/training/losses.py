"""The loss of the paper: mean squared error and structural similarity, of the reconstruction and of the drift."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdrift.axes import image_axes, spatial_axes, window_axes

IMAGE_RANGE = 1.0  # images are scaled so that the largest signal of the pre crop is 1
DRIFT_RANGE = 2.0  # a difference of two such images lies between -1 and 1
SQUARES = (4, 16)
"""Sides, in pixels, of the squares whose averages `outcomes_loss` scores beside the pixels."""
MEAN_SHARE = 3.0
"""Weight of the error of the mean outcome in `outcomes_loss`."""


def ssim_window(image_size: int) -> tuple[int, float]:
    """Return (side in pixels, sigma) of SSIM's Gaussian window: 11 and 1.5, or the largest odd side that fits.

    Sigma shrinks with the side, so that scikit-image, which derives the side from sigma, arrives at the same window.

    Source: Wang et al. (2004), sec. III-B.

    Example:
        >>> ssim_window(64)
        (11, 1.5)
        >>> ssim_window(8)[0]
        7
    """
    side = min(11, image_size - (image_size + 1) % 2)
    return side, 1.5 * side / 11


def ssim(first: tf.Tensor, second: tf.Tensor, data_range: float) -> tf.Tensor:
    """Return the mean structural similarity of each pair of images.

    Args:
        first: float32 [B, S, S, 1] or [B, D, S, S, 1].
        second: the same shape.
        data_range: range of what is compared, `IMAGE_RANGE` or `DRIFT_RANGE`.

    Returns:
        float32 [B], at most 1; equal to scikit-image's with a Gaussian window and the border left out, and with finite
        gradients on empty images. The window of a cube is a cube; of other stacks of slices it is the mean over them.

    Source: Wang et al. (2004), eq. 13.
    """
    side, sigma = ssim_window(int(first.shape[-2]))  # pyright: ignore[reportArgumentType] - never None
    if len(window_axes(first)) == 3:
        return _ssim_of_cubes(first, second, data_range, side, sigma)
    similarity = tf.image.ssim(first, second, data_range, filter_size=side, filter_sigma=sigma)
    return tf.reduce_mean(similarity, axis=list(range(1, similarity.shape.rank)))


def _ssim_of_cubes(first: tf.Tensor, second: tf.Tensor, data_range: float, side: int, sigma: float) -> tf.Tensor:
    """Return what `ssim` does for cubes, of which TensorFlow's own knows the slices alone."""
    distance = np.arange(side) - side // 2
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    weights = tf.constant(weights / weights.sum(), first.dtype)

    def blur(images: tf.Tensor) -> tf.Tensor:
        for axis in range(3):  # a Gaussian of three dimensions is three of one
            shape = [side if one == axis else 1 for one in range(3)]
            images = tf.nn.conv3d(images, tf.reshape(weights, [*shape, 1, 1]), [1] * 5, "VALID")
        return images

    # Wang et al. (2004), sec. III-B: K1 = 0.01, K2 = 0.03
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_1, mean_2 = blur(first), blur(second)
    variances = blur(first**2 + second**2) - mean_1**2 - mean_2**2
    covariance = blur(first * second) - mean_1 * mean_2
    similarity = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2) / ((mean_1**2 + mean_2**2 + c1) * (variances + c2))
    return tf.reduce_mean(similarity, axis=image_axes(similarity))


def mse(predicted: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return the mean squared error over the whole batch, a scalar.

    Args:
        predicted: float32, any shape.
        target: the same shape.
    """
    return tf.reduce_mean(tf.math.squared_difference(predicted, target))


def image_loss(
    predicted: tf.Tensor, target: tf.Tensor, *, ssim_share: float, data_range: float
) -> dict[str, tf.Tensor]:
    """Return (1 - w) * MSE + w * (1 - SSIM) and its parts.

    Args:
        predicted: float32 [B, S, S, 1] or [B, D, S, S, 1].
        target: the same shape.
        ssim_share: w in [0, 1].
        data_range: range of what is compared.

    Returns:
        Scalars `loss`, `mse` and `ssim`.

    Source: paper, "Method 1" (90% MSE and 10% SSIM).
    """
    error, similarity = mse(predicted, target), tf.reduce_mean(ssim(predicted, target, data_range))
    return {"loss": (1 - ssim_share) * error + ssim_share * (1 - similarity), "mse": error, "ssim": similarity}


def noise_loss(predicted: tf.Tensor, target: tf.Tensor, _ssim_share: float = 0.0) -> dict[str, tf.Tensor]:
    """Return the mean squared error where the target is noise or v, which have no structure to compare.

    Args:
        predicted: float32 [B, ..., C].
        target: the same shape.

    Source: paper, eq. 3.
    """
    error = mse(predicted, target)
    return {"loss": error, "mse": error}


def fair_crps(outcomes: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return the continuous ranked probability score of M outcomes, unbiased by their number, a scalar.

    Its expectation is smallest where the outcomes are drawn from the distribution of the target.

    Args:
        outcomes: float32 [..., M], M at least 2.
        target: float32 [..., 1].

    Source: Ferro (2014), eq. 4; Gneiting and Raftery (2007), eq. 21.

    Example:
        >>> float(fair_crps(tf.constant([[0.0, 2.0]]), tf.constant([[1.0]])))
        0.0
    """
    count = int(outcomes.shape[-1])  # pyright: ignore[reportArgumentType] - never None
    apart = tf.abs(tf.expand_dims(outcomes, -1) - tf.expand_dims(outcomes, -2))
    # Each pair stands there twice, and an outcome beside itself is 0.
    spread = tf.reduce_sum(apart, axis=[-2, -1]) / (2 * count * (count - 1))
    return tf.reduce_mean(tf.reduce_mean(tf.abs(outcomes - target), axis=-1) - spread)


def outcomes_loss(predicted: tf.Tensor, target: tf.Tensor, _ssim_share: float = 0.0) -> dict[str, tf.Tensor]:
    """Return the score of several outcomes: pixels, their averages over squares, and the error of the mean outcome.

    The averages over squares make outcomes agree between neighbours: pixels that are each right, but drawn one without
    the other, have too narrow a spread of the whole lesion.

    Args:
        predicted: float32 [B, ..., M], M outcomes.
        target: float32 [B, ..., 1].

    Returns:
        Scalars `loss`, `crps` of the pixels, and `mse` of the mean outcome.

    Source: Gneiting and Raftery (2007), sec. 3.2: a sum of proper scores is one.
    """
    sides = [int(target.shape[axis]) for axis in spatial_axes(target)]  # pyright: ignore[reportArgumentType]
    pixels = fair_crps(predicted, target)
    scores = [pixels]
    for square in SQUARES:
        window = [min(square, side) for side in sides]
        scores.append(fair_crps(*(tf.nn.avg_pool(images, window, window, "VALID") for images in (predicted, target))))
    error = mse(tf.reduce_mean(predicted, axis=-1, keepdims=True), target)
    return {"loss": tf.add_n(scores) + MEAN_SHARE * error, "crps": pixels, "mse": error}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """What an output is compared by.

    Args:
        compare: (predicted, target, share of SSIM) to scalars, `loss` among them.
        measures: their names.
    """

    compare: Callable[[tf.Tensor, tf.Tensor, float], dict[str, tf.Tensor]]
    measures: tuple[str, ...]


def _compare_images(
    predicted: tf.Tensor, target: tf.Tensor, ssim_share: float, *, data_range: float
) -> dict[str, tf.Tensor]:
    return image_loss(predicted, target, ssim_share=ssim_share, data_range=data_range)


LOSSES = {
    "image": Loss(compare=functools.partial(_compare_images, data_range=IMAGE_RANGE), measures=("loss", "mse", "ssim")),
    "drift": Loss(compare=functools.partial(_compare_images, data_range=DRIFT_RANGE), measures=("loss", "mse", "ssim")),
    "noise": Loss(compare=noise_loss, measures=("loss", "mse")),
    "outcomes": Loss(compare=outcomes_loss, measures=("loss", "crps", "mse")),
}
"""The losses by the name that a method gives them.

`image` and `drift` are (1 - w) * MSE + w * (1 - SSIM), each with the range of what it compares; `noise` is MSE alone;
`outcomes` a proper score of several draws.
"""
