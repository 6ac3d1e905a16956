"""Noise schedules: how much signal and how much noise each level holds."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tfdrift.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """Rates of x_t = signal_rate * x0 + noise_rate * eps at the levels 0 (cleanest) .. T-1 (noisiest).

    Args:
        signal_rate: float64 [T], sqrt(alpha_bar), in (0, 1].
        noise_rate: float64 [T], noise_level * sqrt(1 - alpha_bar).
        noise_level: standard deviation of the noise where no signal is left, in units of the largest signal.

    Source: paper, eq. 2 and "20% of the largest signal intensity".
    """

    signal_rate: np.ndarray
    noise_rate: np.ndarray
    noise_level: float

    @property
    def levels(self) -> int:
        """Number of levels T."""
        return len(self.signal_rate)


def _ramp(levels: int) -> np.ndarray:
    return np.linspace(0.05, 0.95, levels)


def _cosine(levels: int) -> np.ndarray:
    return np.cos(np.linspace(np.arccos(np.sqrt(0.95)), np.arccos(np.sqrt(0.05)), levels)) ** 2


SCHEDULES: dict[str, Callable[[int], np.ndarray]] = {
    "linear": lambda levels: 1 - _ramp(levels),
    "linear-beta": lambda levels: np.cumprod(1 - _ramp(levels)),
    "linear-rate": lambda levels: 1 - _ramp(levels) ** 2,
    "cosine": _cosine,
}
"""What `--schedule` may be: the share of signal variance left, alpha_bar, float64 [T], as a function of T.

`linear` reads the paper's linspace(0.05, 0.95, T) as 1 - alpha_bar; `linear-beta` as the betas of DDPM, whose product
leaves about 1e-9 of the signal at T = 21; `linear-rate` as the noise rate itself, sqrt(1 - alpha_bar); `cosine` turns
the angle arccos(sqrt(alpha_bar)) evenly between the ends of `linear`, so that the two differ in pace alone (Nichol and
Dhariwal 2021, sec. 3.2).
"""


def alpha_bar(name: str, levels: int) -> np.ndarray:
    """Return the share of signal variance left at each level.

    Args:
        name: a name in `SCHEDULES`.
        levels: T, at least 2.

    Returns:
        float64 [T], strictly decreasing, in (0, 1).

    Raises:
        UsageError: unknown name, or fewer than 2 levels.

    Source: paper, "AI model development and training".

    Example:
        >>> alpha_bar("linear", 3).round(2).tolist()
        [0.95, 0.5, 0.05]
    """
    if levels < 2:
        raise UsageError(f"--levels {levels}: a schedule needs at least 2 levels")
    if name not in SCHEDULES:
        raise UsageError(f"--schedule {name}: choose from {', '.join(SCHEDULES)}")
    return SCHEDULES[name](levels)


def make_schedule(name: str, *, levels: int, noise_level: float) -> Schedule:
    """Return the named schedule.

    Args:
        name: a name in `SCHEDULES`.
        levels: T.
        noise_level: standard deviation of the noise where no signal is left, in units of the largest signal.

    Raises:
        UsageError: unknown name, fewer than 2 levels, a negative noise level, or a level without any signal.

    Source: paper, eq. 2.

    Example:
        >>> make_schedule("linear", levels=21, noise_level=0.2).noise_rate.max().round(4).item()
        0.1949
    """
    if noise_level < 0:
        raise UsageError(f"--noise-level {noise_level}: must be 0 or more")
    share = alpha_bar(name, levels)
    if share[-1] < np.finfo(np.float32).tiny:
        raise UsageError(
            f"--schedule {name} with --levels {levels} leaves no signal at the last level; use fewer levels"
        )
    return Schedule(signal_rate=np.sqrt(share), noise_rate=noise_level * np.sqrt(1 - share), noise_level=noise_level)


def sampler_levels(levels: int, num_steps: int) -> list[int]:
    """Return the levels a sampler of `num_steps` steps visits, from T-1 down to 0, as evenly as integers allow.

    Integer arithmetic throughout: `t - T // N` and rounded floats skip or repeat levels for many N.

    Args:
        levels: T, at least 2.
        num_steps: N, from 1 to T. A single step starts and ends at T-1.

    Returns:
        Exactly N strictly decreasing integers.

    Raises:
        UsageError: N is not in 1 .. T.

    Example:
        >>> sampler_levels(21, 5)
        [20, 15, 10, 5, 0]
        >>> sampler_levels(21, 1)
        [20]
    """
    if not 1 <= num_steps <= levels:
        raise UsageError(f"--sample-steps {num_steps}: must be between 1 and --levels {levels}")
    if num_steps == 1:
        return [levels - 1]
    return [(levels - 1) * (num_steps - 1 - i) // (num_steps - 1) for i in range(num_steps)]
