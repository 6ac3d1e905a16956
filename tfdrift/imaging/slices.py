"""The headers of DICOM image files: where each slice is and how its values become scanner units.

Files are called by the name the caller gives, never by their path: folder and file names often hold the patient's name.
"""

import dataclasses
import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import needless, parsing, value_of
from tfdrift.imaging.geometry import Plane
from tfdrift.imaging.pixels import check_pixel_format

IMAGE_MODALITIES = ("MR", "CT", "PT")
"""Modalities whose slices can be a volume."""

IMAGE_CLASSES = (
    MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage,
    CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage,
    PositronEmissionTomographyImageStorage, EnhancedPETImageStorage, LegacyConvertedEnhancedPETImageStorage,
)  # fmt: skip
"""SOP classes whose objects must have pixels."""

ACQUISITION_NUMBERS = (
    "MagneticFieldStrength", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength",
    "SliceThickness",
)  # fmt: skip
"""Numbers about the acquisition that may leave the import."""

ACQUISITION_CODES = {
    "ScanningSequence": {"SE", "IR", "GR", "EP", "RM"},
    "SequenceVariant": {"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "TOF", "NONE"},
    "MRAcquisitionType": {"2D", "3D"},
}
"""Codes about the acquisition that may leave the import, each with the terms DICOM defines; other text is dropped."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
    """One slice's header: where it is, where its pixels are, and how their values become scanner units.

    Args:
        plane: its place.
        file: index of its file in the list that was read.
        frame: index of its frame in that file.
        pixel_format: what must be alike in all slices: BitsAllocated, BitsStored, PixelRepresentation, and whether
            there are a RescaleSlope and a RescaleIntercept.
        slope: RescaleSlope; 1 where there is none.
        intercept: RescaleIntercept; 0 where there is none.
        series_uid: SeriesInstanceUID.
        frame_of_reference_uid: FrameOfReferenceUID; empty where there is none.
        study_uid: StudyInstanceUID; empty where there is none.
        study_date: StudyDate; None where there is none.
        modality: one of `IMAGE_MODALITIES`.
        acquisition: the allowed attributes that are present.
        sop_instance_uid: SOPInstanceUID; empty where there is none.
        with_contrast: whether it names a contrast agent.
        sequence_name: of the pulse sequence, empty where there is none; free text, to compare in memory alone.
    """

    plane: Plane
    file: int
    frame: int
    pixel_format: tuple[int, ...]
    slope: float
    intercept: float
    series_uid: str
    frame_of_reference_uid: str
    study_uid: str
    study_date: datetime.date | None
    modality: str
    acquisition: dict[str, float | str]
    sop_instance_uid: str = ""
    with_contrast: bool = False
    sequence_name: str = ""


def slices_of(dataset: Dataset, name: str, file: int) -> list[Slice]:
    """Return the slices whose headers a data set holds: one, or one a frame; none for an object that is no image.

    Args:
        dataset: from `read_header`.
        name: what the file is called in error messages.
        file: its index in the list of files.

    Raises:
        DataError: it is an image but not one of a volume, or has no usable geometry.
    """
    with parsing(name):
        modality, series_uid = value_of(dataset, "Modality"), value_of(dataset, "SeriesInstanceUID")
        rows, columns = value_of(dataset, "Rows"), value_of(dataset, "Columns")
        if passed_over(dataset):
            return []
        number = needless(dataset, "InstanceNumber")
        name = name if number is None else f"{name} (instance {int(number)})"
        if modality not in IMAGE_MODALITIES:
            raise DataError(f"{name} is not {', '.join(IMAGE_MODALITIES[:-1])} or {IMAGE_MODALITIES[-1]}")
        if not rows or not columns:
            raise DataError(f"{name} has no Rows or Columns; {_EXPORT}")
        if not series_uid:
            raise DataError(f"{name} has no SeriesInstanceUID; {_EXPORT}")
        check_pixel_format(dataset, name)
        functional = value_of(dataset, "PerFrameFunctionalGroupsSequence")
        shared = value_of(dataset, "SharedFunctionalGroupsSequence") or []
        num_frames = value_of(dataset, "NumberOfFrames")
        num_frames = 1 if num_frames is None else int(num_frames)
        if functional is None and num_frames != 1:
            raise DataError(
                f"{name} has {num_frames} frames without a position each; export an enhanced or single-frame MR"
            )
        if functional is not None and len(functional) != num_frames:
            raise DataError(f"{name} has {num_frames} frames and {len(functional)} positions; {_EXPORT}")
        slices = []
        for frame in range(num_frames):
            groups = [dataset] if functional is None else [functional[frame], *shared]
            label = name if functional is None else f"frame {frame + 1} of {name}"
            stored = [int(value_of(dataset, keyword)) for keyword in _PIXEL_FORMAT]
            rescaled = [_first(groups, keyword, sequence) for keyword, sequence in _RESCALE]
            slope, intercept = _rescale(rescaled, label)
            slices.append(
                Slice(
                    plane=plane_of(dataset, groups, label),
                    file=file,
                    frame=frame,
                    pixel_format=(*stored, *(value is not None for value in rescaled)),
                    slope=slope,
                    intercept=intercept,
                    series_uid=str(series_uid),
                    frame_of_reference_uid=str(value_of(dataset, "FrameOfReferenceUID") or ""),
                    study_uid=str(value_of(dataset, "StudyInstanceUID") or ""),
                    study_date=date_of(dataset),
                    modality=modality,
                    acquisition=_acquisition(dataset),
                    sop_instance_uid=str(value_of(dataset, "SOPInstanceUID") or ""),
                    with_contrast=_with_contrast(dataset),
                    sequence_name=_sequence_name(dataset),
                )
            )
        return slices


def passed_over(dataset: Dataset) -> bool:
    """Return whether an object is no slice of any volume, so that nothing in it is looked at; use inside `parsing`.

    These are objects without pixels that do not claim to be an image (DICOMDIR, raw data, presentation states,
    registrations, structure sets), segmentations, and localizers.
    """
    if is_directory(dataset) or value_of(dataset, "Modality") == "SEG":
        return True
    sop_class = needless(dataset, "SOPClassUID")
    if value_of(dataset, "Rows") is None and value_of(dataset, "Columns") is None:
        if sop_class is None:
            return value_of(dataset, "Modality") not in IMAGE_MODALITIES
        return str(sop_class) not in IMAGE_CLASSES
    return "LOCALIZER" in np.atleast_1d(needless(dataset, "ImageType") or "")


def is_directory(dataset: Dataset) -> bool:
    """Return whether a data set is the directory of a disc, DICOMDIR, whatever its file is called."""
    return "DirectoryRecordSequence" in dataset


def date_of(dataset: Dataset) -> datetime.date | None:
    """Return the StudyDate, or None where it is missing or no date."""
    try:
        return datetime.datetime.strptime(str(needless(dataset, "StudyDate") or ""), "%Y%m%d").date()
    except ValueError:
        return None


def _first(groups: Sequence[Dataset], keyword: str, sequence: str) -> Any:
    """Return an attribute of a single-frame header, or of the functional group that holds it."""
    for group in groups:
        for item in [group, *(value_of(group, sequence) or [])]:
            value = value_of(item, keyword)
            if value is not None:
                return value
    return None


def plane_of(dataset: Dataset, groups: Sequence[Dataset], name: str) -> Plane:
    """Return where a slice is; use inside `parsing`.

    Args:
        dataset: from `read_header` and its like.
        groups: the header itself where it is one slice's; else the functional groups of a frame and the shared ones.
        name: what the slice is called in error messages.

    Raises:
        DataError: it has no usable geometry.
    """

    def numbers(keyword: str, sequence: str) -> tuple[float, ...]:
        value = _first(groups, keyword, sequence)
        return () if value is None else tuple(float(number) for number in np.atleast_1d(np.array(value, float)))

    return Plane(
        name=name,
        position_mm=numbers("ImagePositionPatient", "PlanePositionSequence"),
        orientation=numbers("ImageOrientationPatient", "PlaneOrientationSequence"),
        spacing_mm=numbers("PixelSpacing", "PixelMeasuresSequence"),
        rows=int(value_of(dataset, "Rows")),
        columns=int(value_of(dataset, "Columns")),
    )


def _rescale(values: Sequence[Any], name: str) -> tuple[float, float]:
    slope, intercept = (
        default if value is None else float(value) for value, default in zip(values, (1.0, 0.0), strict=True)
    )
    if not math.isfinite(slope) or slope == 0 or not math.isfinite(intercept):
        raise DataError(f"{name} has RescaleSlope {slope} and RescaleIntercept {intercept}; {_EXPORT}")
    return slope, intercept


def _acquisition(dataset: Dataset) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for keyword in ACQUISITION_NUMBERS:
        try:
            found[keyword] = float(needless(dataset, keyword))
        except (TypeError, ValueError):
            continue  # absent, or several numbers: there is nothing to pass on
    for keyword, terms in ACQUISITION_CODES.items():
        value = needless(dataset, keyword)
        codes = [value] if isinstance(value, str) else list(value or [])
        if codes and set(codes) <= terms:
            found[keyword] = "\\".join(codes)
    return {keyword: value for keyword, value in found.items() if isinstance(value, str) or math.isfinite(value)}


def _with_contrast(dataset: Dataset) -> bool:
    agent = str(needless(dataset, "ContrastBolusAgent") or "").strip().upper()
    return agent not in _NO_AGENT or bool(needless(dataset, "ContrastBolusAgentSequence"))


def _sequence_name(dataset: Dataset) -> str:
    return str(needless(dataset, "SequenceName") or needless(dataset, "PulseSequenceName") or "").strip()


_NO_AGENT = ("", "NO", "NONE", "N", "WITHOUT")  # what scanners write where a protocol asks for a word
_PIXEL_FORMAT = ("BitsAllocated", "BitsStored", "PixelRepresentation")
_RESCALE = tuple((keyword, "PixelValueTransformationSequence") for keyword in ("RescaleSlope", "RescaleIntercept"))
_EXPORT = "export the series again as MR images"
