"""The forward process: an image, a level and noise to x_t and the time a network is given; and back."""

import numpy as np
import tensorflow as tf

from tfdrift.diffusion.predictions import PREDICTIONS, Rates
from tfdrift.diffusion.schedule import Schedule


def t_unit(level, levels: int) -> tf.Tensor:
    """Return the time a network is given for a level, float32 in [0, 1].

    Args:
        level: int, scalar or [B], 0 (cleanest) to `levels` - 1.
        levels: T.

    Example:
        >>> t_unit([0, 10, 20], 21).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    return tf.cast(level, tf.float32) / tf.constant(levels - 1, tf.float32)


def rate_at(rates: np.ndarray, level, *, like: tf.Tensor) -> tf.Tensor:
    """Return `rates[level]` in the precision of `like`, shaped to broadcast against images.

    Args:
        rates: float64 [T], `Schedule.signal_rate` or `Schedule.noise_rate`.
        level: int, scalar or [B].
        like: [B, S, S, C] or [B, D, S, S, C], gives precision and rank.

    Returns:
        [1, 1, ...] or [B, 1, ...].
    """
    return tf.reshape(tf.gather(tf.constant(rates, like.dtype), level), [-1, *[1] * (like.shape.rank - 1)])


def rates_at(level, schedule: Schedule, *, like: tf.Tensor) -> Rates:
    """Return all rates of a schedule at the levels of a batch.

    Args:
        level: int, scalar or [B].
        schedule: gives the rates.
        like: see `rate_at`.
    """
    return Rates(
        signal=rate_at(schedule.signal_rate, level, like=like),
        noise=rate_at(schedule.noise_rate, level, like=like),
        sigma=rate_at(np.sqrt(1 - schedule.signal_rate**2), level, like=like),
        noise_level=schedule.noise_level,
    )


def draw_levels(pre: tf.Tensor, levels: int, seed: tf.Tensor) -> tf.Tensor:
    """Return a level for each image of a batch, each equally likely.

    Args:
        pre: [B, ...], gives B.
        levels: T.
        seed: int64 [2].

    Returns:
        int32 [B], 0 to T - 1.
    """
    return tf.random.stateless_uniform(tf.shape(pre)[:1], seed, 0, levels, tf.int32, alg="philox")


def add_noise(x0, eps, level, schedule: Schedule) -> tf.Tensor:
    """Return x_t = signal_rate * x0 + noise_rate * eps.

    Args:
        x0: [B, S, S, C] or [B, D, S, S, C], the image the process starts from.
        eps: the same shape, unit normal.
        level: int, scalar or [B].
        schedule: gives the rates.

    Source: paper, eq. 2.

    Example:
        >>> from tfdrift.diffusion.schedule import make_schedule
        >>> x0, eps = tf.ones([1, 2, 2, 1]), tf.zeros([1, 2, 2, 1])
        >>> x_t = add_noise(x0, eps, 20, make_schedule("linear", levels=21, noise_level=0.2))
        >>> round(float(x_t[0, 0, 0, 0]), 4)
        0.2236
    """
    signal_rate = rate_at(schedule.signal_rate, level, like=x0)
    noise_rate = rate_at(schedule.noise_rate, level, like=x0)
    return signal_rate * x0 + noise_rate * eps


def training_target(prediction: str, x0, eps, level, schedule: Schedule) -> tf.Tensor:
    """Return what the network's `recon` output is compared with where it walks back along the process.

    Args:
        prediction: a name in `PREDICTIONS`.
        x0: [B, S, S, C] or [B, D, S, S, C], the clean image.
        eps: the same shape, the noise.
        level: int, scalar or [B].
        schedule: gives the rates.

    Raises:
        KeyError: unknown prediction (the configuration refuses it earlier).
    """
    return PREDICTIONS[prediction].target(x0, eps, rates_at(level, schedule, like=x0))


def x0_and_eps(prediction: str, output, x_t, level, schedule: Schedule) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (x0_hat, eps_hat) from the network's `recon` output, whatever it predicts.

    Args:
        prediction: a name in `PREDICTIONS`.
        output: [B, S, S, C] or [B, D, S, S, C], the network's prediction.
        x_t: the same shape, what the network was shown.
        level: int, scalar or [B].
        schedule: gives the rates.

    Raises:
        KeyError: unknown prediction (the configuration refuses it earlier).

    Source: paper, eq. 4; Salimans and Ho (2022), sec. 4, for x0_hat = signal_rate * x_t - sigma * v.
    """
    return PREDICTIONS[prediction].estimate(output, x_t, rates_at(level, schedule, like=x_t))
