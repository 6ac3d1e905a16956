"""The plan by which a lesion of the phantom is treated: a dose that fits its surface before treatment.

At depth s in direction u, with the prescription P, the hot spot h and a tilt t along the axis a,

    D(s, u) = P (1 + h (1 - s^2) + t s u.a)               inside, s <= 1
    D       = D(1, u) exp(-(distance - R(u)) / 4.5 mm)    outside

so that the surface gets about the prescription, the middle more, and half of it is left 3 mm outside. Everything is
drawn by chance, whatever the lesion is like: in the phantom, unlike in a hospital, no lesion gets less dose for being
large.
"""

import dataclasses

import numpy as np

PRESCRIPTION_GY = (15.0, 24.0)
HOT_SPOT = (0.1, 0.4)
"""From a prescription to the isodose of 91% to one of 71%."""
MAX_TILT = 0.05
FALL_MM = 4.5
"""Outside the surface the dose falls by a factor of e over so many mm."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DosePlan:
    """The dose of one lesion.

    Args:
        prescription_gy: P.
        hot_spot: h.
        tilt: float64 [3], t a.
    """

    prescription_gy: float
    hot_spot: float
    tilt: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "DosePlan":
        """Draw the plan of a lesion."""
        prescription_gy, hot_spot = rng.uniform(*PRESCRIPTION_GY), rng.uniform(*HOT_SPOT)
        axis = rng.standard_normal(3)
        return cls(
            prescription_gy=prescription_gy,
            hot_spot=hot_spot,
            tilt=axis / np.linalg.norm(axis) * rng.uniform(0, MAX_TILT),
        )

    def scaled(self, factor: float) -> "DosePlan":
        """Return the plan with so many times the dose everywhere."""
        return dataclasses.replace(self, prescription_gy=factor * self.prescription_gy)

    def dose_gy(self, directions: np.ndarray, distance_mm: np.ndarray, surface_mm: np.ndarray) -> np.ndarray:
        """Return the dose at any points, float64 [...], in Gy.

        Args:
            directions: float64 [..., 3], unit vectors u from the lesion's centre.
            distance_mm: float64 [...], from the centre.
            surface_mm: float64 [...], R(u) before treatment.

        Example:
            >>> plan = DosePlan(prescription_gy=20.0, hot_spot=0.25, tilt=np.zeros(3))
            >>> plan.dose_gy(np.eye(3), np.array([0.0, 5.0, 9.5]), np.full(3, 5.0)).round(2).tolist()
            [25.0, 20.0, 7.36]
        """
        depth = np.minimum(distance_mm / surface_mm, 1)
        inside = 1 + self.hot_spot * (1 - depth**2) + depth * (directions @ self.tilt)
        return self.prescription_gy * inside * np.exp(-np.maximum(distance_mm - surface_mm, 0) / FALL_MM)

    def mean_gy(self, directions: np.ndarray, surface_mm: np.ndarray) -> float:
        """Return the mean dose inside a surface, in Gy.

        Args:
            directions: float64 [n, 3], unit vectors spread evenly over a sphere.
            surface_mm: float64 [n], R(u) before treatment.

        In direction u the volume at depth s is proportional to R(u)^3 s^2, over which 1 - s^2 has the mean 2/5 and s
        the mean 3/4.

        Example:
            >>> plan = DosePlan(prescription_gy=20.0, hot_spot=0.25, tilt=np.zeros(3))
            >>> round(plan.mean_gy(np.eye(3), np.full(3, 5.0)), 6)
            22.0
        """
        along = 1 + 0.4 * self.hot_spot + 0.75 * (directions @ self.tilt)
        return float(self.prescription_gy * np.average(along, weights=surface_mm**3))
