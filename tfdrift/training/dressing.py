"""How far answers err: standard deviations of errors, learned on patients that were held out.

By how much a lesion's size and brightness err is measured on each lesion. How far its parts are displaced or brighter
is not seen one by one; those deviations are taken whose draws have the smallest continuous ranked probability score,
which in the mean are the true ones.
"""

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
from tfdrift.training.losses import fair_crps

DRAWS = 8
"""Outcomes of each answer while deviations are sought; the score is fair for any number from 2 on."""
MOVEMENT, TEXTURE = 1.0, 0.1
"""Where the search begins, in pixels and in logarithms of the brightness."""
STEP = 0.5
"""First step of the search, in logarithms."""
TRIALS = 60
"""Scores that the search may ask for."""


class Answered(NamedTuple):
    """Answers about held-out slices, and what came.

    Args:
        predicted: float32 [n, ..., S, S, 1], second MRIs without dressing.
        held_out: the n slices.
    """

    predicted: np.ndarray
    held_out: Samples


def learn_dressing(groups: Sequence[Answered], *, seed: int) -> Dressing:
    """Return how far the answers of all groups together err.

    Args:
        groups: answers, each by a run that was not trained on the patients it was asked about.
        seed: of the draws, which are the same in every trial.

    Source: Roulston and Smith (2003); Gneiting and Raftery (2007), sec. 4.2, for the score; Nelder and Mead (1965).
    """
    predicted = np.concatenate([group.predicted for group in groups])
    truth = np.concatenate([group.held_out.post for group in groups])
    _, lesion = np.unique(np.concatenate([group.held_out.lesion for group in groups]), return_inverse=True)
    growth, gain = size_and_gain_errors(predicted, truth, lesion)

    rank = len(spatial_axes(predicted))
    answer = tf.constant(predicted)
    unit = tf.function(lambda seeds: whole_and_smooth(seeds, answer, whole=2, smooth=rank + 1))
    # The slices of a lesion err together.
    seeds = tf.reshape(example_seeds((lesion.max() + 1) * DRAWS, seed), [DRAWS, -1, 2])
    errors = [unit(tf.gather(seeds[draw], lesion)) for draw in range(DRAWS)]

    @tf.function
    def score(movement: tf.Tensor, texture: tf.Tensor) -> tf.Tensor:
        dressing = Dressing(growth=growth, movement=movement, gain=gain, texture=texture)  # pyright: ignore[reportArgumentType]
        outcomes = tf.concat([with_errors(answer, error, dressing) for error in errors], axis=-1)
        return fair_crps(outcomes, tf.constant(truth))

    start = np.log([MOVEMENT, TEXTURE])
    found = optimize.minimize(
        lambda logarithms: float(score(*tf.unstack(tf.constant(np.exp(logarithms), tf.float32)))),
        start,
        method="Nelder-Mead",
        # Its own first steps are a share of the start, and so none where that is 0.
        options={"initial_simplex": start + STEP * np.eye(3, 2, -1), "maxfev": TRIALS, "xatol": 0.02, "fatol": 0.0},
    )
    movement, texture = np.exp(found.x).tolist()
    return Dressing(growth=growth, movement=movement, gain=gain, texture=texture)


def size_and_gain_errors(predicted: np.ndarray, truth: np.ndarray, lesion: np.ndarray) -> tuple[float, float]:
    """Return by how much the logarithms of a lesion's diameter and mean brightness err, root mean squares.

    Lesions that either image does not show do not count; without any other both are 0.

    Args:
        predicted: float32 [n, ..., S, S, 1], second MRIs in units of the first one's largest signal.
        truth: the same shape.
        lesion: int [n], from 0 on, the lesion of each slice.

    Example:
        >>> true = np.zeros((1, 8, 8, 1))
        >>> true[0, 2:6, 2:6] = 1.0
        >>> twice_as_bright = size_and_gain_errors(2 * true, true, np.array([0]))
        >>> [round(error, 3) for error in twice_as_bright]
        [0.0, 0.693]
    """
    measured = []
    for images in (predicted, truth):
        slices = images.reshape(-1, *images.shape[-3:-1])
        shown = predicted_mask(slices, np.ones(len(slices))).reshape(images.shape)
        area, signal = (np.bincount(lesion, part.sum(axis=image_axes(part))) for part in (shown, shown * images))
        measured.append((area, signal))
    there = np.all([area > 0 for area, _ in measured], axis=0)
    if not there.any():
        return 0.0, 0.0
    rank = len(spatial_axes(truth))
    (area, signal), (true_area, true_signal) = [[part[there] for part in parts] for parts in measured]
    growth = np.log(area / true_area) / rank
    gain = np.log((signal / area) / (true_signal / true_area))
    return float(np.sqrt(np.mean(growth**2))), float(np.sqrt(np.mean(gain**2)))
