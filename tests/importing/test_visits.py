import copy
import dataclasses
import datetime
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid

from tests.imaging.mock_dicom import contours_of, make_grid, structures_dataset, write, write_series
from tests.imaging.mock_segmentation import segmentation_dataset
from tfdrift.cohort.tables import Exclusion
from tfdrift.importing.catalogue import scan
from tfdrift.importing.visits import choose_visits

GRID = make_grid()
MASK = np.zeros(GRID.size[::-1], bool)
MASK[1:3, 2:4, 2:5] = True


def uid(*names: object) -> str:
    return generate_uid(entropy_srcs=[str(name) for name in names])


def write_mr(folder: Path, study: int, date: str, series: int = 1, modality: str = "MR", gap: bool = False) -> None:
    """Write a series of a study; all series of a patient share one frame of reference, as fused ones do."""

    def change(dataset, _k):
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(study), uid(study, series)
        dataset.SOPInstanceUID = uid(dataset.SOPInstanceUID, study, series)
        dataset.StudyDate, dataset.Modality, dataset.SeriesNumber = date, modality, series

    files = write_series(folder / f"mr{study}-{series}", GRID, MASK.astype(np.int16), change)
    if gap:
        files[2].unlink()


def write_structures(folder: Path, study: int, date: str, series: int = 1, roi: str = "GTV", number: int = 1) -> Path:
    dataset = structures_dataset({roi: contours_of(MASK, GRID)})
    dataset.StudyInstanceUID, dataset.StudyDate = uid(study), date
    referenced = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    referenced.RTReferencedSeriesSequence[0].SeriesInstanceUID = uid(study, series)
    return write(dataset, folder / f"rs{study}-{number}.dcm")


def choose(folder: Path, wanted: str = "GTV"):
    (patient,) = scan(folder).patients
    visits, exclusions = choose_visits(patient, lambda roi: wanted in roi.name)
    return [(visit.name, visit.date, visit.series.series_uid) for visit in visits], exclusions


DATES = ["20240131", "20240221", "20240501", "20240801"]
DAYS = [datetime.date(2024, 1, 31), datetime.date(2024, 2, 21), datetime.date(2024, 5, 1), datetime.date(2024, 8, 1)]


def test_visits_are_in_the_order_of_dates_whatever_the_order_of_files(tmp_path):
    for study, date in zip((3, 1, 2), DATES[:3], strict=True):
        write_mr(tmp_path, study, date)
        write_structures(tmp_path, study, date)
    visits, exclusions = choose(tmp_path)
    names = ["pre", "post", "follow_up"]
    assert visits == [(name, day, uid(study, 1)) for name, day, study in zip(names, DAYS[:3], (3, 1, 2), strict=True)]
    assert exclusions == []


def test_the_files_of_a_visit_are_those_of_its_series(tmp_path):
    for study in (0, 1):
        write_mr(tmp_path, study, DATES[study])
        write_mr(tmp_path, study, DATES[study], series=2)
        write_structures(tmp_path, study, DATES[study], series=2)
    (patient,) = scan(tmp_path).patients
    visits, _ = choose_visits(patient, lambda _roi: True)
    assert [{file.parent.name for file in visit.files} for visit in visits] == [{"mr0-2"}, {"mr1-2"}]


def test_a_fourth_visit_is_left_out(tmp_path):
    for study, date in enumerate(DATES):
        write_mr(tmp_path, study, date)
        write_structures(tmp_path, study, date)
    visits, exclusions = choose(tmp_path)
    assert len(visits) == 3
    assert exclusions == [Exclusion(visit="study 4", structure=None, reason="a later visit; the first three are used")]


def test_all_visits_are_used_where_every_two_are_asked_for(tmp_path):
    for study, date in enumerate(DATES):
        write_mr(tmp_path, study, date)
        write_structures(tmp_path, study, date)
    (patient,) = scan(tmp_path).patients
    visits, exclusions = choose_visits(patient, lambda _roi: True, at_most=None)
    assert [visit.name for visit in visits] == ["pre", "post", "follow_up", "visit 4"]
    assert exclusions == []


def two_visits(folder: Path) -> None:
    for study in (0, 2):
        write_mr(folder, study, DATES[study])
        write_structures(folder, study, DATES[study])


