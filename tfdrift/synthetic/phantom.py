"""A synthetic PULSAR cohort whose law of response is known, so that the best attainable score is known too.

What a lesion is and how it responds is the matter of `tfdrift.synthetic.law`; here are the heads around the lesions,
the MRI of each session, the training samples, and the score of the best predictor there can be. Each session adds a
smooth bias field, a scanner gain and Rician noise. Positions are millimetres in DICOM's patient axes (x to the left, y
to the back, z to the head), the origin in the middle of the head.
"""

import dataclasses
from collections.abc import Collection

import numpy as np

from tfdrift.cohort.crop import Box, choose_slices, crop_pairs, make_box, representative_slices
from tfdrift.cohort.folds import assign_folds
from tfdrift.cohort.response import response_group
from tfdrift.cohort.samples import DEFAULT_CHANNELS, Samples, join_samples
from tfdrift.errors import UsageError
from tfdrift.synthetic.law import CORE_MEAN, CORE_STD, SESSIONS, SIGNAL, Chance, Lesion, Waves, sigmoid

PHANTOM_SEED = 0
"""Of the cohort that `--data phantom` trains on."""

SESSION_DAYS = {"pre": 0, "post": 21, "follow_up": 90}
SPACING_MM = (1.0, 0.75, 0.75)
"""Slice, row and column spacing of the patches that training uses."""

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


@dataclasses.dataclass(frozen=True)
class AttainableSkill:
    """The skill over copy of the best predictor there can be, with its Monte Carlo standard error."""

    value: float
    standard_error: float


def make_cohort(patients: int = 39, *, seed: int = 0) -> list[Patient]:
    """Return the patients of the phantom: 39 carry 69 lesions, 26 of them alone and 43 in 13 patients with several.

    Patient k depends on (seed, k) alone.

    Args:
        patients: how many; every third has several lesions.
        seed: of everything.

    Raises:
        UsageError: fewer than 2 patients.

    Source: paper, "Raw PULSAR data", for the counts and the volume range.

    Example:
        >>> cohort = make_cohort()
        >>> len(cohort), sum(len(patient.lesions) for patient in cohort)
        (39, 69)
    """
    if patients < 2:
        raise UsageError(f"{patients} patients make no cohort; use 2 or more")
    return [_make_patient(number, seed) for number in range(patients)]


def tissue_signal(patient: Patient, session: str, points_mm: np.ndarray) -> np.ndarray:
    """Return the MR signal without noise at any points, with lesions, bias field and gain.

    Args:
        patient: one of `make_cohort`.
        session: `pre`, `post` or `follow_up`.
        points_mm: float64 [..., 3].

    Returns:
        float64 [...], scanner units.
    """
    signal = _head_signal(patient, points_mm)
    for lesion in patient.lesions:
        near = _within(lesion, points_mm, lesion.reach_mm(session) + 3)
        edge = sigmoid((1 - lesion.depth(points_mm[near], session)) * lesion.radius_mm / EDGE_MM)
        signal[near] += edge * (lesion.signal(points_mm[near], session) - signal[near])
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


def phantom_samples(
    *, image_size: int = 32, patients: int = 39, folds: int = 5, seed: int = 0, box: str = "pre", slices: str = "three"
) -> Samples:
    """Return the phantom as training samples, the two sessions on one grid and one intensity scale.

    Args:
        image_size: S.
        patients: how many.
        folds: number of folds, balanced by response group.
        seed: of everything.
        box: see `tfdrift.cohort.crop.crop_lesion`.
        slices: `three` for `tfdrift.cohort.crop.representative_slices`, else see `choose_slices` there.

    Raises:
        UsageError: fewer than 2 patients, or another choice of slices.
        DataError: more folds than patients.

    Example:
        >>> samples = phantom_samples(image_size=16, patients=3, folds=3)
        >>> samples.pre.shape, len(set(samples.lesion.tolist()))
        ((18, 16, 16, 1), 6)
    """
    cohort = make_cohort(patients, seed=seed)
    poor = [float(np.mean([is_poor(lesion) for lesion in patient.lesions])) for patient in cohort]
    fold = assign_folds([patient.name for patient in cohort], poor, num_folds=folds, seed=seed)
    parts: list[Samples] = []
    for patient in cohort:
        for number, lesion in enumerate(patient.lesions):
            patch = _Patch(patient, lesion, box=box, slices=slices)
            rng = np.random.default_rng([seed, 3, patient.number, number])
            crops = patch.crop(lesion, image_size=image_size, rng=rng, pre=patch.noisy("pre", lesion, rng))
            count = len(crops["pre"])
            volumes = {session: np.full(count, lesion.volume_mm3(session), np.float32) for session in SESSIONS}
            days = np.full(count, SESSION_DAYS["post"] - SESSION_DAYS["pre"], np.float32)
            parts.append(
                Samples(
                    **crops,
                    channels=DEFAULT_CHANNELS,
                    patient=np.full(count, patient.name),
                    lesion=np.full(count, f"{patient.name}-{number + 1}"),
                    fold=np.full(count, fold[patient.name], np.int32),
                    pixel_mm=np.full(count, patch.box.side_mm / image_size, np.float32),
                    pre_mm3=volumes["pre"],
                    post_mm3=volumes["post"],
                    follow_up_mm3=volumes["follow_up"],
                    conditions={"interval_days": days},
                    facts={"orientation": np.full(count, "axial")},
                )
            )
    return join_samples(parts)


