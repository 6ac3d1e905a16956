"""Makers of small RTDOSE and RTPLAN objects on any grid: the tests' planning system."""

from collections.abc import Mapping, Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import RTDoseStorage, RTPlanStorage, generate_uid

from tests.imaging.mock_dicom import FRAME_UID, base_dataset, decimal, pixel_elements, to_mm
from tfdrift.imaging.geometry import Grid

PLAN_UID = generate_uid(entropy_srcs=["plan"])
SCALING = 0.001


def dose_dataset(
    grid: Grid,
    dose_gy: np.ndarray,
    *,
    summation: str = "PLAN",
    parts: Sequence[tuple[int, int | None]] = (),
    plan_uid: str = PLAN_UID,
    absolute: bool = False,
) -> Dataset:
    """One RTDOSE of Gy [slices, rows, columns], of parts of a plan (fraction group, and beam or None)."""
    direction = np.reshape(grid.direction, (3, 3))
    dataset = base_dataset(RTDoseStorage, "RTDOSE", generate_uid())
    dataset.SeriesInstanceUID = generate_uid()
    dataset.FrameOfReferenceUID = FRAME_UID
    dataset.ImagePositionPatient = decimal(grid.origin_mm)
    dataset.ImageOrientationPatient = decimal([*direction[:, 0], *direction[:, 1]])
    dataset.PixelSpacing = decimal([grid.spacing_mm[1], grid.spacing_mm[0]])
    offsets = np.arange(len(dose_gy)) * grid.spacing_mm[2]
    if absolute:
        offsets = to_mm(grid, np.array([0, 0, 0]))[2] + offsets
    dataset.NumberOfFrames = len(dose_gy)
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.GridFrameOffsetVector = decimal(offsets)
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", summation
    dataset.DoseGridScaling = str(SCALING)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = RTPlanStorage, plan_uid
    groups: dict[int, list[Dataset]] = {}
    for group, beam in parts:
        beams = groups.setdefault(group, [])
        if beam is not None:
            beams.append(Dataset())
            beams[-1].ReferencedBeamNumber = beam
    items = []
    for number, beams in groups.items():
        items.append(Dataset())
        items[-1].ReferencedFractionGroupNumber = number
        if beams:
            items[-1].ReferencedBeamSequence = Items(beams)
    if items:
        reference.ReferencedFractionGroupSequence = Items(items)
    dataset.ReferencedRTPlanSequence = Items([reference])
    dataset.update(pixel_elements(np.round(dose_gy / SCALING).astype(np.uint32)))
    return dataset


def plan_dataset(
    groups: Mapping[int, Sequence[int]] | None = None, *, fractions: int | None = 3, setup: Sequence[int] = ()
) -> Dataset:
    """One RTPLAN of fraction groups with their beams, of which some only set up the patient."""
    groups = {1: [1]} if groups is None else groups
    dataset = base_dataset(RTPlanStorage, "RTPLAN", PLAN_UID)
    dataset.SeriesInstanceUID = generate_uid()
    fraction_groups, beams = [], []
    for number, of_group in groups.items():
        fraction_groups.append(Dataset())
        fraction_groups[-1].FractionGroupNumber = number
        if fractions is not None:
            fraction_groups[-1].NumberOfFractionsPlanned = fractions
        references = []
        for beam in of_group:
            references.append(Dataset())
            references[-1].ReferencedBeamNumber = beam
            beams.append(Dataset())
            beams[-1].BeamNumber = beam
            beams[-1].TreatmentDeliveryType = "SETUP" if beam in setup else "TREATMENT"
        fraction_groups[-1].ReferencedBeamSequence = Items(references)
    dataset.FractionGroupSequence, dataset.BeamSequence = Items(fraction_groups), Items(beams)
    return dataset
