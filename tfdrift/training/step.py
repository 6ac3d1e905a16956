"""One optimiser step of each method, as a function of the step number."""

from collections.abc import Callable

import keras
import tensorflow as tf

from tfdrift.diffusion.process import add_noise, t_unit, training_target
from tfdrift.diffusion.schedule import Schedule
from tfdrift.training.losses import DRIFT_RANGE, IMAGE_RANGE, image_loss, noise_loss

Metrics = dict[str, tf.Tensor]


def make_optimizer(*, learning_rate: float, weight_decay: float) -> keras.optimizers.Optimizer:
    """Return AdamW with the paper's moments.

    The decay is that of Keras, `var -= learning_rate * weight_decay * var`; tensorflow-addons' `weight_decay` is the
    product of the two.

    Source: paper, "AI model development and training"; `docs/adr/0001-adamw-from-keras.md`.
    """
    return keras.optimizers.AdamW(
        learning_rate=learning_rate, weight_decay=weight_decay, beta_1=0.9, beta_2=0.999, epsilon=1e-8
    )


def metric_names(method: str, prediction: str) -> tuple[str, ...]:
    """Return the names of what a training step measures; SSIM of the reconstruction only where that is an image."""
    recon_ssim = () if _recon_is_noise(method, prediction) else ("recon_ssim",)
    return (
        "loss", "recon_loss", "recon_mse", *recon_ssim, "drift_loss", "drift_mse", "drift_ssim", "gradient_norm",
    )  # fmt: skip


def make_loss(
    network: keras.Model,
    *,
    method: str,
    schedule: Schedule,
    prediction: str,
    recon_weight: float,
    drift_weight: float,
    recon_ssim: float,
    drift_ssim: float,
    balance: str = "fixed",
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Metrics]:
    """Return the training loss as a function of (pre, post, seed).

    The function draws a level and noise for each image from `seed` (int64 [2]) and gives scalars: `loss`, and
    `recon_` and `drift_` with `loss`, `mse` and, where the target is an image, `ssim`.

    Args:
        network: see `tfdrift.model.unet.build_unet`.
        method: `method1` compares `recon` with the post image, `method2` with what `prediction` says, `direct` shows
            the network the clean image at time 0.
        schedule: noise at each level.
        prediction: `eps`, `x0` or `v`; Method 2 alone.
        recon_weight: factor of the reconstruction loss.
        drift_weight: factor of the drift loss.
        recon_ssim: share of SSIM in the reconstruction loss.
        drift_ssim: share of SSIM in the drift loss.
        balance: `fixed` is the weighted sum of the two losses, `uncertainty` that of their logarithms. Each task
            has an unknown noise variance v in L / (2 v) + log(v) / 2; at its best, v = L, that is log(L) / 2 and a
            constant. So neither loss outweighs the other by its size alone, and there is nothing to learn or to save.

    Source: paper, eq. 3 and "Data augmentation, loss function and model training"; Kendall, Gal and Cipolla (2018),
        eq. 7, for the balance by uncertainty, minimised over v as in Kirchdorfer et al. (2024).
    """
    scale = {"fixed": tf.identity, "uncertainty": tf.math.log}[balance]

    def loss(pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Metrics:
        count = tf.shape(pre)[0]
        if method == "direct":
            shown, t, target = pre, tf.zeros([count, 1]), post
        else:
            level_seed, eps_seed = tf.unstack(tf.random.split(seed, 2, alg="philox"))
            level = tf.random.stateless_uniform(
                tf.shape(pre)[:1], level_seed, 0, schedule.levels, tf.int32, alg="philox"
            )
            eps = tf.random.stateless_normal(tf.shape(pre), eps_seed, alg="philox")
            shown, t = add_noise(pre, eps, level, schedule), t_unit(level, schedule.levels)[:, None]
            target = post if method == "method1" else training_target(prediction, pre, eps, level, schedule)
        outputs = network({"image": shown, "t": t}, training=True)
        if _recon_is_noise(method, prediction):
            recon = noise_loss(outputs["recon"], target)
        else:
            recon = image_loss(outputs["recon"], target, ssim_share=recon_ssim, data_range=IMAGE_RANGE)
        drift = image_loss(outputs["drift"], post - pre, ssim_share=drift_ssim, data_range=DRIFT_RANGE)
        return {
            "loss": recon_weight * scale(recon["loss"]) + drift_weight * scale(drift["loss"]),
            **{f"recon_{name}": value for name, value in recon.items()},
            **{f"drift_{name}": value for name, value in drift.items()},
        }

    return loss


def make_train_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Metrics],
    batch: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    *,
    seed: int,
    clip_norm: float = 0.0,
    averaged: keras.Model | None = None,
    ema: float = 0.0,
) -> Callable[[tf.Tensor], tuple[tf.Tensor, Metrics]]:
    """Return the step k: its batch, loss, gradient and update, all a function of k and the weights alone.

    A loss or gradient that is not finite leaves the weights as they were.

    Args:
        network: trained in place.
        optimizer: built here, so that the first traced call creates no variable.
        loss: see `make_loss`.
        batch: see `tfdrift.training.batches.make_batches`.
        seed: of the noise; the batches have their own.
        clip_norm: largest global norm of the gradient, 0 for no limit.
        averaged: a network of the same shape that follows the exponential moving average of the weights.
        ema: share the average keeps a step; it starts lower, at (1 + k) / (10 + k), so that early weights fade.

    Returns:
        A function of an int64 scalar step, giving (finite bool, metrics with `gradient_norm` added).

    Source: paper, AdamW; Polyak and Juditsky (1992) for the average.
    """
    weights = network.trainable_variables
    optimizer.build(weights)

    def train_step(step: tf.Tensor) -> tuple[tf.Tensor, Metrics]:
        images = batch(step)
        with tf.GradientTape() as tape:
            metrics = loss(images["pre"], images["post"], tf.stack([tf.constant(seed, tf.int64), step]))
        gradients = tape.gradient(metrics["loss"], weights)
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(metrics["loss"]) & tf.math.is_finite(norm)

        def update():
            clipped = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)[0] if clip_norm > 0 else gradients
            optimizer.apply(clipped, weights)
            if averaged is not None:
                done = tf.cast(step, tf.float32)
                keep = tf.minimum(ema, (1 + done) / (10 + done))
                for mean, weight in zip(averaged.trainable_variables, weights, strict=True):
                    mean.assign(keep * mean.value + (1 - keep) * weight.value)
            return True

        tf.cond(finite, update, lambda: False)
        return finite, {**metrics, "gradient_norm": norm}

    return train_step


def _recon_is_noise(method: str, prediction: str) -> bool:
    return method == "method2" and prediction != "x0"
