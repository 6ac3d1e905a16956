import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeformableSpatialRegistrationStorage, SpatialFiducialsStorage, generate_uid

from tests.imaging.mock_dicom import SERIES_UID, make_grid, to_mm, write, write_series
from tests.imaging.mock_dose import dose_dataset, plan_dataset
from tests.imaging.mock_segmentation import KINDS, segmentation_dataset
from tfdrift.cohort.channel_names import read_channels
from tfdrift.cohort.samples import read_samples
from tfdrift.cohort.tables import Exclusion
from tfdrift.errors import DataError
from tfdrift.imaging.pixels import measured
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import Roi, in_frame, rasterise, read_structures
from tfdrift.importing.catalogue import scan
from tfdrift.importing.dicom_source import find_channels, find_patients, registration_files
from tfdrift.importing.patient import import_patient
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.target_names import target_rule
from tfdrift.synthetic.phantom import make_cohort
from tfdrift.synthetic.phantom_objects import spatial_registration
from tfdrift.synthetic.phantom_visits import make_acquisitions


def read(visit):
    return visit.read([structure for structure in visit.structures if target_rule()(structure)])


@pytest.fixture(scope="module")
def visits(heads):
    patients, _ = find_patients(heads, ImportSettings())
    found, _ = patients[0].visits(target_rule())
    return found


@pytest.fixture(scope="module")
def first(visits):
    return read(visits[0])[0]


def drawn_on(visit, *rois):
    """The visit with these structures instead of its own."""
    return dataclasses.replace(visit, chosen=dataclasses.replace(visit.chosen, rois=rois))


def test_a_volume_is_that_of_the_mask_on_the_images_own_grid(first):
    assert len(first.masks) == 4
    for number, mask in first.masks.items():
        assert mask.IsSameImageGeometryAs(first.image)
        assert first.volumes_mm3[number] == sitk.GetArrayViewFromImage(mask).sum() * 6.0**3


def test_a_structure_between_the_voxels_is_empty(visits):
    points = visits[0].structures[0].contours_mm[0]
    tiny = Roi(
        number=9, name="GTV", contours_mm=(points[:1] + np.array([[2.5, 2.5, 0], [2.6, 2.5, 0], [2.5, 2.6, 0]]),)
    )
    session, exclusions = drawn_on(visits[0], tiny).read([tiny])
    assert session.masks == {}
    assert exclusions == [Exclusion(visit="pre", structure=9, reason="empty")]


def test_a_structure_without_contours_is_empty(visits):
    bare = Roi(number=9, name="GTV", contours_mm=())
    _, exclusions = drawn_on(visits[0], bare).read([bare])
    assert exclusions == [Exclusion(visit="pre", structure=9, reason="empty")]


def test_a_structure_outside_the_image_is_broken(visits):
    far = Roi(number=9, name="GTV", contours_mm=(visits[0].structures[0].contours_mm[0] + np.array([1000.0, 0, 0]),))
    _, (exclusion,) = drawn_on(visits[0], far).read([far])
    assert (exclusion.structure, exclusion.broken) == (9, True)
    assert exclusion.reason.startswith("structure 9 reaches outside the volume")


def test_a_structure_of_another_frame_is_left_out_and_not_broken(visits):
    foreign = in_frame(dataclasses.replace(visits[0].structures[0], number=9), "1.2.3")
    _, exclusions = drawn_on(visits[0], foreign).read([foreign])
    reason = "structure 9 was drawn in another frame of reference"
    assert exclusions == [Exclusion(visit="pre", structure=9, reason=reason)]


def test_only_what_is_wanted_is_read(visits):
    session, _ = visits[0].read(visits[0].structures[2:3])
    assert list(session.masks) == [visits[0].structures[2].number]


def test_two_series_without_a_frame_of_reference_do_not_share_one(visits):
    frames = set()
    for visit in visits[:2]:
        series = dataclasses.replace(visit.chosen.series, frame_of_reference_uid="")
        unframed = dataclasses.replace(visit, chosen=dataclasses.replace(visit.chosen, series=series))
        frames.add(unframed.read([])[0].frame)
    assert len(frames) == 2


def test_days_are_those_between_the_dates(visits):
    assert [visit.day - visits[0].day for visit in visits] == [
        (visit.chosen.date - visits[0].chosen.date).days for visit in visits
    ]


