"""A patient's MRI and what is drawn on it, from DICOM or from NIfTI, as a prediction needs them; and earlier visits.

Lesions of earlier visits are matched as in an import: the earlier MRI is registered, and contours that overlap are of
one lesion. Volumes are each visit's own, on its own grid. Of several earlier visits the first that shows it counts.
"""

import contextlib
import dataclasses
import datetime
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import SimpleITK as sitk
from pydicom.dataset import Dataset

from tfdrift.clinic.public_label import public_label
from tfdrift.cohort.earlier import NOT_SEEN, Earlier, earlier_change
from tfdrift.errors import DataError, UsageError
from tfdrift.imaging.dicom import needless, parsing, read_header
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.matching import doubt, fits, rois_on
from tfdrift.imaging.nifti import read_nifti
from tfdrift.imaging.series import Series, files_of, read_series
from tfdrift.imaging.structures import Roi, mask_figures, rasterise, read_structures
from tfdrift.importing.dates import image_date
from tfdrift.importing.nifti_source import Lesion, NiftiVisit, Scan
from tfdrift.importing.pairing import Reason, RoiMask, pair_lesions
from tfdrift.importing.sessions import Session, bring_onto
from tfdrift.importing.target_names import target_rule

NOT_TOLD = "not told"
"""Modality of an MRI whose file does not say what it is."""


class DrawnLesion(NamedTuple):
    """A lesion as it was drawn.

    Args:
        roi: its number and its name.
        label: what it is called in files that may leave the clinic.
        mask: returns it on the MRI's grid, with what is odd about it; raises DataError where it cannot be used.
    """

    roi: Roi
    label: str
    mask: Callable[[], tuple[sitk.Image, Sequence[str]]]


class PatientFiles(NamedTuple):
    """What was read of a patient.

    Args:
        image: the MRI, float32, slices as DICOM has them.
        own_grid: the grid of its file, which maps are written on.
        series: of the MRI; without slices and UIDs where it is no DICOM.
        headers: of its slices in the order of the grid; none where it is no DICOM.
        lesions: drawn on it.
    """

    image: sitk.Image
    own_grid: Grid
    series: Series
    headers: list[Dataset]
    lesions: list[DrawnLesion]


def read_dicom_files(series_dir: Path, rtstruct: Path, pattern: str, *, by_place: bool = False) -> PatientFiles:
    """Read an MR series and the structures that match.

    Args:
        series_dir: folder of the series.
        rtstruct: the RTSTRUCT or Segmentation file drawn on it.
        pattern: regular expression or numbers, see `target_rule`.
        by_place: see `tfdrift.imaging.matching.fits`.

    Raises:
        UsageError: the pattern is neither.
        DataError: the series or the structure set cannot be read, they do not belong together, or nothing matches.
    """
    image, series = read_series(series_dir)
    if series.modality != "MR":
        raise DataError(f"the series is {series.modality}, not MR; models are trained on MR")
    headers = read_headers(files_of(series_dir), series)

    def drawn(roi: Roi) -> DrawnLesion:
        return DrawnLesion(roi, public_label(roi, headers[0]), lambda: rasterise(roi, image))

    rois = find_lesions(rtstruct, series, pattern, by_place=by_place)
    return PatientFiles(image, Grid.of(image), series, headers, [drawn(roi) for roi in rois])


def read_nifti_files(image: Path, masks: Sequence[Path], pattern: str, *, components: bool = False) -> PatientFiles:
    """Read an MRI and the lesions of masks or label maps on its grid, as the import reads them.

    Args:
        image: NIfTI.
        masks: NIfTI; of one label a lesion, of several labels a lesion each.
        pattern: numbers such as `#3`, or a regular expression for the names `lesion 1`, `lesion 2`; see `target_rule`.
        components: whether each connected part of a label is a lesion.

    Raises:
        UsageError: the pattern is neither.
        DataError: a file cannot be read, a mask is on another grid, or no lesion matches.
    """
    is_wanted = target_rule(pattern)
    scan = Scan(day=0, image=image, masks=tuple(masks), components=components)
    lesions = tuple(Lesion(number=number) for number in scan.read_masks())
    if not lesions:
        raise DataError("the masks hold no lesion: every voxel is 0")
    wanted = [lesion for lesion in lesions if is_wanted(lesion)]
    if not wanted:
        raise DataError(f"none of the {len(lesions)} lesions of the masks matches --roi {pattern!r}")
    session, _ = NiftiVisit(name="pre", day=0, structures=lesions, scan=scan).read(wanted)
    series = Series(
        grid=Grid.of(session.image),
        slices=(),
        series_uid="",
        frame_of_reference_uid="",
        study_uid="",
        study_date=None,
        modality=NOT_TOLD,
        acquisition={},
    )

    def drawn(lesion: Lesion) -> DrawnLesion:
        roi = Roi(number=lesion.number, name=lesion.name, contours_mm=())
        return DrawnLesion(roi, lesion.name, lambda: (session.masks[lesion.number], session.warnings[lesion.number]))

    own_grid = Grid.of(read_nifti(image, "the image"))
    return PatientFiles(session.image, own_grid, series, [], [drawn(lesion) for lesion in wanted])


def read_headers(files: list[Path], series: Series) -> list[Dataset]:
    """Return the headers of a series' slices in the order of its grid; a file of many frames comes once a frame.

    Args:
        files: of the folder, in the order that `read_series` read them.
        series: what it found.
    """
    once = {number: read_header(files[number], f"file {number + 1}") for number in {s.file for s in series.slices}}
    return [once[one.file] for one in series.slices]


def find_lesions(rtstruct: Path, series: Series, pattern: str, *, by_place: bool = False) -> list[Roi]:
    """Return the structures whose names match, with a warning where they do not belong to the series by reference.

    Args:
        rtstruct: the RTSTRUCT or Segmentation file.
        series: that it must belong to.
        pattern: regular expression or numbers, see `target_rule`.
        by_place: see `tfdrift.imaging.matching.fits`.

    Raises:
        UsageError: the pattern is neither.
        DataError: the structure set cannot be read or belongs to another series, or no structure matches.
    """
    is_wanted = target_rule(pattern)
    structures = read_structures(rtstruct)
    reason = fits(structures, series, by_place=by_place)
    if reason:
        raise DataError(f"the structure set does not fit this series: {reason}")
    said = doubt(structures, series)
    doubts_of_set = (f"its structure set {said}",) if said else ()
    matching = [
        dataclasses.replace(one, warnings=(*doubts_of_set, *one.warnings))
        for one in rois_on(structures, series)
        if is_wanted(one)
    ]
    if not matching:
        raise DataError(
            f"none of the {len(structures.rois)} structures matches --roi {pattern!r}; "
            "`tfdrift cohort scan` lists names and numbers"
        )
    return matching


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
