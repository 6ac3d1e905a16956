"""Drift as movement, gain and residual: a velocity that is integrated to a displacement, and images that it moves.

A vector has a component for each axis of space, slices (where there are any), rows, columns, in pixels of that axis.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from tfdrift.axes import first_channel, spatial_axes, split_channels
from tfdrift.methods.symmetries import ALL, undo_symmetry

if TYPE_CHECKING:  # the command line reads the tables' names, and TensorFlow takes seconds
    import tensorflow as tf

    from tfdrift.methods.method import Images

SQUARINGS = 6
"""A velocity is followed in 2 ** 6 steps."""
SMOOTHED_OVER = 5
"""Side in pixels of the square over which a network's velocity is averaged, so that neighbours move together."""


def sample(images: tf.Tensor, displacement: tf.Tensor) -> tf.Tensor:
    """Return what images hold at displaced places, linear between pixels; beyond the border, what is on it.

    Args:
        images: float32 [B, ..., C], at least two pixels along each axis.
        displacement: float32 [B, ..., D], in pixels.

    Example:
        >>> import tensorflow as tf
        >>> image = tf.reshape(tf.constant([0.0, 1.0, 4.0, 9.0]), [1, 2, 2, 1])
        >>> sample(image, tf.constant([0.5, 0.0]) * tf.ones([1, 2, 2, 2]))[0, :, :, 0].numpy().tolist()
        [[2.0, 5.0], [4.0, 9.0]]
    """
    import tensorflow as tf

    sides = _sides(images)
    rank, channels, highest = len(sides), images.shape[-1], tf.constant(sides, tf.float32) - 1
    place = tf.clip_by_value(displacement + np.moveaxis(np.indices(sides, np.float32), 0, -1), 0.0, highest)
    # A place that is not a number stays one, but its index must be that of a pixel.
    low = tf.clip_by_value(tf.cast(tf.floor(place), tf.int32), 0, tf.constant(sides) - 2)
    shares = tf.unstack(place - tf.cast(low, tf.float32), axis=-1)
    corners, weights = [], []
    for corner in itertools.product((0, 1), repeat=rank):
        within = tuple(slice(step, side - 1 + step) for step, side in zip(corner, sides, strict=True))
        corners.append(images[(slice(None), *within)])
        parts = [share if step else 1 - share for share, step in zip(shares, corner, strict=True)]
        weights.append(math.prod(parts[1:], start=parts[0]))
    cells = math.prod(side - 1 for side in sides)
    around = tf.reshape(tf.stack(corners, axis=-2), [-1, cells, len(corners), channels])
    strides = [math.prod(side - 1 for side in sides[d + 1 :]) for d in range(rank)]
    cell = tf.reshape(tf.reduce_sum(low * strides, axis=-1), [-1, math.prod(sides)])
    found = tf.gather(around, cell, batch_dims=1)
    weight = tf.reshape(tf.stack(weights, axis=-1), [-1, math.prod(sides), len(corners), 1])
    return tf.reshape(tf.reduce_sum(weight * found, axis=-2), tf.shape(images))


def exponential(velocity: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return where a steady flow carries each pixel in a unit of time, and how much it grows on its way.

    Both by scaling and squaring: a short step is taken after itself, and that again. The logarithm of the Jacobian
    determinant is the integral of the divergence along the path, so that it is added up beside the displacement, is
    finite for every velocity, and -velocity undoes both.

    Args:
        velocity: float32 [B, ..., D], pixels per unit of time.

    Returns:
        The displacement, float32 [B, ..., D], in pixels, and the log-Jacobian, float32 [B, ..., 1]: above 0 where the
        tissue grows.

    Source: Arsigny et al. (2006), sec. 3; Jacobi's formula for the determinant.
    """
    import tensorflow as tf

    rank = len(spatial_axes(velocity))
    flow = tf.concat([velocity, divergence(velocity)], axis=-1) / 2**SQUARINGS
    for _ in range(SQUARINGS):
        flow += sample(flow, split_channels(flow, rank)[0])
    return split_channels(flow, rank)


def divergence(vectors: tf.Tensor) -> tf.Tensor:
    """Return the divergence by central differences, one-sided at the border.

    Args:
        vectors: float32 [B, ..., D], in pixels.

    Returns:
        float32 [B, ..., 1].
    """
    import tensorflow as tf

    sides = _sides(vectors)
    total = tf.zeros_like(first_channel(vectors))
    components = tf.split(vectors, len(sides), axis=-1)
    for along, (values, side) in enumerate(zip(components, sides, strict=True), start=1):
        before, after = np.maximum(np.arange(side) - 1, 0), np.minimum(np.arange(side) + 1, side - 1)
        apart = np.reshape(after - before, [side, *[1] * (len(sides) + 1 - along)]).astype(np.float32)
        total += (tf.gather(values, after, axis=along) - tf.gather(values, before, axis=along)) / apart
    return total


def smoothed(vectors: tf.Tensor) -> tf.Tensor:
    """Return vectors averaged over `SMOOTHED_OVER` pixels a side, at the border over what there is.

    Args:
        vectors: float32 [B, ..., D].
    """
    import tensorflow as tf

    return tf.nn.avg_pool(vectors, SMOOTHED_OVER, 1, "SAME")


def moved(outputs: Images, pre: tf.Tensor) -> Images:
    """Return the first MRI moved and brightened as a network says, and the maps of it.

    The image is asked where each of its pixels came from, by the flow backwards; the maps tell where each goes.

    Args:
        outputs: `drift` of a network, float32 [B, ..., D + 1]: velocity and the logarithm of the gain.
        pre: float32 [B, ..., C], the first MRI.

    Returns:
        `image`, float32 [B, ..., 1]; `displacement` [B, ..., D] in pixels and `log_jacobian` [B, ..., 1], at a place of
        the first MRI; `log_gain` [B, ..., 1], at a place of the second.
    """
    import tensorflow as tf

    velocity, log_gain = split_channels(outputs["drift"], -1)
    velocity = smoothed(velocity)
    came_from, _ = exponential(-velocity)
    displacement, log_jacobian = exponential(velocity)
    return {
        "image": sample(first_channel(pre), came_from) * tf.exp(log_gain),
        "displacement": displacement,
        "log_jacobian": log_jacobian,
        "log_gain": log_gain,
    }


def undo_vectors(vectors: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Return vectors on a turned or mirrored image as those on the image: turned back in place and in direction.

    Args:
        vectors: float32 [B, ..., D].
        number: int [B], see `tfdrift.methods.symmetries.apply_symmetry`.
    """
    import tensorflow as tf

    rank = int(vectors.shape[-1])  # pyright: ignore[reportArgumentType] - never None
    back = np.stack([np.eye(rank, dtype=np.float32)] * ALL)
    back[:, -2:, -2:] = _BACK
    turned = tf.gather(tf.constant(back), number)
    return tf.einsum("bij,b...j->b...i", turned, undo_symmetry(vectors, number))


def _directions_back() -> np.ndarray:
    """Return what undoes each symmetry on (row, column), int [8, 2, 2]: mirrored first, then turned back."""
    turn, mirror = np.array([[0, -1], [1, 0]]), np.diag([1, -1])
    return np.stack(
        [np.linalg.matrix_power(turn, -number % 4) @ (mirror if number >= 4 else np.eye(2)) for number in range(ALL)]
    )


_BACK = _directions_back()


def _sides(images: tf.Tensor) -> list[int]:
    return [int(images.shape[axis]) for axis in spatial_axes(images)]  # pyright: ignore[reportArgumentType]
