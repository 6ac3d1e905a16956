"""Which of a patient's studies are the visits: an MR series and the structure set drawn on it, in the order of dates.

A reason calls studies by their place in the order of dates, and series and structure sets by their place in the study,
all counted from 1 in the order of `tfdrift cohort scan`: descriptions and file names can hold a person's name.
"""

import dataclasses
import datetime
from collections import Counter, defaultdict
from pathlib import Path

from pydicom.uid import EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage, MRImageStorage

from tfdrift.cohort.tables import Exclusion
from tfdrift.imaging.matching import ABSENT, doubt, images_named, parts_of, weigh_candidates
from tfdrift.imaging.series import Series
from tfdrift.imaging.structures import OTHER_SERIES, Roi, StructureSet, drawn_elsewhere, in_frame
from tfdrift.importing.catalogue import FoundPatient, FoundSeries, FoundStructures
from tfdrift.importing.sessions import VISITS, visit_name
from tfdrift.importing.target_names import IsWanted


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ChosenVisit:
    """A visit.

    Args:
        name: see `tfdrift.importing.sessions.visit_name`.
        date: of its images.
        files: of its MR series.
        series: the header of the series.
        rois: of its structure set.
        warnings: what a person should know of the match and the date, without identity.
    """

    name: str
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
class _Known:
    """A series of the patient: number of its study, what a reason calls it, and what was found."""

    study: int
    label: str
    found: FoundSeries


@dataclasses.dataclass(frozen=True)
class _NoSeries:
    """Why a structure set has no MR series; whether the data are broken; which studies should be visits and are not."""

    reason: str
    broken: bool = False
    spoils: frozenset[int] = frozenset()


