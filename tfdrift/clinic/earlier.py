"""Earlier visits of a patient: which of their lesions is which of the MRI that is predicted from, and how it changed.

Lesions are matched as in an import: the earlier MRI is registered, and contours that overlap are of one lesion. Volumes
are each visit's own, on its own grid. Of several earlier visits the first that shows a lesion counts.
"""

import contextlib
import datetime
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import SimpleITK as sitk
from pydicom.dataset import Dataset

from tfdrift.clinic.patient_files import PatientFiles
from tfdrift.cohort.earlier import EARLIER_COLUMNS, NOT_SEEN, Earlier, earlier_change
from tfdrift.errors import DataError, UsageError
from tfdrift.imaging.dicom import needless, parsing
from tfdrift.imaging.structures import mask_figures
from tfdrift.importing.dates import image_date
from tfdrift.importing.pairing import Reason, RoiMask, pair_lesions
from tfdrift.importing.sessions import Session, bring_onto
from tfdrift.model.conditions import Conditions


class EarlierVisit(NamedTuple):
    """Files of an earlier visit.

    Args:
        series_dir: folder of its MR series.
        rtstruct: the RTSTRUCT or Segmentation file drawn on it.
    """

    series_dir: Path
    rtstruct: Path


class Past(NamedTuple):
    """What earlier visits show of a lesion.

    Args:
        change: how it changed until now; `NOT_SEEN` where no earlier visit shows it.
        visit: which one shows it, from 1; 0 for none.
        volume_mm3: at that visit; None for none.
        notes: sentences that a person should know.
    """

    change: Earlier = NOT_SEEN
    visit: int = 0
    volume_mm3: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any] | None:
        """What `prediction.json` says of it."""
        if not self.change.is_known:
            return None
        return {"visit": self.visit, "volume_mm3": self.volume_mm3, **self.change._asdict()}


NO_PAST = Past()


class Pasts(NamedTuple):
    """What earlier visits show of a patient.

    Args:
        days_before: of each earlier visit, days until the MRI that is predicted from.
        lesions: by the number of the lesion's structure now.
    """

    days_before: tuple[int, ...] = ()
    lesions: Mapping[int, Past] = {}


NO_PASTS = Pasts()


def check_earlier(visits: int, given: Sequence[str], conditions: Conditions) -> None:
    """Refuse earlier visits that a model cannot use, or that are given twice.

    Args:
        visits: how many earlier ones there are.
        given: see `tfdrift.clinic.scenarios.make_plan`.
        conditions: of the model.

    Raises:
        UsageError: the model takes no earlier change, or it is given as a number too.
    """
    if not visits:
        return
    taken = [name for name in EARLIER_COLUMNS if name in conditions.names]
    if not taken:
        theirs = ", ".join(conditions.names) or "none"
        raise UsageError(
            f"--series {visits + 1} times: the model was not trained with {' or '.join(EARLIER_COLUMNS)} (its "
            f"conditions: {theirs}); give the last visit alone"
        )
    for name in taken:
        if any(text.partition("=")[0].strip() == name for text in given):
            raise UsageError(f"--given {name}: it is measured from the earlier visit; leave one of the two out")


def read_visit_days(text: str, visits: int) -> tuple[int, ...]:
    """Return the days of visits as a user says them.

    Args:
        text: whole numbers, ascending, separated by commas.
        visits: how many there are.

    Raises:
        UsageError: something else.

    Example:
        >>> read_visit_days("0, 21", 2)
        (0, 21)
    """
    parts = [part.strip() for part in text.split(",")]
    days = tuple(int(part) for part in parts if part.isdecimal())
    if len(days) < len(parts) or len(days) != visits or any(b <= a for a, b in itertools.pairwise(days)):
        raise UsageError(f"--days {text}: give a whole number for each of the {visits} visits, ascending, such as 0,21")
    return days


