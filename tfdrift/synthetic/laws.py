"""The laws by which the phantom's lesions respond, by name, as they stand at the second MRI on day 21.

On other days every logarithm, and what `necrosis` takes from the core's signal, is c(day) times as large
(`tfdrift.synthetic.law`).

With b(u) the rim's brightness in direction u, z_q the core fraction q in standard units, R(u) the surface before
treatment and d the distance from the centre. Capital letters and f_chance are chance.

`response`: a bright rim, well supplied with blood, shrinks and fades; a large dark core does neither so much.

    log R_post(u) / R(u)     = -0.06 - 0.14 b(u) + 0.05 z_q + 0.05 Z + 0.05 f_chance(u)
    log signal_post / signal = -0.25 - 0.25 b(u) + 0.05 z_q + 0.10 Y                      at equal depth

`chance`: nothing that can be seen tells anything.

    log R_post(u) / R(u)     = 0.10 Z + 0.05 f_chance(u)
    log signal_post / signal = 0.15 Y                                                     at equal depth

`growth`: most lesions grow, more where the rim is bright. What was there stays where it is and fades, and what is new
is a bright rim.

    log R_post(u) / R(u)     = 0.12 + 0.10 b(u) - 0.04 z_q + 0.05 Z + 0.05 f_chance(u)
    signal_post              = 0.75 signal for d < R(u), 1.0 beyond, with an edge of 0.04 R(u); times exp(0.10 Y)

`necrosis`: the surface stays. The core grows, least where the rim is bright, and darkens.

    log R_post(u) / R(u)     = 0
    log q_post(u) / q        = 0.45 - 0.35 b(u) + 0.10 Z + 0.10 f_chance(u), and q_post at most 0.9
    signal of the core       = 0.20 instead of 0.35; all times exp(0.10 Y)

`dose`: as `response`, and the surface shrinks the more the higher the mean dose D inside the GTV is, ever less so at
high doses. Each lesion has a plan of its own (`tfdrift.synthetic.dose_plan`), which the samples show as the channel
`dose`.

    log R_post(u) / R(u)     = 0.15 - 0.40 h(D) - 0.10 b(u) + 0.05 z_q + 0.05 Z + 0.05 f_chance(u)
    h(D)                     = D^4 / (D^4 + 20^4)                                         D in Gy
    log signal_post / signal = -0.25 - 0.25 b(u) + 0.05 z_q + 0.10 Y                      at equal depth

`mixed`: each patient has one of `response`, `growth` and `necrosis`, drawn with equal chances. Nothing that can be seen
tells which.

`random`: the form of `response`, each lesion with coefficients of its own, which are told as the condition `law`. To be
scored on it says little; it is there to start from (`tfdrift train --pretrained`), with as many patients as one likes.

    log R_post(u) / R(u)     = a + b b(u) + c z_q + 0.05 Z + 0.05 f_chance(u)     a, b, c ~ N(0, 0.12, 0.15, 0.05)
    log signal_post / signal = d + e b(u) + f z_q + 0.10 Y                         d, e, f ~ N(0, 0.20, 0.25, 0.05)
"""

import numpy as np

from tfdrift.synthetic.law import CORE_SIGNAL, Law, Lesion, sigmoid

DOSE, MIXED, RANDOM = "dose", "mixed", "random"
HALF_EFFECT_GY = 20.0
"""Mean dose inside the GTV that has half of the effect there can be."""
DARK_CORE = 0.20
"""Signal of a necrotic core, in units of `tfdrift.synthetic.law.SIGNAL`."""
NEW_RIM = 1.0
"""Signal of tissue that has grown, in the same units."""


def _response_radius(lesion: Lesion, directions: np.ndarray) -> np.ndarray:
    return (
        -0.06 - 0.14 * lesion.rim_brightness(directions) + 0.05 * lesion.core_excess
        + 0.05 * lesion.chance.radius + 0.05 * lesion.chance.direction(directions)
    )  # fmt: skip


def _response_gain(lesion: Lesion, directions: np.ndarray) -> np.ndarray:
    brightness = lesion.rim_brightness(directions)
    return -0.25 - 0.25 * brightness + 0.05 * lesion.core_excess + 0.10 * lesion.chance.signal


def _chance_radius(lesion: Lesion, directions: np.ndarray) -> np.ndarray:
    return 0.10 * lesion.chance.radius + 0.05 * lesion.chance.direction(directions)


def _growth_radius(lesion: Lesion, directions: np.ndarray) -> np.ndarray:
    return (
        0.12 + 0.10 * lesion.rim_brightness(directions) - 0.04 * lesion.core_excess
        + 0.05 * lesion.chance.radius + 0.05 * lesion.chance.direction(directions)
    )  # fmt: skip


