"""From a clean pre-treatment image to the predicted post-treatment image and drift, for each method.

The functions here are graphs without Python state: the trainer validates with them, the evaluation scores with them and
the SavedModel holds them.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from tfdrift.diffusion.process import add_noise, t_unit, x0_and_eps
from tfdrift.diffusion.sampler import Trajectory, ddim_sample
from tfdrift.diffusion.schedule import Schedule, sampler_levels

Predictor = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]
"""(pre float32 [B, S, S, 1] normalised, seed int64 [B, 2]) -> {"post", "drift"} float32 [B, S, S, 1]."""


def make_predictor(
    network: keras.Model,
    *,
    method: str,
    schedule: Schedule,
    prediction: str = "eps",
    estimate_level: int = 10,
    sample_steps: int = 21,
    eta: float = 0.0,
    drift_from: str = "mean",
    clip_x0: bool = False,
) -> Predictor:
    """Return the prediction of one method as a function of (pre, seed).

    Args:
        network: see `tfdrift.model.unet.build_unet`.
        method: `method1`, `method2` or `direct`.
        schedule: the one the network was trained with.
        prediction: what the network predicts in Method 2.
        estimate_level: the level Method 1 noises the image to.
        sample_steps: number of DDIM steps of Method 2.
        eta: 0 for DDIM, 1 for the variance of DDPM.
        drift_from: Method 2's drift is the `mean` over the levels or that of the `last`.
        clip_x0: clip Method 2's estimate of the pre image to [0, 1] at each level.

    Returns:
        A function that gives the same bits for the same (image, seed), alone or in a batch as far as the machine's
        convolutions allow.
    """
    if method == "direct":
        return lambda pre, _seed: estimate_directly(network, pre)
    if method == "method1":
        return lambda pre, seed: estimate_in_one_step(network, pre, seed, schedule=schedule, level=estimate_level)

    def predict(pre: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        path = sample(
            network,
            pre,
            seed,
            schedule=schedule,
            prediction=prediction,
            num_steps=sample_steps,
            eta=eta,
            clip_x0=clip_x0,
        )
        drift = path.drift_hat[-1] if drift_from == "last" else tf.reduce_mean(path.drift_hat, axis=0)
        return {"post": path.x0_hat[-1] + drift, "drift": drift}

    return predict


def estimate_directly(network: keras.Model, pre: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the baseline's prediction: the clean image at time 0, so that the network learns without noise."""
    outputs = network({"image": pre, "t": tf.zeros([tf.shape(pre)[0], 1])})
    return {"post": outputs["recon"], "drift": outputs["drift"]}


def estimate_in_one_step(
    network: keras.Model, pre: tf.Tensor, seed: tf.Tensor, *, schedule: Schedule, level: int
) -> dict[str, tf.Tensor]:
    """Return Method 1's prediction from the image noised to `level`.

    Source: paper, "Method 1 vs Method 2" and Fig. 2B.
    """
    x_t = add_noise(pre, unit_normal(seed, pre), level, schedule)
    outputs = network({"image": x_t, "t": _times(level, schedule, like=pre)})
    return {"post": outputs["recon"], "drift": outputs["drift"]}


def sample(
    network: keras.Model,
    pre: tf.Tensor,
    seed: tf.Tensor,
    *,
    schedule: Schedule,
    prediction: str,
    num_steps: int,
    eta: float = 0.0,
    clip_x0: bool = False,
) -> Trajectory:
    """Return Method 2's path from the image noised to the last level back to a clean one.

    Source: paper, eqs. 4 and 5 and Fig. 2C.
    """

    def estimate(x_t, level):
        outputs = network({"image": x_t, "t": _times(level, schedule, like=x_t)})
        return *x0_and_eps(prediction, outputs["recon"], x_t, level, schedule), outputs["drift"]

    levels = sampler_levels(schedule.levels, num_steps)
    return ddim_sample(
        estimate,
        add_noise(pre, unit_normal(seed, pre), levels[0], schedule),
        schedule=schedule,
        levels=levels,
        eta=eta,
        draw=lambda step: unit_normal(seed, pre, stream=step + 1),
        clip=(0.0, 1.0) if clip_x0 else None,
    )


def unit_normal(seed: tf.Tensor, like: tf.Tensor, stream: int | tf.Tensor = 0) -> tf.Tensor:
    """Return unit normal noise that depends, for each example, on its own seed and on `stream` alone.

    Args:
        seed: int64 [B, 2].
        like: [B, S, S, 1], gives shape and precision.
        stream: number of the draw; draws of different streams are independent.
    """
    shape = tf.shape(like)[1:]

    def draw(one_seed):
        stream_seed = tf.random.experimental.stateless_fold_in(one_seed, stream, alg="philox")
        return tf.random.stateless_normal(shape, stream_seed, dtype=like.dtype, alg="philox")

    return tf.reshape(tf.map_fn(draw, seed, fn_output_signature=like.dtype), tf.shape(like))


def _times(level, schedule: Schedule, *, like: tf.Tensor) -> tf.Tensor:
    return tf.fill([tf.shape(like)[0], 1], t_unit(level, schedule.levels))
