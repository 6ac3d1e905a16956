"""Noise as a function of seeds: each image's own, whatever batch it is in."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfdrift.axes import spatial_axes
from tfdrift.diffusion.process import add_noise, draw_levels, t_unit
from tfdrift.diffusion.schedule import Schedule


class NoisedBatch(NamedTuple):
    """A batch at random levels, as training shows it.

    Args:
        x_t: float32 [B, ..., C], the noised images.
        t: float32 [B, 1] in [0, 1], the time of each level.
        level: int32 [B].
        eps: float32 [B, ..., C], the unit normal noise.
    """

    x_t: tf.Tensor
    t: tf.Tensor
    level: tf.Tensor
    eps: tf.Tensor


def noised_batch(images: tf.Tensor, seed: tf.Tensor, schedule: Schedule) -> NoisedBatch:
    """Return each image at a level of its own, drawn evenly.

    Args:
        images: float32 [B, ..., C], clean.
        seed: int64 [2].
        schedule: gives the rates.

    Source: paper, eqs. 2 and 3.
    """
    level_seed, eps_seed = tf.unstack(tf.random.split(seed, 2, alg="philox"))
    level = draw_levels(images, schedule.levels, level_seed)
    eps = tf.random.stateless_normal(tf.shape(images), eps_seed, alg="philox")
    return NoisedBatch(add_noise(images, eps, level, schedule), t_unit(level, schedule.levels)[:, None], level, eps)


def noised(images: tf.Tensor, seed: tf.Tensor, level: int | tf.Tensor, schedule: Schedule) -> tf.Tensor:
    """Return each image noised to one level by its own seed.

    Args:
        images: float32 [B, ..., C], clean.
        seed: int64 [B, 2].
        level: int32 scalar.
        schedule: gives the rates.
    """
    return add_noise(images, unit_normal(seed, images), level, schedule)


def times(level: int | tf.Tensor, schedule: Schedule, *, like: tf.Tensor) -> tf.Tensor:
    """Return the time of one level for each image of a batch, float32 [B, 1].

    Args:
        level: int32 scalar.
        schedule: of how many levels.
        like: [B, ...], gives B.
    """
    return tf.fill([tf.shape(like)[0], 1], t_unit(level, schedule.levels))


def unit_normal(seed: tf.Tensor, like: tf.Tensor, stream: int | tf.Tensor = 0) -> tf.Tensor:
    """Return unit normal noise that depends, for each image, on its own seed and on `stream` alone.

    Args:
        seed: int64 [B, 2].
        like: [B, ..., C], gives shape and precision.
        stream: number of the draw; draws of different streams are independent.

    Returns:
        [B, ..., C]; an image's noise does not depend on the batch it is in.
    """
    shape = tf.shape(like)[1:]

    def draw(one_seed):
        stream_seed = tf.random.experimental.stateless_fold_in(one_seed, stream, alg="philox")
        return tf.random.stateless_normal(shape, stream_seed, dtype=like.dtype, alg="philox")

    return tf.reshape(tf.map_fn(draw, seed, fn_output_signature=like.dtype), tf.shape(like))


def whole_and_smooth(
    seed: tf.Tensor, like: tf.Tensor, *, whole: int, smooth: int, stream: int | tf.Tensor = 0
) -> tf.Tensor:
    """Return unit normal maps of noise: some of one value over an image, some that change over a quarter of it.

    Args:
        seed: int64 [B, 2], one for each image.
        like: float32 [B, ..., C], gives the size.
        whole: maps of one value.
        smooth: maps that change; their values at one place and at another a quarter of a side away are independent.
        stream: of the maps of one value, see `unit_normal`; the smooth ones are of the next.

    Returns:
        float32 [B, ..., whole + smooth], those of one value first.

    Example:
        >>> maps = whole_and_smooth(tf.constant([[0, 1]], tf.int64), tf.zeros([1, 8, 8, 1]), whole=1, smooth=2)
        >>> maps.shape.as_list()
        [1, 8, 8, 3]
    """
    batch, sides = tf.shape(like)[0], [int(like.shape[axis]) for axis in spatial_axes(like)]  # pyright: ignore[reportArgumentType]
    windows = [max(2, side // 4) for side in sides]
    values = unit_normal(seed, tf.zeros([batch, *[1] * len(sides), whole]), stream)
    padded = [side + window - 1 for side, window in zip(sides, windows, strict=True)]
    white = unit_normal(seed, tf.zeros([batch, *padded, smooth]), stream + 1)
    # The mean of n numbers varies by 1 / n.
    smoothed = tf.nn.avg_pool(white, windows, 1, "VALID") * math.sqrt(math.prod(windows))
    return tf.concat([tf.zeros([batch, *sides, whole]) + values, smoothed], axis=-1)


def example_seeds(count: int, seed: int) -> tf.Tensor:
    """Return int64 [count, 2], one noise seed an example: (seed, row).

    Args:
        count: number of examples.
        seed: of them all.
    """
    return tf.constant(np.stack([np.full(count, seed), np.arange(count)], axis=1), tf.int64)
