"""Which series a structure set was drawn on: by frame of reference, referenced series and geometry.

SOP instance references are not looked at: planning systems are known to write ones that match no image.
"""

from collections.abc import Sequence

import numpy as np

from tfdrift.errors import DataError
from tfdrift.imaging.series import Series
from tfdrift.imaging.structures import OTHER_FRAME, PLANE_TOLERANCE_MM, StructureSet, in_frame, misfit


def fits(structures: StructureSet, series: Series) -> str | None:
    """Say why a structure set does not belong to a series, or None where it may.

    It may when it shares the frame of reference (where both name one), refers to the series (where it refers to any)
    and at least one of its structures fits the grid.

    Args:
        structures: from `read_structures`.
        series: from `read_series` or `assemble_series`.

    Returns:
        One line without identity, or None.
    """
    if structures.series_uids and series.series_uid not in structures.series_uids:
        return "it refers to another series"
    return _place_misfit(structures, series)


def weigh_candidates(structures: StructureSet, candidates: Sequence[Series]) -> list[str | None]:
    """Say of each series why a structure set does not belong to it, or None where it may.

    As `fits`, but a structure set that refers to none of the candidates is not lost. The reference may have been
    broken by an export that renumbered the series; or the series, such as the planning CT, was left out. So then only a
    series on whose very slices all its contours lie may be its own.

    Args:
        structures: from `read_structures`.
        candidates: all series of the patient.

    Returns:
        For each candidate one line without identity, or None.
    """
    if not structures.series_uids or any(series.series_uid in structures.series_uids for series in candidates):
        return [fits(structures, series) for series in candidates]
    reasons = []
    for series in candidates:
        reason = _place_misfit(structures, series)
        if reason is None and not _lies_on_slices(structures, series):
            reason = "it refers to a series that is not there, and its contours are not on these slices"
        reasons.append(reason)
    return reasons


def match_series(structures: StructureSet, candidates: Sequence[Series]) -> Series:
    """Find the one series a structure set was drawn on.

    Of several that `weigh_candidates` leaves, the one on whose slices the contours lie.

    Args:
        structures: from `read_structures`.
        candidates: all series of the patient.

    Raises:
        DataError: no candidate fits, or several do; they are listed with what tells them apart.
    """
    reasons = weigh_candidates(structures, candidates)
    found = [series for series, reason in zip(candidates, reasons, strict=True) if reason is None]
    if len(found) > 1:
        found = [series for series in found if _lies_on_slices(structures, series)] or found
    if len(found) == 1:
        return found[0]
    if found:
        listed = "; ".join(str(series) for series in found)
        raise DataError(f"the structure set fits {len(found)} series ({listed}); give the one it was drawn on")
    listed = "; ".join(f"{series}: {reason}" for series, reason in zip(candidates, reasons, strict=True))
    raise DataError(f"the structure set fits no series ({listed or 'there is none'}); give the one it was drawn on")


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


def _lies_on_slices(structures: StructureSet, series: Series) -> bool:
    grid, rois = series.grid, [in_frame(roi, series.frame_of_reference_uid) for roi in structures.rois]
    depths = np.array([grid.to_index(points)[:, 2].mean() for roi in rois for points in roi.contours_mm], float)
    on_slices = np.all(np.abs(depths - np.round(depths)) * grid.spacing_mm[2] <= PLANE_TOLERANCE_MM)
    return bool(on_slices) and not any(roi.frames and misfit(roi, grid) for roi in rois)