def find_pasts(
    visits: Sequence[EarlierVisit],
    now: PatientFiles,
    read: Callable[[Path, Path], PatientFiles],
    *,
    days: Sequence[int] = (),
) -> Pasts:
    """Return what earlier visits show of the lesions of an MRI.

    Args:
        visits: in the order of time.
        now: the MRI that is predicted from, with its lesions.
        read: reads the series and the structures of a visit.
        days: of every visit and of the MRI now, where their dates do not count; none for their dates.

    Raises:
        DataError: a visit cannot be read, is of another patient or not in order, or cannot be registered.
    """
    files = [_read(place, visit, read) for place, visit in enumerate(visits, start=1)]
    for place, one in enumerate(files, start=1):
        _refuse_another_patient(place, one, now)
    when = tuple(days) or _dates([*files, now])
    sessions = [_session(f"visit {place}", *one) for place, one in enumerate(zip([*files, now], when, strict=True), 1)]
    last = sessions[-1]
    found: dict[int, Past] = {}
    reasons: dict[int, Reason] = {}
    for place, session in enumerate(sessions[:-1], start=1):
        if len(found) == len(last.masks):
            break
        with _of_visit(place):
            moved = bring_onto(session, last, mode="auto", seed=0)
        assert moved.registration is not None
        said = _doubts(moved, place)
        pairs, unpaired = pair_lesions(_masks(moved), _masks(last), pattern="")
        reasons |= {int(one.roi): one.reason for one in unpaired if one.visit == "post"}
        for pair in pairs:
            before, after = int(pair.pre.name), int(pair.post.name)
            if after in found:
                continue
            then_mm3, now_mm3 = session.volumes_mm3[before], last.volumes_mm3[after]
            change = earlier_change(last.day - session.day, then_mm3=then_mm3, now_mm3=now_mm3)
            notes = (*said, *(f"visit {place}: {text}" for text in session.warnings[before]))
            found[after] = Past(change, place, then_mm3, notes)
    lost = {number: Past(notes=(_why_unknown(reasons.get(number)),)) for number in last.masks if number not in found}
    return Pasts(tuple(last.day - session.day for session in sessions[:-1]), {**found, **lost})


@contextlib.contextmanager
def _of_visit(place: int) -> Iterator[None]:
    """Say of which visit a refusal is."""
    try:
        yield
    except DataError as error:
        raise DataError(f"visit {place}: {error}") from None


def _read(place: int, visit: EarlierVisit, read: Callable[[Path, Path], PatientFiles]) -> PatientFiles:
    with _of_visit(place):
        return read(visit.series_dir, visit.rtstruct)


def _refuse_another_patient(place: int, earlier: PatientFiles, now: PatientFiles) -> None:
    with parsing("a slice"):
        ids = [str(needless(one.headers[0], "PatientID") or "").strip() for one in (earlier, now)]
    if all(ids) and ids[0] != ids[1]:
        raise DataError(f"visit {place} and the last visit have two PatientIDs; give visits of one patient")


def _dates(files: Sequence[PatientFiles]) -> tuple[int, ...]:
    """Return the days on which the visits' images were taken, on a scale of their own."""
    days = []
    for place, one in enumerate(files, start=1):
        date = _first_date(one.headers)
        if date is None:
            raise DataError(f"visit {place} has no date that is understood; say the days of all, such as --days 0,21")
        days.append(date.toordinal())
    for place, (one, other) in enumerate(itertools.pairwise(days), start=1):
        if one == other:
            raise DataError(f"visits {place} and {place + 1} are of one day by their dates; give visits of two days")
        if one > other:
            raise DataError(
                f"visit {place} is {one - other} days after visit {place + 1} by their dates; give --series in the "
                "order of time, the one to predict from last"
            )
    return tuple(days)


def _first_date(headers: Sequence[Dataset]) -> datetime.date | None:
    with parsing("a slice"):
        dates = [date for date in (image_date(header) for header in headers) if date]
    return min(dates, default=None)


def _session(name: str, of_visit: PatientFiles, day: int) -> Session:
    masks, volumes_mm3, warnings = {}, {}, {}
    for lesion in of_visit.lesions:
        try:
            mask, said = lesion.mask()
        except DataError:  # such as an empty one; of the MRI now it is told where it is predicted
            continue
        number = lesion.roi.number
        masks[number], volumes_mm3[number], warnings[number] = mask, mask_figures(mask).volume_mm3, tuple(said)
    return Session(
        name=name,
        day=day,
        image=of_visit.image,
        masks=masks,
        volumes_mm3=volumes_mm3,
        warnings=warnings,
        # Two series that name no frame of reference do not share one.
        frame=of_visit.series.frame_of_reference_uid or name,
    )


def _masks(session: Session) -> list[RoiMask]:
    return [
        RoiMask(name=str(number), mask=sitk.GetArrayViewFromImage(mask) > 0) for number, mask in session.masks.items()
    ]


def _doubts(moved: Session, place: int) -> tuple[str, ...]:
    registration = moved.registration
    assert registration is not None
    if not registration.suspect:
        return ()
    words = "; ".join([*registration.warnings, f"residual {registration.residual_percent:.0f}%"])
    return (f"the registration of visit {place} may be wrong ({words}), and with it which lesion is which",)


def _why_unknown(reason: Reason | None) -> str:
    if reason in (Reason.MERGED, Reason.SPLIT, Reason.MERGED_AND_SPLIT):
        return f"its contours at the earlier visit are {reason}, so how it changed is not known to the model"
    return "no earlier visit shows it, so how it changed is not known to the model"
