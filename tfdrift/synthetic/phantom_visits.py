"""The three visits of a phantom patient: who, when, how the head lies, what the scanner's field of view is.

The rules by which they differ are in `tfdrift.synthetic.phantom_dicom`.
"""

import dataclasses
import datetime

import numpy as np

from tfdrift.imaging.geometry import Grid
from tfdrift.synthetic.phantom import HEAD_SEMI_AXES_MM, SESSION_DAYS, SESSIONS, Lesion, Patient
from tfdrift.synthetic.phantom_objects import Storage, Visit, make_uid, to_mm

MAX_ANGLE_DEGREES, MAX_SHIFT_MM = 10.0, 15.0

_FIELD_MARGIN_MM = 8.0
_FIELD_OFFSET_MM = 2.0
_STORAGES = (Storage(signed=False), Storage(signed=True), Storage(signed=False, slope=0.25, intercept=-16.0))
_FAMILIES = ("Ahorn", "Birke", "Erle", "Fichte", "Hasel", "Kiefer", "Linde", "Ulme", "Weide")
_GIVEN = {"F": ("Alba", "Carla", "Edda", "Greta", "Ida"), "M": ("Bruno", "Dario", "Falk", "Hugo", "Jan")}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Acquisition:
    """How one visit's images were taken.

    Args:
        session: one of `SESSIONS`.
        visit: identity and frame of reference.
        motion: float64 [4, 4], maps points of the first visit's frame to points of this one's, mm. The head's own axes
            are the first visit's.
        grid: of the series.
        storage: of its pixels.
        rng: of its noise.
    """

    session: str
    visit: Visit
    motion: np.ndarray
    grid: Grid
    storage: Storage
    rng: np.random.Generator

    @property
    def folder(self) -> str:
        """Name of the study's folder."""
        return f"{self.visit.date.isoformat()}_{self.session}"

    def in_head(self, indices: np.ndarray) -> np.ndarray:
        """Return points of the head's axes, float64 [..., 3], of indices (column, row, slice) [..., 3]."""
        return (to_mm(self.grid, indices) - self.motion[:3, 3]) @ self.motion[:3, :3]

    def to_index(self, head_mm: np.ndarray) -> np.ndarray:
        """Return the continuous index, float64 [3], of a point [3] of the head's axes."""
        return self.grid.to_index((self.motion[:3, :3] @ head_mm + self.motion[:3, 3])[None])[0]


def make_acquisitions(
    patient: Patient, seed: int, spacing_mm: tuple[float, float, float], law: str = "response"
) -> list[Acquisition]:
    """Return the visits of a patient in the order of `SESSIONS`.

    Args:
        patient: one of `tfdrift.synthetic.phantom.make_cohort`.
        seed: they depend on it, the patient's number and the spacing alone.
        spacing_mm: distance of slices, rows and columns.
        law: of the cohort; other content has other UIDs.
    """
    number = patient.number
    rng = np.random.default_rng([seed, 6, number])
    key = f"{seed}/{spacing_mm}/{number}" + ("" if law == "response" else f"/{law}")
    sex = "FM"[number % 2]
    given, family = _GIVEN[sex][number // 2 % 5], _FAMILIES[number % len(_FAMILIES)]
    first_date = datetime.date(2023, 1, 9) + datetime.timedelta(days=5 * number)
    birth_date = datetime.date(1940, 1, 1) + datetime.timedelta(days=int(rng.integers(12_000)))
    acquisitions = []
    for place, session in enumerate(SESSIONS):
        late_days = 0 if session == "pre" else int(rng.integers(-2, 3))
        moved = number % 2 == 1 and session != "pre"
        visit = Visit(
            key=f"{key}/{session}",
            patient_id=f"{481_000 + 37 * number}",
            patient_name=f"{family}^{given}",
            birth_date=birth_date,
            sex=sex,
            date=first_date + datetime.timedelta(days=SESSION_DAYS[session] + late_days),
            frame_of_reference_uid=make_uid(f"{key}/{session if moved else 'pre'}/frame"),
        )
        motion = _draw_motion(rng) if moved else np.eye(4)
        tilt = _rotation(np.array([1.0, 0.0, 0.3]), rng.uniform(4, 12)) if number % 3 == 1 else np.eye(3)
        acquisitions.append(
            Acquisition(
                session=session,
                visit=visit,
                motion=motion,
                grid=_field_of_view(motion, tilt, spacing_mm, rng),
                storage=_STORAGES[(number + place) % len(_STORAGES)],
                rng=np.random.default_rng([seed, 5, number, place]),
            )
        )
    return acquisitions


def roi_names(patient: Patient, session: str) -> list[str]:
    """Return what a visit's planner calls the GTV of each lesion.

    Args:
        patient: whose lesions.
        session: one of `SESSIONS`.

    Example:
        >>> from tfdrift.synthetic.phantom import make_cohort
        >>> cohort = make_cohort(6)
        >>> roi_names(cohort[3], "pre"), roi_names(cohort[3], "post")
        (['GTV-1 (L temporal)'], ['GTV1_L_temporal'])
        >>> roi_names(cohort[5], "pre"), roi_names(cohort[5], "post")
        (['gtv 1', 'gtv 2', 'gtv 3'], ['gtv 3', 'gtv 2', 'gtv 1'])
    """
    later, count = session != "pre", len(patient.lesions)
    style = (patient.number + (later and patient.number % 4 == 3)) % 4
    names = []
    for place, lesion in enumerate(patient.lesions, start=1):
        number = count + 1 - place if later and patient.number % 6 == 5 else place
        side, lobe = _lobe(lesion)
        names.append(
            (f"GTV{number}_{side}_{lobe}", f"gtv {number}", f"Met {number}", f"GTV-{number} ({side} {lobe})")[style]
        )
    return names


def _lobe(lesion: Lesion) -> tuple[str, str]:
    x, y, z = lesion.center_mm
    if y < -20:
        lobe = "frontal"
    elif z > 5:
        lobe = "parietal"
    elif y > 30:
        lobe = "cerebellum" if z < -25 else "occipital"
    else:
        lobe = "temporal"
    return "L" if x > 0 else "R", lobe


def _draw_motion(rng: np.random.Generator) -> np.ndarray:
    motion = np.eye(4)
    motion[:3, :3] = _rotation(rng.standard_normal(3), rng.uniform(2, MAX_ANGLE_DEGREES))
    shift = rng.standard_normal(3)
    motion[:3, 3] = shift / np.linalg.norm(shift) * rng.uniform(3, MAX_SHIFT_MM)
    return motion


def _rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Return the rotation about an axis, float64 [3, 3], by Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _field_of_view(
    motion: np.ndarray, direction: np.ndarray, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> Grid:
    # An ellipsoid reaches as far along a direction as the direction, scaled by its semi-axes, is long.
    reach_mm = np.linalg.norm(HEAD_SEMI_AXES_MM[:, None] * (motion[:3, :3].T @ direction), axis=0)
    column_first_mm = np.array(spacing_mm[::-1])
    size = np.ceil(2 * (reach_mm + _FIELD_MARGIN_MM) / column_first_mm).astype(int)
    middle_mm = motion[:3, 3] + np.round(rng.uniform(-_FIELD_OFFSET_MM, _FIELD_OFFSET_MM, 3), 1)
    origin_mm = middle_mm - direction @ ((size - 1) / 2 * column_first_mm)
    return Grid(
        size=tuple(size.tolist()),
        spacing_mm=tuple(column_first_mm.tolist()),
        origin_mm=tuple(np.round(origin_mm, 6).tolist()),
        direction=tuple(direction.ravel().tolist()),
    )
