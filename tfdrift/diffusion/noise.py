"""Noise as a function of seeds: each image's own, whatever batch it is in."""

import numpy as np
import tensorflow as tf


def unit_normal(seed: tf.Tensor, like: tf.Tensor, stream: int | tf.Tensor = 0) -> tf.Tensor:
    """Return unit normal noise that depends, for each image, on its own seed and on `stream` alone.

    Args:
        seed: int64 [B, 2].
        like: [B, S, S, 1], gives shape and precision.
        stream: number of the draw; draws of different streams are independent.

    Returns:
        [B, S, S, 1]; an image's noise does not depend on the batch it is in.
    """
    shape = tf.shape(like)[1:]

    def draw(one_seed):
        stream_seed = tf.random.experimental.stateless_fold_in(one_seed, stream, alg="philox")
        return tf.random.stateless_normal(shape, stream_seed, dtype=like.dtype, alg="philox")

    return tf.reshape(tf.map_fn(draw, seed, fn_output_signature=like.dtype), tf.shape(like))


def example_seeds(count: int, seed: int) -> tf.Tensor:
    """Return int64 [count, 2], one noise seed an example: (seed, row)."""
    return tf.constant(np.stack([np.full(count, seed), np.arange(count)], axis=1), tf.int64)
