"""The look at the held-out patients while a run trains: a few scores and a picture."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfdrift.axes import first_channel, image_axes
from tfdrift.cohort.context import foreseen_columns
from tfdrift.cohort.samples import Samples
from tfdrift.diffusion.noise import example_seeds
from tfdrift.methods.method import Predictor
from tfdrift.training.losses import DRIFT_RANGE, IMAGE_RANGE, mse, ssim
from tfdrift.training.step import Loss, Metrics
from tfdrift.training.summaries import draw_strips

VALIDATION_SLICES = 256  # enough for a curve; the final scores are made on every held-out slice


class Look(NamedTuple):
    """What a look at the held-out patients shows.

    Args:
        scores: by name; `change_*` are sums over pixels, for `tfdrift.training.inner`.
        picture: PNG.
        post: float32 [n, ..., S, S, 1], what was answered about the slices of `looked_at`.
    """

    scores: dict[str, float]
    picture: bytes
    post: np.ndarray


def looked_at(held_out: Samples) -> Samples:
    """Return the held-out slices that are looked at, at most `VALIDATION_SLICES`.

    Args:
        held_out: slices.
    """
    return held_out.take(np.unique(np.linspace(0, len(held_out) - 1, VALIDATION_SLICES).astype(int)))


def make_validation(loss: Loss, predictor: Predictor, held_out: Samples, seed: int) -> Callable[[], Look]:
    """Return a function that scores the held-out slices and draws one of them, always with the same noise.

    Args:
        loss: see `tfdrift.training.step.make_loss`.
        predictor: around the network that is trained, or the average of its weights.
        held_out: slices.
        seed: of the noise.
    """
    chosen = looked_at(held_out)
    pre, post, seeds = tf.constant(chosen.pre), tf.constant(chosen.post), example_seeds(len(chosen), seed)
    first = first_channel(pre)
    conditions = predictor.inputs.conditions
    columns = foreseen_columns(chosen) if conditions.names else {}
    condition = tf.constant(conditions.values(columns, len(chosen))) if conditions.names else None
    batch = {"pre": pre, "post": post}
    if condition is not None:
        batch["condition"] = conditions.encode(condition)
    shown = int(np.argmax(np.mean(chosen.drift**2, axis=image_axes(chosen.drift))))
    one = slice(shown, shown + 1)

    @tf.function
    def scores() -> tuple[Metrics, tf.Tensor]:
        predicted = predictor(pre, seeds, condition)
        change, true_change = predicted["post"] - first, post - first
        found = {
            "loss": loss(batch, tf.constant([seed, -1], tf.int64))["loss"],
            "skill": 1 - mse(predicted["post"], post) / mse(first, post),
            "ssim": tf.reduce_mean(ssim(predicted["post"], post, IMAGE_RANGE)),
            "drift_skill": 1 - mse(predicted["drift"], post - first) / mse(first, post),
            "drift_ssim": tf.reduce_mean(ssim(predicted["drift"], post - first, DRIFT_RANGE)),
            "change_predicted": tf.reduce_sum(change**2),
            "change_product": tf.reduce_sum(change * true_change),
            "change_true": tf.reduce_sum(true_change**2),
        }
        return found, predicted["post"]

    snapshots = tf.function(
        lambda: predictor.at_levels(pre[one], seeds[one], None if condition is None else condition[one])
    )

    def validate() -> Look:
        numbers, answered = scores()
        seen = {name: images.numpy()[:, 0] for name, images in snapshots().items()}
        levels = predictor.levels()
        rows = np.unique(np.linspace(0, len(levels) - 1, 5).astype(int))
        picture = draw_strips(
            chosen.pre[shown],
            chosen.post[shown],
            seen["post"][rows],
            seen["drift"][rows],
            [levels[row] for row in rows],
        )
        return Look({name: float(value) for name, value in numbers.items()}, picture, answered.numpy())

    return validate