def is_poor(lesion: Lesion) -> bool:
    """Return whether a lesion is in group A, see `tfdrift.cohort.response.response_group`."""
    return response_group(lesion.volume_mm3("pre"), lesion.volume_mm3("follow_up")) == "A"


def attainable_skill(
    *,
    image_size: int = 32,
    patients: int = 39,
    draws: int = 32,
    seed: int = 0,
    draw_seed: int = 0,
    among: Collection[str] | None = None,
) -> AttainableSkill:
    """Return the skill over copy of the predictor that knows the law and everything visible, but not the chance.

    For each slice the outcome is drawn many times: the law's chance, the second session's bias field, and noise. The
    best prediction under the mean squared error is the mean of the outcomes, and its error their variance (with
    n - 1), so the skill is 1 - sum of variances / sum of mean squared changes. It is the expectation over outcomes,
    so the one outcome that the cohort holds can be predicted a little better or worse.

    Args:
        image_size: S.
        patients: how many.
        draws: outcomes of each lesion, at least 8; the standard error comes from four independent quarters of them.
        seed: of the cohort; the outcomes drawn here are others than the cohort's own.
        draw_seed: of the outcomes.
        among: pseudonyms of the patients to score, those of a fold for example; by default all.

    Raises:
        UsageError: fewer than 8 draws, or `among` names nobody of the cohort.

    Source: the mean minimises the expected squared error; Murphy (1988), eq. 4, for the skill.
    """
    if draws < 8:
        raise UsageError(f"{draws} draws: 8 or more are needed, two in each quarter, for an error estimate")
    scored = [patient for patient in make_cohort(patients, seed=seed) if among is None or patient.name in among]
    if not scored:
        raise UsageError(f"none of the {patients} patients is among those to score; names are like phantom000")
    errors, changes = np.zeros(4), np.zeros(4)
    for patient in scored:
        for number, lesion in enumerate(patient.lesions):
            patch = _Patch(patient, lesion)
            rng = np.random.default_rng([seed, 4, patient.number, number, draw_seed])
            pre = patch.noisy("pre", lesion, rng)
            outcomes = []
            for _ in range(draws):
                other = dataclasses.replace(lesion, chance=Chance.draw(rng))
                bias = _draw_bias(rng)
                outcomes.append(patch.crop(other, image_size=image_size, rng=rng, pre=pre, post_bias=bias))
            before = outcomes[0]["pre"].astype(np.float64)
            after = np.stack([crops["post"] for crops in outcomes]).astype(np.float64)
            for part, rows in enumerate(np.array_split(np.arange(draws), 4)):
                errors[part] += len(before) * after[rows].var(axis=0, ddof=1).mean()
                changes[part] += len(before) * np.mean((after[rows] - before) ** 2)
    skills = 1 - errors / changes
    return AttainableSkill(value=float(1 - errors.sum() / changes.sum()), standard_error=float(skills.std(ddof=1) / 2))


