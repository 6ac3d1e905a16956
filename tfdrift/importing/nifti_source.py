"""NIfTI images with masks as sources of patients: a BIDS folder, or a table of files.

    FOLDER/sub-*/ses-*/anat/*_T1w.nii.gz        one image a session
    FOLDER/sub-*/ses-*/anat/*_mask.nii.gz       its lesions, here or below FOLDER/derivatives/*; *_dseg.nii.gz too
    FOLDER/sub-*/ses-*/anat/*_T1w.json          how it was taken, see `tfdrift.importing.sidecars`
    FOLDER/sub-*/sub-*_sessions.tsv             session_id, and days or acq_time

or a CSV file with the columns patient, days, image, mask, or the folder that holds it: a row for each mask, paths from
the table's own folder. Further channels stand in columns such as image_FLAIR, on the image's grid; image_dose is in Gy.

A mask file of one label is a lesion, one of several labels a lesion each; with `components` each connected part of a
label is one. Messages call sessions by their place, since file and folder names can hold a person's name.
"""

import contextlib
import csv
import dataclasses
import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.cohort.tables import Exclusion
from tfdrift.errors import DataError, UsageError
from tfdrift.imaging.nifti import as_dicom_axes, read_nifti, tells_orientation
from tfdrift.imaging.structures import mask_figures
from tfdrift.importing.catalogue import Progress
from tfdrift.importing.sessions import UNKNOWN, VISITS, MoreChannels, Session, visit_name
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.sidecars import read_sidecar
from tfdrift.importing.target_names import IsWanted, Structure

TABLE_COLUMNS = ("patient", "days", "image", "mask")

