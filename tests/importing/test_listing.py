import json

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from tests.imaging.mock_dicom import (
    SERIES_UID,
    base_dataset,
    contours_of,
    make_grid,
    structures_dataset,
    write,
    write_series,
)
from tests.imaging.mock_segmentation import segmentation_dataset
from tfdrift.importing.catalogue import scan
from tfdrift.importing.listing import to_document, to_text

GRID = make_grid()
MASK = np.zeros(GRID.size[::-1], bool)
MASK[1:3, 2:4, 2:5] = True


def scanned(folder, name="GTV 1"):
    write_series(folder, GRID, MASK.astype(np.int16))
    write(structures_dataset({name: contours_of(MASK, GRID)}), folder / "rs.dcm")
    (folder / "note.txt").write_text("x")
    return scan(folder)


def test_document_survives_json_and_holds_what_was_found(tmp_path):
    document = json.loads(json.dumps(to_document(scanned(tmp_path))))
    (patient,) = document["patients"]
    (study,) = patient["studies"]
    (series,) = study["series"]
    (structure_set,) = study["structure_sets"]
    assert (document["files"], patient["patient_id"], patient["name"], study["date"]) == (
        7,
        "ID-7",
        "Doe^Jane",
        "2024-01-31",
    )
    assert (series["modality"], series["slices"], series["orientation"], series["fault"]) == ("MR", 5, "axial", None)
    assert series["spacing_mm"] == [1, 1, 2]
    assert structure_set["rois"] == [
        {"name": "GTV 1", "number": 1, "contours": 2, "frames": 0, "fits": [SERIES_UID], "warnings": [], "fault": None}
    ]
    assert document["refused"] == [{"file": "note.txt", "reason": "the file is not a DICOM file"}]


def referring_to(folder, *series_uids):
    """Return the structure set's remark in the scan, from the text and from the document."""
    write_series(folder, GRID, MASK.astype(np.int16))
    plan = structures_dataset({"GTV 1": contours_of(MASK, GRID)})
    study = plan.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence = []
    for series_uid in series_uids:
        study.RTReferencedSeriesSequence.append(Dataset())
        study.RTReferencedSeriesSequence[-1].SeriesInstanceUID = series_uid
    write(plan, folder / "rs.dcm")
    found = scan(folder)
    (structure_set,) = to_document(found)["patients"][0]["studies"][0]["structure_sets"]
    lines = [line.strip() for line in to_text(found).splitlines()]
    return lines[lines.index("RTSTRUCT PLAN  rs.dcm") + 1], structure_set["remark"]


@pytest.mark.parametrize(
    ("series_uids", "remark"),
    [
        ([], "refers to no series"),
        (["1.2.3"], "refers to a series that is not there"),
        ([SERIES_UID, "1.2.3"], "refers to a series that is not there"),
    ],
)
def test_a_structure_set_whose_reference_leads_nowhere_is_told(tmp_path, series_uids, remark):
    assert referring_to(tmp_path, *series_uids) == (remark, remark)


def test_a_structure_set_of_a_series_that_is_no_volume_is_told(tmp_path):
    scanned(tmp_path)
    next(file for file in tmp_path.glob("0*.dcm") if dcmread(file).InstanceNumber == 3).unlink()
    assert "      refers to MR 3: not a volume" in to_text(scan(tmp_path)).splitlines()


def test_objects_of_a_study_with_dates_apart_are_told(tmp_path):
    scanned(tmp_path)
    plan = dcmread(tmp_path / "rs.dcm")
    plan.StudyDate = "20240205"
    plan.save_as(tmp_path / "rs.dcm")
    found = scan(tmp_path)
    assert "  2024-01-31  dates up to 5 days apart" in to_text(found).splitlines()
    assert to_document(found)["patients"][0]["studies"][0]["days_apart"] == 5


def test_text_names_patient_series_structures_and_what_was_not_read(tmp_path):
    assert to_text(scanned(tmp_path)).splitlines() == [
        "7 files: 1 patient, 1 study, 1 series, 1 structure set; 1 not read",
        "",
        "ID-7  Doe^Jane",
        "  2024-01-31",
        "    MR 3  5 slices of 7 x 6, 1 x 1 x 2 mm, axial",
        "    RTSTRUCT PLAN  rs.dcm",
        "        1 GTV 1  2 contours, fits MR 3",
        "",
        "not read",
        "  1 file: the file is not a DICOM file",
        "    note.txt",
    ]


def test_text_cannot_steer_the_terminal(tmp_path):
    dataset = base_dataset("1.2.840.10008.5.1.4.1.1.66.1", "REG", "1.2.3")
    dataset.PatientName = "A\x1b[2JB"
    write(dataset, tmp_path / "a.dcm")
    assert "A?[2JB" in to_text(scan(tmp_path))


def test_file_names_that_are_no_text_can_be_printed(tmp_path):
    (tmp_path / "note\udcff.txt").write_text("x")
    found = scan(tmp_path)
    assert to_document(found)["refused"][0]["file"] == "note\\xff.txt"
    to_text(found).encode("utf-8")


def test_a_long_list_of_files_is_cut_with_their_number(tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_text("x")
    lines = to_text(scan(tmp_path)).splitlines()
    assert lines[3] == "  30 files: the file is not a DICOM file"
    assert lines[-1] == "    and 20 more; --json lists all"


def test_segments_are_listed_as_structures(tmp_path):
    write_series(tmp_path, GRID, MASK.astype(np.int16))
    write(segmentation_dataset(GRID, {"GTV 1": MASK}), tmp_path / "seg.dcm")
    found = scan(tmp_path)
    assert to_text(found).splitlines()[5:] == [
        "    SEG MR_SEG  seg.dcm",
        "        1 GTV 1  2 frames, fits MR 3",
    ]
    (structure_set,) = to_document(found)["patients"][0]["studies"][0]["structure_sets"]
    assert (structure_set["modality"], structure_set["rois"][0]["frames"]) == ("SEG", 2)
