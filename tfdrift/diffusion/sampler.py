"""From a noised image back to a clean one: the DDIM sampler of Method 2."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfdrift.diffusion.predictions import eps_from_x0
from tfdrift.diffusion.schedule import Schedule


class Trajectory(NamedTuple):
    """What a sampler saw on its way, the noisiest level first.

    Args:
        x0_hat: [N, B, ..., C], the estimate of the clean image at each level; the last one is the result.
        drift_hat: [N, B, ..., 1], the drift map at each level (the paper's snapshots).
    """

    x0_hat: tf.Tensor
    drift_hat: tf.Tensor


def ddim_sample(
    estimate: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
    x_t: tf.Tensor,
    *,
    schedule: Schedule,
    levels: list[int],
    eta: float = 0.0,
    draw: Callable[[tf.Tensor], tf.Tensor] | None = None,
    clip: tuple[float, float] | None = None,
) -> Trajectory:
    """Walk from level `levels[0]` to the clean image, one call of `estimate` a level.

    Each step keeps the estimate of the clean image and moves along the estimated noise to the next level,
    x_next = signal_rate_next * x0_hat + sqrt(noise_rate_next^2 - std^2) * eps_hat + std * z, where the level after the
    last one is (signal 1, noise 0) and std = eta * `ddpm_std`. A TensorFlow loop: the graph does not grow with N.

    Args:
        estimate: (x_t [B, ..., C], level int32 scalar) -> (x0_hat, eps_hat [B, ..., C], drift_hat [B, ..., 1]).
        x_t: [B, S, S, C] or [B, D, S, S, C], the image noised to `levels[0]`.
        schedule: gives the rates.
        levels: strictly decreasing, see `sampler_levels`.
        eta: 0 is DDIM and deterministic, 1 has the variance of DDPM.
        draw: (step int32 scalar) -> z [B, ..., C], unit normal, another one for each step; needed when eta > 0.
        clip: range that x0_hat is clipped to; eps_hat is then derived again, so that the two still explain x_t.

    Raises:
        ValueError: eta > 0 without `draw`.

    Source: paper, eqs. 4 and 5; Song, Meng and Ermon (2021), eqs. 12 and 16.
    """
    if eta > 0 and draw is None:
        raise ValueError(f"eta {eta} needs noise at every step; pass draw")
    num_steps = len(levels)
    signal_rates = np.append(schedule.signal_rate[levels], 1.0)
    noise_rates = np.append(schedule.noise_rate[levels], 0.0)
    stds = eta * ddpm_std(signal_rates[:-1], noise_rates[:-1], signal_rates[1:], noise_rates[1:])
    direction_rates = tf.constant(np.sqrt(noise_rates[1:] ** 2 - stds**2), x_t.dtype)
    signal, noise, std = (tf.constant(rates, x_t.dtype) for rates in (signal_rates, noise_rates, stds))
    level_at = tf.constant(levels, tf.int32)

    def step(i, x_t, x0_hats, drift_hats):
        x0_hat, eps_hat, drift_hat = estimate(x_t, level_at[i])
        if clip is not None:
            x0_hat = tf.clip_by_value(x0_hat, *clip)
            eps_hat = eps_from_x0(x_t, x0_hat, signal[i], noise[i])
        x_next = signal[i + 1] * x0_hat + direction_rates[i] * eps_hat
        if eta > 0:
            x_next += std[i] * draw(i)  # pyright: ignore[reportOptionalCall] - checked above
        return i + 1, x_next, x0_hats.write(i, x0_hat), drift_hats.write(i, drift_hat)

    def empty(channels):
        return tf.TensorArray(x_t.dtype, size=num_steps, element_shape=[*x_t.shape[:-1], channels])

    _, _, x0_hats, drift_hats = tf.while_loop(
        lambda i, *_: i < num_steps,
        step,
        (tf.constant(0), x_t, empty(x_t.shape[-1]), empty(1)),
        maximum_iterations=num_steps,
    )
    return Trajectory(x0_hat=x0_hats.stack(), drift_hat=drift_hats.stack())


def ddpm_std(signal_rate, noise_rate, signal_rate_next, noise_rate_next) -> np.ndarray:
    """Return the standard deviation of x_next given x_t and x0 in the Markov chain that has these marginals.

    With r = signal_rate / signal_rate_next, the chain adds noise of variance noise_rate^2 - r^2 * noise_rate_next^2
    between the two levels, and Bayes' rule gives noise_rate_next^2 * (1 - r^2 * noise_rate_next^2 / noise_rate^2).

    Args:
        signal_rate: float64 [N], at the levels the steps start from.
        noise_rate: float64 [N].
        signal_rate_next: float64 [N], at the levels the steps end at.
        noise_rate_next: float64 [N].

    Returns:
        float64 [N]; 0 where the schedule holds no noise.

    Source: Ho, Jain and Abbeel (2020), eq. 7; Song, Meng and Ermon (2021), eq. 16 with eta = 1.
    """
    signal_ratio = signal_rate / signal_rate_next
    noise_ratio = np.divide(noise_rate_next, noise_rate, out=np.zeros_like(noise_rate), where=noise_rate > 0)
    return noise_rate_next * np.sqrt(1 - (signal_ratio * noise_ratio) ** 2)