def choose_visits(
    patient: FoundPatient, is_wanted: IsWanted, *, by_place: bool = False, at_most: int | None = len(VISITS)
) -> tuple[list[ChosenVisit], list[Exclusion]]:
    """Return a patient's first visits.

    A study is a visit when exactly one structure set was drawn on one of its MR series. Of several, those without a
    wanted structure do not count. Where a study should be a visit and cannot be used, no later one is: a follow-up
    must not take the place of a second MRI that is broken.

    Args:
        patient: from `tfdrift.importing.catalogue.scan`.
        is_wanted: whether a structure may be a lesion.
        by_place: whether a structure set whose series is not there may be matched by place, see `weigh_candidates`.
        at_most: how many; None for all.

    Returns:
        The visits by date; and why each other study with an MR series or a structure set is none.
    """
    drawn, unusable, exclusions = _match(patient, by_place)
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
            labels = list(dict.fromkeys(one.label for _, one in here))
            reason = f"several structure sets fit ({', '.join(labels)}); leave one of them and import again"
            if len(labels) == 1:
                reason = f"{labels[0]} has lesions on several series; leave those of one and import again"
        elif study.date is None:
            reason = "it has no date that is understood, so its place among the visits is not known"
        elif days[study.date] > 1:
            reason = "one of several visits on one day; leave one of them and import again"
        elif lost is not None:
            reason = f"a visit after study {lost}, which cannot be used; which visit this is cannot be told"
        elif len(visits) == at_most:
            reason, spoils = "a later visit; the first three are used", False
        else:
            ((series, one),) = here
            first, last = series.dates or (study.date, study.date)
            warnings = list(one.warnings)
            if (last - first).days > 1:
                warnings.append(f"the images of its series have dates up to {(last - first).days} days apart")
            if study.days_apart > max((last - first).days, 1):
                warnings.append(f"the objects of its study have dates up to {study.days_apart} days apart")
            visits.append(
                ChosenVisit(
                    name=visit_name(len(visits)),
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


def _match(patient: FoundPatient, by_place: bool) -> tuple[dict[str, list[_Drawn]], set[int], list[Exclusion]]:
    """Say on which MR series each structure set, or each part of it, was drawn.

    Returns:
        The structure sets by the UID of their series; the studies that should be visits and cannot be; and why.
    """
    known = {
        found.uid: _Known(number, f"series {place} of study {number}", found)
        for number, study in enumerate(patient.studies, start=1)
        for place, found in enumerate(study.series, start=1)
    }
    drawn: dict[str, list[_Drawn]] = defaultdict(list)
    unusable: set[int] = set()
    exclusions: list[Exclusion] = []
    for number, study in enumerate(patient.studies, start=1):
        for place, found in enumerate(study.structure_sets, start=1):
            label = f"structure set {place}"
            on, lost = _parts_on(found, known, number, by_place)
            for series, rois, warnings in on:
                one = _Drawn(label=f"{label} of study {number}", series=series, rois=rois, warnings=warnings)
                drawn[series.series_uid].append(one)
            for reason in dict.fromkeys(lost):
                said = f"{label} {reason.reason}"
                exclusions.append(Exclusion(visit=f"study {number}", structure=None, reason=said, broken=reason.broken))
                unusable |= reason.spoils
    return drawn, unusable, exclusions


def _parts_on(
    found: FoundStructures, known: dict[str, _Known], number: int, by_place: bool
) -> tuple[list[tuple[Series, tuple[Roi, ...], tuple[str, ...]]], list[_NoSeries]]:
    """Return the MR series a structure set of study `number` was drawn on, each with structures and warnings.

    Of each series all structures are listed but for those drawn on another MR; those of other parts have a fault.

    Returns:
        What was found, and why parts have none. Parts without contours are silent beside others.
    """
    if found.structures is None:
        return [], [_NoSeries(f"cannot be read: {found.fault}", broken=True, spoils=frozenset({number}))]
    parts = parts_of(found.structures, {uid: one.found.image_uids for uid, one in known.items()})
    answers = [_series_of(part, known, number, by_place) for part in parts]
    placed = {
        roi.number: answer
        for part, answer in zip(parts, answers, strict=True)
        for roi in part.rois
        if isinstance(answer, Series)
    }
    warnings: dict[str, list[str]] = defaultdict(list)
    for part, answer in zip(parts, answers, strict=True):
        if isinstance(answer, Series):
            warnings[answer.series_uid] += _doubts(part, answer, known)
    on = []
    for series in {answer.series_uid: answer for answer in answers if isinstance(answer, Series)}.values():
        rois = []
        for roi in found.structures.rois:
            own = placed.get(roi.number)
            if own is None:
                drawn = in_frame(roi, series.frame_of_reference_uid)
                rois.append(drawn if drawn.fault else drawn_elsewhere(roi, OTHER_SERIES))
            elif own.series_uid == series.series_uid:
                rois.append(in_frame(roi, series.frame_of_reference_uid))
        on.append((series, tuple(rois), tuple(dict.fromkeys(warnings[series.series_uid]))))
    lost = [
        answer
        for part, answer in zip(parts, answers, strict=True)
        if isinstance(answer, _NoSeries) and (not on or (answer.spoils and any(roi.is_drawn for roi in part.rois)))
    ]
    return on, lost


def _series_of(part: StructureSet, known: dict[str, _Known], number: int, by_place: bool) -> Series | _NoSeries:
    """Return the MR series a part of a structure set of study `number` was drawn on, or why that cannot be told."""
    volumes = [one.found.series for one in known.values() if one.found.series]
    unusable = {uid: one.found.image_uids for uid, one in known.items() if not one.found.series}
    reasons = weigh_candidates(part, volumes, unusable=unusable, by_place=by_place)
    left = [series for series, reason in zip(volumes, reasons, strict=True) if reason is None]
    if len(left) > 1:
        labels = ", ".join(known[series.series_uid].label for series in left)
        return _NoSeries(f"fits several series ({labels})", spoils=frozenset({number}))
    if left:
        on = known[left[0].series_uid]
        return left[0] if left[0].modality == "MR" else _not_mr(on)
    images = images_named(part.rois)
    ends = [
        one for uid, one in known.items() if uid in unusable and (uid in part.series_uids or images & unusable[uid])
    ]
    # Never on another series of the same grid, which may show another contrast.
    for one in ends:
        if one.found.modality == "MR":
            reason = f"belongs to {one.label}, which cannot be used: {one.found.fault}"
            return _NoSeries(reason, broken=True, spoils=frozenset({number, one.study}))
    if ends:
        return _not_mr(ends[0])
    if part.series_uids - set(known):
        # A planning CT that was left out is no visit; an MR is.
        classes = frozenset().union(*(roi.image_classes for roi in part.rois))
        elsewhere = any(reason is None for reason in weigh_candidates(part, volumes, by_place=True))
        of_mr = any(one.study == number and one.found.modality == "MR" for one in known.values()) or elsewhere
        spoils = bool(classes & _MR_CLASSES) if classes else of_mr
        return _NoSeries(ABSENT, broken=spoils, spoils=frozenset({number} if spoils else ()))
    for series, reason in zip(volumes, reasons, strict=True):
        if series.series_uid in part.series_uids and series.modality == "MR" and any(roi.is_drawn for roi in part.rois):
            one = known[series.series_uid]
            reason = f"belongs to {one.label} and does not fit it: {reason}"
            return _NoSeries(reason, broken=True, spoils=frozenset({number, one.study}))
    return _NoSeries("fits no series")


def _not_mr(one: _Known) -> _NoSeries:
    return _NoSeries(f"was drawn on {one.label}, which is {one.found.modality} and not MR")


def _doubts(part: StructureSet, on: Series, known: dict[str, _Known]) -> list[str]:
    """Return what speaks against the series that a part of a structure set was matched with."""
    said = doubt(part, on)
    if said:
        return [f"its structure set {said}"]
    images = images_named(part.rois)
    if not images & known[on.series_uid].found.image_uids:
        for one in known.values():
            if images & one.found.image_uids:
                return [f"its structure set refers to its series, but its contours name images of {one.label}"]
    return []


_MR_CLASSES = {MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage}
