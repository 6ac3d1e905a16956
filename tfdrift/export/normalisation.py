"""Images in the units of their scanners to those that a network was trained on, in the graph of an exported model."""

from collections.abc import Sequence

import tensorflow as tf

from tfdrift.axes import first_channel, image_axes
from tfdrift.cohort.channels import scalings
from tfdrift.cohort.dose import DOSE_UNIT_GY


def normalise(image: tf.Tensor, names: Sequence[str] = ()) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images as `Samples.pre` holds them, and what to multiply an answer by.

    A channel without any signal, largest value 0 or less, gives zeros: it is not known.

    Args:
        image: float32 [N, ..., C], in scanner units; a channel `dose` in Gy.
        names: of the C channels; empty where nobody said, so that all are divided by the largest signal of the first.

    Returns:
        float32 of the same shape, and the largest signal of the first channel, float32 [N, 1, ...], 0 without signal.

    Example:
        >>> image, scale = normalise(tf.constant([[[[2.0, 8.0, 30.0], [4.0, 2.0, 10.0]]]]), ("T1", "FLAIR", "dose"))
        >>> image.numpy().tolist(), scale.numpy().ravel().tolist()
        ([[[[0.5, 1.0, 1.5], [1.0, 0.25, 0.5]]]], [4.0])
    """

    def largest(channel: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(tf.reduce_max(channel, axis=image_axes(channel), keepdims=True))

    scale = largest(first_channel(image))
    if "own" not in scalings(names) and "dose" not in scalings(names):
        return tf.math.divide_no_nan(image, scale), scale
    channels = []
    for channel, scaling in zip(tf.split(image, len(names), axis=-1), scalings(names), strict=True):
        if scaling == "dose":
            channels.append(channel / DOSE_UNIT_GY)
        else:
            channels.append(tf.math.divide_no_nan(channel, scale if scaling == "first" else largest(channel)))
    return tf.concat(channels, axis=-1), scale
