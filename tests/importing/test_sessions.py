import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from tests.imaging.test_deformable_registration import write as write_deformation
from tests.imaging.test_spatial_registration import FIXED, MOVING
from tfdrift.imaging.geometry import Grid
from tfdrift.importing.dicom_source import find_patients
from tfdrift.importing.sessions import bring_onto
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.target_names import target_rule


@pytest.fixture(scope="module")
def sessions(heads):
    """The first two sessions of a patient, each on its own grid."""
    patients, _ = find_patients(heads, ImportSettings())
    visits, _ = patients[0].visits(target_rule())
    return [visit.read([roi for roi in visit.structures if target_rule()(roi)])[0] for visit in visits[:2]]


@pytest.fixture(scope="module")
def second(sessions):
    return bring_onto(sessions[1], sessions[0], mode="auto", seed=0)


def test_a_later_session_keeps_its_volumes_and_brings_its_masks_along(sessions, second):
    assert second.volumes_mm3 == sessions[1].volumes_mm3
    assert all(mask.IsSameImageGeometryAs(sessions[0].image) for mask in second.masks.values())
    assert second.registration.kind == "identity"


def test_a_later_mask_stays_where_it_was(sessions, second):
    """The head does not move, so the largest lesion's centre is the same in both grids to a fraction of a voxel."""
    native = sessions[1]
    largest = max(native.volumes_mm3, key=lambda number: native.volumes_mm3[number])
    places = []
    for mask in (native.masks[largest], second.masks[largest]):
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(mask)
        places.append(shape.GetCentroid(1))
    np.testing.assert_allclose(places[0], places[1], atol=1.5)


def onto_first_by(vectors, sessions, folder, *, frames=(FIXED, MOVING)):
    """Bring the second session onto the first by a deformation that is given on the first one's grid."""
    file = write_deformation(folder / "reg.dcm", vectors, grid=Grid.of(sessions[0].image))
    first = dataclasses.replace(sessions[0], frame=frames[0])
    later = dataclasses.replace(sessions[1], frame=frames[1], registration_files=[file])
    brought = bring_onto(later, first, mode="auto", seed=0)
    assert brought.registration is not None
    return brought, brought.registration


def vectors_on(sessions, vector_mm):
    """The same vector in the middle of the first image, and less towards its faces, so that no point leaves it."""
    fade = np.ones(sessions[0].image.GetSize()[::-1])
    for axis, count in enumerate(fade.shape):
        ramp = np.minimum(np.arange(count), np.arange(count)[::-1]) / 4
        fade = fade * np.clip(ramp, 0, 1).reshape([-1 if k == axis else 1 for k in range(3)])
    return fade[..., None] * np.array(vector_mm)


def shift_of_masks_mm(brought, second):
    """How far the largest lesion's centre lies from where it was without a deformation."""
    largest = max(second.volumes_mm3, key=lambda number: second.volumes_mm3[number])
    places = []
    for mask in (second.masks[largest], brought.masks[largest]):
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(mask)
        places.append(np.array(shape.GetCentroid(1)))
    return places[1] - places[0]


@pytest.mark.parametrize("vector_mm", [(6.0, 0.0, 0.0), (0.0, -6.0, 0.0)])
def test_a_deformable_registration_object_leads_from_the_first_mri_to_the_second(sessions, second, tmp_path, vector_mm):
    brought, registration = onto_first_by(vectors_on(sessions, vector_mm), sessions, tmp_path)
    assert (registration.kind, registration.warnings) == ("dicom", ())
    # What lies one voxel further in the second MRI is seen here.
    np.testing.assert_allclose(shift_of_masks_mm(brought, second), np.negative(vector_mm), atol=0.6)


def test_a_deformable_registration_object_of_the_other_direction_is_inverted(sessions, second, tmp_path):
    """The first MRI's frame is the one that the object's registered frame leads to."""
    brought, _ = onto_first_by(vectors_on(sessions, (6.0, 0, 0)), sessions, tmp_path, frames=(MOVING, FIXED))
    np.testing.assert_allclose(shift_of_masks_mm(brought, second), (6, 0, 0), atol=0.6)


def test_a_deformation_that_folds_is_suspect(sessions, tmp_path):
    nodes = np.indices(sessions[0].image.GetSize()[::-1])[::-1]
    _, registration = onto_first_by(-8 * np.sin(np.moveaxis(nodes, 0, -1) * 1.5), sessions, tmp_path)
    assert registration.suspect
    assert "folds at" in registration.warnings[0]
