import datetime
import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pydicom.fileset
import pytest
from pydicom.uid import ImplicitVRLittleEndian, SurfaceSegmentationStorage, generate_uid

from tests.imaging.mock_dicom import base_dataset, contours_of, make_grid, structures_dataset, write, write_series
from tests.imaging.mock_segmentation import segmentation_dataset
from tfdrift.errors import DataError
from tfdrift.imaging.series import read_series
from tfdrift.importing.catalogue import Catalogue, scan

GRID = make_grid()
PIXELS = np.zeros(GRID.size[::-1], np.int16)
MASK = np.zeros(GRID.size[::-1], bool)
MASK[1:3, 2:4, 2:5] = True


def write_visit(folder: Path, patient="P1", date="20240131", **series_changes) -> None:
    """One study with one series and one structure set drawn on it, both in one folder."""
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}

    def change(dataset, _k=0):
        dataset.PatientID, dataset.StudyDate = patient, date
        dataset.StudyInstanceUID = uids["StudyInstanceUID"]

    def change_slice(dataset, _k):
        change(dataset)
        for keyword, value in {**uids, **series_changes}.items():
            setattr(dataset, keyword, value)

    write_series(folder, GRID, PIXELS, change_slice)
    plan = structures_dataset({"GTV 1": contours_of(MASK, GRID), "empty": []})
    change(plan)
    frame = plan.ReferencedFrameOfReferenceSequence[0]
    frame.FrameOfReferenceUID = uids["FrameOfReferenceUID"]
    frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = uids["SeriesInstanceUID"]
    for roi in plan.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = uids["FrameOfReferenceUID"]
    write(plan, folder / "rs.dcm")


def only_study(found: Catalogue):
    return found.patients[0].studies[0]


def test_patients_and_their_studies_by_date_in_any_layout(tmp_path):
    write_visit(tmp_path / "x/y/z", "P2", "20240301")
    write_visit(tmp_path / "a", "P2", "20240101")
    write_visit(tmp_path / "b", "P1", "20240201")
    found = scan(tmp_path)
    assert {patient.patient_id: [study.date for study in patient.studies] for patient in found.patients} == {
        "P1": [datetime.date(2024, 2, 1)],
        "P2": [datetime.date(2024, 1, 1), datetime.date(2024, 3, 1)],
    }
    assert found.num_files == 18


def test_a_series_comes_with_its_volume_and_files(tmp_path):
    write_visit(tmp_path)
    (series,) = only_study(scan(tmp_path)).series
    assert (series.modality, series.num_slices, series.fault, len(series.files)) == ("MR", 5, "", 5)
    assert series.series is not None
    assert series.series.grid.size == GRID.size


def test_a_structure_comes_with_its_contours_and_the_series_it_fits(tmp_path):
    write_visit(tmp_path / "a", date="20240101")
    write_visit(tmp_path / "b", date="20240202")
    for study in scan(tmp_path).patients[0].studies:
        gtv, empty = study.structure_sets[0].rois
        assert (gtv.roi.name, gtv.roi.number, len(gtv.roi.contours_mm)) == ("GTV 1", 1, 2)
        assert [series.series_uid for series in gtv.fits] == [study.series[0].uid]
        assert empty.fits == ()


def test_a_series_that_is_no_volume_says_why(tmp_path):
    write_visit(tmp_path)
    sorted(tmp_path.glob("0*.dcm"))[0].unlink()
    (series,) = only_study(scan(tmp_path)).series
    assert series.series is None
    assert series.num_slices == 4


def test_a_slice_that_is_no_slice_of_a_volume_spoils_its_series_alone(tmp_path):
    write_visit(tmp_path / "a", "P1", PhotometricInterpretation="MONOCHROME1")
    write_visit(tmp_path / "b", "P2")
    bad, good = scan(tmp_path).patients
    assert bad.studies[0].series[0].fault.startswith("file 1 of 5 (instance")
    assert good.studies[0].series[0].fault == ""


