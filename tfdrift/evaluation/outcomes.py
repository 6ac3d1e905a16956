"""Outcomes of a trained method: what it answers to many seeds, and at each of its levels."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdrift.diffusion.noise import example_seeds
from tfdrift.methods.method import Predictor

BATCH = 64


def draw_outcomes(trained: Predictor, pre: np.ndarray, *, count: int, seed: int) -> dict[str, np.ndarray]:
    """Return `count` outcomes of each image, as many as one seed each, in batches over images and seeds.

    Args:
        trained: a method with its network.
        pre: float32 [n, ..., S, S, C], the largest signal of each image being 1.
        count: N.
        seed: of the noise; outcome k of slice i is noised by (seed, k n + i), so the first ones are those of N = 1.

    Returns:
        `post` and `drift`, float32 [N, n, ...].
    """
    ask = _compile(trained.__call__, pre.shape[1:])
    seeds = example_seeds(count * len(pre), seed)
    parts = []
    for start in range(0, len(seeds), BATCH):
        row = np.arange(start, min(start + BATCH, len(seeds)))
        parts.append(ask(tf.constant(pre[row % len(pre)]), seeds[row[0] : row[-1] + 1]))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in ("post", "drift")}
    return {name: images.reshape(count, len(pre), *images.shape[1:]) for name, images in joined.items()}


def draw_levels(trained: Predictor, pre: np.ndarray, *, seed: int) -> dict[str, np.ndarray]:
    """Return the answer at each level, with the noise of the first outcome.

    Args:
        trained: a method with its network.
        pre: float32 [n, ..., S, S, C], the largest signal of each image being 1.
        seed: of the noise.

    Returns:
        `post` and `drift`, float32 [L, n, ...].
    """
    ask = _compile(trained.at_levels, pre.shape[1:])
    seeds = example_seeds(len(pre), seed)
    rows = [slice(start, start + BATCH) for start in range(0, len(pre), BATCH)]
    parts = [ask(tf.constant(pre[row]), seeds[row]) for row in rows]
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in ("post", "drift")}


def _compile(
    ask: Callable[..., dict[str, tf.Tensor]], image_shape: tuple[int, ...]
) -> Callable[..., dict[str, tf.Tensor]]:
    """Return a graph for any number of images; unlike a `tf.function` it does not warn when many runs make one each."""
    image = tf.TensorSpec([None, *image_shape], tf.float32)
    return tf.function(ask).get_concrete_function(image, tf.TensorSpec([None, 2], tf.int64))
