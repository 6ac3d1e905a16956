"""A synthetic PULSAR cohort whose law of response is known, so that the best attainable score is known too.

What a lesion is and how it responds is the matter of `tfdrift.synthetic.law`; here are the heads around the lesions and
the MRI of each session. Each session adds a smooth bias field, a scanner gain and Rician noise. Positions are
millimetres in DICOM's patient axes (x to the left, y to the back, z to the head), the origin in the middle of the head.
"""

import dataclasses

import numpy as np

from tfdrift.errors import UsageError
from tfdrift.synthetic.dose_plan import DosePlan
from tfdrift.synthetic.law import (
    CORE_MEAN,
    CORE_STD,
    SECOND_MRI_DAY,
    SESSIONS,
    SIGNAL,
    Chance,
    Law,
    Lesion,
    Waves,
    sigmoid,
)
from tfdrift.synthetic.laws import DOSE, NAMES, RANDOM, draw_law, law_of

SESSION_DAYS = {"pre": 0, "post": SECOND_MRI_DAY, "follow_up": 90}
VOLUME_RANGE_MM3 = (14.5, 37607.6)
"""Smallest and largest GTV of the paper's cohort; the first patient carries the largest, the second the smallest."""

HEAD_SEMI_AXES_MM = np.array([72.0, 90.0, 68.0])
NOISE_STD = 15.0
BIAS_STD = 0.08
"""Standard deviation of the logarithm of a session's bias field."""

EDGE_MM = 0.25  # a lesion's edge is smooth over about a voxel


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Patient:
    """A head with lesions, imaged in three sessions.

    Args:
        number: place in the cohort.
        lesions: one or more, apart from one another.
        tissue: contrast between grey and white matter, a function of position in mm.
        bias: for each session the logarithm of its bias field in units of `BIAS_STD`, a function of position in mm.
        gain: for each session the scanner's gain.
    """

    number: int
    lesions: tuple[Lesion, ...]
    tissue: Waves
    bias: dict[str, Waves]
    gain: dict[str, float]

    @property
    def name(self) -> str:
        """Pseudonym."""
        return f"phantom{self.number:03d}"


def make_cohort(patients: int = 39, *, seed: int = 0, law: str = "response") -> list[Patient]:
    """Return the patients of the phantom: 39 carry 69 lesions, 26 of them alone and 43 in 13 patients with several.

    Patient k depends on (seed, k, law) alone, and before treatment on (seed, k).

    Args:
        patients: how many; every third has several lesions.
        seed: of everything.
        law: by which the lesions respond, in `tfdrift.synthetic.laws.NAMES`.

    Raises:
        UsageError: fewer than 2 patients, or no such law.

    Source: paper, "Raw PULSAR data", for the counts and the volume range.

    Example:
        >>> cohort = make_cohort()
        >>> len(cohort), sum(len(patient.lesions) for patient in cohort)
        (39, 69)
    """
    if patients < 2:
        raise UsageError(f"{patients} patients make no cohort; use 2 or more")
    if law not in NAMES:
        raise UsageError(f"--law {law}: choose from {', '.join(NAMES)}")
    return [_make_patient(number, seed, law) for number in range(patients)]


def tissue_signal(
    patient: Patient, session: str, points_mm: np.ndarray, *, head: np.ndarray | None = None
) -> np.ndarray:
    """Return the MR signal without noise at any points, with lesions, bias field and gain.

    Args:
        patient: one of `make_cohort`.
        session: `pre`, `post` or `follow_up`.
        points_mm: float64 [..., 3].
        head: `head_signal` of the points, where it is at hand; it does not depend on the session.

    Returns:
        float64 [...], scanner units.
    """
    signal = head_signal(patient, points_mm) if head is None else head.copy()
    for lesion in patient.lesions:
        near = _within(lesion, points_mm, lesion.reach_mm(session) + 3)
        depth = lesion.depth(points_mm[near], session)
        edge = sigmoid((1 - depth) * lesion.radius_mm / EDGE_MM)
        signal[near] += edge * (lesion.signal(points_mm[near], session, depth) - signal[near])
    return signal * patient.gain[session] * np.exp(BIAS_STD * patient.bias[session](points_mm))


def gtv(lesion: Lesion, session: str, points_mm: np.ndarray) -> np.ndarray:
    """Return which points lie inside the lesion, bool [...].

    Args:
        lesion: one of a patient's.
        session: `pre`, `post` or `follow_up`.
        points_mm: float64 [..., 3], places in the head's axes.

    Example:
        >>> lesion = make_cohort(2)[0].lesions[0]
        >>> gtv(lesion, "pre", lesion.center_mm + np.array([[0, 0, 0], [99, 0, 0]])).tolist()
        [True, False]
    """
    near = _within(lesion, points_mm, lesion.reach_mm(session))
    inside = np.zeros(points_mm.shape[:-1], bool)
    inside[near] = lesion.depth(points_mm[near], session) < 1
    return inside


