"""One optimiser step of each method, as a function of the step number."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfdrift.methods.balances import BALANCES
from tfdrift.methods.method import Method, asking
from tfdrift.training.losses import LOSSES
from tfdrift.training.machines import ALONE, Machines

Batch = Mapping[str, tf.Tensor]
"""`pre` and `post`, float32 [B, ..., C] and [B, ..., 1], and `condition` float32 [B, K] where a run has any."""
Metrics = dict[str, tf.Tensor]
Loss = Callable[[Batch, tf.Tensor], Metrics]


DECAYS = {
    "none": lambda learning_rate, _steps: learning_rate,
    "cosine": lambda learning_rate, steps: keras.optimizers.schedules.CosineDecay(learning_rate, steps),
}
"""What `--decay` may be: (learning rate, steps of the run) to the learning rate as AdamW takes it.

`cosine` falls to 0 at the last step (Loshchilov and Hutter 2017, eq. 5, without restarts).
"""


def make_optimizer(
    *, learning_rate: float, weight_decay: float, decay: str = "none", steps: int = 1
) -> keras.optimizers.Optimizer:
    """Return AdamW with the paper's moments.

    The decay is that of Keras, `var -= learning_rate * weight_decay * var`; tensorflow-addons' `weight_decay` is the
    product of the two.

    Args:
        learning_rate: of a step.
        weight_decay: as Keras means it.
        decay: a name in `DECAYS`.
        steps: after which the learning rate has fallen, where it does.

    Source: paper, "AI model development and training"; `docs/adr/0001-adamw-from-keras.md`.
    """
    return keras.optimizers.AdamW(
        learning_rate=DECAYS[decay](learning_rate, steps),
        weight_decay=weight_decay,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
    )


def metric_names(method: Method) -> tuple[str, ...]:
    """Return the names of what a training step measures; SSIM of an output only where that is an image."""
    parts = (f"{output}_{name}" for output, loss in method.losses.items() for name in LOSSES[loss].measures)
    return ("loss", *parts, "gradient_norm")


def make_loss(
    network: keras.Model,
    method: Method,
    *,
    weights: Mapping[str, float],
    ssim_shares: Mapping[str, float],
    balance: str = "fixed",
    machines: Machines = ALONE,
) -> Loss:
    """Return the training loss as a function of a batch and a seed.

    What the method draws, a level and noise for each image, comes from the seed (int64 [2]). The function gives
    scalars: `loss`, and for each output what its own loss measures, such as `recon_mse`.

    Args:
        network: see `tfdrift.model.unet.build_unet`.
        method: says what the network is shown, and what its outputs are compared with.
        weights: factor of the loss of each output.
        ssim_shares: share of SSIM in it, where it has any.
        balance: a name in `tfdrift.methods.balances.BALANCES`.
        machines: who compute it together, each its part of the batch.

    Source: paper, eq. 3 and "Data augmentation, loss function and model training".
    """
    scale = BALANCES[balance]

    def loss(batch: Batch, seed: tf.Tensor) -> Metrics:
        size = int(batch["pre"].shape[0]) if machines.count > 1 else 0  # pyright: ignore[reportArgumentType]
        condition = batch.get("condition")
        if condition is not None:
            condition = machines.part(condition, size)
        ask = machines.asking_part(asking(network, condition, latents=method.latents, training=True), size)
        trial = method.attempt(ask, batch["pre"], batch["post"], seed)
        compared = {}
        for output, name in method.losses.items():
            predicted, target = (machines.part(side[output], size) for side in trial)
            compared[output] = machines.mean_losses(LOSSES[name].compare(predicted, target, ssim_shares[output]))
        total = [weights[output] * scale(parts["loss"]) for output, parts in compared.items()]
        return {
            "loss": tf.add_n(total),
            **{f"{output}_{name}": value for output, parts in compared.items() for name, value in parts.items()},
        }

    return loss


def make_train_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Loss,
    batch: Callable[[tf.Tensor], Batch],
    *,
    seed: int,
    clip_norm: float = 0.0,
    averaged: keras.Model | None = None,
    ema: float = 0.0,
    machines: Machines = ALONE,
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
        machines: who do it together, with `loss` of the same.

    Returns:
        A function of an int64 scalar step, giving (finite bool, metrics with `gradient_norm` added).

    Source: paper, AdamW; Polyak and Juditsky (1992) for the average.
    """
    weights = network.trainable_variables
    optimizer.build(weights)

    def train_step(step: tf.Tensor) -> tuple[tf.Tensor, Metrics]:
        images = batch(step)
        with tf.GradientTape() as tape:
            metrics = loss(images, tf.stack([tf.constant(seed, tf.int64), step]))
        gradients: Any = tape.gradient(metrics["loss"], weights)
        gradients = machines.mean(gradients)
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
