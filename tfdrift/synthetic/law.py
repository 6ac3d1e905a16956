"""What a lesion of the phantom is, and what a law by which it responds is made of.

A lesion is star-shaped: in direction u (a unit vector from its centre) its surface lies at

    R(u) = r (1 + 0.12 f_shape(u))

and at depth s = distance / R(u) its signal is a dark core, a bright rim, and texture:

    signal = 1000 (0.35 + (rim(u) - 0.35) sigmoid((s - q) / 0.08)) (1 + 0.08 f_texture)     rim(u) = 0.8 (1 + 0.4 b(u))

with the core fraction q and the rim's brightness b(u) = tanh(f_rim(u)), which is visible before treatment. All f are
sums of a few random waves with mean 0 and standard deviation about 1. A `Law` says how the surface, the tissue and its
signal change until the second MRI, with chance that is drawn anew for each lesion and seen by nobody; the laws are in
`tfdrift.synthetic.laws`. In time every change goes on alike, c(day) times as far as until the second MRI on day 21:

    c(day) = (1 - exp(-day / 24.686)) / (1 - exp(-21 / 24.686))         c(0) = 0, c(21) = 1, c(90) = 1.7, at most 1.75

Until the follow-up, on day 90, the change of radius goes 1.7 times as far, with another chance of standard deviation
0.05.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from tfdrift.synthetic.dose_plan import DosePlan

SESSIONS = ("pre", "post", "follow_up")
SIGNAL = 1000.0
"""Scanner units that stand for 1."""

SECOND_MRI_DAY = 21
TIME_CONSTANT_DAYS = 24.686
"""Of the course of every change; with it 1.7 times as much has changed on day 90 as on `SECOND_MRI_DAY`."""

CORE_MEAN, CORE_STD = 0.35, 0.15
CORE_SIGNAL = 0.35
_SPHERE_POINTS = 4000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Waves:
    """A smooth random function, sqrt(2 / K) times the sum of K sine waves: mean 0, standard deviation about 1.

    Args:
        vectors: float64 [K, 3], wave vectors in radians per unit of the points.
        phases: float64 [K].
    """

    vectors: np.ndarray
    phases: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, *, waves: int, shortest: float, longest: float) -> "Waves":
        """Draw a function.

        Args:
            rng: what is drawn from.
            waves: number of waves K.
            shortest: length of the shortest wave vector, in radians per unit of the points.
            longest: length of the longest.
        """
        directions = rng.standard_normal((waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return cls(
            vectors=directions * rng.uniform(shortest, longest, (waves, 1)), phases=rng.uniform(0, 2 * np.pi, waves)
        )

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the function's values, float64 [...], at float64 [..., 3] points."""
        total = np.zeros(points.shape[:-1])
        for vector, phase in zip(self.vectors, self.phases, strict=True):
            total += np.sin(points @ vector + phase)
        return np.sqrt(2 / len(self.phases)) * total


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Chance:
    """What nobody can see before treatment.

    Args:
        radius: Z, of the whole lesion.
        direction: f_chance.
        signal: Y.
        follow_up: of the change until the follow-up.
    """

    radius: float
    direction: Waves
    signal: float
    follow_up: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Chance":
        """Draw one outcome."""
        radius, signal, follow_up = rng.standard_normal(3)
        direction = Waves.draw(rng, waves=5, shortest=1.5, longest=3.0)
        return cls(radius=radius, direction=direction, signal=signal, follow_up=follow_up)

    @classmethod
    def none(cls) -> "Chance":
        """Return the outcome in the middle of all: nothing is above or below what can be foreseen."""
        return cls(radius=0.0, direction=Waves(vectors=np.zeros((1, 3)), phases=np.zeros(1)), signal=0.0, follow_up=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Law:
    """How a lesion changes until its second MRI, as three functions of it and of directions u, float64 [..., 3].

    Args:
        log_radius: (lesion, u) to log R_post(u) / R(u), float64 [...].
        log_gain: (lesion, u) to what is added to the logarithm of the signal, float64 [...].
        tissue: (lesion, u, distance from the centre in mm, how far the change has gone) to the signal that the gain
            multiplies, in units of `SIGNAL`, float64 [...]; None for the tissue before treatment at equal depth.
        coefficients: what one of many laws of a form is known by; empty for a law that stands alone.
    """

    log_radius: Callable[["Lesion", np.ndarray], np.ndarray]
    log_gain: Callable[["Lesion", np.ndarray], np.ndarray]
    tissue: Callable[["Lesion", np.ndarray, np.ndarray, float], np.ndarray] | None = None
    coefficients: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Lesion:
    """One metastasis: what is visible before treatment, and the chance that decides the rest.

    Args:
        center_mm: float64 [3].
        radius_mm: r.
        core: q, in [0.05, 0.7].
        shape: f_shape, a function of direction.
        rim: f_rim, a function of direction.
        texture: a function of position divided by r.
        chance: this lesion's outcome.
        law: by which it responds.
        since: how far the change has gone at the first MRI of a pair, `course` of its day.
        until: how far it has gone at the second.
        plan: of its dose; None where a law asks for none.
    """

    center_mm: np.ndarray
    radius_mm: float
    core: float
    shape: Waves
    rim: Waves
    texture: Waves
    chance: Chance
    law: Law
    since: float = 0.0
    until: float = 1.0
    plan: DosePlan | None = None

    def between(self, first_day: float, second_day: float) -> "Lesion":
        """Return the lesion as two MRIs of other days show it.

        Args:
            first_day: of the MRI `pre`, 0 before treatment.
            second_day: of the MRI `post`.
        """
        return dataclasses.replace(self, since=course(first_day), until=course(second_day))

    def at_dose(self, factor: float) -> "Lesion":
        """Return the very same lesion, its chance included, with so many times the dose: what would have been."""
        return self if self.plan is None else dataclasses.replace(self, plan=self.plan.scaled(factor))

    @functools.cached_property
    def mean_dose_gy(self) -> float:
        """The mean dose inside the GTV before treatment, in Gy; 0 without a plan."""
        directions = _sphere()
        return 0.0 if self.plan is None else self.plan.mean_gy(directions, self.untreated_mm(directions))

    def dose_gy(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the dose of its own plan, float64 [...], in Gy, at float64 [..., 3] places in the head's axes."""
        directions, distance = self._polar(points_mm)
        if self.plan is None:
            return np.zeros(distance.shape)
        return self.plan.dose_gy(directions, distance, self.untreated_mm(directions))

    def volume_mm3(self, session: str) -> float:
        """Return the volume inside the surface, by the mean of R(u)^3 over a sphere of directions."""
        directions = _sphere()
        return float(4 / 3 * np.pi * np.mean(self.surface_mm(directions, session) ** 3))

    def reach_mm(self, session: str) -> float:
        """Return a radius that the whole lesion lies within."""
        if session not in self._reaches:
            self._reaches[session] = 1.05 * float(self.surface_mm(_sphere(), session).max())
        return self._reaches[session]

    @functools.cached_property
    def _reaches(self) -> dict[str, float]:
        return {}

    def surface_mm(self, directions: np.ndarray, session: str) -> np.ndarray:
        """Return R(u), float64 [...], in mm.

        Args:
            directions: float64 [..., 3], unit vectors u from the centre.
            session: one of `SESSIONS`.
        """
        surface = self.untreated_mm(directions)
        progress = self._progress(session)
        if progress == 0:
            return surface
        change = progress * self.law.log_radius(self, directions)
        if session == "follow_up":
            change = 1.7 * change + 0.05 * self.chance.follow_up
        return surface * np.exp(change)

    def untreated_mm(self, directions: np.ndarray) -> np.ndarray:
        """Return R(u) before treatment, float64 [...], in mm.

        Args:
            directions: see `surface_mm`.
        """
        return self.radius_mm * (1 + 0.12 * self.shape(directions))

    def movement_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Return how far the tissue at each place of the first MRI moves until the second, float64 [..., 3], in mm.

        Tissue keeps its depth below the surface, so that it moves along the ray from the centre; by a law with tissue
        of its own, what was there stays where it is.

        Args:
            points_mm: float64 [..., 3], places in the head's axes.
        """
        directions, distance = self._polar(points_mm)
        if self.law.tissue is not None:
            return np.zeros(points_mm.shape)
        change = (self.until - self.since) * self.law.log_radius(self, directions)
        return (distance * np.expm1(change))[..., None] * directions

    def rim_brightness(self, directions: np.ndarray) -> np.ndarray:
        """Return b(u) in (-1, 1)."""
        return np.tanh(self.rim(directions))

    @property
    def core_excess(self) -> float:
        """The core fraction in standard units, z_q."""
        return (self.core - CORE_MEAN) / CORE_STD

    def depth(self, points_mm: np.ndarray, session: str) -> np.ndarray:
        """Return s = distance / R(u), below 1 inside the GTV, float64 [...].

        Args:
            points_mm: float64 [..., 3], places in the head's axes.
            session: one of `SESSIONS`.
        """
        directions, distance = self._polar(points_mm)
        return distance / self.surface_mm(directions, session)

    def signal(self, points_mm: np.ndarray, session: str, depth: np.ndarray | None = None) -> np.ndarray:
        """Return the tissue's signal, without gain and noise, float64 [...], in scanner units.

        Args:
            points_mm: float64 [..., 3], places in the head's axes.
            session: one of `SESSIONS`.
            depth: of the points, where it is at hand.
        """
        directions, distance = self._polar(points_mm)
        progress = self._progress(session)
        if progress == 0 or self.law.tissue is None:
            depth = distance / self.surface_mm(directions, session) if depth is None else depth
            tissue = self.tissue(directions, depth, self.core)
        else:
            tissue = self.law.tissue(self, directions, distance, progress)
        signal = SIGNAL * tissue * (1 + 0.08 * self.texture((points_mm - self.center_mm) / self.radius_mm))
        return signal if progress == 0 else signal * np.exp(progress * self.law.log_gain(self, directions))

    def tissue(self, directions: np.ndarray, depth: np.ndarray, core: np.ndarray | float) -> np.ndarray:
        """Return the signal of a dark core and a bright rim, without texture, in units of `SIGNAL`, float64 [...].

        Args:
            directions: float64 [..., 3], unit vectors u from the centre.
            depth: s, float64 [...].
            core: q, a number or float64 [...].
        """
        rim = 0.8 * (1 + 0.4 * self.rim_brightness(directions))
        return CORE_SIGNAL + (rim - CORE_SIGNAL) * sigmoid((depth - core) / 0.08)

    def _progress(self, session: str) -> float:
        return {"pre": self.since, "post": self.until, "follow_up": 1.0}[session]

    def _polar(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = points_mm - self.center_mm
        distance = np.linalg.norm(offset, axis=-1)
        return offset / np.maximum(distance, 1e-9)[..., None], distance


def course(day: float) -> float:
    """Return c(day), how far a change has gone: 0 before treatment, 1 at the second MRI.

    Args:
        day: after the first MRI, 0 or more.

    Example:
        >>> course(0), course(SECOND_MRI_DAY), round(course(90), 3)
        (0.0, 1.0, 1.7)
    """
    gone, until_second = (1 - math.exp(-one / TIME_CONSTANT_DAYS) for one in (day, SECOND_MRI_DAY))
    return gone / until_second


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def _sphere() -> np.ndarray:
    """Return evenly spread unit vectors (a Fibonacci lattice), float64 [_SPHERE_POINTS, 3]."""
    index = np.arange(_SPHERE_POINTS) + 0.5
    height = 1 - 2 * index / _SPHERE_POINTS
    angle = np.pi * (1 + np.sqrt(5)) * index
    width = np.sqrt(1 - height**2)
    return np.stack([width * np.cos(angle), width * np.sin(angle), height], axis=1)
