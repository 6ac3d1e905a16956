import numpy as np
import pytest
import SimpleITK as sitk

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
