"""The pairs of a patient as slices, each lesion with its row of `lesions.csv`.

The second session is brought onto the first one's grid and intensity scale here; contours are already there.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from tfdrift.cohort.channels import cut_channel, scale_channel
from tfdrift.cohort.crop import SLICE, LesionSlices, TooThinError, crop_lesion
from tfdrift.cohort.dose import DOSE
from tfdrift.cohort.orientation import orientation_of
from tfdrift.cohort.response import response_group
from tfdrift.cohort.tables import Exclusion, LesionRow
from tfdrift.errors import DataError
from tfdrift.imaging.intensity import background_drift, healthy_tissue, session_gain, tissue_mask, within_reach
from tfdrift.imaging.pixels import measured
from tfdrift.imaging.resampling import coverage, resample_image
from tfdrift.importing.sessions import MoreChannels, Session

SAME_WITHIN = 1.5
"""Factor up to which two settings of a scanner count as the same; 1.5 T and 3 T do not, nor a T1's and a T2's times."""

_COMPARED = (
    "MagneticFieldStrength", "RepetitionTime", "EchoTime", "InversionTime", "ScanningSequence", "MRAcquisitionType",
)  # fmt: skip


def crop_pairs_of(
    sessions: list[Session],
    pairs: list[tuple[int, ...]],
    names: list[str],
    *,
    box: str,
    slices: str,
    image_size: int,
    lesion: str = SLICE,
    channels: Sequence[str] = (),
) -> tuple[list[tuple[LesionRow, LesionSlices]], list[Exclusion]]:
    """Cut out each pair of lesions.

    What of a GTV was not measured in both MRIs, because it is padding or outside the second one, is cut off both GTVs,
    and no pixel takes signal from there: there is none, which would pass for drift.

    Args:
        sessions: the first one, and the second and perhaps the follow-up on the first one's grid.
        pairs: ROINumbers at each session, without the last where a lesion has no follow-up; at least one pair.
        names: pseudonym of each pair.
        box: see `crop_lesion`.
        slices: see `crop_lesion`.
        image_size: S.
        lesion: see `crop_lesion`.
        channels: names of all channels, where there are several.

    Returns:
        Row and slices of each lesion, and those that cannot be cut out with the reason.

    Raises:
        DataError: the two MRIs cannot be brought onto one intensity scale, or a further channel cannot be used.
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
    seen_first = measured(pre.image)
    more = pre.channels() if pre.channels else MoreChannels(images={})
    cut_out, exclusions = [], list(more.missing)
    for numbers, name in zip(pairs, names, strict=True):
        masks = [session.masks[number] for session, number in zip(sessions, numbers, strict=False)]
        seen, in_first = [sitk.And(mask, covered) for mask in masks[:2]], sitk.And(masks[0], seen_first)
        if not _array(seen[0]).any():
            shown = _array(in_first).any()
            reason = "outside the field of view of the second MRI" if shown else "padding in the first MRI"
            exclusions.append(Exclusion(visit=pre.name, structure=numbers[0], reason=reason))
            continue
        try:
            crops = crop_lesion(
                _array(pre.image),
                _array(scaled),
                _array(seen[0]) > 0,
                _array(seen[1]) > 0,
                measured=_array(covered) > 0,
                spacing_mm=pre.image.GetSpacing()[::-1],
                image_size=image_size,
                box=box,
                slices=slices,
                lesion=lesion,
            )
        except DataError as error:
            broken = not isinstance(error, TooThinError)
            exclusions.append(Exclusion(visit=pre.name, structure=numbers[0], reason=str(error), broken=broken))
            continue
        warnings = _contour_warnings(sessions, numbers)
        crops, known, said_of_channels = with_channels(crops, channels, more, pre.image, seen[0])
        voxels = [_array(mask).sum() for mask in (masks[0], in_first, seen[0])]
        padding, lost = (voxels[0] - voxels[1]) / voxels[0], (voxels[1] - voxels[2]) / voxels[0]
        if crops.left_out:
            warnings.append(f"left out, as smaller than a crop pixel: {len(crops.left_out)} of the GTV's slices")
        warnings += taken_differently(pre, post)
        warnings += said_of_channels
        if padding > 0:
            warnings.append(f"{padding:.0%} of the GTV is padding in the first MRI")
        if lost > 0:
            warnings.append(f"{lost:.0%} of the GTV is outside the second MRI")
        drift, said = _background_drift(pre.image, scaled, healthy, masks[0])
        row = _row(sessions, numbers, name, crops, gain, drift, warnings + said)
        fractions = more.fractions if DOSE in known else None
        cut_out.append((dataclasses.replace(row, channels=" ".join(known), fractions=fractions), crops))
    return cut_out, exclusions