def rician(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a signal with the noise of a magnitude image: normal noise in both channels.

    Args:
        signal: float64 [...], scanner units.
        rng: what the noise is drawn from, with a standard deviation of `NOISE_STD`.

    Source: Gudbjartsson and Patz (1995), eq. 1.

    Example:
        >>> bool((rician(np.zeros(3), np.random.default_rng(0)) > 0).all())  # a magnitude is never negative
        True
    """
    real, imaginary = rng.normal(0, NOISE_STD, (2, *signal.shape))
    return np.hypot(signal + real, imaginary)


def draw_bias(rng: np.random.Generator) -> Waves:
    """Return the bias field of a session, in units of `BIAS_STD`, a function of position in mm.

    Args:
        rng: what it is drawn from.
    """
    return Waves.draw(rng, waves=3, shortest=0.005, longest=0.015)


def _make_patient(number: int, seed: int, law_name: str) -> Patient:
    rng = np.random.default_rng([seed, 1, number])
    laws = np.random.default_rng([seed, 7, number])
    several = number % 3 == 2
    count = (4 if number // 3 % 13 in (0, 3, 6, 9) else 3) if several else 1
    pinned = {0: VOLUME_RANGE_MM3[1], 1: VOLUME_RANGE_MM3[0]}
    of_lesions = [draw_law(laws) for _ in range(count)] if law_name == RANDOM else [law_of(law_name, laws)] * count
    lesions = None
    while lesions is None:  # some draws are of lesions too large for one brain
        lesions = _make_lesions(rng, [pinned.get(number, volume) for volume in _draw_volumes(rng, count)], of_lesions)
    if law_name == DOSE:
        plans = np.random.default_rng([seed, 10, number])
        lesions = [dataclasses.replace(lesion, plan=DosePlan.draw(plans)) for lesion in lesions]
    return Patient(
        number=number,
        lesions=tuple(lesions),
        tissue=Waves.draw(rng, waves=16, shortest=0.15, longest=0.5),
        bias={session: draw_bias(rng) for session in SESSIONS},
        gain={session: float(np.exp(0.1 * rng.standard_normal())) for session in SESSIONS},
    )


def _draw_volumes(rng: np.random.Generator, count: int) -> list[float]:
    low, high = VOLUME_RANGE_MM3
    return np.clip(np.exp(rng.normal(np.log(700.0), 1.4, count)), low * 1.2, high / 1.2).tolist()


def _make_lesions(rng: np.random.Generator, volumes_mm3: list[float], laws: list[Law]) -> list[Lesion] | None:
    """Return lesions of these volumes, apart from one another; None where the brain has no room for them."""
    lesions: list[Lesion] = []
    for volume_mm3, law in zip(volumes_mm3, laws, strict=True):
        lesion = _draw_lesion(rng, volume_mm3, law)
        center_mm = _place(rng, lesion.radius_mm, lesions)
        if center_mm is None:
            return None
        lesions.append(dataclasses.replace(lesion, center_mm=center_mm))
    return lesions


def _draw_lesion(rng: np.random.Generator, volume_mm3: float, law: Law) -> Lesion:
    lesion = Lesion(
        center_mm=np.zeros(3),
        radius_mm=1.0,
        core=float(np.clip(rng.normal(CORE_MEAN, CORE_STD), 0.05, 0.7)),
        shape=Waves.draw(rng, waves=6, shortest=1.0, longest=2.5),
        rim=Waves.draw(rng, waves=4, shortest=1.0, longest=2.0),
        texture=Waves.draw(rng, waves=12, shortest=3.0, longest=7.0),
        chance=Chance.draw(rng),
        law=law,
    )
    return dataclasses.replace(lesion, radius_mm=(volume_mm3 / lesion.volume_mm3("pre")) ** (1 / 3))


def _place(rng: np.random.Generator, radius_mm: float, others: list[Lesion]) -> np.ndarray | None:
    """Return a centre inside the brain, away from its surface and from the other lesions; None without room."""
    reach = 0.82 * HEAD_SEMI_AXES_MM - 1.6 * radius_mm
    for _ in range(10_000):
        center = rng.uniform(-1, 1, 3) * reach
        apart = all(
            np.linalg.norm(center - other.center_mm) > 2 * (radius_mm + other.radius_mm) + 4 for other in others
        )
        if np.linalg.norm(center / reach) < 1 and apart:
            return center
    return None


def _within(lesion: Lesion, points_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    return np.linalg.norm(points_mm - lesion.center_mm, axis=-1) < radius_mm


def head_signal(patient: Patient, points_mm: np.ndarray) -> np.ndarray:
    """Return scalp, skull, cerebrospinal fluid, brain and ventricles, float64 [...], scanner units.

    Args:
        patient: one of `make_cohort`.
        points_mm: float64 [..., 3].
    """
    shell = np.linalg.norm(points_mm / HEAD_SEMI_AXES_MM, axis=-1)
    signal = np.zeros(points_mm.shape[:-1])
    brain = 0.45 + 0.05 * np.tanh(2 * patient.tissue(points_mm))
    for level, edge in ((0.75, 1.0), (0.06, 0.95), (0.2, 0.89), (brain, 0.87)):
        inside = sigmoid((edge - shell) / 0.004)
        signal = signal + inside * (level - signal)
    for side in (-1, 1):
        ventricle = np.linalg.norm(
            (points_mm - np.array([side * 10.0, 5.0, 8.0])) / np.array([6.0, 26.0, 9.0]), axis=-1
        )
        signal = signal + sigmoid((1 - ventricle) / 0.05) * (0.2 - signal)
    return SIGNAL * signal
