"""What a network may predict of x_t: the noise, the clean image, or the velocity between the two.

With e = noise_level * eps and sigma = sqrt(1 - alpha_bar), x_t = signal_rate * x0 + sigma * e is a rotation of (x0, e),
and v the rate of change of x_t along it. The functions work element by element on tensors that broadcast, in the
tensors' own precision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # the command line reads the table's names, and TensorFlow takes seconds
    import tensorflow as tf


class Rates(NamedTuple):
    """The rates of a schedule at the levels of a batch, each [1, ..., 1] or [B, 1, ..., 1].

    Args:
        signal: signal_rate.
        noise: noise_rate.
        sigma: sqrt(1 - alpha_bar).
        noise_level: scalar.
    """

    signal: tf.Tensor
    noise: tf.Tensor
    sigma: tf.Tensor
    noise_level: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """One reading of a network's `recon` output.

    Args:
        is_image: whether it has structure, so that SSIM can compare it.
        target: (x0, eps, rates) to what the network is compared with.
        estimate: (output, x_t, rates) to (x0_hat, eps_hat).
    """

    is_image: bool
    target: Callable[[tf.Tensor, tf.Tensor, Rates], tf.Tensor]
    estimate: Callable[[tf.Tensor, tf.Tensor, Rates], tuple[tf.Tensor, tf.Tensor]]


def x0_from_eps(x_t: tf.Tensor, eps_hat: tf.Tensor, signal_rate: tf.Tensor, noise_rate: tf.Tensor) -> tf.Tensor:
    """Return the clean image that x_t and its noise imply.

    Args:
        x_t: [B, ..., C], the noised image.
        eps_hat: the same shape, unit normal noise.
        signal_rate: broadcasts against it.
        noise_rate: broadcasts against it.

    Source: paper, eq. 4.
    """
    return (x_t - noise_rate * eps_hat) / signal_rate


def eps_from_x0(x_t: tf.Tensor, x0_hat: tf.Tensor, signal_rate: tf.Tensor, noise_rate: tf.Tensor) -> tf.Tensor:
    """Return the noise that x_t and its clean image imply; 0 where the schedule holds no noise.

    Args:
        x_t: [B, ..., C], the noised image.
        x0_hat: the same shape, the clean image.
        signal_rate: broadcasts against it.
        noise_rate: broadcasts against it.

    Source: paper, eq. 2 solved for eps.
    """
    import tensorflow as tf

    return tf.math.divide_no_nan(x_t - signal_rate * x0_hat, noise_rate)


def _from_x0(x0_hat: tf.Tensor, x_t: tf.Tensor, rates: Rates) -> tuple[tf.Tensor, tf.Tensor]:
    return x0_hat, eps_from_x0(x_t, x0_hat, rates.signal, rates.noise)


PREDICTIONS = {
    "eps": Prediction(
        is_image=False,
        target=lambda _x0, eps, _rates: eps,
        estimate=lambda output, x_t, rates: (x0_from_eps(x_t, output, rates.signal, rates.noise), output),
    ),
    "x0": Prediction(is_image=True, target=lambda x0, _eps, _rates: x0, estimate=_from_x0),
    # Salimans and Ho (2022), sec. 4, with e = noise_level * eps.
    "v": Prediction(
        is_image=False,
        target=lambda x0, eps, rates: rates.signal * rates.noise_level * eps - rates.sigma * x0,
        estimate=lambda output, x_t, rates: _from_x0(rates.signal * x_t - rates.sigma * output, x_t, rates),
    ),
}
"""What `--prediction` may be; the paper's is `eps` (eq. 3)."""