def with_channels(
    crops: LesionSlices, names: Sequence[str], more: MoreChannels, image: sitk.Image, gtv: sitk.Image
) -> tuple[LesionSlices, list[str], list[str]]:
    """Return crops whose first MRI has further channels, which of all are known, and what is odd about them.

    Args:
        crops: of one lesion.
        names: of all channels; with one or none there is nothing to do.
        more: those of the first session, on its grid.
        image: the first session's.
        gtv: the lesion, on the same grid.
    """
    if len(names) < 2:
        return crops, [], []
    known, warnings, found = [names[0]], [], [crops.pre]
    lesion, spacing_mm = _array(gtv) > 0, image.GetSpacing()[::-1]
    for name in names[1:]:
        channel = more.images.get(name)
        cut, share = cut_channel(channel, lesion, crops.pre_mask, crops.box, spacing_mm, crops.slices)
        shown = scale_channel(cut, name)
        if channel is not None and share < 1:
            warnings.append(f"{1 - share:.0%} of the GTV is outside the channel {name}")
        if shown.any():
            known.append(name)
        found.append(shown)
    return dataclasses.replace(crops, pre=np.concatenate(found, axis=-1)), known, warnings


def taken_differently(pre: Session, post: Session) -> list[str]:
    """Return a warning where the two MRIs are of another kind, so that their difference is not the lesion's alone.

    Compared are the facts that both state: field strength, echo, repetition and inversion time within a factor of
    `SAME_WITHIN`, the kind and the name of the sequence, whether a contrast agent was given, and the orientation of the
    slices. Names are not repeated: they may hold anything.

    Args:
        pre: the first session.
        post: the second, its image on its own grid.
    """
    found = []
    for keyword in sorted(set(pre.acquisition) & set(post.acquisition) & set(_COMPARED)):
        one, other = pre.acquisition[keyword], post.acquisition[keyword]
        if isinstance(one, str) or isinstance(other, str):
            alike = one == other
        else:
            alike = one == other or (min(one, other) > 0 and max(one, other) <= SAME_WITHIN * min(one, other))
        if not alike:
            found.append(f"{keyword} {_fact(one)} and {_fact(other)}")
    if {pre.with_contrast, post.with_contrast} == {True, False}:
        found.append(f"a contrast agent is named by the {'first' if pre.with_contrast else 'second'} alone")
    if pre.sequence_name and post.sequence_name and pre.sequence_name != post.sequence_name:
        found.append("two SequenceNames")
    orientations = [orientation_of(session.image.GetDirection()) for session in (pre, post)]
    if orientations[0] != orientations[1]:
        found.append(f"slices {orientations[0]} and {orientations[1]}")
    return [f"the two MRIs are of another kind: {', '.join(found)}"] if found else []


def _fact(value: float | str) -> str:
    return value.replace("\\", "+") if isinstance(value, str) else f"{value:g}"


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
        warnings = [*warnings, *registration.warnings, "registration may be wrong"]
    if crops.outgrown:
        warnings = [*warnings, f"{crops.outgrown:.0%} of the second GTV is outside the box"]
    volumes_mm3 = [session.volumes_mm3[number] for session, number in zip(sessions, numbers, strict=False)]
    days = [session.day - pre.day for session in sessions]
    followed = len(numbers) > 2
    return LesionRow(
        lesion=name,
        interval_days=days[1],
        follow_up_days=days[2] if followed else None,
        pre_mm3=volumes_mm3[0],
        post_mm3=volumes_mm3[1],
        follow_up_mm3=volumes_mm3[2] if followed else None,
        response_group=response_group(volumes_mm3[0], volumes_mm3[2]) if followed else "",
        slices=len(crops.pre),
        spacing_mm=" ".join(f"{mm:.6g}" for mm in pre.image.GetSpacing()[::-1]),
        orientation=orientation_of(pre.image.GetDirection()),
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
        f"{session.name}: {text}"
        for session, number in zip(sessions, numbers, strict=False)
        for text in session.warnings[number]
    ]


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayViewFromImage(image)