def test_a_broken_structure_set_is_listed_with_the_reason(tmp_path):
    dataset = structures_dataset({"A": [], "B": []})
    dataset.StructureSetROISequence[1].ROINumber = 1
    write(dataset, tmp_path / "rs.dcm")
    (found,) = only_study(scan(tmp_path)).structure_sets
    assert found.fault.startswith("the file gives two structures the number 1")


def test_other_objects_are_kept_by_modality(tmp_path):
    file = write(base_dataset("1.2.840.10008.5.1.4.1.1.66.1", "REG", generate_uid()), tmp_path / "reg.dcm")
    assert only_study(scan(tmp_path)).others == {"REG": (file,)}


def test_patients_without_an_id_are_not_one_patient(tmp_path):
    for name in ("A", "B"):
        dataset = base_dataset("1.2.840.10008.5.1.4.1.1.66.1", "REG", generate_uid())
        dataset.PatientID, dataset.PatientName = "", name
        write(dataset, tmp_path / f"{name}.dcm")
    assert [patient.patient_id for patient in scan(tmp_path).patients] == ["A", "B"]


def test_files_that_are_not_read_are_listed_with_the_reason(tmp_path):
    (tmp_path / "note.txt").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert [(path.name, reason) for path, reason in scan(tmp_path).refused] == [
        ("loop", "the file cannot be opened: Too many levels of symbolic links"),
        ("note.txt", "the file is not a DICOM file"),
        ("pipe", "the file is not a regular file"),
    ]


def test_linked_folders_are_followed_once(tmp_path):
    write_visit(tmp_path / "a")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert scan(tmp_path).num_files == 6


def test_progress_sees_every_file(tmp_path):
    write_visit(tmp_path)
    seen = []
    scan(tmp_path, lambda files: (seen.append(file) or file for file in files))
    assert sorted(seen) == sorted(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match="the folder to scan cannot be read: No such file or directory"):
        scan(tmp_path / "none")


def test_a_directory_of_a_disc_is_no_patient_whatever_its_name(tmp_path):
    """As pydicom makes one: a DICOMDIR beside the files it lists, and a copy of it under another name."""
    write_visit(tmp_path / "in")
    disc = pydicom.fileset.FileSet()
    for file in sorted((tmp_path / "in").iterdir()):
        disc.add(with_names(file))
    disc.write(tmp_path / "disc")
    shutil.copy(tmp_path / "disc" / "DICOMDIR", tmp_path / "disc" / "index.dcm")
    found = scan(tmp_path / "disc")
    assert [patient.patient_id for patient in found.patients] == ["P1"]
    assert list(found.refused) == []


def with_names(file: Path) -> pydicom.Dataset:
    """A file with what a DICOMDIR asks of each of its records."""
    dataset = pydicom.dcmread(file)
    for keyword in ("PatientName", "StudyTime", "StudyID", "AccessionNumber", "ContentDate", "ContentTime"):
        dataset.setdefault(keyword, pydicom.DataElement(keyword, pydicom.datadict.dictionary_VR(keyword), ""))
    dataset.PatientName, dataset.StudyID, dataset.StudyTime = "Doe", "1", "101500"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, dataset.get("InstanceNumber") or 1
    dataset.StructureSetLabel, dataset.StructureSetDate, dataset.StructureSetTime = "GTV", "20240131", "101500"
    return dataset


@pytest.mark.parametrize("below", ["", "copies"])
def test_a_copy_of_an_instance_counts_once(tmp_path, below):
    write_visit(tmp_path / "a")
    (tmp_path / "a" / below).mkdir(exist_ok=True)
    for file in sorted((tmp_path / "a").glob("*.dcm")):
        shutil.copy(file, tmp_path / "a" / below / f"again {file.name}")
    found = scan(tmp_path)
    study = only_study(found)
    assert ([one.fault for one in study.series], len(study.structure_sets)) == ([""], 1)
    assert [len(one.files) for one in study.series] == [5]
    assert [reason for _, reason in found.refused] == ["the file is a copy of another"] * 6


