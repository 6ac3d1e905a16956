"""The pairs of a patient as slices, each lesion with its row of `lesions.csv`.

The second session is brought onto the first one's grid and intensity scale here; contours are already there.
"""

import dataclasses
import functools

import numpy as np
import SimpleITK as sitk

from tfdrift.cohort.crop import LesionSlices, crop_lesion
from tfdrift.cohort.response import response_group
from tfdrift.errors import DataError
from tfdrift.imaging.intensity import background_drift, healthy_tissue, session_gain, tissue_mask, within_reach
from tfdrift.imaging.resampling import coverage, resample_image
from tfdrift.importing.sessions import Session
from tfdrift.importing.visits import Exclusion


@dataclasses.dataclass(frozen=True, kw_only=True)
class LesionRow:
    """A lesion of the cohort: a row of `lesions.csv` but for patient and fold.

    Args:
        lesion: pseudonym.
        interval_days: from the first MRI to the second.
        follow_up_days: from the first MRI to the follow-up; None where there is none.
        pre_mm3: volume at the first MRI, on its own grid.
        post_mm3: at the second, on its own grid.
        follow_up_mm3: at the follow-up, on its own grid; None where it is not contoured there.
        response_group: A or B; empty where `follow_up_mm3` is None.
        slices: number of slices.
        spacing_mm: of slices, rows and columns of the first MRI, separated by spaces.
        registration: kind, see `tfdrift.imaging.registration.Registration`.
        residual: of the registration, in per cent, see `tfdrift.imaging.residual`.
        gain: what the second MRI was multiplied with.
        background_drift: mean "drift" of healthy tissue around the lesion, in per cent; None where there is too little.
        pixel_mm: side of a crop pixel.
        outgrown: share of the second GTV that leaves the box.
        warnings: what a person should look at, separated by semicolons.
    """

    lesion: str
    interval_days: int
    follow_up_days: int | None
    pre_mm3: float
    post_mm3: float
    follow_up_mm3: float | None
    response_group: str
    slices: int
    spacing_mm: str
    registration: str
    residual: float
    gain: float
    background_drift: float | None
    pixel_mm: float
    outgrown: float
    warnings: str


def crop_pairs_of(
    sessions: list[Session],
    pairs: list[tuple[int, ...]],
    names: list[str],
    *,
    box: str,
    slices: str,
    image_size: int,
) -> tuple[list[tuple[LesionRow, LesionSlices]], list[Exclusion]]:
    """Cut out each pair of lesions.

    What of a GTV the second MRI did not measure is cut off both GTVs: there the image is 0, which is no drift.

    Args:
        sessions: the first one, and the second and perhaps the follow-up on the first one's grid.
        pairs: ROINumbers at each session, without the last where a lesion has no follow-up; at least one pair.
        names: pseudonym of each pair.
        box: see `crop_lesion`.
        slices: see `crop_lesion`.
        image_size: S.

    Returns:
        Row and slices of each lesion, and those that cannot be cut out with the reason.

    Raises:
        DataError: the two MRIs cannot be brought onto one intensity scale.
        UsageError: an option is none of its values.
    """
    pre, post = sessions[:2]
    assert post.registration is not None
    transform = post.registration.transform
    onto, covered = resample_image(post.image, pre.image, transform), coverage(post.image, pre.image, transform)
    tissues = [tissue_mask(pre.image), tissue_mask(onto), covered]
    # Far from all of them together is far from each, and takes one distance map instead of many.
    lesions = functools.reduce(sitk.Or, (mask for session in sessions for mask in session.masks.values()))
    healthy = healthy_tissue(tissues, [lesions])
    gain = session_gain(pre.image, onto, healthy).gain
    scaled = onto * gain
    cut_out, exclusions = [], []
    for numbers, name in zip(pairs, names, strict=True):
        masks = [session.masks[number] for session, number in zip(sessions, numbers, strict=False)]
        seen = [sitk.And(mask, covered) for mask in masks[:2]]
        if not _array(seen[0]).any():
            reason = "outside the field of view of the second MRI"
            exclusions.append(Exclusion(visit="pre", structure=numbers[0], reason=reason))
            continue
        try:
            crops = crop_lesion(
                _array(pre.image),
                _array(scaled),
                _array(seen[0]) > 0,
                _array(seen[1]) > 0,
                spacing_mm=pre.image.GetSpacing()[::-1],
                image_size=image_size,
                box=box,
                slices=slices,
            )
        except DataError as error:
            exclusions.append(Exclusion(visit="pre", structure=numbers[0], reason=str(error), broken=True))
            continue
        warnings = _contour_warnings(sessions, numbers)
        lost = 1 - _array(seen[0]).sum() / _array(masks[0]).sum()
        if lost > 0:
            warnings.append(f"{lost:.0%} of the GTV is outside the second MRI")
        drift, said = _background_drift(pre.image, scaled, healthy, masks[0])
        row = _row(sessions, numbers, name, crops, gain, drift, warnings + said)
        cut_out.append((row, crops))
    return cut_out, exclusions


def _row(
    sessions: list[Session],
    numbers: tuple[int, ...],
    name: str,
    crops: LesionSlices,
    gain: float,
    drift: float | None,
    warnings: list[str],
) -> LesionRow:
    pre, post = sessions[:2]
    registration = post.registration
    assert registration is not None
    if registration.suspect:
        warnings = [*warnings, "registration may be wrong"]
    if crops.outgrown:
        warnings = [*warnings, f"{crops.outgrown:.0%} of the second GTV is outside the box"]
    volumes_mm3 = [session.volumes_mm3[number] for session, number in zip(sessions, numbers, strict=False)]
    days = [(session.visit.date - pre.visit.date).days for session in sessions]
    followed = len(numbers) > 2
    return LesionRow(
        lesion=name,
        interval_days=days[1],
        follow_up_days=days[2] if followed else None,
        pre_mm3=volumes_mm3[0],
        post_mm3=volumes_mm3[1],
        follow_up_mm3=volumes_mm3[2] if followed else None,
        response_group=response_group(volumes_mm3[0], volumes_mm3[2]) if followed else "",
        slices=len(crops.slices),
        spacing_mm=" ".join(f"{mm:.6g}" for mm in pre.image.GetSpacing()[::-1]),
        registration=registration.kind,
        residual=registration.residual_percent,
        gain=gain,
        background_drift=drift,
        pixel_mm=crops.pixel_mm,
        outgrown=crops.outgrown,
        warnings="; ".join(text.replace(";", ",") for text in warnings),
    )


def _background_drift(
    pre: sitk.Image, post: sitk.Image, healthy: sitk.Image, lesion: sitk.Image
) -> tuple[float | None, list[str]]:
    try:
        drift = background_drift(pre, post, within_reach(healthy, lesion))
    except DataError:
        return None, ["too little healthy tissue around it to judge the intensity scale"]
    if drift.acceptable:
        return drift.mean_percent, []
    return drift.mean_percent, [
        f"healthy tissue around it drifts by {drift.mean_percent:.1f}% (spread {drift.spread_percent:.1f}%)"
    ]


def _contour_warnings(sessions: list[Session], numbers: tuple[int, ...]) -> list[str]:
    return [
        f"{session.visit.name}: {text}"
        for session, number in zip(sessions, numbers, strict=False)
        for text in session.warnings[number]
    ]


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayViewFromImage(image)
