import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import DeformableSpatialRegistrationStorage

from tfdrift.imaging.registration import Registration
from tfdrift.imaging.structures import Roi
from tfdrift.importing import sessions as sessions_module
from tfdrift.importing.catalogue import scan
from tfdrift.importing.sessions import bring_onto, read_session, registration_files
from tfdrift.importing.target_names import is_target
from tfdrift.importing.visits import Exclusion, choose_visits
from tfdrift.synthetic.phantom import make_cohort
from tfdrift.synthetic.phantom_objects import spatial_registration
from tfdrift.synthetic.phantom_visits import make_acquisitions


@pytest.fixture(scope="module")
def visits(heads):
    patient = scan(heads).patients[0]
    found, _ = choose_visits(patient, lambda roi: is_target(roi.name))
    return found


def targets(visit):
    return [roi for roi in visit.rois if is_target(roi.name)]


@pytest.fixture(scope="module")
def first(visits):
    return read_session(visits[0], targets(visits[0]))[0]


@pytest.fixture(scope="module")
def second(visits, first):
    session, _ = read_session(visits[1], targets(visits[1]))
    return bring_onto(session, first, registration_files=[], mode="auto", seed=0)


def test_a_volume_is_that_of_the_mask_on_the_images_own_grid(first):
    assert len(first.masks) == 4
    for number, mask in first.masks.items():
        assert mask.IsSameImageGeometryAs(first.image)
        assert first.volumes_mm3[number] == sitk.GetArrayViewFromImage(mask).sum() * 6.0**3


def test_a_later_session_keeps_its_volumes_and_brings_its_masks_along(visits, first, second):
    native, _ = read_session(visits[1], targets(visits[1]))
    assert second.volumes_mm3 == native.volumes_mm3
    assert all(mask.IsSameImageGeometryAs(first.image) for mask in second.masks.values())
    assert second.registration.kind == "identity"


def test_a_later_mask_stays_where_it_was(visits, second):
    """The head does not move, so the largest lesion's centre is the same in both grids to a fraction of a voxel."""
    native, _ = read_session(visits[1], targets(visits[1]))
    largest = max(native.volumes_mm3, key=lambda number: native.volumes_mm3[number])
    places = []
    for mask in (native.masks[largest], second.masks[largest]):
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(mask)
        places.append(shape.GetCentroid(1))
    np.testing.assert_allclose(places[0], places[1], atol=1.5)


def test_a_structure_between_the_voxels_is_empty(visits):
    points = visits[0].rois[0].contours_mm[0]
    tiny = Roi(
        number=9, name="GTV", contours_mm=(points[:1] + np.array([[2.5, 2.5, 0], [2.6, 2.5, 0], [2.5, 2.6, 0]]),)
    )
    session, exclusions = read_session(visits[0], [tiny])
    assert session.masks == {}
    assert exclusions == [Exclusion(visit="pre", structure=9, reason="empty")]


def test_a_structure_without_contours_is_empty(visits):
    _, exclusions = read_session(visits[0], [Roi(number=9, name="GTV", contours_mm=())])
    assert exclusions == [Exclusion(visit="pre", structure=9, reason="empty")]


def test_a_structure_outside_the_image_is_broken(visits):
    points = visits[0].rois[0].contours_mm[0] + np.array([1000.0, 0, 0])
    _, ((exclusion),) = read_session(visits[0], [Roi(number=9, name="GTV", contours_mm=(points,))])
    assert (exclusion.structure, exclusion.broken) == (9, True)
    assert exclusion.reason.startswith("structure 9 reaches outside the volume")


def test_two_series_without_a_frame_of_reference_do_not_share_one(first, monkeypatch):
    asked = {}

    def register(_fixed, _moving, **options):
        asked.update(options)
        return Registration(kind="rigid", transform=sitk.Euler3DTransform(), residual_percent=1.0)

    monkeypatch.setattr(sessions_module, "register", register)
    series = dataclasses.replace(first.visit.series, frame_of_reference_uid="")
    unframed = [
        dataclasses.replace(first, visit=dataclasses.replace(first.visit, name=name, series=series))
        for name in ("pre", "post")
    ]
    bring_onto(unframed[1], unframed[0], registration_files=[], mode="auto", seed=0)
    assert asked["fixed_frame"] != asked["moving_frame"]


def test_registrations_are_found_newest_first_and_deformable_ones_passed_over(tmp_path):
    patient = make_cohort(2)[1]
    for acquisition in make_acquisitions(patient, 0, (6.0, 6.0, 6.0)):
        visit = acquisition.visit
        for kind in ("rigid", "deformable"):
            dataset = spatial_registration(visit, "1.2.3", np.eye(4))
            if kind == "deformable":
                dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = DeformableSpatialRegistrationStorage
            dataset.save_as(tmp_path / f"{acquisition.session}-{kind}.dcm", enforce_file_format=True)
    (found,) = scan(tmp_path).patients
    files = [file.name for file in registration_files(found)]
    assert files == ["follow_up-rigid.dcm", "post-rigid.dcm", "pre-rigid.dcm"]
