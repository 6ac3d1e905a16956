"""Which of a patient's studies are the visits: an MR series and the structure set drawn on it, in the order of dates.

A reason calls studies by their place in the order of dates, and series and structure sets by their place in the study,
all counted from 1 in the order of `tfdrift cohort scan`: descriptions and file names can hold a person's name.
"""

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tfdrift.cohort.catalogue import FoundPatient, FoundSeries, FoundStructures
from tfdrift.cohort.pairing import Visit
from tfdrift.errors import DataError
from tfdrift.imaging.matching import match_series, weigh_candidates
from tfdrift.imaging.series import Series
from tfdrift.imaging.structures import Roi

VISITS: tuple[Visit, ...] = ("pre", "post", "follow_up")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exclusion:
    """Something that is not in the cohort.

    Args:
        visit: `pre`, `post`, `follow_up`, or `study` and a number; empty where all visits are meant.
        structure: ROINumber; None where no single structure is meant.
        reason: why, without identity.
        broken: whether something is wrong with the data, which a new export may mend.
    """

    visit: str
    structure: int | None
    reason: str
    broken: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PatientVisit:
    """A visit.

    Args:
        name: one of `VISITS`.
        date: of its study.
        files: of its MR series.
        series: the header of the series.
        rois: of its structure set.
    """

    name: Visit
    date: datetime.date
    files: tuple[Path, ...]
    series: Series
    rois: tuple[Roi, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """A structure set and the series it was drawn on."""

    label: str
    series: Series
    rois: tuple[Roi, ...]


def choose_visits(
    patient: FoundPatient, is_wanted: Callable[[Roi], bool]
) -> tuple[list[PatientVisit], list[Exclusion]]:
    """Return a patient's first three visits.

    A study is a visit when exactly one structure set was drawn on one of its MR series. Of several, those without a
    wanted structure do not count.

    Args:
        patient: from `tfdrift.cohort.catalogue.scan`.
        is_wanted: whether a structure may be a lesion.

    Returns:
        At most three visits by date; and why each other study with an MR series or a structure set is none.
    """
    exclusions: list[Exclusion] = []
    drawn = _match(patient, exclusions)
    found: list[tuple[int, datetime.date, tuple[Path, ...], _Drawn]] = []

    def exclude(number: int, reason: str) -> None:
        exclusions.append(Exclusion(visit=f"study {number}", structure=None, reason=reason))

    for number, study in enumerate(patient.studies, start=1):
        here = [(series.files, one) for series in study.series for one in drawn.get(series.uid, [])]
        if len(here) > 1:
            here = [(files, one) for files, one in here if any(is_wanted(roi) for roi in one.rois)] or here
        if not any(series.series and series.modality == "MR" for series in study.series):
            continue
        if not here:
            exclude(number, "an MR without a structure set that fits it")
        elif len(here) > 1:
            labels = ", ".join(one.label for _, one in here)
            exclude(number, f"several structure sets fit ({labels}); leave one of them and import again")
        elif study.date is None:
            exclude(number, "it has no date, so its place among the visits is not known")
        else:
            found.append((number, study.date, *here[0]))
    visits: list[PatientVisit] = []
    for number, date, files, one in found:
        if sum(other == date for _, other, _, _ in found) > 1:
            exclude(number, "one of several visits on one day; leave one of them and import again")
        elif len(visits) == len(VISITS):
            exclude(number, "a later visit; the first three are used")
        else:
            name = VISITS[len(visits)]
            visits.append(PatientVisit(name=name, date=date, files=files, series=one.series, rois=one.rois))
    if len(visits) < 2:
        reason = f"{len(visits)} of the 2 visits that are needed: an MR series and a structure set drawn on it"
        exclusions.append(Exclusion(visit="", structure=None, reason=reason))
    return visits, exclusions


def _match(patient: FoundPatient, exclusions: list[Exclusion]) -> dict[str, list[_Drawn]]:
    """Return the structure sets by the UID of the MR series they were drawn on; say of the others why they are none."""
    series = {
        found.uid: (f"series {place} of study {number}", found)
        for number, study in enumerate(patient.studies, start=1)
        for place, found in enumerate(study.series, start=1)
    }
    drawn: dict[str, list[_Drawn]] = defaultdict(list)
    for number, study in enumerate(patient.studies, start=1):
        for place, found in enumerate(study.structure_sets, start=1):
            label = f"structure set {place}"
            on, reason, broken = _series_of(found, series)
            if on:
                one = _Drawn(label=f"{label} of study {number}", series=on, rois=tuple(roi.roi for roi in found.rois))
                drawn[on.series_uid].append(one)
            else:
                reason = f"{label} {reason}"
                exclusions.append(Exclusion(visit=f"study {number}", structure=None, reason=reason, broken=broken))
    return drawn


def _series_of(found: FoundStructures, series: dict[str, tuple[str, FoundSeries]]) -> tuple[Series | None, str, bool]:
    """Return the MR series a structure set was drawn on; or None, why there is none, and whether data are broken."""
    if found.structures is None:
        return None, f"cannot be read: {found.fault}", True
    volumes = [one.series for _, one in series.values() if one.series]
    try:
        on = match_series(found.structures, volumes)
    except DataError:
        for uid in sorted(found.structures.series_uids & set(series)):
            label, one = series[uid]
            if one.fault:
                return None, f"belongs to {label}, which cannot be used: {one.fault}", True
        reasons = weigh_candidates(found.structures, volumes)
        fitting = [series[one.series_uid][0] for one, reason in zip(volumes, reasons, strict=True) if reason is None]
        return None, f"fits several series ({', '.join(fitting)})" if fitting else "fits no series", False
    if on.modality != "MR":
        return None, f"was drawn on {series[on.series_uid][0]}, which is {on.modality} and not MR", False
    return on, "", False
