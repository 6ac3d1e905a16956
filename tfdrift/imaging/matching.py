"""Which series a structure set was drawn on: by frame of reference, referenced series, contours' images and geometry.

A reference is believed. Where it leads to a series that is not there or is no volume, the structure set ends there;
only `by_place` looks for another one. The images that contours name settle what references leave open and nothing else:
planning systems are known to write ones that match no image.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType

import numpy as np

from tfdrift.errors import DataError
from tfdrift.imaging.series import Series
from tfdrift.imaging.structures import (
    OTHER_FRAME,
    OTHER_SERIES,
    PLANE_TOLERANCE_MM,
    Roi,
    StructureSet,
    drawn_elsewhere,
    in_frame,
    misfit,
)

ABSENT = "refers to a series that is not there"
"""Why a structure set ends without a series; goes on from its name."""

OFF_SLICES = "its contours are not on these slices"

NO_SERIES: Mapping[str, Set[str]] = MappingProxyType({})


def fits(structures: StructureSet, series: Series, *, by_place: bool = False) -> str | None:
    """Say why a structure set does not belong to a series, or None where it may.

    It may when it shares the frame of reference (where both name one), refers to the series (where it refers to any)
    and at least one of its structures fits the grid.

    Args:
        structures: from `read_structures`.
        series: from `read_series` or `assemble_series`.
        by_place: a reference to another series does not count where all contours lie on the series' slices.

    Returns:
        One line without identity, or None.
    """
    refers = not structures.series_uids or series.series_uid in structures.series_uids
    if not refers and not by_place:
        return "it refers to another series"
    return _place_misfit(structures, series) or (None if refers else _off_slices(structures, series))


def doubt(structures: StructureSet, series: Series) -> str:
    """Return what a person should know of a match, goes on from "its structure set"; empty where it is by reference.

    Args:
        structures: from `read_structures`.
        series: that it was matched with.
    """
    if series.series_uid in structures.series_uids:
        return ""
    what = ABSENT if structures.series_uids else "refers to no series"
    by_images = bool(images_named(structures.rois) & _images_of(series))
    return f"{what}; matched by {'the images its contours name' if by_images else 'place alone'}"


def weigh_candidates(
    structures: StructureSet,
    candidates: Sequence[Series],
    *,
    unusable: Mapping[str, Set[str]] = NO_SERIES,
    by_place: bool = False,
) -> list[str | None]:
    """Say of each series why a structure set does not belong to it, or None where it may.

    As `fits`; and of several, those whose images the contours name, else those on whose slices the contours lie. A
    series that is referenced too but cannot be looked at, because it is absent or no volume, is one of the several.

    Args:
        structures: from `read_structures`.
        candidates: all series of the patient that are volumes.
        unusable: the SOPInstanceUIDs of the images of each other series of the patient, by SeriesInstanceUID.
        by_place: where the references lead to no volume, a series may be its own on whose very slices all contours
            lie: an export may have renumbered the series, or left the one of several out that is not meant.

    Returns:
        For each candidate one line without identity, or None.
    """
    uids, images = structures.series_uids, images_named(structures.rois)
    known = {series.series_uid for series in candidates}
    absent = bool(uids) and not uids & (known | set(unusable))
    reasons = [fits(structures, series, by_place=by_place and absent) for series in candidates]
    if absent and not by_place:
        return [f"it {ABSENT}"] * len(candidates)
    left = [i for i, reason in enumerate(reasons) if reason is None]
    out_of_sight = {uid for uid in unusable if uid in uids or images & unusable[uid]} | (uids - known - set(unusable))
    if not left or (len(left) == 1 and not out_of_sight):
        return reasons
    named = [i for i in left if images & _images_of(candidates[i])]
    named_unusable = any(images & unusable[uid] for uid in unusable)
    if named_unusable or (out_of_sight and not named and not by_place):
        for i in left:
            reasons[i] = "it refers to another series as well, which is not there or cannot be used"
    elif named:
        for i in set(left) - set(named):
            reasons[i] = "its contours name images of another series"
    else:
        off = [i for i in left if _off_slices(structures, candidates[i])]
        for i in off if len(off) < len(left) or out_of_sight else []:
            reasons[i] = OFF_SLICES
    return reasons


def match_series(
    structures: StructureSet,
    candidates: Sequence[Series],
    *,
    unusable: Mapping[str, Set[str]] = NO_SERIES,
    by_place: bool = False,
) -> Series:
    """Find the one series that `weigh_candidates` leaves.

    Args:
        structures: from `read_structures`.
        candidates: see `weigh_candidates`.
        unusable: see there.
        by_place: see there.

    Raises:
        DataError: no candidate fits, or several do; they are listed with what tells them apart.
    """
    reasons = weigh_candidates(structures, candidates, unusable=unusable, by_place=by_place)
    found = [series for series, reason in zip(candidates, reasons, strict=True) if reason is None]
    if len(found) == 1:
        return found[0]
    if found:
        listed = "; ".join(str(series) for series in found)
        raise DataError(f"the structure set fits {len(found)} series ({listed}); give the one it was drawn on")
    listed = "; ".join(f"{series}: {reason}" for series, reason in zip(candidates, reasons, strict=True))
    raise DataError(f"the structure set fits no series ({listed or 'there is none'}); give the one it was drawn on")


def rois_on(structures: StructureSet, series: Series) -> list[Roi]:
    """Return the structures as a series sees them that they belong to by `fits`: those drawn elsewhere have a fault.

    Elsewhere is another frame of reference. Where the file refers to several series and contours name images of this
    one, it is also where the contours name none of them.

    Args:
        structures: from `read_structures`.
        series: see `fits`.
    """
    images = _images_of(series)
    rois = [in_frame(roi, series.frame_of_reference_uid) for roi in structures.rois]
    if len(structures.series_uids) < 2 or not images & images_named(rois):
        return rois
    return [
        drawn_elsewhere(roi, OTHER_SERIES) if roi.image_uids and not roi.image_uids & images else roi for roi in rois
    ]


def parts_of(structures: StructureSet, images: Mapping[str, Set[str]]) -> list[StructureSet]:
    """Return a structure set in parts that were each drawn on one series, as far as the file says.

    One file may hold the structures of two visits, each in its own frame of reference, or of two series of one visit,
    each with contours that name its images. A part has the references of its own frame; where there are none under it,
    or a structure names no frame, those of the whole file.

    Args:
        structures: from `read_structures`.
        images: the SOPInstanceUIDs of the images of each series of the patient, by SeriesInstanceUID.

    Returns:
        The structure set itself where there is one part; else the parts in the order of their first structures.
        Structures that do not say to which part they belong are a part of their own.
    """
    frames: dict[str, list[Roi]] = defaultdict(list)
    for roi in structures.rois:
        frames[roi.frame_uid].append(roi)
    parts: list[StructureSet] = []
    for frame_uid, rois in frames.items():
        named: dict[frozenset[str], list[Roi]] = defaultdict(list)
        for roi in rois:
            named[frozenset(uid for uid, of in images.items() if roi.image_uids & of)].append(roi)
        several = sum(bool(uids) for uids in named) > 1
        parts += [
            dataclasses.replace(
                structures,
                rois=tuple(members),
                series_uids=structures.series_of_frame.get(frame_uid) or structures.series_uids,
                frame_of_reference_uids=frozenset({frame_uid}) if frame_uid else structures.frame_of_reference_uids,
            )
            for members in (named.values() if several else [rois])
        ]
    return parts if len(parts) > 1 else [structures]


def images_named(rois: Sequence[Roi]) -> frozenset[str]:
    """Return the SOPInstanceUIDs that the contours of structures name as their images."""
    return frozenset().union(*(roi.image_uids for roi in rois))


def _place_misfit(structures: StructureSet, series: Series) -> str | None:
    frame = series.frame_of_reference_uid
    if frame and structures.frame_of_reference_uids and frame not in structures.frame_of_reference_uids:
        return f"it {OTHER_FRAME}"
    rois = [in_frame(roi, frame) for roi in structures.rois]
    reasons = [misfit(roi, series.grid) for roi in rois]
    if "" in reasons:
        return None
    drawn = next((i for i, roi in enumerate(rois) if roi.is_drawn), 0)
    return f"structure {structures.rois[drawn].number} {reasons[drawn]}"


def _off_slices(structures: StructureSet, series: Series) -> str | None:
    grid, rois = series.grid, [in_frame(roi, series.frame_of_reference_uid) for roi in structures.rois]
    depths = np.array([grid.to_index(points)[:, 2].mean() for roi in rois for points in roi.contours_mm], float)
    on = np.all(np.abs(depths - np.round(depths)) * grid.spacing_mm[2] <= PLANE_TOLERANCE_MM)
    return None if on and not any(roi.frames and misfit(roi, grid) for roi in rois) else OFF_SLICES


def _images_of(series: Series) -> frozenset[str]:
    return frozenset(one.sop_instance_uid for one in series.slices) - {""}
