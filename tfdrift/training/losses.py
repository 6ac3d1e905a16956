"""The loss of the paper: mean squared error and structural similarity, of the reconstruction and of the drift."""

import tensorflow as tf

IMAGE_RANGE = 1.0  # images are scaled so that the largest signal of the pre crop is 1
DRIFT_RANGE = 2.0  # a difference of two such images lies between -1 and 1


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
        first: float32 [B, S, S, 1].
        second: the same shape.
        data_range: range of what is compared, `IMAGE_RANGE` or `DRIFT_RANGE`.

    Returns:
        float32 [B], at most 1; equal to scikit-image's with a Gaussian window and the border left out, and with finite
        gradients on empty images.

    Source: Wang et al. (2004), eq. 13.
    """
    side, sigma = ssim_window(int(first.shape[1]))  # pyright: ignore[reportArgumentType] - never None
    return tf.image.ssim(first, second, data_range, filter_size=side, filter_sigma=sigma)


def mse(predicted: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return the mean squared error over the whole batch, a scalar."""
    return tf.reduce_mean(tf.math.squared_difference(predicted, target))


def image_loss(
    predicted: tf.Tensor, target: tf.Tensor, *, ssim_share: float, data_range: float
) -> dict[str, tf.Tensor]:
    """Return (1 - w) * MSE + w * (1 - SSIM) and its parts.

    Args:
        predicted: float32 [B, S, S, 1].
        target: the same shape.
        ssim_share: w in [0, 1].
        data_range: range of what is compared.

    Returns:
        Scalars `loss`, `mse` and `ssim`.

    Source: paper, "Method 1" (90% MSE and 10% SSIM).
    """
    error, similarity = mse(predicted, target), tf.reduce_mean(ssim(predicted, target, data_range))
    return {"loss": (1 - ssim_share) * error + ssim_share * (1 - similarity), "mse": error, "ssim": similarity}


def noise_loss(predicted: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the mean squared error where the target is noise or v, which have no structure to compare.

    Source: paper, eq. 3.
    """
    error = mse(predicted, target)
    return {"loss": error, "mse": error}
