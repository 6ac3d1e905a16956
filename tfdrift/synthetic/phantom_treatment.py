"""The treatment in the phantom's export: one plan with its dose, of all lesions of a patient whose law asks for a dose.

The dose grid is axial, whatever the MR's slices are, with larger pixels, and no larger than the lesions need. It is in
the frame of reference of the first visit. Doses of several lesions are not added: a place has the highest of them, so
that inside a GTV the dose is that of its own plan.
"""

import datetime

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import RTDoseStorage, RTPlanStorage, RTStructureSetStorage

from tfdrift.imaging.geometry import Grid
from tfdrift.synthetic.phantom import Patient
from tfdrift.synthetic.phantom_objects import Visit, as_decimals, new_object, to_mm

DOSE_SPACING_MM = 1.5
"""Along each axis."""
DOSE_MARGIN_MM = 20.0
"""Around the lesions; beyond it less than a seventieth of the prescription is left."""
FRACTIONS = (1, 3, 5)
"""Of the plans of patients, in turn. No law depends on them."""


def dose_grid(patient: Patient) -> Grid:
    """Return the grid that a patient's dose is computed on."""
    ends = [
        (lesion.center_mm - reach, lesion.center_mm + reach)
        for lesion in patient.lesions
        for reach in [lesion.reach_mm("pre") + DOSE_MARGIN_MM]
    ]
    low, high = np.min([one for one, _ in ends], axis=0), np.max([one for _, one in ends], axis=0)
    size = np.ceil((high - low) / DOSE_SPACING_MM).astype(int) + 1
    return Grid(
        size=tuple(size.tolist()),
        spacing_mm=(DOSE_SPACING_MM, DOSE_SPACING_MM, DOSE_SPACING_MM),
        origin_mm=tuple(np.round(low, 3).tolist()),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    )


def patient_dose_gy(patient: Patient, points_mm: np.ndarray) -> np.ndarray:
    """Return the dose of a patient's plan, float64 [...], in Gy.

    Args:
        patient: whose lesions have plans.
        points_mm: float64 [..., 3], places in the head's axes.
    """
    return np.max([lesion.dose_gy(points_mm) for lesion in patient.lesions], axis=0)


def plan_of(visit: Visit, patient: Patient, targets: dict[int, int]) -> Dataset:
    """Return an RTPLAN that says no more than what is prescribed to each target, and in how many fractions.

    Args:
        visit: the first of the patient.
        patient: whose lesions have plans.
        targets: the ROI Number of each lesion that is drawn, by its place among the patient's.
    """
    dataset = new_object(visit, RTPlanStorage, "RTPLAN", "plan")
    dataset.SeriesInstanceUID, dataset.SeriesNumber = visit.uid("plan series"), 301
    dataset.SeriesDescription = "RT plan"
    dataset.InstanceNumber = 1
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = visit.frame_of_reference_uid, ""
    dataset.RTPlanLabel = "SRS"
    dataset.RTPlanDate = (visit.date + datetime.timedelta(days=2)).strftime("%Y%m%d")  # the day after the contours
    dataset.RTPlanTime, dataset.RTPlanGeometry, dataset.PlanIntent = "140000", "PATIENT", "CURATIVE"
    dataset.ReferencedStructureSetSequence = [_reference(RTStructureSetStorage, visit, "structures")]
    group = Dataset()
    group.FractionGroupNumber = 1
    group.NumberOfFractionsPlanned = FRACTIONS[patient.number % len(FRACTIONS)]
    group.NumberOfBeams = group.NumberOfBrachyApplicationSetups = 0
    dataset.FractionGroupSequence = [group]
    dataset.DoseReferenceSequence = []
    for number, (place, roi_number) in enumerate(targets.items(), start=1):
        plan, reference = patient.lesions[place].plan, Dataset()
        assert plan is not None
        reference.DoseReferenceNumber = number
        reference.ReferencedROINumber = roi_number
        reference.DoseReferenceStructureType, reference.DoseReferenceType = "VOLUME", "TARGET"
        (reference.TargetPrescriptionDose,) = as_decimals([plan.prescription_gy])
        dataset.DoseReferenceSequence.append(reference)
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def dose_of(visit: Visit, patient: Patient) -> Dataset:
    """Return the RTDOSE of the plan: of all of its fractions together, 16 or 32 bits in turn over patients.

    Args:
        visit: the first of the patient.
        patient: whose lesions have plans.

    Source: DICOM PS3.3, C.8.8.3: with the offsets of the frames from the first one, along the normal of its plane.
    """
    grid = dose_grid(patient)
    columns, rows, frames = grid.size
    indices = np.stack(np.meshgrid(range(columns), range(rows), range(frames), indexing="xy"), axis=-1)
    dose_gy = np.moveaxis(patient_dose_gy(patient, to_mm(grid, indices.astype(float))), 2, 0)
    bits = 16 if patient.number % 2 == 0 else 32
    # The scaling must survive as a decimal string of 16 characters: what is stored is divided by what is written.
    (scaling,) = as_decimals([1.01 * dose_gy.max() / (2**bits - 1)])
    dataset = new_object(visit, RTDoseStorage, "RTDOSE", "dose")
    dataset.SeriesInstanceUID, dataset.SeriesNumber = visit.uid("dose series"), 401
    dataset.SeriesDescription = "RT dose"
    dataset.InstanceNumber = 1
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = visit.frame_of_reference_uid, ""
    dataset.ImagePositionPatient = as_decimals(grid.origin_mm)
    dataset.ImageOrientationPatient = as_decimals([1, 0, 0, 0, 1, 0])
    dataset.PixelSpacing = as_decimals([grid.spacing_mm[1], grid.spacing_mm[0]])
    dataset.SliceThickness = None
    dataset.NumberOfFrames = frames
    dataset.FrameIncrementPointer = Tag("GridFrameOffsetVector")
    dataset.GridFrameOffsetVector = as_decimals(DOSE_SPACING_MM * np.arange(frames))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dataset.DoseGridScaling = scaling
    dataset.ReferencedRTPlanSequence = [_reference(RTPlanStorage, visit, "plan")]
    stored = np.rint(dose_gy / float(scaling)).astype(f"<u{bits // 8}")
    dataset.add_new("PixelData", "OW", stored.tobytes())
    return dataset


def _reference(sop_class: str, visit: Visit, name: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, visit.uid(name)
    return reference
