"""The phantom as training samples: crops of both sessions on one grid and one intensity scale."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tfdrift.cohort.crop import (
    CONTEXT,
    SLICE,
    VOLUME,
    Box,
    choose_slices,
    crop_beside,
    crop_pairs,
    crop_slice,
    make_box,
    put_beside,
    representative_slices,
    slice_places,
)
from tfdrift.cohort.dose import DOSE, crop_dose
from tfdrift.cohort.earlier import NOT_SEEN, Earlier, earlier_change, earlier_columns
from tfdrift.cohort.folds import assign_folds
from tfdrift.cohort.response import response_group
from tfdrift.cohort.samples import DEFAULT_CHANNELS, Samples, join_samples
from tfdrift.model.channels import with_neighbours
from tfdrift.synthetic.law import SESSIONS, Lesion, Waves
from tfdrift.synthetic.phantom import (
    SESSION_DAYS,
    Patient,
    draw_bias,
    gtv,
    head_signal,
    make_cohort,
    rician,
    tissue_signal,
)

PHANTOM_SEED = 0
"""Of the cohort that `--data phantom` trains on."""

USUAL_PAIR = (SESSION_DAYS["pre"], SESSION_DAYS["post"])
"""Days of the two MRIs of the paper's cohort."""

SPACING_MM = (1.0, 0.75, 0.75)
"""Slice, row and column spacing of the patches that training uses."""


def phantom_samples(
    *,
    image_size: int = 32,
    patients: int = 39,
    folds: int = 5,
    seed: int = 0,
    law: str = "response",
    box: str = "pre",
    slices: str = "three",
    pairs: Sequence[tuple[int, int]] = (USUAL_PAIR,),
    lesion_as: str = SLICE,
) -> Samples:
    """Return the phantom as training samples, the two sessions on one grid and one intensity scale.

    With other pairs than the usual one each is a lesion of its own, `phantom000-1-day0-day45`, and its follow-up is not
    known. Where a pair begins later, the change since the first MRI of all is known (`tfdrift.cohort.earlier`).

    Args:
        image_size: S.
        patients: how many.
        folds: number of folds, balanced by response group.
        seed: of everything.
        law: in `tfdrift.synthetic.laws.NAMES`.
        box: see `tfdrift.cohort.crop.crop_lesion`.
        slices: `three` for `tfdrift.cohort.crop.representative_slices`, else see `choose_slices` there.
        pairs: days of the first and of the second MRI, after the first of all; see `every_two`.
        lesion_as: in `tfdrift.cohort.crop.LESIONS`.

    Raises:
        UsageError: fewer than 2 patients, no such law, or another choice of slices.
        DataError: more folds than patients.

    Example:
        >>> samples = phantom_samples(image_size=16, patients=3, folds=3)
        >>> samples.pre.shape, len(set(samples.lesion.tolist()))
        ((18, 16, 16, 1), 6)
    """
    cohort = make_cohort(patients, seed=seed, law=law)
    poor = [float(np.mean([is_poor(lesion) for lesion in patient.lesions])) for patient in cohort]
    fold = assign_folds([patient.name for patient in cohort], poor, num_folds=folds, seed=seed)
    parts: list[Samples] = []
    for patient in cohort:
        for number, pair in itertools.product(range(len(patient.lesions)), pairs):
            lesion = patient.lesions[number].between(*pair)
            patch = Patch(imaged_on(patient, seed, pair), lesion, box=box, slices=slices, lesion_as=lesion_as)
            rng = sessions_rng(seed, patient, number, pair)
            first = patch.noisy("pre", lesion, rng)
            crops = patch.crop(lesion, image_size=image_size, rng=rng, pre=first)
            if lesion_as == CONTEXT:
                of_pair = pair if pair != USUAL_PAIR else ()
                around = np.random.default_rng([seed, 10, patient.number, number, *of_pair])
                beside = patch.beside(lesion, image_size=image_size, rng=around, pre=first)
                crops = put_beside(crops, beside)
            count = len(crops["pre"])
            volumes = {session: np.full(count, lesion.volume_mm3(session), np.float32) for session in SESSIONS}
            if pair != USUAL_PAIR:
                volumes["follow_up"] = np.full(count, np.nan, np.float32)
            days = np.full(count, pair[1] - pair[0], np.float32)
            conditions = {"interval_days": days, "place": patch.place}
            if any(first > 0 for first, _ in pairs):
                conditions |= earlier_columns(_earlier(lesion, pair), count)
            if lesion.law.coefficients:
                conditions["law"] = np.tile(np.asarray(lesion.law.coefficients, np.float32), [count, 1])
            channels = DEFAULT_CHANNELS if lesion.plan is None else (*DEFAULT_CHANNELS, DOSE)
            parts.append(
                Samples(
                    **crops,
                    channels=with_neighbours(channels) if lesion_as == CONTEXT else channels,
                    patient=np.full(count, patient.name),
                    lesion=np.full(count, f"{patient.name}-{number + 1}{_days_of(pair)}"),
                    fold=np.full(count, fold[patient.name], np.int32),
                    pixel_mm=np.full(count, patch.box.side_mm / image_size, np.float32),
                    pre_mm3=volumes["pre"],
                    post_mm3=volumes["post"],
                    follow_up_mm3=volumes["follow_up"],
                    conditions=conditions,
                    facts={"orientation": np.full(count, "axial")},
                )
            )
    return join_samples(parts)


