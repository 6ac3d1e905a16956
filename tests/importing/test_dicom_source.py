import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeformableSpatialRegistrationStorage, SpatialFiducialsStorage, generate_uid

from tests.imaging.mock_dicom import write
from tests.imaging.mock_segmentation import KINDS, segmentation_dataset
from tfdrift.cohort.samples import read_samples
from tfdrift.cohort.tables import Exclusion
from tfdrift.errors import DataError
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import Roi, in_frame, rasterise, read_structures
from tfdrift.importing.catalogue import scan
from tfdrift.importing.dicom_source import find_patients, registration_files
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