def test_files_that_are_no_patients_are_counted_by_reason(heads):
    _, refused = find_patients(heads, ImportSettings())  # truth.json
    assert refused == [Exclusion(visit="", structure=None, reason="1 file: the file is not a DICOM file")]


def test_registrations_of_both_kinds_are_found_newest_first_and_no_other_objects(tmp_path):
    patient = make_cohort(2)[1]
    kinds = {"deformable": DeformableSpatialRegistrationStorage, "fiducials": SpatialFiducialsStorage, "rigid": None}
    for acquisition in make_acquisitions(patient, 0, (6.0, 6.0, 6.0)):
        for kind, sop_class in kinds.items():
            dataset = spatial_registration(acquisition.visit, "1.2.3", np.eye(4))
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            if sop_class:
                dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
            dataset.save_as(tmp_path / f"{acquisition.session}-{kind}.dcm", enforce_file_format=True)
    (found,) = scan(tmp_path).patients
    files = [file.name for file in registration_files(found)]
    assert files == [f"{name}-{kind}.dcm" for name in ("follow_up", "post", "pre") for kind in ("deformable", "rigid")]


def as_segmentation(visit: Path, kind: str, **options) -> None:
    """Put a Segmentation in the place of a visit's structure set: of its structures those that make a mask."""
    (folder,), (file,) = visit.glob("*MR_T1"), visit.glob("*RTSTRUCT/*")
    image, series = read_series(folder)
    masks = {}
    for roi in read_structures(file).rois:
        try:
            masks[roi.name] = sitk.GetArrayFromImage(rasterise(roi, image)[0]).astype(bool)
        except DataError:
            continue
    files = sorted(folder.iterdir())
    headers = [pydicom.dcmread(files[one.file]) for one in series.slices]
    write(segmentation_dataset(series.grid, masks, kind=kind, images=headers, **options), file.with_name("seg.dcm"))
    file.unlink()


def imported(clinic: Path, part: Path):
    patients, _ = find_patients(clinic, ImportSettings())
    result = import_patient(patients[0], part, key=bytes(32), settings=ImportSettings(image_size=16))
    return result, read_samples(part)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_patient_with_segmentations_is_the_one_with_structure_sets(heads, tmp_path, kind):
    (tmp_path / "both").mkdir()
    shutil.copytree(min(path for path in heads.iterdir() if path.is_dir()), tmp_path / "both/patient")
    drawn, slices = imported(tmp_path / "both", tmp_path / "drawn.npz")
    for visit in (tmp_path / "both/patient").iterdir():
        as_segmentation(visit, kind)
    result, again = imported(tmp_path / "both", tmp_path / "again.npz")
    assert again.pre.tobytes() == slices.pre.tobytes()
    assert again.post_mask.tobytes() == slices.post_mask.tobytes()
    assert [(one.pre_mm3, one.post_mm3, one.follow_up_mm3) for one in result.lesions] == [
        (one.pre_mm3, one.post_mm3, one.follow_up_mm3) for one in drawn.lesions
    ]
    assert all(("fractional" in one.warnings) == (kind == "FRACTIONAL") for one in result.lesions)


GRID = make_grid(size=(12, 12, 6))
FINER = make_grid(size=(8, 8, 9), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(-1.0, 6.0, 6.0))


def ramp(grid):
    """A signal that rises by 10 a mm along x and z."""
    columns, rows, slices = grid.size
    k, j, i = np.meshgrid(range(slices), range(rows), range(columns), indexing="ij")
    points = to_mm(grid, np.stack([i, j, k], axis=-1))
    return np.round(500 + 10 * points[..., 0] + 10 * points[..., 2]).astype(np.uint16)


def write_more(folder, description, grid=FINER, **changes):
    """Write a series of its own into the study, called so."""
    uid = generate_uid()

    def change(dataset, _k):
        dataset.SeriesInstanceUID, dataset.SeriesDescription = uid, description
        dataset.SOPInstanceUID = generate_uid()
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)

    return write_series(folder / uid, grid, ramp(grid), change)


@pytest.fixture
def export(tmp_path):
    write_series(tmp_path / "first", GRID, ramp(GRID))
    return tmp_path


