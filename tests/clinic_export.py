"""Small exports of a clinic: some patients of the phantom on coarse grids, quick to write and to import."""

import json
from pathlib import Path
from unittest import mock

import pydicom
from pydicom.dataset import Dataset

from tfdrift.synthetic import phantom_dicom
from tfdrift.synthetic.phantom import make_cohort


def write_clinic(folder: Path, numbers: list[int], *, spacing_mm: float) -> list[dict]:
    """Write these patients of the phantom, and return what truth.json says of them."""
    cohort = make_cohort(max(numbers) + 1)
    chosen = [cohort[number] for number in numbers]
    with mock.patch.object(phantom_dicom, "make_cohort", return_value=chosen):
        phantom_dicom.write_phantom(folder, spacing_mm=(spacing_mm, spacing_mm, spacing_mm), workers=1)
    return json.loads((folder / "truth.json").read_text())["patients"]


CANARY = "Zyxwvut"
_TEXT_VRS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
_BYTE_VRS = ("OB", "OW", "UN")
_PUBLIC = (
    "RetrieveAETitle", "Laterality", "InstitutionName", "AdditionalPatientHistory", "OperatorsName", "StationName",
    "InstitutionAddress", "LongCodeValue", "RetrieveURL", "TextValue", "SeriesDescription", "StudyDescription",
    "ProtocolName", "SequenceName", "StructureSetLabel", "StructureSetName", "PatientComments", "SequenceVariant",
)  # fmt: skip


def plant_names(folder: Path) -> None:
    """Put the canary into files and folders of a patient: values of every text VR, private and nested, and names."""
    for file in sorted(folder.rglob("*.dcm")):
        dataset = pydicom.dcmread(file)
        dataset.PatientName = f"{CANARY}^Ümläut"
        dataset.PatientID = f"{CANARY} 7"
        dataset.PatientAge, dataset.PatientWeight = "073Y", "73.519264"
        for keyword in _PUBLIC:
            setattr(dataset, keyword, CANARY.upper())
        private = dataset.private_block(0x0009, CANARY, create=True)
        for offset, vr in enumerate(_TEXT_VRS + _BYTE_VRS):
            private.add_new(offset, vr, CANARY.encode() + b" " if vr in _BYTE_VRS else CANARY.upper())
        inner, outer = Dataset(), Dataset()
        inner.PersonName = inner.CodeMeaning = CANARY
        outer.PersonIdentificationCodeSequence = [inner]
        dataset.RequestAttributesSequence = [outer]
        for roi in dataset.get("StructureSetROISequence", []):
            roi.ROIName = f"{roi.ROIName} {CANARY}"
            roi.ROIDescription = CANARY
        dataset.save_as(file.with_name(f"{CANARY}.{file.name}"))
        file.unlink()
    for below in sorted(folder.rglob("*"), reverse=True):
        if below.is_dir():
            below.rename(below.with_name(f"{CANARY}_{below.name}"))
    folder.rename(folder.with_name(f"{CANARY}_{folder.name}"))


def identifying_values(folder: Path) -> set[str]:
    """Return what identifies anybody in an export: names, IDs, dates, UIDs, names of structures, files and folders."""
    found = {CANARY}
    for path in folder.rglob("*"):
        found.add(path.name)
        if path.suffix == ".dcm":
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            keywords = ("PatientID", "PatientBirthDate", "StudyDate", "StudyInstanceUID", "SeriesInstanceUID")
            keywords += ("SOPInstanceUID", "FrameOfReferenceUID")
            found |= {str(dataset.get(keyword, "")) for keyword in keywords}
            found |= {name for name in str(dataset.PatientName).split("^") if len(name) > 4}
            found |= {roi.ROIName for roi in dataset.get("StructureSetROISequence", [])}
    # Words of the format itself.
    return found - {"", "MR_T1", "RTSTRUCT", "REG", "Brain", "External"}


def plant_broken_files(folder: Path, visit: Path) -> None:
    """Add what cannot be used: a cut file, a text, and a patient with a copy of a visit that lacks a slice."""
    files = sorted(visit.rglob("*.dcm"))
    spoilt = folder / f"{CANARY}_spoilt"
    spoilt.mkdir()
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.PatientID = dataset.PatientName = f"{CANARY} 8"
        dataset.save_as(spoilt / f"{CANARY}{number}.dcm")
    slices = [file for file in sorted(spoilt.iterdir()) if pydicom.dcmread(file).Modality == "MR"]
    middle = sorted(slices, key=lambda file: pydicom.dcmread(file).InstanceNumber)[len(slices) // 2]
    middle.with_name(f"{CANARY}.cut").write_bytes(middle.read_bytes()[:1001])
    middle.unlink()
    (spoilt / f"{CANARY}.txt").write_text(CANARY)