def reasons(exclusions) -> list[tuple[str, str, bool]]:
    return [(one.visit, one.reason, one.broken) for one in exclusions]


def test_a_study_without_structures_is_no_visit(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, DATES[1])
    visits, exclusions = choose(tmp_path)
    assert [day for _, day, _ in visits] == [DAYS[0], DAYS[2]]
    assert reasons(exclusions) == [("study 2", "an MR without a structure set that fits it", False)]


def test_several_structure_sets_of_one_study_are_named_by_number(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, DATES[1])
    for number in (1, 2):
        write_structures(tmp_path, 1, DATES[1], number=number, roi=f"GTV Doe {number}")
    visits, exclusions = choose(tmp_path)
    assert [day for _, day, _ in visits] == [DAYS[0]]
    labels = "structure set 1 of study 2, structure set 2 of study 2"
    reason = f"several structure sets fit ({labels}); leave one of them and import again"
    assert reasons(exclusions)[0] == ("study 2", reason, False)


def test_of_several_structure_sets_the_one_with_a_lesion_counts(tmp_path):
    two_visits(tmp_path)
    write_structures(tmp_path, 0, DATES[0], number=2, roi="Brain")
    (patient,) = scan(tmp_path).patients
    visits, exclusions = choose_visits(patient, lambda roi: roi.name == "GTV")
    assert [roi.name for roi in visits[0].rois] == ["GTV"]
    assert exclusions == []


