"""The forward process and the algebra between what a network may predict: eps, x0 or v.

Every function works element by element on tensors that broadcast against one another, in the tensors' own precision.
With e = noise_level * eps and sigma = sqrt(1 - alpha_bar), x_t = signal_rate * x0 + sigma * e is a rotation of (x0, e).
"""

import numpy as np
import tensorflow as tf

from tfdrift.diffusion.schedule import Schedule


def t_unit(level, levels: int) -> tf.Tensor:
    """Return the time a network is given for level index `level`, float32 in [0, 1].

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
        like: [B, S, S, 1], gives the precision.

    Returns:
        [1, 1, 1, 1] or [B, 1, 1, 1].
    """
    return tf.reshape(tf.gather(tf.constant(rates, like.dtype), level), [-1, 1, 1, 1])


def add_noise(x0, eps, level, schedule: Schedule) -> tf.Tensor:
    """Return x_t = signal_rate * x0 + noise_rate * eps.

    Args:
        x0: [B, S, S, 1], the image the process starts from.
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


def x0_from_eps(x_t, eps_hat, signal_rate, noise_rate) -> tf.Tensor:
    """Return the clean image that x_t and its noise imply.

    Source: paper, eq. 4.
    """
    return (x_t - noise_rate * eps_hat) / signal_rate


def eps_from_x0(x_t, x0_hat, signal_rate, noise_rate) -> tf.Tensor:
    """Return the noise that x_t and its clean image imply; 0 where the schedule holds no noise.

    Source: paper, eq. 2 solved for eps.
    """
    return tf.math.divide_no_nan(x_t - signal_rate * x0_hat, noise_rate)


def v_from_x0(x0, eps, level, schedule: Schedule) -> tf.Tensor:
    """Return v = signal_rate * e - sigma * x0, the rate of change of x_t along the rotation.

    Source: Salimans and Ho (2022), sec. 4, with e = noise_level * eps.
    """
    signal_rate = rate_at(schedule.signal_rate, level, like=x0)
    return signal_rate * schedule.noise_level * eps - _sigma(schedule, level, like=x0) * x0


def training_target(prediction: str, x0, eps, level, schedule: Schedule) -> tf.Tensor:
    """Return what the network's `recon` output is compared with in Method 2: eps, x0 or v.

    Raises:
        KeyError: unknown prediction (the configuration refuses it earlier).
    """
    return {"eps": lambda: eps, "x0": lambda: x0, "v": lambda: v_from_x0(x0, eps, level, schedule)}[prediction]()


def x0_and_eps(prediction: str, output, x_t, level, schedule: Schedule) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (x0_hat, eps_hat) from the network's `recon` output, whatever it predicts.

    Args:
        prediction: `eps`, `x0` or `v`.
        output: [B, S, S, 1], the network's prediction.
        x_t: [B, S, S, 1], what the network was shown.
        level: int, scalar or [B].
        schedule: gives the rates.

    Raises:
        KeyError: unknown prediction (the configuration refuses it earlier).

    Source: paper, eq. 4; Salimans and Ho (2022), sec. 4, for x0_hat = signal_rate * x_t - sigma * v.
    """
    signal_rate = rate_at(schedule.signal_rate, level, like=x_t)
    noise_rate = rate_at(schedule.noise_rate, level, like=x_t)

    def from_x0(x0_hat):
        return x0_hat, eps_from_x0(x_t, x0_hat, signal_rate, noise_rate)

    return {
        "eps": lambda: (x0_from_eps(x_t, output, signal_rate, noise_rate), output),
        "x0": lambda: from_x0(output),
        "v": lambda: from_x0(signal_rate * x_t - _sigma(schedule, level, like=x_t) * output),
    }[prediction]()


def _sigma(schedule: Schedule, level, *, like: tf.Tensor) -> tf.Tensor:
    return rate_at(np.sqrt(1 - schedule.signal_rate**2), level, like=like)