NOT_ORIENTED = "the image does not say which side is left (qform_code and sform_code are 0); compare it with its source"
_MASKS = ("_mask", "_dseg")
# BIDS' names of what is no lesion (its common image-derived labels), and what brain extraction and FreeSurfer write.
_OF_TISSUE = re.compile(
    r"_(?:label|desc)-(?:bg|gm|wm|csf|bn|st|nb|cgm|scgm|bs|cbm|brain|brainmask|head|skull|scalp|aseg|aparc\w*)(?=_)",
    re.IGNORECASE | re.ASCII,
)
_OF_OTHER_SPACE = re.compile(r"_space-(?!(?:orig|T1w|individual|native|scanner)_)", re.IGNORECASE)
_SUFFIXES = (".nii.gz", ".nii")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lesion:
    """A lesion of a mask file, see `tfdrift.importing.target_names.Structure`.

    Args:
        number: the label's value; where there are several files or components, its place among all, from 1.
    """

    number: int

    @property
    def name(self) -> str:
        """One that the default pattern takes for a lesion's: masks of these sources are of nothing else."""
        return f"lesion {self.number}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scan:
    """The files of a session.

    Args:
        day: None where nothing tells it.
        image: NIfTI.
        masks: NIfTI, on the image's grid.
        components: whether each connected part of a label is a lesion.
        root: of the BIDS data set; None where the files are of a table.
        fault: why there is no image; empty where there is one.
        place: among the patient's sessions by name, or in the table, from 1; what messages call it.
        channels: NIfTI of each further channel, on the image's grid; None where there is none.
    """

    day: int | None
    image: Path
    masks: tuple[Path, ...]
    components: bool = False
    root: Path | None = None
    fault: str = ""
    place: int = 1
    channels: tuple[tuple[str, Path | None], ...] = ()

    def read_channels(self, image: sitk.Image, visit: str) -> MoreChannels:
        """Return the further channels.

        Args:
            image: the first one, read.
            visit: name of the visit.

        Raises:
            DataError: a file cannot be read, or is on another grid.
        """
        images, missing = {}, []
        for name, path in self.channels:
            if path is None:
                reason = f"channel {name}: the table names no image_{name}; {UNKNOWN}"
                missing.append(_left_out(visit, reason))
                continue
            channel = as_dicom_axes(read_nifti(path, f"channel {name}"))
            if not channel.IsSameImageGeometryAs(image, 1e-3, 1e-4):
                raise DataError(f"channel {name} is not on the image's grid; resample it to the image")
            channel.CopyInformation(image)
            images[name] = channel
        return MoreChannels(images=images, missing=tuple(missing))

    def read_masks(self) -> dict[int, sitk.Image]:
        """Return the mask of each lesion, uint8, by number.

        Raises:
            DataError: a file cannot be read, or holds anything but whole numbers.
        """
        parts = []
        for path in self.masks:
            labels = as_dicom_axes(read_nifti(path, "a mask"))
            values = sitk.GetArrayViewFromImage(labels)
            if not np.array_equal(values, np.round(values)) or values.min() < 0:
                raise DataError("a mask holds values that are no labels; save whole numbers, 0 outside")
            for value in np.unique(values[values > 0]).tolist():
                mask = sitk.Cast(labels == value, sitk.sitkUInt8)
                if not self.components:
                    parts.append((int(value), mask))
                    continue
                connected = sitk.ConnectedComponent(mask, True)
                for part in range(1, int(sitk.GetArrayViewFromImage(connected).max()) + 1):
                    parts.append((int(value), sitk.Cast(connected == part, sitk.sitkUInt8)))
        alone = len(self.masks) == 1 and not self.components
        return {value if alone else place: mask for place, (value, mask) in enumerate(parts, start=1)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class NiftiVisit:
    """A session with an image and masks, see `tfdrift.importing.sessions.Visit`.

    Args:
        name: which visit.
        day: when.
        structures: the lesions in its masks.
        scan: its files.
    """

    name: str
    day: int
    structures: tuple[Lesion, ...]
    scan: Scan

    def read(self, wanted: Sequence[Structure]) -> tuple[Session, list[Exclusion]]:
        """Read the image and the wanted lesions' masks; ITK reads what is no number as 0, nothing measured.

        Raises:
            DataError: a file cannot be read, or a mask is on another grid.
        """
        image = as_dicom_axes(read_nifti(self.scan.image, "the image"))
        numbers = {structure.number for structure in wanted}
        masks = {number: mask for number, mask in self.scan.read_masks().items() if number in numbers}
        for number, mask in masks.items():
            if not mask.IsSameImageGeometryAs(image, 1e-3, 1e-4):
                raise DataError(f"the mask of lesion {number} is not on the image's grid; resample it to the image")
            mask.CopyInformation(image)
        sidecar = read_sidecar(self.scan.image, self.scan.root)
        warnings = sidecar.warnings if tells_orientation(self.scan.image) else (*sidecar.warnings, NOT_ORIENTED)
        session = Session(
            name=self.name,
            day=self.day,
            image=image,
            masks=masks,
            volumes_mm3={number: mask_figures(mask).volume_mm3 for number, mask in masks.items()},
            warnings=dict.fromkeys(masks, warnings),
            frame=self.name,  # a NIfTI file does not say whose frame it is in
            acquisition=sidecar.acquisition,
            with_contrast=sidecar.with_contrast,
            sequence_name=sidecar.sequence_name,
            channels=partial(self.scan.read_channels, image, self.name) if self.scan.channels else None,
        )
        return session, []


@dataclasses.dataclass(frozen=True, kw_only=True)
class NiftiPatient:
    """A patient's sessions, see `tfdrift.importing.sessions.Patient`.

    Args:
        patient_id: as written.
        scans: its sessions in the order of their names.
        faults: sessions without a mask, and masks that are of no lesion, with the reason.
        at_most: how many visits; None for all.
    """

    patient_id: str
    scans: tuple[Scan, ...]
    faults: tuple[Exclusion, ...] = ()
    at_most: int | None = len(VISITS)

    def visits(self, is_wanted: IsWanted) -> tuple[Sequence[NiftiVisit], list[Exclusion]]:  # noqa: ARG002 - interface
        """Return the first sessions by day, up to the first that cannot be used though it has masks.

        Args:
            is_wanted: not asked; every mask is of a lesion.
        """
        exclusions, visits = list(self.faults), []
        undated = [scan.place for scan in self.scans if scan.day is None]
        exclusions += [_left_out(f"session {place}", "it has no day, so its place is not known") for place in undated]
        dated = sorted(((scan.day, scan.place, scan) for scan in self.scans if scan.day is not None), key=_in_time)
        days = [day for day, _, _ in dated]
        for day, place, scan in dated:
            label = f"session {place}"
            if days.count(day) > 1:
                exclusions.append(_left_out(label, "one of several on one day; leave one of them and import again"))
                break  # a later one must not take its place
            if len(visits) == self.at_most:
                exclusions.append(_left_out(label, "a later visit; the first three are used"))
                continue
            try:
                if scan.fault:
                    raise DataError(scan.fault)
                lesions = tuple(Lesion(number=number) for number in scan.read_masks())
            except DataError as error:
                exclusions.append(_left_out(label, str(error), broken=True))
                break  # a later one must not take its place
            visits.append(NiftiVisit(name=visit_name(len(visits)), day=day, structures=lesions, scan=scan))
        if len(visits) < 2:
            reason = f"too few visits ({len(visits)}): two are needed, each an image, a mask and a day"
            exclusions.append(_left_out("", reason))
        return visits, exclusions


def is_bids(path: Path) -> bool:
    """Return whether a folder looks like BIDS."""
    return path.is_dir() and any(path.glob("sub-*/ses-*/anat"))


def is_table(path: Path) -> bool:
    """Return whether a path is a table of files, or a folder that holds one."""
    if path.is_dir():
        return bool(_tables_in(path))
    return path.suffix.lower() == ".csv" and path.is_file()


def find_bids(
    folder: Path, settings: ImportSettings, progress: Progress | None = None
) -> tuple[list[NiftiPatient], list[Exclusion]]:
    """Return the patients of a BIDS folder, by name.

    Args:
        folder: the root of the data set.
        settings: `components` and `visits` count.
        progress: wraps the iteration over the patients' folders.

    Raises:
        DataError: the folder cannot be read, or a table of sessions is no such table.
        UsageError: further channels are asked for.
    """
    if settings.more_channels:
        raise UsageError(
            f"--channels {settings.channels}: a BIDS folder gives one; use a table with columns image_NAME"
        )
    subjects = sorted(path for path in folder.glob("sub-*") if path.is_dir())
    patients = []
    for subject in progress(subjects) if progress else subjects:
        days = _session_days(subject)
        scans, faults = [], []
        for place, session in enumerate(sorted(subject.glob("ses-*")), start=1):
            images = _nifti_files([session / "anat"], "_T1w")
            enhanced = [path for path in images if "_ce-" in path.name]
            images = enhanced if len(enhanced) == 1 else images
            folders = [session / "anat", *sorted(folder.glob(f"derivatives/*/{subject.name}/{session.name}/anat"))]
            found = [path for suffix in _MASKS for path in _nifti_files(folders, suffix)]
            masks = [path for path in found if _may_be_of_lesions(path)]
            if len(masks) < len(found):
                reason = f"masks of tissue or in another space, by their names: {len(found) - len(masks)}"
                faults.append(_left_out(f"session {place}", reason))
            if not masks:
                faults.append(_left_out(f"session {place}", f"{len(images)} T1w images and no mask of a lesion"))
                continue
            fault = (
                "" if len(images) == 1 else f"{len(images)} T1w images and {len(masks)} masks; leave the right image"
            )
            scan = Scan(
                day=days.get(session.name),
                image=images[0] if images else session,
                masks=tuple(masks),
                components=settings.components,
                root=folder,
                fault=fault,
                place=place,
            )
            scans.append(scan)
        patients.append(
            NiftiPatient(
                patient_id=subject.name, scans=tuple(scans), faults=tuple(faults), at_most=settings.at_most_visits
            )
        )
    return patients, []


def find_table(
    file: Path,
    settings: ImportSettings,
    progress: Progress | None = None,  # noqa: ARG001 - nothing takes long
) -> tuple[list[NiftiPatient], list[Exclusion]]:
    """Return the patients of a table with the columns of `TABLE_COLUMNS`, by name.

    Args:
        file: CSV in UTF-8; paths are relative to its folder. Or a folder that holds one such table.
        settings: `components`, `visits` and `channels` count.
        progress: not used.

    Raises:
        DataError: it cannot be read, lacks a column, or a row lacks a cell or has no whole number of days; or the
            folder holds several tables, or none; or a row names another file of a channel than one before it.
        UsageError: a channel is asked for by a pattern, which a table does not need.
    """
    if file.is_dir():
        tables = _tables_in(file)
        if len(tables) > 1:
            raise DataError(f"the folder holds {len(tables)} tables of images and masks; name the one that is meant")
        if not tables:
            raise DataError(f"the folder holds no table with the columns {', '.join(TABLE_COLUMNS)}")
        (file,) = tables
    patterns = [rule.name for rule in settings.more_channels if rule.pattern]
    if patterns:
        raise UsageError(f"--channels {patterns[0]}=...: in a table a channel is the column image_{patterns[0]}")
    columns = {rule.name: f"image_{rule.name}" for rule in settings.more_channels}
    masks: dict[tuple[str, int, Path], list[Path]] = defaultdict(list)
    more: dict[tuple[str, int, Path], tuple[tuple[str, Path | None], ...]] = {}
    for line, row in enumerate(_rows(file, (*TABLE_COLUMNS, *columns.values()), ","), start=2):
        cells = [row[column].strip() for column in TABLE_COLUMNS]
        day = _whole(cells[1])
        if not all(cells) or day is None:
            raise DataError(f"line {line} of the table must name patient, days (a whole number), image and mask")
        scan_of = (cells[0], day, file.parent / cells[2])
        masks[scan_of].append(file.parent / cells[3])
        named = {name: row[column].strip() for name, column in columns.items()}
        channels = tuple((name, file.parent / path if path else None) for name, path in named.items())
        if more.setdefault(scan_of, channels) != channels:
            raise DataError(f"line {line} of the table names other channels of an image than a line before it")
    scans: dict[str, list[Scan]] = defaultdict(list)
    for (patient, day, image), paths in masks.items():
        place = len(scans[patient]) + 1
        scans[patient].append(
            Scan(
                day=day,
                image=image,
                masks=tuple(paths),
                components=settings.components,
                place=place,
                channels=more[patient, day, image],
            )
        )
    at_most = settings.at_most_visits
    return [
        NiftiPatient(patient_id=patient, scans=tuple(scans[patient]), at_most=at_most) for patient in sorted(scans)
    ], []


def _left_out(visit: str, reason: str, *, broken: bool = False) -> Exclusion:
    return Exclusion(visit=visit, structure=None, reason=reason, broken=broken)


def _nifti_files(folders: Iterable[Path], ending: str) -> list[Path]:
    patterns = [f"*{ending}{suffix}" for suffix in _SUFFIXES]
    return sorted(path for folder in folders for pattern in patterns for path in folder.glob(pattern))


def _in_time(dated: tuple[int, int, Scan]) -> tuple[int, int]:
    return dated[:2]


def _may_be_of_lesions(mask: Path) -> bool:
    """Return whether a mask of a BIDS folder is one of lesions, as far as its name and what lies beside it tell."""
    if _OF_TISSUE.search(mask.name) or _OF_OTHER_SPACE.search(mask.name):
        return False
    nameless = not re.search("_(?:label|desc)-", mask.name)
    of_tissue = "_dseg" in mask.name and nameless and any(mask.parent.glob("*_probseg.nii*"))  # as fMRIPrep writes it
    return not of_tissue


def _session_days(subject: Path) -> dict[str, int]:
    """Return the day of each session by its folder's name, from the subject's table of sessions."""
    file = next((path for path in sorted(subject.glob("*sessions.tsv"))), None)
    if file is None:
        return {}
    days = {}
    for row in _rows(file, ("session_id",), "\t"):
        name = row["session_id"].strip()
        name = name if name.startswith("ses-") else f"ses-{name}"
        day = _day(row)
        if day is not None:
            days[name] = day
    return days


def _whole(text: str) -> int | None:
    """Return a whole number, also where a program wrote it with a point, as 40.0; None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _day(row: Mapping[str, str]) -> int | None:
    if row.get("days"):
        return _whole(row["days"])
    try:
        return datetime.datetime.fromisoformat(row.get("acq_time") or "").toordinal()
    except ValueError:
        return None


def _tables_in(folder: Path) -> list[Path]:
    """Return the CSV files in a folder that have the columns of `TABLE_COLUMNS`."""
    found = []
    for path in sorted(folder.glob("*.[cC][sS][vV]")):
        if not path.is_file():
            continue
        with contextlib.suppress(DataError):  # another kind of table
            _rows(path, TABLE_COLUMNS, ",")
            found.append(path)
    return found


def _rows(file: Path, columns: Sequence[str], delimiter: str) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True, delimiter=delimiter, restval="")
            rows = list(reader)
            missing = sorted(set(columns) - set(reader.fieldnames or ()))
    except OSError as error:
        raise DataError(f"a table cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError("a table is no text table in UTF-8; save it as one") from None
    if missing:
        raise DataError(f"a table has no column {missing[0]}; it needs {', '.join(columns)}")
    return rows
