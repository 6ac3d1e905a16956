"""How far answers err: standard deviations of errors, learned on patients that were held out.

Every error has a score that is smallest, in the mean, where its standard deviation is the true one: the fair continuous
ranked probability score of the pixels, of squares of them, and of the lesions' areas.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import optimize

from tfdrift.axes import image_axes, spatial_axes
from tfdrift.cohort.samples import Samples
from tfdrift.cohort.volumes import predicted_mask
from tfdrift.diffusion.noise import example_seeds, whole_and_smooth
from tfdrift.methods.dressing import Dressing, with_errors
from tfdrift.training.losses import SQUARES, fair_crps

DRAWS = 8
"""Outcomes of each answer while standard deviations are sought; the score is fair for any number from 2 on."""
START = Dressing(growth=0.1, movement=1.0, gain=0.1, texture=0.1)
"""Where the search begins."""
TRIALS = 160
"""Scores that the search may ask for."""
_NAMES = tuple(field.name for field in dataclasses.fields(Dressing))


class Answered(NamedTuple):
    """Answers about held-out slices, and what came.

    Args:
        predicted: float32 [n, ..., S, S, 1], second MRIs without dressing.
        held_out: the n slices.
    """

    predicted: np.ndarray
    held_out: Samples


def learn_dressing(groups: Sequence[Answered], *, seed: int) -> Dressing:
    """Return the standard deviations whose draws score best over all groups together.

    Args:
        groups: answers, each by a run that was not trained on the patients it was asked about.
        seed: of the draws, which are the same in every trial.

    Source: Roulston and Smith (2003); Gneiting and Raftery (2007), sec. 4.2, for the score; Nelder and Mead (1965).
    """
    predicted = np.concatenate([group.predicted for group in groups])
    truth = np.concatenate([group.held_out.post for group in groups])
    lesion = np.concatenate([group.held_out.lesion for group in groups])
    masks = [np.concatenate([getattr(group.held_out, name) for group in groups]) for name in ("pre_mask", "post_mask")]
    _, owner = np.unique(lesion, return_inverse=True)
    before, after = (_areas(mask, owner) for mask in masks)
    rank = len(spatial_axes(predicted))
    # The slices of a lesion err together.
    seeds = tf.reshape(example_seeds((owner.max() + 1) * DRAWS, seed), [DRAWS, -1, 2])
    errors = [
        whole_and_smooth(tf.gather(seeds[draw], owner), tf.constant(predicted), whole=2, smooth=rank + 1)
        for draw in range(DRAWS)
    ]
    base = tf.constant(predicted)

    @tf.function
    def drawn(deviations: tf.Tensor) -> tf.Tensor:
        dressing = Dressing(**dict(zip(_NAMES, tf.unstack(deviations, len(_NAMES)), strict=True)))
        return tf.concat([with_errors(base, error, dressing) for error in errors], axis=-1)

    @tf.function
    def image_scores(outcomes: tf.Tensor) -> tf.Tensor:
        return tf.stack([fair_crps(_pooled(outcomes, side), _pooled(tf.constant(truth), side)) for side in (1, *SQUARES)])

    def scores(deviations: np.ndarray) -> np.ndarray:
        outcomes = drawn(tf.constant(deviations, tf.float32))
        areas = np.stack([_areas(_shown(outcome), owner) for outcome in np.moveaxis(outcomes.numpy(), -1, 0)], axis=-1)
        of_areas = fair_crps(tf.constant(areas / before[:, None]), tf.constant(after / before)[:, None])
        return np.append(image_scores(outcomes).numpy(), float(of_areas))

    bare = scores(np.zeros(len(_NAMES)))
    found = optimize.minimize(
        lambda logarithms: float(np.sum(scores(np.exp(logarithms)) / bare)),
        np.log([getattr(START, name) for name in _NAMES]),
        method="Nelder-Mead",
        options={"maxfev": TRIALS, "xatol": 0.02, "fatol": 1e-4},
    )
    return Dressing(**dict(zip(_NAMES, np.exp(found.x).tolist(), strict=True)))


def _pooled(images: tf.Tensor, side: int) -> tf.Tensor:
    window = [min(side, int(images.shape[axis])) for axis in spatial_axes(images)]  # pyright: ignore[reportArgumentType]
    return tf.nn.avg_pool(images, window, window, "VALID")


def _shown(post: np.ndarray) -> np.ndarray:
    """Return where images [n, ..., S, S] show their lesion."""
    slices = post.reshape(-1, *post.shape[-2:])
    return predicted_mask(slices, np.ones(len(slices))).reshape(*post.shape, 1)


def _areas(masks: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the pixels of each lesion, float32 [m], of masks [n, ..., S, S, 1]."""
    return np.bincount(owner, masks.sum(axis=image_axes(masks))).astype(np.float32)