def find(folder, channels, visit="pre"):
    (patient,) = scan(folder).patients
    (on,) = [one.series for study in patient.studies for one in study.series if one.uid == SERIES_UID]
    assert on is not None
    image = sitk.GetImageFromArray(ramp(GRID).astype(np.float32))
    on.grid.place(image)
    return find_channels(patient, on, image, read_channels(channels)[1], visit=visit), image


def test_a_series_on_another_grid_is_put_where_the_first_channel_is(export):
    write_more(export, "Ax FLAIR")
    more, image = find(export, "T1,FLAIR")
    flair = more.images["FLAIR"]
    seen = sitk.GetArrayFromImage(measured(flair)) > 0
    assert flair.IsSameImageGeometryAs(image)
    assert seen.sum() == 8 * 8 * 4  # 8 x 8 mm of 1 mm, and planes at 7, 9, 11 and 13 mm
    np.testing.assert_allclose(sitk.GetArrayFromImage(flair)[seen], ramp(GRID)[seen], atol=1.0)
    assert (more.missing, more.fractions) == ((), None)


def test_a_series_on_the_same_grid_stays_what_it_is_to_the_bit(export):
    write_more(export, "", GRID, SequenceName="*t2_tse")
    more, _ = find(export, "T1,T2")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(more.images["T2"]), ramp(GRID))


@pytest.mark.parametrize(
    ("changes", "said", "broken"),
    [
        ({"SeriesDescription": "T2"}, "no other MR series of study 1 is called so", False),
        ({"FrameOfReferenceUID": "1.2.3"}, "series 2 of study 1 lies in another frame of reference", False),
        ({"ImagePositionPatient": ["0", "0", "0"]}, "series 2 of study 1 cannot be used", True),
    ],
)
def test_a_channel_that_is_not_there_is_missing_with_the_reason(export, changes, said, broken):
    write_more(export, "Doe FLAIR", **changes, SeriesNumber=4)
    more, _ = find(export, "T1,FLAIR")
    (row,) = more.missing
    assert more.images == {}
    assert row.reason.startswith(f"channel FLAIR: {said}")
    assert row.reason.endswith("the channel is unknown there")
    assert (row.visit, row.structure, row.broken) == ("pre", None, broken)
    assert "Doe" not in row.reason


def test_two_series_of_a_name_are_refused_by_their_places(export):
    write_more(export, "Doe FLAIR", SeriesNumber=4)
    write_more(export, "Doe FLAIR 2", SeriesNumber=5)
    with pytest.raises(DataError, match=r"series 2 of study 1, series 3 of study 1.*--channels FLAIR=REGEX") as refused:
        find(export, "T1,FLAIR")
    assert "Doe" not in str(refused.value)
    more, _ = find(export, "T1,FLAIR=flair 2$")
    assert set(more.images) == {"FLAIR"}


def test_the_dose_is_put_where_the_first_channel_is_with_its_fractions(export):
    write(dose_dataset(FINER, np.full(FINER.size[::-1], 24.0)), export / "dose.dcm")
    write(plan_dataset(fractions=3), export / "plan.dcm")
    more, image = find(export, "T1,dose")
    dose = more.images["dose"]
    seen = sitk.GetArrayFromImage(measured(dose)) > 0
    assert dose.IsSameImageGeometryAs(image)
    assert seen.sum() == 8 * 8 * 4
    np.testing.assert_allclose(sitk.GetArrayFromImage(dose)[seen], 24.0, atol=2e-3)
    assert more.fractions == 3


def test_a_dose_that_is_not_there_is_missing_and_two_are_refused(export):
    assert "the patient has no RTDOSE" in find(export, "T1,dose")[0].missing[0].reason
    dose = dose_dataset(FINER, np.full(FINER.size[::-1], 24.0))
    dose.FrameOfReferenceUID = "1.2.3"
    write(dose, export / "elsewhere.dcm")
    assert "another frame of reference" in find(export, "T1,dose")[0].missing[0].reason
    for name in ("a", "b"):
        write(dose_dataset(FINER, np.full(FINER.size[::-1], 24.0)), export / f"{name}.dcm")
    assert "begins with the first visit" in find(export, "T1,dose", visit="post")[0].missing[0].reason
    with pytest.raises(DataError, match="each the dose of a whole plan"):
        find(export, "T1,dose")
