"""The DICOM objects of the phantom's export: MR slices, structure sets and rigid spatial registrations.

UIDs are name-based UUIDs (version 5) under 2.25, the root that anyone may use without registering; the same name gives
the same UID.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Iterable, Sequence

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RTStructureSetStorage,
    SpatialRegistrationStorage,
)
from pydicom.valuerep import format_number_as_ds

from tfdrift.imaging.geometry import Grid

_DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"  # retired class that PS3.3 C.8.8.5 still names for the referenced study


@dataclasses.dataclass(frozen=True, kw_only=True)
class Visit:
    """One visit of a patient to the scanner: what all objects of its study share.

    Args:
        key: names the visit's UIDs.
        patient_id: as the hospital numbers its patients.
        patient_name: in DICOM's form, family^given.
        birth_date: of the patient.
        sex: M or F.
        date: of the study.
        frame_of_reference_uid: of its images and contours.
    """

    key: str
    patient_id: str
    patient_name: str
    birth_date: datetime.date
    sex: str
    date: datetime.date
    frame_of_reference_uid: str

    def uid(self, name: str) -> UID:
        """Return the UID of one thing of this visit."""
        return make_uid(f"{self.key}/{name}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Storage:
    """How a scanner stores its pixels: value = slope * stored + intercept.

    Args:
        signed: int16 or uint16.
        slope: None where the scanner writes neither RescaleSlope nor RescaleIntercept.
        intercept: scanner units.
    """

    signed: bool
    slope: float | None = None
    intercept: float = 0.0

    def store(self, signal: np.ndarray) -> np.ndarray:
        """Return the stored values, int16 or uint16, of a signal in scanner units."""
        dtype = np.int16 if self.signed else np.uint16
        stored = np.rint((signal - self.intercept) / (self.slope or 1.0))
        return np.clip(stored, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """A structure to write.

    Args:
        name: ROIName.
        kind: RTROIInterpretedType, such as GTV.
        contours: pairs of the slice's number and points, float64 [n, 2], (column, row) in voxels.
    """

    name: str
    kind: str
    contours: Sequence[tuple[int, np.ndarray]]


def make_uid(name: str) -> UID:
    """Return the UID of a name.

    Example:
        >>> make_uid("a") == make_uid("a"), make_uid("a") == make_uid("b"), make_uid("a").is_valid
        (True, False, True)
    """
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'tfdrift phantom/{name}').int}")


def to_mm(grid: Grid, indices: np.ndarray) -> np.ndarray:
    """Return patient coordinates, float64 [..., 3], LPS mm, of places on a grid.

    Args:
        grid: which grid.
        indices: float [..., 3], continuous indices (column, row, slice).
    """
    matrix = np.reshape(grid.direction, (3, 3)) * np.array(grid.spacing_mm)
    return np.array(grid.origin_mm) + indices @ matrix.T


def new_object(visit: Visit, sop_class: UID, modality: str, name: str) -> Dataset:
    """Return an object of a visit with what all of its objects share: patient, study and file format.

    Args:
        visit: of which the object is.
        sop_class: of the object.
        modality: such as MR.
        name: names the object's UID.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = visit.uid(name)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.Modality = modality
    dataset.Manufacturer, dataset.ManufacturerModelName = "tfdrift", "phantom"
    dataset.SoftwareVersions = "1"
    dataset.PatientName, dataset.PatientID = visit.patient_name, visit.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = visit.birth_date.strftime("%Y%m%d"), visit.sex
    dataset.StudyInstanceUID = visit.uid("study")
    dataset.StudyDate, dataset.StudyTime = visit.date.strftime("%Y%m%d"), "093000"
    dataset.StudyDescription = "MR brain"
    dataset.SeriesDate, dataset.SeriesTime = dataset.StudyDate, dataset.StudyTime
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    return dataset


def as_decimals(numbers: Iterable[float]) -> list[str]:
    """Return numbers as decimal strings of at most 16 characters.

    Example:
        >>> as_decimals([0.5, 1 / 3])
        ['0.5', '0.33333333333333']
    """
    return [format_number_as_ds(float(number)) for number in numbers]


def mr_slice(visit: Visit, grid: Grid, k: int, signal: np.ndarray, storage: Storage) -> Dataset:
    """Return slice k of the visit's MR series.

    Args:
        visit: of which the series is.
        grid: of the series.
        k: number of the slice from the first one of the grid.
        signal: float [rows, columns], scanner units.
        storage: how pixels are stored.
    """
    dataset = new_object(visit, MRImageStorage, "MR", f"slice {k}")
    direction = np.reshape(grid.direction, (3, 3))
    dataset.SeriesInstanceUID = visit.uid("series")
    dataset.SeriesNumber = 5
    dataset.SeriesDescription = "T1 MPRAGE tra +Gd"
    dataset.FrameOfReferenceUID = visit.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NORM"]
    dataset.BodyPartExamined = "BRAIN"
    dataset.PatientPosition = "HFS"
    dataset.ScanningSequence, dataset.SequenceVariant = ["GR", "IR"], ["SP", "MP"]
    dataset.ScanOptions, dataset.MRAcquisitionType = "", "3D"
    dataset.MagneticFieldStrength, dataset.FlipAngle = "3", "9"
    dataset.RepetitionTime, dataset.EchoTime, dataset.InversionTime = "1900", "2.5", "900"
    dataset.EchoTrainLength = 1
    dataset.ContrastBolusAgent = "Gd"
    dataset.AcquisitionNumber, dataset.InstanceNumber = 1, k + 1
    dataset.AcquisitionDate, dataset.AcquisitionTime = dataset.StudyDate, dataset.StudyTime
    dataset.SliceThickness = dataset.SpacingBetweenSlices = as_decimals(grid.spacing_mm[2:])[0]
    dataset.PixelSpacing = as_decimals([grid.spacing_mm[1], grid.spacing_mm[0]])
    dataset.ImagePositionPatient = as_decimals(to_mm(grid, np.array([0, 0, k])))
    dataset.ImageOrientationPatient = as_decimals([*direction[:, 0], *direction[:, 1]])
    stored = storage.store(signal)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, int(storage.signed)
    if storage.slope is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept = as_decimals([storage.slope, storage.intercept])
        dataset.RescaleType = "US"
    dataset.WindowCenter, dataset.WindowWidth = "500", "1000"
    dataset.add_new("PixelData", "OW", stored.astype(stored.dtype.newbyteorder("<")).tobytes())
    return dataset


