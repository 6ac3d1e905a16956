"""What a lesion of the phantom is, and the law by which it responds.

A lesion is star-shaped: in direction u (a unit vector from its centre) its surface lies at

    R(u) = r (1 + 0.12 f_shape(u))

and at depth s = distance / R(u) its signal is a dark core, a bright rim, and texture:

    signal = 1000 (0.35 + (rim(u) - 0.35) sigmoid((s - q) / 0.08)) (1 + 0.08 f_texture)     rim(u) = 0.8 (1 + 0.4 b(u))

with the core fraction q and the rim's brightness b(u) = tanh(f_rim(u)), which is visible before treatment. All f are
sums of a few random waves with mean 0 and standard deviation about 1. Until the second MRI the radius and the signal
change by

    log R_post(u) / R(u)  =  -0.06 - 0.14 b(u) + 0.05 z_q + 0.05 Z + 0.05 f_chance(u)
    log signal_post / signal = -0.25 - 0.25 b(u) + 0.05 z_q + 0.10 Y

where z_q is q in standard units: a bright rim, well supplied with blood, responds; a large dark core does not. The
capital letters and f_chance are chance, drawn anew for each lesion and seen by nobody. Until the follow-up the same
change of radius goes on, 1.7 times as far, with another chance of standard deviation 0.05.
"""

import dataclasses

import numpy as np

SESSIONS = ("pre", "post", "follow_up")
SIGNAL = 1000.0
"""Scanner units that stand for 1."""

CORE_MEAN, CORE_STD = 0.35, 0.15
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
    """

    center_mm: np.ndarray
    radius_mm: float
    core: float
    shape: Waves
    rim: Waves
    texture: Waves
    chance: Chance

    def volume_mm3(self, session: str) -> float:
        """Return the volume inside the surface, by the mean of R(u)^3 over a sphere of directions."""
        directions = _sphere()
        return float(4 / 3 * np.pi * np.mean(self.surface_mm(directions, session) ** 3))

    def reach_mm(self, session: str) -> float:
        """Return a radius that the whole lesion lies within."""
        return 1.05 * float(self.surface_mm(_sphere(), session).max())

    def surface_mm(self, directions: np.ndarray, session: str) -> np.ndarray:
        """Return R(u), float64 [...], in mm.

        Args:
            directions: float64 [..., 3], unit vectors u from the centre.
            session: one of `SESSIONS`.
        """
        surface = self.radius_mm * (1 + 0.12 * self.shape(directions))
        if session == "pre":
            return surface
        change = (
            -0.06 - 0.14 * self.rim_brightness(directions) + 0.05 * self.core_excess
            + 0.05 * self.chance.radius + 0.05 * self.chance.direction(directions)
        )  # fmt: skip
        if session == "follow_up":
            change = 1.7 * change + 0.05 * self.chance.follow_up
        return surface * np.exp(change)

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

    def signal(self, points_mm: np.ndarray, session: str) -> np.ndarray:
        """Return the tissue's signal, without gain and noise, float64 [...], in scanner units.

        Args:
            points_mm: float64 [..., 3], places in the head's axes.
            session: one of `SESSIONS`.
        """
        directions, distance = self._polar(points_mm)
        depth = distance / self.surface_mm(directions, session)
        brightness = self.rim_brightness(directions)
        rim = 0.8 * (1 + 0.4 * brightness)
        signal = 0.35 + (rim - 0.35) * sigmoid((depth - self.core) / 0.08)
        signal = SIGNAL * signal * (1 + 0.08 * self.texture((points_mm - self.center_mm) / self.radius_mm))
        if session != "pre":
            signal = signal * np.exp(-0.25 - 0.25 * brightness + 0.05 * self.core_excess + 0.10 * self.chance.signal)
        return signal

    def _polar(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = points_mm - self.center_mm
        distance = np.linalg.norm(offset, axis=-1)
        return offset / np.maximum(distance, 1e-9)[..., None], distance


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
