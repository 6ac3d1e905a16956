"""The plan and the dose of an export, read back with pydicom and by the geometry that DICOM defines."""

import json

import numpy as np
import pydicom
import pytest
from scipy.ndimage import map_coordinates

from tfdrift.synthetic.phantom import make_cohort
from tfdrift.synthetic.phantom_dicom import write_phantom
from tfdrift.synthetic.phantom_treatment import FRACTIONS, patient_dose_gy

SPACING_MM = (5.0, 4.0, 4.0)
COHORT = make_cohort(2, law="dose")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("treated") / "export"
    write_phantom(folder, patients=2, law="dose", spacing_mm=SPACING_MM, workers=1)
    return folder


@pytest.fixture(scope="module")
def truth(out):
    return json.loads((out / "truth.json").read_text())


def read_object(out, truth, number: int, kind: str) -> pydicom.Dataset:
    """Return the only object of a kind of a patient, which stands in the first visit."""
    patient = truth["patients"][number]
    (file,) = (out / patient["folder"]).glob(f"*/{kind}/*.dcm")
    assert file.parents[1].name == patient["visits"]["pre"]["folder"]
    return pydicom.dcmread(file)


def dose_at(dose: pydicom.Dataset, points_mm: np.ndarray) -> np.ndarray:
    """Return the dose at points [n, 3] of the frame of reference, linear between the places of an axial grid."""
    row, column = map(float, dose.PixelSpacing)
    first = np.array(dose.ImagePositionPatient, float)
    offsets = np.array(dose.GridFrameOffsetVector, float)
    x, y, z = (points_mm - first).T
    place = [np.interp(z, offsets, range(len(offsets))), y / row, x / column]
    return map_coordinates(dose.pixel_array * float(dose.DoseGridScaling), place, order=1)


@pytest.mark.parametrize("number", [0, 1])
def test_the_dose_is_that_of_the_law_where_the_lesions_are(out, truth, number):
    dose, patient = read_object(out, truth, number, "RTDOSE"), COHORT[number]
    for lesion in patient.lesions:
        rng = np.random.default_rng(0)
        directions = rng.standard_normal((200, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        depth = rng.uniform(0, 1, 200)
        points = lesion.center_mm + (depth * lesion.surface_mm(directions, "pre"))[:, None] * directions
        # The smallest lesion, with a radius of 1.5 mm, lies between four places that are 1.5 mm apart.
        np.testing.assert_allclose(dose_at(dose, points), patient_dose_gy(patient, points), rtol=0.12)


@pytest.mark.parametrize("number", [0, 1])
def test_a_place_of_the_grid_has_the_dose_to_the_rounding_of_a_pixel(out, truth, number):
    dose = read_object(out, truth, number, "RTDOSE")
    frames, rows, columns = dose.pixel_array.shape
    indices = np.random.default_rng(1).integers(0, [columns, rows, frames], (100, 3))
    step = np.array([dose.PixelSpacing[1], dose.PixelSpacing[0], dose.GridFrameOffsetVector[1]], float)
    points = np.array(dose.ImagePositionPatient, float) + indices * step
    stored = dose.pixel_array[tuple(indices[:, ::-1].T)] * float(dose.DoseGridScaling)
    np.testing.assert_allclose(stored, patient_dose_gy(COHORT[number], points), atol=0.51 * float(dose.DoseGridScaling))


def test_the_dose_says_what_it_is_and_where(out, truth):
    bits = set()
    for number in range(2):
        dose, plan = (read_object(out, truth, number, kind) for kind in ("RTDOSE", "RTPLAN"))
        structures = read_object_of_visit(out, truth, number, "RTSTRUCT")
        image = read_object_of_visit(out, truth, number, "MR_T1")
        assert (dose.DoseUnits, dose.DoseSummationType, dose.DoseType) == ("GY", "PLAN", "PHYSICAL")
        assert dose.FrameOfReferenceUID == plan.FrameOfReferenceUID == image.FrameOfReferenceUID
        assert dose.StudyInstanceUID == image.StudyInstanceUID
        assert dose.FrameIncrementPointer == 0x3004000C
        assert dose.NumberOfFrames == len(dose.GridFrameOffsetVector) == len(dose.pixel_array)
        assert dose.GridFrameOffsetVector[0] == 0
        assert dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plan.SOPInstanceUID
        assert plan.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == structures.SOPInstanceUID
        bits.add(dose.BitsAllocated)
    assert bits == {16, 32}


def read_object_of_visit(out, truth, number: int, kind: str) -> pydicom.Dataset:
    patient = truth["patients"][number]
    folder = out / patient["folder"] / patient["visits"]["pre"]["folder"] / kind
    return pydicom.dcmread(next(folder.iterdir()))


def test_the_plan_prescribes_to_the_gtvs_that_are_drawn(out, truth):
    for number, patient in enumerate(truth["patients"]):
        plan = read_object(out, truth, number, "RTPLAN")
        names = {
            roi.ROINumber: roi.ROIName
            for roi in read_object_of_visit(out, truth, number, "RTSTRUCT").StructureSetROISequence
        }
        prescribed = {
            names[one.ReferencedROINumber]: float(one.TargetPrescriptionDose) for one in plan.DoseReferenceSequence
        }
        assert prescribed == {
            lesion["roi"]["pre"]: pytest.approx(lesion["prescription_gy"])
            for lesion in patient["lesions"]
            if lesion["roi"]["pre"]
        }
        (group,) = plan.FractionGroupSequence
        assert group.NumberOfFractionsPlanned == patient["fractions"] == FRACTIONS[number]


def test_the_truth_names_the_law_and_the_dose(truth):
    assert truth["law"] == "dose"
    for patient, facts in zip(COHORT, truth["patients"], strict=True):
        for lesion, told in zip(patient.lesions, facts["lesions"], strict=True):
            assert told["mean_dose_gy"] == pytest.approx(lesion.mean_dose_gy)
            assert told["volume_mm3"]["post"] == pytest.approx(lesion.volume_mm3("post"))