def structure_set(visit: Visit, grid: Grid, structures: Sequence[Structure]) -> Dataset:
    """Return an RTSTRUCT of structures drawn on the visit's MR series.

    Args:
        visit: of which the structure set is.
        grid: of the visit's series.
        structures: in the order of their ROI Numbers, from 1.
    """
    dataset = new_object(visit, RTStructureSetStorage, "RTSTRUCT", "structures")
    dataset.SeriesInstanceUID = visit.uid("structure series")
    dataset.SeriesNumber = 101
    dataset.SeriesDescription = "RT structures"
    dataset.StructureSetLabel = "MR brain"
    dataset.StructureSetDate = (visit.date + datetime.timedelta(days=1)).strftime("%Y%m%d")  # drawn the day after
    dataset.StructureSetTime = "101500"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = visit.uid("series")
    series.ContourImageSequence = [_reference(visit, k) for k in range(grid.size[2])]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _DETACHED_STUDY, visit.uid("study")
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = visit.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, structure in enumerate(structures, start=1):
        roi, drawn, observed = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, structure.name, "MANUAL"
        roi.ReferencedFrameOfReferenceUID = visit.frame_of_reference_uid
        drawn.ReferencedROINumber = number
        drawn.ROIDisplayColor = [int(255 * (number % n) / (n - 1)) for n in (2, 3, 4)]
        drawn.ContourSequence = [_contour(visit, grid, k, points) for k, points in structure.contours]
        observed.ObservationNumber = observed.ReferencedROINumber = number
        observed.RTROIInterpretedType, observed.ROIInterpreter = structure.kind, ""
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
        dataset.RTROIObservationsSequence.append(observed)
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def spatial_registration(visit: Visit, fixed_frame_uid: str, to_fixed: np.ndarray) -> Dataset:
    """Return a Spatial Registration object that brings the visit into an earlier frame of reference.

    Args:
        visit: the later visit.
        fixed_frame_uid: the earlier frame of reference, which is the object's own.
        to_fixed: float64 [4, 4], maps points of the visit's frame to points of the earlier one, mm.

    Source: DICOM PS3.3, C.20.2.1.1: the matrix of an item maps the item's frame to the object's own.
    """
    dataset = new_object(visit, SpatialRegistrationStorage, "REG", "registration")
    dataset.SeriesInstanceUID = visit.uid("registration series")
    dataset.SeriesNumber = 201
    dataset.SeriesDescription = "Rigid registration"
    dataset.InstanceNumber = 1
    dataset.ContentDate, dataset.ContentTime = dataset.StudyDate, "103000"
    dataset.ContentLabel, dataset.ContentDescription, dataset.ContentCreatorName = "REGISTRATION", "MR to MR", ""
    dataset.FrameOfReferenceUID = fixed_frame_uid
    dataset.PositionReferenceIndicator = ""
    dataset.RegistrationSequence = [
        _registered(fixed_frame_uid, np.eye(4)),
        _registered(visit.frame_of_reference_uid, to_fixed),
    ]
    return dataset


def _registered(frame_uid: str, matrix: np.ndarray) -> Dataset:
    step, registration, item = Dataset(), Dataset(), Dataset()
    step.FrameOfReferenceTransformationMatrixType = "RIGID"
    step.FrameOfReferenceTransformationMatrix = as_decimals(matrix.ravel())
    registration.FrameOfReferenceTransformationComment = ""
    registration.RegistrationTypeCodeSequence = []
    registration.MatrixSequence = [step]
    item.FrameOfReferenceUID = frame_uid
    item.MatrixRegistrationSequence = [registration]
    return item


def _contour(visit: Visit, grid: Grid, k: int, points: np.ndarray) -> Dataset:
    contour = Dataset()
    contour.ContourImageSequence = [_reference(visit, k)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    points_mm = to_mm(grid, np.column_stack([points, np.full(len(points), float(k))]))
    # A millionth of a micrometre fits into the 16 characters of a decimal string, and is quickly written.
    contour.add_new("ContourData", "DS", "\\".join(f"{value:.9f}" for value in points_mm.ravel()))
    return contour


def _reference(visit: Visit, k: int) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = MRImageStorage, visit.uid(f"slice {k}")
    return image
