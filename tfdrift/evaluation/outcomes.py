"""Outcomes of a trained method: what it answers to many seeds, and at each of its levels."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdrift.cohort.context import foreseen_columns
from tfdrift.cohort.samples import Samples
from tfdrift.diffusion.noise import example_seeds
from tfdrift.methods.method import Predictor
from tfdrift.on_disk import new_array

BATCH = 64
KEPT = ("post", "drift", "displacement")
"""Of what a method answers; the last one by methods that have it."""


def draw_outcomes(
    trained: Predictor,
    samples: Samples,
    *,
    count: int,
    seed: int,
    told: np.ndarray | None = None,
    guidance: float = 1.0,
) -> dict[str, np.ndarray]:
    """Return `count` outcomes of each image, in batches over images and seeds.

    The slices of a lesion share their noise, as when a patient is predicted: what is drawn is one lesion.

    Args:
        trained: a method with its network.
        samples: n images, with the conditions that the network asks for.
        count: N.
        seed: of the noise; outcome k of lesion j of m, in the order of their names, has the noise of (seed, k m + j),
            so the first ones are those of N = 1.
        told: float32 [n, numbers], what the network is told; by default what is known before the second MRI.
        guidance: W, see `tfdrift.methods.guidance.guided`.

    Returns:
        Arrays that may lie on disk, see `tfdrift.on_disk`: `post` and `drift`, float32 [N, n, ..., S, S, 1], and
        `displacement`, [N, n, ..., S, S, D] in pixels, of methods whose drift is a field.
    """
    pre, known = samples.pre, _conditions(trained, samples) if told is None else told

    def led(image: tf.Tensor, seeds: tf.Tensor, condition: tf.Tensor) -> dict[str, tf.Tensor]:
        return trained(image, seeds, condition, tf.fill([tf.shape(image)[0], 1], guidance))

    ask = _compile(trained.__call__ if guidance == 1 else led, trained, pre.shape[1:])
    seeds = lesion_seeds(samples, count, seed)
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(seeds), BATCH):
        rows = slice(start, min(start + BATCH, len(seeds)))
        here = np.arange(rows.start, rows.stop) % len(pre)
        part = ask(tf.constant(pre[here]), seeds[rows], tf.constant(known[here]))
        for name in KEPT:
            if name in part:
                images = part[name].numpy()
                found.setdefault(name, new_array((len(seeds), *images.shape[1:]), images.dtype))[rows] = images
    return {name: images.reshape(count, len(pre), *images.shape[1:]) for name, images in found.items()}


def lesion_seeds(samples: Samples, count: int, seed: int) -> tf.Tensor:
    """Return the noise seed of each outcome and image, one after the other: int64 [count n, 2].

    Args:
        samples: n images.
        count: outcomes.
        seed: see `draw_outcomes`.
    """
    names, lesion = np.unique(samples.lesion, return_inverse=True)
    rows = np.arange(count)[:, None] * len(names) + lesion
    return tf.gather(example_seeds(count * len(names), seed), rows.ravel())


def draw_levels(trained: Predictor, samples: Samples, *, seed: int) -> dict[str, np.ndarray]:
    """Return the answer at each level, with the noise of the first outcome.

    Args:
        trained: a method with its network.
        samples: n images, see `draw_outcomes`.
        seed: of the noise.

    Returns:
        `post` and `drift`, float32 [L, n, ..., S, S, 1], as `draw_outcomes`.
    """
    pre, known = samples.pre, _conditions(trained, samples)
    ask = _compile(trained.at_levels, trained, pre.shape[1:])
    seeds = lesion_seeds(samples, 1, seed)
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(pre), BATCH):
        rows = slice(start, start + BATCH)
        part = ask(tf.constant(pre[rows]), seeds[rows], tf.constant(known[rows]))
        for name in ("post", "drift"):
            images = part[name].numpy()
            found.setdefault(name, new_array((len(images), *pre.shape[:1], *images.shape[2:]), images.dtype))[
                :, rows
            ] = images
    return found


def _conditions(trained: Predictor, samples: Samples) -> np.ndarray:
    """Return what is known beside each image before the second MRI, float32 [n, numbers]."""
    conditions = trained.inputs.conditions
    if not conditions.names:
        return np.empty((len(samples), 0), np.float32)
    return conditions.values(foreseen_columns(samples), len(samples))


def _compile(
    ask: Callable[..., dict[str, tf.Tensor]], trained: Predictor, image_shape: tuple[int, ...]
) -> Callable[..., dict[str, tf.Tensor]]:
    """Return a graph for any number of images; unlike a `tf.function` it does not warn when many runs make one each."""
    image = tf.TensorSpec([None, *image_shape], tf.float32)
    known = tf.TensorSpec([None, trained.inputs.conditions.numbers], tf.float32)
    return tf.function(ask).get_concrete_function(image, tf.TensorSpec([None, 2], tf.int64), known)