def _growth_tissue(lesion: Lesion, directions: np.ndarray, distance_mm: np.ndarray, progress: float) -> np.ndarray:
    depth = distance_mm / lesion.untreated_mm(directions)
    old = 0.75**progress * lesion.tissue(directions, depth, lesion.core)
    return old + (NEW_RIM - old) * sigmoid((depth - 1) / 0.04)


def _necrosis_tissue(lesion: Lesion, directions: np.ndarray, distance_mm: np.ndarray, progress: float) -> np.ndarray:
    depth = distance_mm / lesion.untreated_mm(directions)
    brightness, chance = lesion.rim_brightness(directions), lesion.chance
    spread = 0.45 - 0.35 * brightness + 0.10 * chance.radius + 0.10 * chance.direction(directions)
    core = np.minimum(lesion.core * np.exp(progress * spread), 0.9)
    tissue = lesion.tissue(directions, depth, core)
    # The rim keeps its signal: the share of the core falls from 1 in the middle to 0 at the rim.
    return tissue - progress * (CORE_SIGNAL - DARK_CORE) * sigmoid((core - depth) / 0.08)


def dose_effect(mean_gy: float) -> float:
    """Return h(D), the share of the effect that a mean dose inside the GTV has, in Gy.

    Example:
        >>> [round(dose_effect(mean_gy), 3) for mean_gy in (0, 16, 20, 24)]
        [0.0, 0.291, 0.5, 0.675]
    """
    return mean_gy**4 / (mean_gy**4 + HALF_EFFECT_GY**4)


def _dose_radius(lesion: Lesion, directions: np.ndarray) -> np.ndarray:
    return (
        0.15 - 0.40 * dose_effect(lesion.mean_dose_gy)
        - 0.10 * lesion.rim_brightness(directions) + 0.05 * lesion.core_excess
        + 0.05 * lesion.chance.radius + 0.05 * lesion.chance.direction(directions)
    )  # fmt: skip


def _none(_lesion: Lesion, directions: np.ndarray) -> np.ndarray:
    return np.zeros(directions.shape[:-1])


def _random_gain(scale: float):
    def gain(lesion: Lesion, directions: np.ndarray) -> np.ndarray:
        return np.full(directions.shape[:-1], scale * lesion.chance.signal)

    return gain


LAWS: dict[str, Law] = {
    "response": Law(log_radius=_response_radius, log_gain=_response_gain),
    "chance": Law(log_radius=_chance_radius, log_gain=_random_gain(0.15)),
    "growth": Law(log_radius=_growth_radius, log_gain=_random_gain(0.10), tissue=_growth_tissue),
    "necrosis": Law(log_radius=_none, log_gain=_random_gain(0.10), tissue=_necrosis_tissue),
    DOSE: Law(log_radius=_dose_radius, log_gain=_response_gain),
}
"""Every law of one kind; `MIXED` draws from those in which something can be learned."""

NAMES = (*LAWS, MIXED, RANDOM)
LEARNABLE = ("response", "growth", "necrosis")
COEFFICIENT_STDS = (0.12, 0.15, 0.05, 0.20, 0.25, 0.05)
"""Standard deviations of a, b, c, d, e and f of `RANDOM`."""


def law_of(name: str, rng: np.random.Generator) -> Law:
    """Return the law of a patient.

    Args:
        name: in `NAMES`, but not `RANDOM`, of which each lesion has its own.
        rng: what the law is drawn from where the name is `MIXED`.

    Example:
        >>> law_of("chance", np.random.default_rng(0)) is LAWS["chance"]
        True
    """
    return LAWS[LEARNABLE[int(rng.integers(len(LEARNABLE)))] if name == MIXED else name]


def draw_law(rng: np.random.Generator) -> Law:
    """Return the law of a lesion under `RANDOM`.

    Args:
        rng: what its coefficients are drawn from.

    Example:
        >>> len(draw_law(np.random.default_rng(0)).coefficients)
        6
    """
    a, b, c, d, e, f = rng.normal(0, COEFFICIENT_STDS)

    def log_radius(lesion: Lesion, directions: np.ndarray) -> np.ndarray:
        visible = a + b * lesion.rim_brightness(directions) + c * lesion.core_excess
        return visible + 0.05 * lesion.chance.radius + 0.05 * lesion.chance.direction(directions)

    def log_gain(lesion: Lesion, directions: np.ndarray) -> np.ndarray:
        return d + e * lesion.rim_brightness(directions) + f * lesion.core_excess + 0.10 * lesion.chance.signal

    return Law(log_radius=log_radius, log_gain=log_gain, coefficients=(a, b, c, d, e, f))