class _Patch:
    """The voxel grid around one lesion: its box, its chosen slices, and the points of both sessions there."""

    def __init__(self, patient: Patient, lesion: Lesion, *, box: str = "pre", slices: str = "three") -> None:
        self._patient = patient
        reach = 1.6 * max(lesion.reach_mm("pre"), lesion.reach_mm("post")) + 3
        axes = []
        for spacing, middle in zip(SPACING_MM, lesion.center_mm[::-1], strict=True):
            count = int(np.ceil(reach / spacing))
            axes.append(np.round(middle / spacing) * spacing + np.arange(-count, count + 1) * spacing)
        z, y, x = np.meshgrid(*axes, indexing="ij")
        points = np.stack([x, y, z], axis=-1)
        pre_mask = gtv(lesion, "pre", points)
        whole = pre_mask | gtv(lesion, "post", points) if box == "union" else pre_mask
        self.box: Box = make_box(whole, SPACING_MM)
        # Two of its 69 lesions have two representative slices, as when the demo models were trained.
        chosen = representative_slices(pre_mask) if slices == "three" else choose_slices(pre_mask, slices)
        self._points, self._pre_mask = points[chosen], pre_mask[chosen]

    def noisy(self, session: str, lesion: Lesion, rng: np.random.Generator, *, bias: Waves | None = None) -> np.ndarray:
        """Return the chosen slices of a session in scanner units of the first MRI, float64 [n, rows, columns].

        The bias field is the patient's own unless another one is given.
        """
        biases = self._patient.bias if bias is None else {**self._patient.bias, session: bias}
        patient = dataclasses.replace(self._patient, lesions=(lesion,), bias=biases)
        signal = rician(tissue_signal(patient, session, self._points), rng)
        return signal * self._patient.gain["pre"] / self._patient.gain[session]

    def crop(
        self,
        lesion: Lesion,
        *,
        image_size: int,
        rng: np.random.Generator,
        pre: np.ndarray,
        post_bias: Waves | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the crops of a noisy first MRI and of an outcome."""
        return crop_pairs(
            pre,
            self.noisy("post", lesion, rng, bias=post_bias),
            self._pre_mask,
            gtv(lesion, "post", self._points),
            self.box,
            SPACING_MM,
            image_size=image_size,
        )


def _make_patient(number: int, seed: int) -> Patient:
    rng = np.random.default_rng([seed, 1, number])
    several = number % 3 == 2
    count = (4 if number // 3 % 13 in (0, 3, 6, 9) else 3) if several else 1
    pinned = {0: VOLUME_RANGE_MM3[1], 1: VOLUME_RANGE_MM3[0]}
    lesions = None
    while lesions is None:  # some draws are of lesions too large for one brain
        lesions = _make_lesions(rng, [pinned.get(number, volume) for volume in _draw_volumes(rng, count)])
    return Patient(
        number=number,
        lesions=tuple(lesions),
        tissue=Waves.draw(rng, waves=16, shortest=0.15, longest=0.5),
        bias={session: _draw_bias(rng) for session in SESSIONS},
        gain={session: float(np.exp(0.1 * rng.standard_normal())) for session in SESSIONS},
    )


def _draw_bias(rng: np.random.Generator) -> Waves:
    return Waves.draw(rng, waves=3, shortest=0.005, longest=0.015)


def _draw_volumes(rng: np.random.Generator, count: int) -> list[float]:
    low, high = VOLUME_RANGE_MM3
    return np.clip(np.exp(rng.normal(np.log(700.0), 1.4, count)), low * 1.2, high / 1.2).tolist()


def _make_lesions(rng: np.random.Generator, volumes_mm3: list[float]) -> list[Lesion] | None:
    """Return lesions of these volumes, apart from one another; None where the brain has no room for them."""
    lesions: list[Lesion] = []
    for volume_mm3 in volumes_mm3:
        lesion = _draw_lesion(rng, volume_mm3)
        center_mm = _place(rng, lesion.radius_mm, lesions)
        if center_mm is None:
            return None
        lesions.append(dataclasses.replace(lesion, center_mm=center_mm))
    return lesions


def _draw_lesion(rng: np.random.Generator, volume_mm3: float) -> Lesion:
    lesion = Lesion(
        center_mm=np.zeros(3),
        radius_mm=1.0,
        core=float(np.clip(rng.normal(CORE_MEAN, CORE_STD), 0.05, 0.7)),
        shape=Waves.draw(rng, waves=6, shortest=1.0, longest=2.5),
        rim=Waves.draw(rng, waves=4, shortest=1.0, longest=2.0),
        texture=Waves.draw(rng, waves=12, shortest=3.0, longest=7.0),
        chance=Chance.draw(rng),
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


def _head_signal(patient: Patient, points_mm: np.ndarray) -> np.ndarray:
    """Return scalp, skull, cerebrospinal fluid, brain and ventricles, float64 [...], scanner units."""
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
