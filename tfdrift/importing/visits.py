"""Which of a patient's studies are the visits: an MR series and the structure set drawn on it, in the order of dates.

A reason calls studies by their place in the order of dates, and series and structure sets by their place in the study,
all counted from 1 in the order of `tfdrift cohort scan`: descriptions and file names can hold a person's name.
"""

import dataclasses
import datetime
from collections import Counter, defaultdict
from pathlib import Path

from tfdrift.cohort.tables import Exclusion
from tfdrift.errors import DataError
from tfdrift.imaging.matching import match_series, weigh_candidates
from tfdrift.imaging.series import Series
from tfdrift.imaging.structures import Roi, in_frame
from tfdrift.importing.catalogue import FoundPatient, FoundSeries, FoundStructures
from tfdrift.importing.sessions import VISITS, VisitName
from tfdrift.importing.target_names import IsWanted


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ChosenVisit:
    """A visit.

    Args:
        name: one of `VISITS`.
        date: of its images.
        files: of its MR series.
        series: the header of the series.
        rois: of its structure set.
        warnings: what a person should know of the match and the date, without identity.
    """

    name: VisitName
    date: datetime.date
    files: tuple[Path, ...]
    series: Series
    rois: tuple[Roi, ...]
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """A structure set and the series it was drawn on."""

    label: str
    series: Series
    rois: tuple[Roi, ...]
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _NoSeries:
    """Why a structure set has no MR series: the data are broken, it is one of several, or neither."""

    reason: str
    broken: bool = False
    ambiguous: bool = False


def choose_visits(patient: FoundPatient, is_wanted: IsWanted) -> tuple[list[ChosenVisit], list[Exclusion]]:
    """Return a patient's first three visits.

    A study is a visit when exactly one structure set was drawn on one of its MR series. Of several, those without a
    wanted structure do not count. Where a study should be a visit and cannot be used, no later one is: a follow-up
    must not take the place of a second MRI that is broken.

    Args:
        patient: from `tfdrift.importing.catalogue.scan`.
        is_wanted: whether a structure may be a lesion.

    Returns:
        At most three visits by date; and why each other study with an MR series or a structure set is none.
    """
    drawn, unusable, exclusions = _match(patient)
    days = Counter(study.date for study in patient.studies if any(series.uid in drawn for series in study.series))
    visits: list[ChosenVisit] = []
    lost: int | None = None
    for number, study in enumerate(patient.studies, start=1):
        here = [(series, one) for series in study.series for one in drawn.get(series.uid, [])]
        if len(here) > 1:
            here = [(series, one) for series, one in here if any(is_wanted(roi) for roi in one.rois)] or here
        reason, spoils = "", True
        if not here:
            if any(series.series and series.modality == "MR" for series in study.series):
                reason = "an MR without a structure set that fits it"
            spoils = number in unusable
        elif len(here) > 1:
            labels = ", ".join(one.label for _, one in here)
            reason = f"several structure sets fit ({labels}); leave one of them and import again"
        elif study.date is None:
            reason = "it has no date that is understood, so its place among the visits is not known"
        elif days[study.date] > 1:
            reason = "one of several visits on one day; leave one of them and import again"
        elif lost is not None:
            reason = f"a visit after study {lost}, which cannot be used; which visit this is cannot be told"
        elif len(visits) == len(VISITS):
            reason, spoils = "a later visit; the first three are used", False
        else:
            ((series, one),) = here
            first, last = series.dates or (study.date, study.date)
            warnings = list(one.warnings)
            if (last - first).days > 1:
                warnings.append(f"the images of its series have dates up to {(last - first).days} days apart")
            visits.append(
                ChosenVisit(
                    name=VISITS[len(visits)],
                    date=first,
                    files=series.files,
                    series=one.series,
                    rois=one.rois,
                    warnings=tuple(warnings),
                )
            )
            continue
        if reason:
            exclusions.append(Exclusion(visit=f"study {number}", structure=None, reason=reason))
        if spoils and lost is None:
            lost = number
    if len(visits) < 2:
        reason = f"too few visits ({len(visits)}): two are needed, each an MR series and a structure set drawn on it"
        exclusions.append(Exclusion(visit="", structure=None, reason=reason))
    return visits, exclusions


def _match(patient: FoundPatient) -> tuple[dict[str, list[_Drawn]], set[int], list[Exclusion]]:
    """Say on which MR series each structure set was drawn.

    Returns:
        The structure sets by the UID of their series; the studies that have one of which it cannot be told; and why.
    """
    series = {
        found.uid: (f"series {place} of study {number}", found)
        for number, study in enumerate(patient.studies, start=1)
        for place, found in enumerate(study.series, start=1)
    }
    drawn: dict[str, list[_Drawn]] = defaultdict(list)
    unusable: set[int] = set()
    exclusions: list[Exclusion] = []
    for number, study in enumerate(patient.studies, start=1):
        for place, found in enumerate(study.structure_sets, start=1):
            label = f"structure set {place}"
            on = _series_of(found, series)
            if isinstance(on, Series):
                one = _Drawn(
                    label=f"{label} of study {number}",
                    series=on,
                    rois=tuple(in_frame(roi.roi, on.frame_of_reference_uid) for roi in found.rois),
                    warnings=_doubts(found, on),
                )
                drawn[on.series_uid].append(one)
                continue
            reason = f"{label} {on.reason}"
            exclusions.append(Exclusion(visit=f"study {number}", structure=None, reason=reason, broken=on.broken))
            if on.broken or on.ambiguous:
                unusable.add(number)
    return drawn, unusable, exclusions


def _series_of(found: FoundStructures, series: dict[str, tuple[str, FoundSeries]]) -> Series | _NoSeries:
    """Return the MR series a structure set was drawn on, or why that cannot be told."""
    if found.structures is None:
        return _NoSeries(f"cannot be read: {found.fault}", broken=True)
    referenced = [series[uid] for uid in sorted(found.structures.series_uids & set(series))]
    if referenced and not any(one.series for _, one in referenced):
        # Never on another series of the same grid, which may show another contrast.
        label, one = referenced[0]
        return _NoSeries(f"belongs to {label}, which cannot be used: {one.fault}", broken=True)
    volumes = [one.series for _, one in series.values() if one.series]
    try:
        on = match_series(found.structures, volumes)
    except DataError:
        for label, one in referenced:
            if one.fault:
                return _NoSeries(f"belongs to {label}, which cannot be used: {one.fault}", broken=True)
        reasons = weigh_candidates(found.structures, volumes)
        fitting = [series[one.series_uid][0] for one, reason in zip(volumes, reasons, strict=True) if reason is None]
        if fitting:
            return _NoSeries(f"fits several series ({', '.join(fitting)})", ambiguous=True)
        return _NoSeries("fits no series")
    if on.modality != "MR":
        return _NoSeries(f"was drawn on {series[on.series_uid][0]}, which is {on.modality} and not MR")
    return on


def _doubts(found: FoundStructures, on: Series) -> tuple[str, ...]:
    """Return what speaks against the series that a structure set was matched with."""
    assert found.structures is not None
    if on.series_uid in found.structures.series_uids:
        return ()
    what = "refers to a series that is not there" if found.structures.series_uids else "refers to no series"
    return (f"its structure set {what}; matched by place alone",)
