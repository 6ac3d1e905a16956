"""The look at the held-out patients while a run trains: a few scores and a picture."""

from collections.abc import Callable

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


def make_validation(
    loss: Loss, predictor: Predictor, held_out: Samples, seed: int
) -> Callable[[], tuple[dict[str, float], bytes]]:
    """Return a function that scores the held-out slices and draws one of them, always with the same noise.

    Args:
        loss: see `tfdrift.training.step.make_loss`.
        predictor: around the network that is trained, or the average of its weights.
        held_out: slices.
        seed: of the noise.

    Returns:
        Scores by name, and a PNG picture. `change_*` are sums over pixels, for `tfdrift.training.inner`.
    """
    chosen = held_out.take(np.unique(np.linspace(0, len(held_out) - 1, VALIDATION_SLICES).astype(int)))
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
    def scores() -> Metrics:
        predicted = predictor(pre, seeds, condition)
        change, true_change = predicted["post"] - first, post - first
        return {
            "loss": loss(batch, tf.constant([seed, -1], tf.int64))["loss"],
            "skill": 1 - mse(predicted["post"], post) / mse(first, post),
            "ssim": tf.reduce_mean(ssim(predicted["post"], post, IMAGE_RANGE)),
            "drift_skill": 1 - mse(predicted["drift"], post - first) / mse(first, post),
            "drift_ssim": tf.reduce_mean(ssim(predicted["drift"], post - first, DRIFT_RANGE)),
            "change_predicted": tf.reduce_sum(change**2),
            "change_product": tf.reduce_sum(change * true_change),
            "change_true": tf.reduce_sum(true_change**2),
        }

    snapshots = tf.function(
        lambda: predictor.at_levels(pre[one], seeds[one], None if condition is None else condition[one])
    )

    def validate() -> tuple[dict[str, float], bytes]:
        numbers = {name: float(value) for name, value in scores().items()}
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
        return numbers, picture

    return validate