def test_two_files_of_one_instance_that_differ_are_both_kept_and_refused_when_read(tmp_path):
    write_visit(tmp_path)
    file = next(tmp_path.glob("0*.dcm"))
    dataset = pydicom.dcmread(file)
    dataset.PixelData = bytes(len(dataset.PixelData) - 2) + b"\1\1"
    dataset.save_as(tmp_path / "other.dcm")
    (series,) = only_study(scan(tmp_path)).series
    assert len(series.files) == 6
    with pytest.raises(DataError, match="have one SOPInstanceUID and different content"):
        read_series(series.files)


def in_another_syntax(dataset):
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def with_another_description(dataset):
    dataset.SeriesDescription = "second export"


def renamed(dataset):
    for item in dataset.get("StructureSetROISequence", []):
        item.ROIName = "GTV old"
    for item in dataset.get("SegmentSequence", []):
        item.SegmentLabel = "GTV old"


def on_another_day(dataset):
    dataset.StudyDate = "20200101"


@pytest.mark.parametrize("kind", ["RTSTRUCT", "SEG"])
@pytest.mark.parametrize(
    ("change", "copies"),
    [(in_another_syntax, 1), (with_another_description, 1), (renamed, 0), (on_another_day, 0)],
)
def test_a_structure_set_that_says_the_same_counts_once_and_two_that_differ_are_refused(tmp_path, kind, change, copies):
    write_series(tmp_path, GRID, PIXELS)
    if kind == "RTSTRUCT":
        dataset = structures_dataset({"GTV": contours_of(MASK, GRID)})
    else:
        dataset = segmentation_dataset(GRID, {"GTV": MASK})
    write(dataset, tmp_path / "a.dcm")
    change(dataset)
    write(dataset, tmp_path / "b.dcm")
    found = scan(tmp_path)
    rival = "another file has its SOPInstanceUID and other content; keep the right one"
    assert [one.fault for one in only_study(found).structure_sets] == ([""] if copies else [rival] * 2)
    assert [reason for _, reason in found.refused] == ["the file is a copy of another"] * copies


def test_a_segmentation_of_surfaces_is_listed_with_the_reason(tmp_path):
    dataset = segmentation_dataset(GRID, {"GTV": MASK})
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SurfaceSegmentationStorage
    write(dataset, tmp_path / "seg.dcm")
    (found,) = only_study(scan(tmp_path)).structure_sets
    assert (found.modality, found.structures) == ("SEG", None)
    assert found.fault == "the file is no segmentation of voxels; export the segmentation again"


def spoil_last(folder, keywords=("Rows", "Columns"), **changes):
    """Take attributes from the last slice, and change others."""
    read = {file: pydicom.dcmread(file) for file in folder.glob("0*.dcm")}
    file = max(read, key=lambda one: read[one].InstanceNumber)
    dataset = read[file]
    for keyword in (*keywords, "PixelData"):
        del dataset[keyword]
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(file)


@pytest.mark.parametrize("keywords", [("Rows", "Columns"), ("Rows",)])
def test_an_image_that_has_lost_its_size_is_a_fault_of_its_series_as_for_a_reader(tmp_path, keywords):
    write_visit(tmp_path)
    spoil_last(tmp_path, keywords)
    (series,) = only_study(scan(tmp_path)).series
    assert series.series is None
    assert "has no Rows or Columns" in series.fault
    with pytest.raises(DataError, match="has no Rows or Columns"):
        read_series(tmp_path)


@pytest.mark.parametrize(
    "sop_class",
    ["1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.4.2"],
    ids=["raw data", "presentation state", "spectroscopy"],
)
def test_what_a_reader_passes_over_costs_no_series(tmp_path, sop_class):
    """The last slice is what the object was made of, so that a slice less is left; it says MR and has a place."""
    write_visit(tmp_path)
    spoil_last(tmp_path, SOPClassUID=sop_class)
    (series,) = only_study(scan(tmp_path)).series
    assert series.fault == ""
    assert series.num_slices == GRID.size[2] - 1
    assert series.series is not None
    assert read_series(tmp_path)[1].grid == series.series.grid
