"""What a folder of DICOM files holds: patients, studies by date, series, structure sets; from headers only.

A catalogue is identifying: it holds patient names, dates, UIDs and file names, for the console of the person whose
files they are. Nothing of it may be written into a cohort.
"""

import dataclasses
import datetime
import filecmp
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from pydicom.dataset import Dataset

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import parsing, read_header
from tfdrift.imaging.matching import parts_of, weigh_candidates
from tfdrift.imaging.series import Series, assemble_series
from tfdrift.imaging.slices import Slice, is_directory, slices_of
from tfdrift.imaging.structures import Roi, StructureSet, in_frame, misfit, read_structures
from tfdrift.importing.copies import same_content
from tfdrift.importing.dates import days_between, image_date, study_date


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundSeries:
    """A series of images, whether or not it is a regular volume.

    Args:
        uid: SeriesInstanceUID.
        number: SeriesNumber as written, may be empty.
        description: SeriesDescription as written, may be empty.
        modality: as written.
        dates: first and last day of its images; None where none has a date that is understood.
        files: its files, sorted; of several copies of one instance the first.
        image_uids: SOPInstanceUIDs in them, also in those that are no slice of a volume.
        num_slices: number of slices in them.
        series: the regular volume; None where it is none.
        fault: why it is none; empty where it is.
    """

    uid: str
    number: str
    description: str
    modality: str
    dates: tuple[datetime.date, datetime.date] | None
    files: tuple[Path, ...]
    image_uids: frozenset[str]
    num_slices: int
    series: Series | None
    fault: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundRoi:
    """A structure and the series it fits.

    Args:
        roi: name, number, contours.
        fits: series of the patient its structure set may belong to, whose grid it fits.
    """

    roi: Roi
    fits: tuple[Series, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundStructures:
    """A structure set: an RTSTRUCT or a Segmentation.

    Args:
        file: its file.
        modality: one of `STRUCTURE_MODALITIES`.
        label: StructureSetLabel or ContentLabel as written.
        structures: what it says; None where it cannot be used.
        rois: its structures with the series they fit.
        fault: why it cannot be used; empty where it can.
    """

    file: Path
    modality: str
    label: str
    structures: StructureSet | None
    rois: tuple[FoundRoi, ...]
    fault: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundStudy:
    """A study.

    Args:
        uid: StudyInstanceUID.
        date: of its first image, else of its first object; None where none has a date that is understood.
        days_apart: by how much its images' dates, or what its objects say of the day of the study, disagree.
        series: by modality, then number.
        structure_sets: by file.
        others: files of other DICOM objects, such as registrations and doses, by modality.
    """

    uid: str
    date: datetime.date | None
    days_apart: int
    series: tuple[FoundSeries, ...]
    structure_sets: tuple[FoundStructures, ...]
    others: dict[str, tuple[Path, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundPatient:
    """A patient.

    Args:
        patient_id: PatientID; where that is empty the name, and where that is too, the study's UID.
        name: PatientName as written.
        studies: by date.
    """

    patient_id: str
    name: str
    studies: tuple[FoundStudy, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Everything below a folder.

    Args:
        folder: where.
        num_files: files looked at.
        patients: by ID.
        refused: each file that is not DICOM, a copy or cannot be read, with the reason; sorted by file.
    """

    folder: Path
    num_files: int
    patients: tuple[FoundPatient, ...]
    refused: tuple[tuple[Path, str], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Header:
    """What is kept of one file; the data set itself would hold the memory of thousands."""

    file: Path
    patient_id: str
    patient_name: str
    study_uid: str
    sop_uid: str
    date: datetime.date | None
    study_date: datetime.date | None
    series_uid: str
    series_number: str
    description: str
    modality: str
    label: str
    slices: tuple[Slice, ...]
    structures: StructureSet | None
    fault: str


STRUCTURE_MODALITIES = ("RTSTRUCT", "SEG")
"""Modalities of the objects that say where lesions are."""

COPY = "the file is a copy of another"
"""Why a file is passed over that says the same as another one of its instance."""
_OF_A_COPY = ("patient_id", "patient_name", "study_uid", "date", "study_date", "modality", "fault")

RIVAL = "another file has its SOPInstanceUID and other content; keep the right one"
"""Why a structure set is not used of whose instance there are two versions."""

Progress = Callable[[list[Path]], Iterable[Path]]
"""Wraps the iteration over files, such as `tqdm.tqdm`."""


def scan(folder: Path, progress: Progress | None = None) -> Catalogue:
    """Read the headers of every file below a folder.

    Links to folders are followed, each folder once. Nothing a file holds ends the scan. A directory of other files
    (DICOMDIR) is passed over; of several copies of one instance all but the first are refused as copies.

    Args:
        folder: any layout.
        progress: wraps the iteration over the files, such as `tqdm.tqdm`.

    Raises:
        DataError: the folder does not exist or cannot be listed.
    """
    files, refused = _walk(folder)
    headers: list[_Header] = []
    for file in progress(files) if progress else files:
        try:
            header = _read(file)
            if header:
                headers.append(header)
        except DataError as error:
            refused.append((file, str(error)))
    headers, copies = _without_copies(headers)
    refused += [(file, COPY) for file in copies]
    patients: dict[str, list[_Header]] = defaultdict(list)
    for header in headers:
        patients[header.patient_id or header.patient_name or header.study_uid].append(header)
    return Catalogue(
        folder=folder,
        num_files=len(files),
        patients=tuple(_patient(patient_id, patients[patient_id]) for patient_id in sorted(patients)),
        refused=tuple(sorted(refused)),
    )


def _walk(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return every file below a folder, and the folders that cannot be listed."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise DataError(f"the folder to scan cannot be read: {error.strerror}") from None
    refused: list[tuple[Path, str]] = []
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        refused.append((Path(error.filename), f"folder cannot be listed: {error.strerror}"))

    for at, below, names in os.walk(folder, onerror=refuse, followlinks=True):
        status = Path(at).stat()
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below.sort()
        files += [Path(at, name) for name in sorted(names)]
    return files, refused


def _read(file: Path) -> _Header | None:
    dataset = read_header(file, "the file")
    if is_directory(dataset):
        return None
    with parsing("the file"):
        return _header(file, dataset)


def _header(file: Path, dataset: Dataset) -> _Header:
    slices, structures, fault = [], None, ""
    try:
        if dataset.get("Modality") in STRUCTURE_MODALITIES:
            structures = read_structures(file, "the file")
        elif dataset.get("Modality") != "RTDOSE":  # it has pixels, and is read by `tfdrift.imaging.dose`
            slices = slices_of(dataset, "the file", 0)
    except DataError as error:
        fault = str(error)
    return _Header(
        file=file,
        patient_id=str(dataset.get("PatientID") or "").strip(),
        patient_name=str(dataset.get("PatientName") or "").strip(),
        study_uid=str(dataset.get("StudyInstanceUID") or ""),
        sop_uid=str(dataset.get("SOPInstanceUID") or ""),
        date=image_date(dataset),
        study_date=study_date(dataset),
        series_uid=str(dataset.get("SeriesInstanceUID") or ""),
        series_number=str(dataset.get("SeriesNumber") or ""),
        description=str(dataset.get("SeriesDescription") or ""),
        modality=str(dataset.get("Modality") or ""),
        label=str(dataset.get("StructureSetLabel") or dataset.get("ContentLabel") or ""),
        slices=tuple(slices),
        structures=structures,
        fault=fault,
    )


def _without_copies(headers: list[_Header]) -> tuple[list[_Header], list[Path]]:
    """Return the headers without those that copy an earlier file of their instance; and the copies."""
    of_instance: dict[str, list[_Header]] = defaultdict(list)
    kept, copies = [], []
    for header in headers:
        earlier = of_instance[header.sop_uid] if header.sop_uid else []
        if any(_is_copy(header, one) for one in earlier):
            copies.append(header.file)
            continue
        earlier.append(header)
        kept.append(header)
    return kept, copies


def _is_copy(header: _Header, other: _Header) -> bool:
    """Return whether a file is another one byte for byte, or holds the same structures of the same study and day."""
    if filecmp.cmp(header.file, other.file, shallow=False):
        return True
    if header.structures is None or any(getattr(header, name) != getattr(other, name) for name in _OF_A_COPY):
        return False
    return same_content(header.structures, other.structures)


def _without_rivals(headers: list[_Header]) -> list[_Header]:
    """Return a patient's headers; structure sets of one instance that are no copies of each other get a fault.

    Which of them is meant, nobody can tell. Images of one instance are for `assemble_series` to refuse.
    """
    named = Counter(header.sop_uid for header in headers if header.modality in STRUCTURE_MODALITIES and header.sop_uid)
    return [
        dataclasses.replace(header, structures=None, fault=header.fault or RIVAL)
        if header.modality in STRUCTURE_MODALITIES and named[header.sop_uid] > 1
        else header
        for header in headers
    ]


def _patient(patient_id: str, headers: list[_Header]) -> FoundPatient:
    headers = _without_rivals(headers)
    images: dict[str, list[_Header]] = defaultdict(list)
    for header in headers:
        if header.slices or (header.fault and header.modality not in STRUCTURE_MODALITIES):
            images[header.series_uid].append(header)
    series = [_series(uid, images[uid]) for uid in sorted(images)]
    studies: dict[str, list[_Header]] = defaultdict(list)
    for header in headers:
        studies[header.study_uid].append(header)
    found = [
        _study(uid, studies[uid], [one for one in series if images[one.uid][0].study_uid == uid], series)
        for uid in studies
    ]
    found.sort(key=lambda study: (study.date or datetime.date.max, study.uid))
    return FoundPatient(patient_id=patient_id, name=headers[0].patient_name, studies=tuple(found))


def _study(uid: str, headers: list[_Header], series: list[FoundSeries], of_patient: list[FoundSeries]) -> FoundStudy:
    others: dict[str, list[Path]] = defaultdict(list)
    for header in headers:
        if not header.slices and not header.fault and header.modality not in STRUCTURE_MODALITIES:
            others[header.modality].append(header.file)
    of_images = [header.date for header in headers if header.date and header.slices]
    of_all = [header.date for header in headers if header.date]
    return FoundStudy(
        uid=uid,
        date=min(of_images or of_all, default=None),
        days_apart=max(days_between(of_images), days_between(header.study_date for header in headers)),
        series=tuple(sorted(series, key=lambda one: (one.modality, one.number.zfill(12), one.uid))),
        structure_sets=tuple(
            _structures(header, of_patient) for header in headers if header.modality in STRUCTURE_MODALITIES
        ),
        others={modality: tuple(sorted(others[modality])) for modality in sorted(others)},
    )


def _series(uid: str, headers: list[_Header]) -> FoundSeries:
    headers = sorted(headers, key=lambda header: header.file)
    slices, fault = [], ""
    for number, header in enumerate(headers):
        name = f"file {number + 1} of {len(headers)}"
        if header.fault:
            fault = fault or header.fault.replace("the file", name)
        for one in header.slices:
            plane = dataclasses.replace(one.plane, name=one.plane.name.replace("the file", name))
            slices.append(dataclasses.replace(one, plane=plane, file=number))
    series = None
    if not fault:
        try:
            series = assemble_series(slices)
        except DataError as error:
            fault = str(error)
    dates = [header.date for header in headers if header.date]
    return FoundSeries(
        uid=uid,
        dates=(min(dates), max(dates)) if dates else None,
        number=headers[0].series_number,
        description=headers[0].description,
        modality=headers[0].modality,
        files=tuple(header.file for header in headers),
        image_uids=frozenset(header.sop_uid for header in headers) - {""},
        num_slices=len(slices),
        series=series,
        fault=fault,
    )


def _structures(header: _Header, of_patient: list[FoundSeries]) -> FoundStructures:
    rois: list[FoundRoi] = []
    if header.structures:
        volumes = [one.series for one in of_patient if one.series]
        unusable = {one.uid: one.image_uids for one in of_patient if not one.series}
        for part in parts_of(header.structures, {one.uid: one.image_uids for one in of_patient}):
            reasons = weigh_candidates(part, volumes, unusable=unusable)
            possible = [series for series, reason in zip(volumes, reasons, strict=True) if reason is None]
            for roi in part.rois:
                seen = [(one, in_frame(roi, one.frame_of_reference_uid)) for one in possible]
                rois.append(FoundRoi(roi=roi, fits=tuple(one for one, drawn in seen if not misfit(drawn, one.grid))))
        order = [roi.number for roi in header.structures.rois]
        rois.sort(key=lambda one: order.index(one.roi.number))
    return FoundStructures(
        file=header.file,
        modality=header.modality,
        label=header.label,
        structures=header.structures,
        rois=tuple(rois),
        fault=header.fault,
    )