@pytest.mark.parametrize("study", [0, 2])
def test_a_structure_set_that_lies_there_three_times_counts_once(tmp_path, study):
    two_visits(tmp_path)
    for folder in ("a", "z/deep"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(tmp_path / f"rs{study}-1.dcm", tmp_path / folder / "again.dcm")
    visits, exclusions = choose(tmp_path)
    assert ([day for _, day, _ in visits], exclusions) == ([DAYS[0], DAYS[2]], [])


def rename_structure(dataset):
    dataset.StructureSetROISequence[0].ROIName = "GTV Doe"


def move_a_point(dataset):
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = [contour.ContourData[0] + 0.25, *contour.ContourData[1:]]


@pytest.mark.parametrize("change", [rename_structure, move_a_point])
def test_of_two_versions_of_one_structure_set_neither_is_used(tmp_path, change):
    two_visits(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "rs0-1.dcm")
    change(dataset)
    write(dataset, tmp_path / "again.dcm")
    visits, exclusions = choose(tmp_path)
    assert visits == []
    why = "cannot be read: another file has its SOPInstanceUID and other content; keep the right one"
    assert reasons(exclusions)[:2] == [("study 1", f"structure set {number} {why}", True) for number in (1, 2)]


def test_structure_sets_without_an_instance_uid_are_no_versions_of_each_other(tmp_path):
    two_visits(tmp_path)
    for study in (0, 2):
        dataset = pydicom.dcmread(tmp_path / f"rs{study}-1.dcm")
        del dataset.SOPInstanceUID
        dataset.save_as(tmp_path / f"rs{study}-1.dcm")
    visits, _ = choose(tmp_path)
    assert [day for _, day, _ in visits] == [DAYS[0], DAYS[2]]


def test_a_structure_set_that_fits_several_series_names_them_by_number(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, DATES[1])
    write_mr(tmp_path, 1, DATES[1], series=2)
    dataset = structures_dataset({"GTV": contours_of(MASK, GRID)})
    dataset.StudyInstanceUID, dataset.StudyDate = uid(1), DATES[1]
    del dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    write(dataset, tmp_path / "rs.dcm")
    _, exclusions = choose(tmp_path)
    reason = (
        "structure set 1 fits several series (series 1 of study 1, series 1 of study 2, series 2 of study 2, series 1 "
        "of study 3)"
    )
    assert ("study 2", reason, False) in reasons(exclusions)


def test_a_structure_set_of_a_series_that_is_not_there_fits_none(tmp_path):
    two_visits(tmp_path)
    dataset = structures_dataset({"GTV": [points + 0.7 for points in contours_of(MASK, GRID)]})  # between the slices
    dataset.StudyInstanceUID, dataset.StudyDate = uid(1), DATES[1]
    write(dataset, tmp_path / "rs.dcm")
    visits, exclusions = choose(tmp_path)
    assert reasons(exclusions) == [("study 2", "structure set 1 refers to a series that is not there", False)]
    assert len(visits) == 2


def test_a_structure_set_of_a_ct_is_left_out(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, DATES[1], modality="CT")
    write_structures(tmp_path, 1, DATES[1])
    _, exclusions = choose(tmp_path)
    assert reasons(exclusions) == [
        ("study 2", "structure set 1 was drawn on series 1 of study 2, which is CT and not MR", False)
    ]


def test_a_series_with_a_gap_is_broken(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, DATES[1], gap=True)
    write_structures(tmp_path, 1, DATES[1])
    _, exclusions = choose(tmp_path)
    visit, reason, broken = reasons(exclusions)[0]
    assert (visit, broken) == ("study 2", True)
    assert reason.startswith("structure set 1 belongs to series 1 of study 2, which cannot be used: slices are missing")


def test_a_structure_set_that_cannot_be_read_is_broken(tmp_path):
    two_visits(tmp_path)
    dataset = structures_dataset({})
    dataset.StudyInstanceUID, dataset.StudyDate = uid(0), DATES[0]
    write(dataset, tmp_path / "rs.dcm")
    _, exclusions = choose(tmp_path)
    reason = "structure set 1 cannot be read: the file has no structures (StructureSetROISequence)"
    assert reasons(exclusions) == [("study 1", reason, True)]


@pytest.mark.parametrize("foreign", [1, 2])
def test_of_a_structure_set_of_two_frames_only_the_structure_of_the_mri_has_contours(tmp_path, foreign):
    write_mr(tmp_path, 2, DATES[2])
    write_structures(tmp_path, 2, DATES[2])
    write_mr(tmp_path, 0, DATES[0])
    dataset = structures_dataset({"GTV a": contours_of(MASK, GRID), "GTV b": contours_of(MASK, GRID)})
    dataset.StudyInstanceUID, dataset.StudyDate = uid(0), DATES[0]
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = uid(0, 1)
    dataset.StructureSetROISequence[foreign - 1].ReferencedFrameOfReferenceUID = uid("ct")
    write(dataset, tmp_path / "rs.dcm")
    (patient,) = scan(tmp_path).patients
    assert [bool(one.fits) for one in patient.studies[0].structure_sets[0].rois] == [foreign == 2, foreign == 1]
    visits, _ = choose_visits(patient, lambda _roi: True)
    found = {roi.number: (bool(roi.contours_mm), roi.fault) for roi in visits[0].rois}
    assert found == {foreign: (False, "was drawn in another frame of reference"), 3 - foreign: (True, "")}


def test_a_visit_without_a_date_is_left_out(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, "")
    write_structures(tmp_path, 1, "")
    visits, exclusions = choose(tmp_path)
    assert [day for _, day, _ in visits] == [DAYS[0], DAYS[2]]
    assert reasons(exclusions) == [
        ("study 3", "it has no date that is understood, so its place among the visits is not known", False)
    ]


def redate(folder: Path, study: int, **dates: str | list[str]) -> None:
    """Write other dates into a study's images; a list of one for each."""
    for k, file in enumerate(sorted((folder / f"mr{study}-1").iterdir())):
        dataset = pydicom.dcmread(file)
        for keyword, date in dates.items():
            setattr(dataset, keyword, date if isinstance(date, str) else date[k])
        dataset.save_as(file)


def test_the_date_of_a_visit_is_that_of_its_images(tmp_path):
    """The study was opened long before the patient came."""
    two_visits(tmp_path)
    redate(tmp_path, 0, StudyDate="20230101", SeriesDate="20230101", AcquisitionDate=DATES[1])
    visits, _ = choose(tmp_path)
    assert [day for _, day, _ in visits] == [DAYS[1], DAYS[2]]


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_a_date_with_dots_is_read(tmp_path):
    two_visits(tmp_path)
    redate(tmp_path, 0, StudyDate="2024.01.31")
    visits, exclusions = choose(tmp_path)
    assert ([day for _, day, _ in visits], exclusions) == ([DAYS[0], DAYS[2]], [])


def test_images_of_one_series_with_dates_far_apart_are_warned_of(tmp_path):
    two_visits(tmp_path)
    count = len(list((tmp_path / "mr0-1").iterdir()))
    redate(tmp_path, 0, AcquisitionDate=[DATES[0]] * (count - 1) + ["20240204"])
    assert warnings_of(tmp_path) == [("the images of its series have dates up to 4 days apart",), ()]


@pytest.mark.parametrize("count", [1, 5])
def test_series_of_one_study_with_dates_far_apart_are_warned_of(tmp_path, count):
    """The visit's own series is of one day."""
    two_visits(tmp_path)
    write_mr(tmp_path, 0, DATES[0], series=2)
    for file in sorted((tmp_path / "mr0-2").iterdir())[:count]:
        dataset = pydicom.dcmread(file)
        dataset.AcquisitionDate = "20240203"
        dataset.save_as(file)
    assert warnings_of(tmp_path) == [("the objects of its study have dates up to 3 days apart",), ()]


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
@pytest.mark.parametrize(("date", "apart"), [("20240202", 2), ("20240129", 2), ("20240201", 0), ("1.2.24", 0)])
def test_a_structure_set_that_dates_the_study_otherwise_is_warned_of(tmp_path, date, apart):
    two_visits(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "rs0-1.dcm")
    dataset.add_new("StudyDate", "DA", date)
    dataset.save_as(tmp_path / "rs0-1.dcm")
    said = (f"the objects of its study have dates up to {apart} days apart",) if apart else ()
    assert warnings_of(tmp_path) == [said, ()]


def test_contours_that_were_drawn_weeks_later_are_not_warned_of(tmp_path):
    two_visits(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "rs0-1.dcm")
    dataset.SeriesDate = dataset.StructureSetDate = "20240301"
    dataset.save_as(tmp_path / "rs0-1.dcm")
    assert warnings_of(tmp_path) == [(), ()]


def warnings_of(folder: Path, *, by_place: bool = False) -> list[tuple[str, ...]]:
    (patient,) = scan(folder).patients
    visits, _ = choose_visits(patient, lambda _roi: True, by_place=by_place)
    return [visit.warnings for visit in visits]


def refer(folder: Path, study: int, series_uid: str | None) -> None:
    """Have a study's structure set refer to another series, or to none."""
    file = folder / f"rs{study}-1.dcm"
    dataset = pydicom.dcmread(file)
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    if series_uid is None:
        del frame.RTReferencedStudySequence
    else:
        frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = series_uid
    dataset.save_as(file)


def one_frame_each(folder: Path) -> None:
    """Give each study a frame of reference of its own, in images and structure set."""
    for file in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        frame = uid("frame", dataset.StudyInstanceUID)
        if "FrameOfReferenceUID" in dataset:
            dataset.FrameOfReferenceUID = frame
        for one in dataset.get("ReferencedFrameOfReferenceSequence", []):
            one.FrameOfReferenceUID = frame
        for roi in dataset.get("StructureSetROISequence", []):
            roi.ReferencedFrameOfReferenceUID = frame
        dataset.save_as(file)


def test_a_match_by_reference_is_not_warned_of(tmp_path):
    two_visits(tmp_path)
    one_frame_each(tmp_path)
    assert warnings_of(tmp_path) == [(), ()]


@pytest.mark.parametrize(
    ("series_uid", "said"), [("1.2.3", "refers to a series that is not there"), (None, "refers to no series")]
)
def test_a_match_against_or_without_a_reference_is_warned_of(tmp_path, series_uid, said):
    two_visits(tmp_path)
    one_frame_each(tmp_path)
    refer(tmp_path, 0, series_uid)
    assert warnings_of(tmp_path, by_place=True) == [(f"its structure set {said}; matched by place alone",), ()]


def test_a_structure_set_of_an_mri_that_is_not_there_ends_there_and_no_follow_up_takes_its_place(tmp_path):
    """Another series of the same grid, frame and study lies beside it."""
    two_visits(tmp_path)
    one_frame_each(tmp_path)
    refer(tmp_path, 0, "1.2.3")
    visits, exclusions = choose(tmp_path)
    assert visits == []
    assert reasons(exclusions)[0] == ("study 1", "structure set 1 refers to a series that is not there", True)


@pytest.mark.parametrize(("image_class", "visits"), [(MRImageStorage, 1), (CTImageStorage, 2)])
def test_a_structure_set_alone_in_its_study_is_a_lost_visit_where_its_contours_name_mr_images(
    tmp_path, image_class, visits
):
    two_visits(tmp_path)
    file = write_structures(tmp_path, 1, DATES[1])
    name_images(file, ["1.2.3"], image_class)
    found, exclusions = choose(tmp_path)
    assert len(found) == visits
    reason = "structure set 1 refers to a series that is not there"
    assert ("study 2", reason, visits == 1) in reasons(exclusions)


def name_images(file: Path, image_uids: list[str], image_class: str = MRImageStorage, roi: int = 1) -> None:
    """Have each contour of a structure name these images."""
    dataset = pydicom.dcmread(file)
    for contour in dataset.ROIContourSequence[roi - 1].ContourSequence:
        contour.ContourImageSequence = []
        for image_uid in image_uids:
            image = pydicom.Dataset()
            image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = image_class, image_uid
            contour.ContourImageSequence.append(image)
    dataset.save_as(file)


def images_of(folder: Path, study: int, series: int = 1) -> list[str]:
    return [pydicom.dcmread(file).SOPInstanceUID for file in sorted((folder / f"mr{study}-{series}").iterdir())]


def lose_the_middle(series: Path) -> None:
    next(file for file in series.iterdir() if pydicom.dcmread(file).InstanceNumber == 3).unlink()


def refer_to_both(folder: Path, study: int) -> Path:
    """Have a study's structure set refer to its first two series."""
    file = folder / f"rs{study}-1.dcm"
    dataset = pydicom.dcmread(file)
    referenced = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    referenced.append(pydicom.Dataset())
    referenced[1].SeriesInstanceUID = uid(study, 2)
    dataset.save_as(file)
    return file


@pytest.mark.parametrize("series", [1, 2])
def test_of_two_referenced_series_the_one_whose_images_the_contours_name_is_the_visits(tmp_path, series):
    two_visits(tmp_path)
    write_mr(tmp_path, 0, DATES[0], series=2)
    name_images(refer_to_both(tmp_path, 0), images_of(tmp_path, 0, series)[1:2])
    visits, exclusions = choose(tmp_path)
    assert ([uids for _, _, uids in visits], exclusions) == ([uid(0, series), uid(2, 1)], [])


def test_of_two_referenced_series_of_which_the_named_one_is_broken_neither_is_taken(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 0, DATES[0], series=2)
    name_images(refer_to_both(tmp_path, 0), images_of(tmp_path, 0, 2)[:1])
    lose_the_middle(tmp_path / "mr0-2")
    visits, exclusions = choose(tmp_path)
    assert visits == []
    assert reasons(exclusions)[0][1].startswith("structure set 1 belongs to series 2 of study 1, which cannot be used")


def test_two_referenced_series_that_the_contours_do_not_settle_are_named(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 0, DATES[0], series=2)
    refer_to_both(tmp_path, 0)
    visits, exclusions = choose(tmp_path)
    assert visits == []
    reason = "structure set 1 fits several series (series 1 of study 1, series 2 of study 1)"
    assert reasons(exclusions)[0] == ("study 1", reason, False)


def test_contours_that_name_images_of_another_series_than_the_one_referred_to_are_warned_of(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 0, DATES[0], series=2)
    name_images(tmp_path / "rs0-1.dcm", images_of(tmp_path, 0, 2)[:1])
    said = "its structure set refers to its series, but its contours name images of series 2 of study 1"
    assert warnings_of(tmp_path) == [(said,), ()]


@pytest.mark.parametrize(("wanted", "count"), [("GTV", 2), ("", 0)])
def test_of_structures_drawn_on_two_series_of_a_visit_the_lesions_own_counts(tmp_path, wanted, count):
    two_visits(tmp_path)
    write_mr(tmp_path, 0, DATES[0], series=2)
    dataset = structures_dataset({"GTV": contours_of(MASK, GRID), "oedema": contours_of(MASK, GRID)})
    dataset.StudyInstanceUID, dataset.StudyDate = uid(0), DATES[0]
    referenced = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    referenced.RTReferencedSeriesSequence[0].SeriesInstanceUID = uid(0, 1)
    write(dataset, tmp_path / "rs0-1.dcm")
    file = refer_to_both(tmp_path, 0)
    name_images(file, images_of(tmp_path, 0, 2)[:1], roi=1)
    name_images(file, images_of(tmp_path, 0, 1)[:1], roi=2)
    (patient,) = scan(tmp_path).patients
    visits, exclusions = choose_visits(patient, lambda roi: wanted in roi.name)
    assert len(visits) == count
    if visits:
        assert (visits[0].series.series_uid, [roi.name for roi in visits[0].rois]) == (uid(0, 2), ["GTV"])
    else:
        reason = "structure set 1 of study 1 has lesions on several series; leave those of one and import again"
        assert reasons(exclusions)[0] == ("study 1", reason, False)


@pytest.mark.parametrize("in_study", [0, 2])
def test_one_structure_set_with_the_structures_of_two_visits_is_resolved_by_structure(tmp_path, in_study):
    """Each structure is in the frame of its visit, and the series stand under their frames."""
    both_visits_in_one_set(tmp_path, in_study)
    (patient,) = scan(tmp_path).patients
    assert [[one.series_uid for one in roi.fits] for roi in structure_sets(patient)[0].rois] == [
        [uid(0, 1)],
        [uid(2, 1)],
    ]
    visits, exclusions = choose_visits(patient, lambda _roi: True)
    found = [(one.series.series_uid, [roi.name for roi in one.rois], one.warnings) for one in visits]
    assert (found, exclusions) == ([(uid(0, 1), ["GTV pre"], ()), (uid(2, 1), ["GTV post"], ())], [])


def test_of_the_two_visits_of_one_structure_set_the_broken_one_is_named(tmp_path):
    both_visits_in_one_set(tmp_path, 0)
    lose_the_middle(tmp_path / "mr2-1")
    visits, exclusions = choose(tmp_path)
    assert [day for _, day, _ in visits] == [DAYS[0]]
    assert reasons(exclusions)[0][1].startswith("structure set 1 belongs to series 1 of study 2, which cannot be used")


def both_visits_in_one_set(folder: Path, in_study: int) -> None:
    for study in (0, 2):
        write_mr(folder, study, DATES[study])
    dataset = structures_dataset({"GTV pre": contours_of(MASK, GRID), "GTV post": contours_of(MASK, GRID)})
    dataset.StudyInstanceUID, dataset.StudyDate = uid(in_study), DATES[in_study]
    frames = dataset.ReferencedFrameOfReferenceSequence
    frames.append(copy.deepcopy(frames[0]))
    write(dataset, folder / "rs.dcm")
    one_frame_each(folder)
    dataset = pydicom.dcmread(folder / "rs.dcm")
    for study, frame, roi in zip(
        (0, 2), dataset.ReferencedFrameOfReferenceSequence, dataset.StructureSetROISequence, strict=True
    ):
        roi.ReferencedFrameOfReferenceUID = frame.FrameOfReferenceUID = uid("frame", uid(study))
        frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = uid(study, 1)
    dataset.save_as(folder / "rs.dcm")


def structure_sets(patient) -> list:
    return [one for study in patient.studies for one in study.structure_sets]


def test_a_structure_set_of_a_broken_ct_costs_no_visit(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, DATES[1], modality="CT", gap=True)
    write_structures(tmp_path, 1, DATES[1])
    visits, exclusions = choose(tmp_path)
    assert len(visits) == 2
    reason = "structure set 1 was drawn on series 1 of study 2, which is CT and not MR"
    assert reasons(exclusions) == [("study 2", reason, False)]


def test_structures_of_a_broken_series_do_not_go_to_another_on_the_same_grid(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 0, DATES[0], series=2)
    next((tmp_path / "mr0-1").glob("*3*")).unlink()
    visits, exclusions = choose(tmp_path)
    assert visits == []
    (place, reason, broken), *_ = reasons(exclusions)
    assert (place, broken) == ("study 1", True)
    assert reason.startswith("structure set 1 belongs to series 1 of study 1, which cannot be used: slices are missing")


def test_of_two_visits_on_one_day_neither_is_used(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, DATES[0])
    write_structures(tmp_path, 1, DATES[0])
    visits, exclusions = choose(tmp_path)
    assert visits == []
    reason = "one of several visits on one day; leave one of them and import again"
    assert reasons(exclusions)[:2] == [("study 1", reason, False), ("study 2", reason, False)]


def test_a_follow_up_does_not_take_the_place_of_a_second_mri_that_is_broken(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 1, DATES[1], gap=True)
    write_structures(tmp_path, 1, DATES[1])
    visits, exclusions = choose(tmp_path)
    assert [day for _, day, _ in visits] == [DAYS[0]]
    reason = "a visit after study 2, which cannot be used; which visit this is cannot be told"
    assert ("study 3", reason, False) in reasons(exclusions)


def test_a_pair_can_do_without_a_follow_up_that_is_broken(tmp_path):
    two_visits(tmp_path)
    write_mr(tmp_path, 3, DATES[3], gap=True)
    write_structures(tmp_path, 3, DATES[3])
    visits, _ = choose(tmp_path)
    assert [day for _, day, _ in visits] == [DAYS[0], DAYS[2]]


def test_one_visit_is_not_enough(tmp_path):
    write_mr(tmp_path, 0, DATES[0])
    write_structures(tmp_path, 0, DATES[0])
    visits, exclusions = choose(tmp_path)
    assert len(visits) == 1
    assert reasons(exclusions) == [
        ("", "too few visits (1): two are needed, each an MR series and a structure set drawn on it", False)
    ]


def write_segmentation(folder: Path, study: int, date: str, on=None, series: int = 1) -> pydicom.Dataset:
    """Write a Segmentation of the lesion on a series that `write_mr` wrote."""
    files = sorted((folder / f"mr{study}-{series}").iterdir())
    images = sorted((pydicom.dcmread(file) for file in files), key=lambda image: image.InstanceNumber)
    dataset = segmentation_dataset(GRID, {"GTV": MASK}, on=on, images=images)
    dataset.StudyDate = date
    write(dataset, folder / f"seg{study}.dcm")
    return dataset


SHIFTED = dataclasses.replace(GRID, origin_mm=(GRID.origin_mm[0] + 0.5, *GRID.origin_mm[1:]))


def test_a_segmentation_on_voxels_of_its_own_says_why_and_costs_its_visit(tmp_path):
    for study in (0, 1, 2):
        write_mr(tmp_path, study, DATES[study])
        write_segmentation(tmp_path, study, DATES[study], on=SHIFTED if study == 1 else None)
    visits, exclusions = choose(tmp_path)
    assert visits == [("pre", DAYS[0], uid(0, 1))]  # the third study is not taken for the second MRI
    assert exclusions[0] == Exclusion(
        visit="study 2",
        structure=None,
        reason="structure set 1 belongs to series 1 of study 2 and does not fit it: structure 1 lies on another grid "
        "than the series (frame 1); export the segmentation on the series' own voxels",
        broken=True,
    )


def test_contours_outside_of_the_mr_that_they_refer_to_cost_the_visit(tmp_path):
    for study in (0, 1, 2):
        write_mr(tmp_path, study, DATES[study])
        file = write_structures(tmp_path, study, DATES[study])
    dataset = pydicom.dcmread(tmp_path / "rs1-1.dcm")
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        contour.ContourData = [float(value) + 500 for value in contour.ContourData]
    write(dataset, file.with_name("rs1-1.dcm"))
    visits, exclusions = choose(tmp_path)
    assert len(visits) == 1
    assert exclusions[0].reason.startswith(
        "structure set 1 belongs to series 1 of study 2 and does not fit it: structure 1"
    )


def test_a_segmentation_without_a_series_goes_to_the_one_whose_images_its_frames_name(tmp_path):
    for study in (0, 1):
        for series in (1, 2):
            write_mr(tmp_path, study, DATES[study], series=series)
        dataset = write_segmentation(tmp_path, study, DATES[study], series=2)
        del dataset.ReferencedSeriesSequence
        write(dataset, tmp_path / f"seg{study}.dcm")
    visits, exclusions = choose(tmp_path)
    assert [series for _, _, series in visits] == [uid(0, 2), uid(1, 2)]
    assert exclusions == []


def test_structures_and_segments_of_one_lesion_are_refused_until_one_is_left(tmp_path):
    for study in (0, 1):
        write_mr(tmp_path, study, DATES[study])
        write_structures(tmp_path, study, DATES[study])
    write_segmentation(tmp_path, 1, DATES[1])
    visits, exclusions = choose(tmp_path)
    assert len(visits) == 1
    assert exclusions[0].reason.startswith("several structure sets fit (structure set 1 of study 2, structure set 2 of")