def is_poor(lesion: Lesion) -> bool:
    """Return whether a lesion is in group A, see `tfdrift.cohort.response.response_group`."""
    return response_group(lesion.volume_mm3("pre"), lesion.volume_mm3("follow_up")) == "A"


def _earlier(lesion: Lesion, pair: tuple[int, int]) -> Earlier:
    if pair[0] == 0:
        return NOT_SEEN
    untreated = dataclasses.replace(lesion, since=0.0)
    return earlier_change(pair[0], then_mm3=untreated.volume_mm3("pre"), now_mm3=lesion.volume_mm3("pre"))


def every_two(days: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs of every two MRIs, in order.

    Args:
        days: of the MRIs after the first of all, ascending.

    Example:
        >>> every_two([21, 90])
        [(0, 21), (0, 90), (21, 90)]
    """
    return list(itertools.combinations((0, *days), 2))


def sessions_rng(seed: int, patient: Patient, number: int, pair: tuple[int, int] = USUAL_PAIR) -> np.random.Generator:
    """Return what the noise of a lesion's sessions is drawn from: of the first MRI, then of the second.

    Args:
        seed: of the cohort.
        patient: whose lesion it is.
        number: of the lesion, from 0.
        pair: days of the two MRIs.
    """
    return np.random.default_rng([seed, 3, patient.number, number, *(pair if pair != USUAL_PAIR else ())])


def imaged_on(patient: Patient, seed: int, pair: tuple[int, int]) -> Patient:
    """Return a patient whose sessions `pre` and `post` are those of other days, each with a bias field of its own.

    Args:
        patient: of a cohort.
        seed: of the cohort.
        pair: days of the two MRIs.
    """
    known = {SESSION_DAYS[session]: patient.bias[session] for session in SESSIONS}

    def bias(day: int) -> Waves:
        return known.get(day) or draw_bias(np.random.default_rng([seed, 8, patient.number, day]))

    return dataclasses.replace(patient, bias={**patient.bias, "pre": bias(pair[0]), "post": bias(pair[1])})


def _days_of(pair: tuple[int, int]) -> str:
    return "" if pair == USUAL_PAIR else f"-day{pair[0]}-day{pair[1]}"


class Patch:
    """The voxel grid around one lesion: its box, its chosen slices, and the points of both sessions there.

    Args:
        patient: whose lesion it is.
        lesion: one of the patient's.
        box: see `tfdrift.cohort.crop.crop_lesion`.
        slices: see `phantom_samples`.
        lesion_as: see there.
    """

    def __init__(
        self,
        patient: Patient,
        lesion: Lesion,
        *,
        box: str = "pre",
        slices: str = "three",
        lesion_as: str = SLICE,
    ) -> None:
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
        self.box: Box = make_box(whole, SPACING_MM, cube=lesion_as == VOLUME)
        if lesion_as == VOLUME:
            self.place = np.zeros(1, np.float32)
            self._points, self._pre_mask = points[None], pre_mask[None]
            self._head = head_signal(patient, self._points)
            return
        # Two of its 69 lesions have two representative slices, as when the demo models were trained.
        chosen = representative_slices(pre_mask) if slices == "three" else choose_slices(pre_mask, slices)
        self.place = slice_places(pre_mask, chosen)
        self._whole_points, self._whole_mask, self._chosen = points, pre_mask, chosen
        self._points, self._pre_mask = points[chosen], pre_mask[chosen]
        self._head = head_signal(patient, self._points)

    def noisy(self, session: str, lesion: Lesion, rng: np.random.Generator, *, bias: Waves | None = None) -> np.ndarray:
        """Return a session in scanner units of the first MRI, float64 [n, rows, columns] or [1, slices, rows, columns].

        Args:
            session: one of `tfdrift.synthetic.law.SESSIONS`.
            lesion: as it responds.
            rng: of the noise.
            bias: of the session; the patient's own unless another one is given.
        """
        return self._noisy(session, lesion, rng, self._points, self._head, bias)

    def _noisy(
        self,
        session: str,
        lesion: Lesion,
        rng: np.random.Generator,
        points: np.ndarray,
        head: np.ndarray,
        bias: Waves | None = None,
    ) -> np.ndarray:
        biases = self._patient.bias if bias is None else {**self._patient.bias, session: bias}
        patient = dataclasses.replace(self._patient, lesions=(lesion,), bias=biases)
        signal = rician(tissue_signal(patient, session, points, head=head), rng)
        return signal * self._patient.gain["pre"] / self._patient.gain[session]

    def beside(self, lesion: Lesion, *, image_size: int, rng: np.random.Generator, pre: np.ndarray) -> np.ndarray:
        """Return the slices below and above the chosen ones in the first MRI, see `tfdrift.cohort.crop.crop_beside`.

        Args:
            lesion: as it responds.
            image_size: S.
            rng: of the noise of slices that are not chosen themselves.
            pre: of `noisy`, the chosen slices of the first MRI.
        """
        needed = sorted({index + step for index in self._chosen for step in (-1, 1)})
        points, signal = self._whole_points[needed], np.zeros(self._whole_mask.shape)
        signal[needed] = self._noisy("pre", lesion, rng, points, head_signal(self._patient, points))
        signal[self._chosen] = pre
        return crop_beside(signal, self._whole_mask, self.box, SPACING_MM, self._chosen, image_size=image_size)

    def movement(self, lesion: Lesion, image_size: int) -> np.ndarray:
        """Return how far tissue moves until the second MRI, as far as the chosen slices show it.

        Args:
            lesion: as it responds.
            image_size: S.

        Returns:
            float32 [n, S, S, 2], or [1, S, S, S, 2] of a volume, in mm along rows and columns, at places of the first
            MRI.
        """
        along = lesion.movement_mm(self._points)[..., 1::-1]  # x, y, z to rows, columns
        crops = [
            np.stack([crop_slice(one[..., axis], self.box, SPACING_MM, image_size) for axis in range(2)], axis=-1)
            for one in along
        ]
        return np.stack(crops).astype(np.float32)

    def crop(
        self,
        lesion: Lesion,
        *,
        image_size: int,
        rng: np.random.Generator,
        pre: np.ndarray,
        post_bias: Waves | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the crops of a noisy first MRI, with the dose where the lesion has a plan, and of an outcome.

        Args:
            lesion: as it responds.
            image_size: S.
            rng: of the second MRI's noise.
            pre: of `noisy`.
            post_bias: see `noisy`.
        """
        crops = crop_pairs(
            pre,
            self.noisy("post", lesion, rng, bias=post_bias),
            self._pre_mask,
            gtv(lesion, "post", self._points),
            self.box,
            SPACING_MM,
            image_size=image_size,
        )
        if lesion.plan is None:
            return crops
        dose = crop_dose(lesion.dose_gy(self._points), crops["pre_mask"], self.box, SPACING_MM)
        return {**crops, "pre": np.concatenate([crops["pre"], dose], axis=-1)}
