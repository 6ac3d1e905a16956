"""A series of DICOM MR slices to one volume in mm, or a refusal that says which file and why.

Files are named by their number in the sorted list of files and their instance number, such as "file 3 of 35 (instance
7)": folder and file names often hold the patient's name, and messages end up in logs.
"""

import dataclasses
import datetime
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import parsing, read_header, read_whole, value_of
from tfdrift.imaging.geometry import Grid, Plane, stack_planes
from tfdrift.imaging.pixels import check_pixel_format, read_frame

IMAGE_MODALITIES = ("MR", "CT", "PT")
"""Modalities whose slices can be a volume."""

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """A series that is a regular volume, without its pixels.

    The UIDs and the date are for matching in memory; they must not be written to any file.

    Args:
        grid: its voxels' place.
        slices: in the order of the grid.
        series_uid: SeriesInstanceUID.
        frame_of_reference_uid: FrameOfReferenceUID; empty where there is none.
        study_uid: StudyInstanceUID; empty where there is none.
        study_date: StudyDate; None where there is none.
        modality: one of `IMAGE_MODALITIES`.
        acquisition: allowed attributes of the first slice.
    """

    grid: Grid
    slices: tuple[Slice, ...]
    series_uid: str
    frame_of_reference_uid: str
    study_uid: str
    study_date: datetime.date | None
    modality: str
    acquisition: dict[str, float | str]

    def __str__(self) -> str:
        """Describe the series without identity, to tell candidates apart."""
        columns, rows, slices = self.grid.size
        spacing = " x ".join(f"{mm:.3g}" for mm in self.grid.spacing_mm)
        return f"{self.modality}, {columns} x {rows} x {slices} voxels of {spacing} mm, {self.grid.orientation}"


def read_series(source: Path | Sequence[Path]) -> tuple[sitk.Image, Series]:
    """Read one DICOM series as a volume in patient coordinates.

    What must be true of the input, or it is refused:

    - every file in the folder (not in its sub-folders, and but for DICOMDIR and hidden files) is readable DICOM;
      structure sets and other objects without pixels are passed over
    - Modality is MR, CT or PT; all slices have one SeriesInstanceUID and one FrameOfReferenceUID (or none)
    - SamplesPerPixel is 1 and PhotometricInterpretation is MONOCHROME2; BitsAllocated is 8, 16 or 32, BitsStored is at
      most that, HighBit is BitsStored - 1; there is no Modality LUT; all slices are stored alike
    - RescaleSlope is finite and not 0, RescaleIntercept is finite (both optional, but in all slices or none; for each
      frame where the series is enhanced)
    - ImagePositionPatient, ImageOrientationPatient, PixelSpacing, Rows and Columns are there and make up a regular
      grid as `stack_planes` requires it
    - PixelData holds exactly the bytes that Rows, Columns, NumberOfFrames and BitsAllocated ask for, or is compressed
      in a way an installed decoder knows, into frames of exactly Rows x Columns

    Args:
        source: a folder, or the files of one series.

    Returns:
        The image, float32, in scanner units (value * RescaleSlope + RescaleIntercept), slices in order of their
        position along the normal; and the series' header.

    Raises:
        DataError: any of the above does not hold. The message names the file by number.
    """
    files = _files_of(source)
    slices = read_slices(files)
    if not slices:
        raise DataError("no file is a DICOM image; give the folder that holds the slices themselves")
    series = assemble_series(slices)
    image = sitk.Image(list(series.grid.size), sitk.sitkFloat32)
    series.grid.place(image)
    columns, rows, _ = series.grid.size
    places_in = defaultdict(list)
    for k, one in enumerate(series.slices):
        places_in[one.file].append(k)
    for file, places in places_in.items():
        dataset = read_whole(files[file], _name(file, files))
        for k in places:
            one = series.slices[k]
            pixels = read_frame(
                dataset, one.frame, shape=(rows, columns), slope=one.slope, intercept=one.intercept, name=one.plane.name
            )
            # Slice by slice into the image, so that a large volume is in memory once.
            image[:, :, k] = sitk.GetImageFromArray(pixels)
    return image, series


def read_slices(files: Sequence[Path]) -> list[Slice]:
    """Read the headers of image files; files without pixels are passed over.

    Raises:
        DataError: a file cannot be read or has no usable geometry; the message names it by its number in the list.
    """
    slices = []
    for number, file in enumerate(files):
        name = _name(number, files)
        slices += slices_of(read_header(file, name), name, number)
    return slices


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
        if rows is None and columns is None and modality not in IMAGE_MODALITIES:
            return []
        number = value_of(dataset, "InstanceNumber")
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
                    plane=_plane(dataset, groups, label),
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
                )
            )
        return slices


def assemble_series(slices: Sequence[Slice]) -> Series:
    """Check that slices are one regular volume and put them in order.

    Raises:
        DataError: they are of several series or frames of reference, or `stack_planes` refuses them. Several series are
            listed with what tells them apart.
    """
    counts = Counter((one.series_uid, one.modality, one.plane.columns, one.plane.rows) for one in slices)
    if len({one.series_uid for one in slices}) > 1:
        found = "; ".join(
            f"{modality}, {n} slices of {columns} x {rows}" for (_, modality, columns, rows), n in counts.items()
        )
        raise DataError(f"the files hold more than one series ({found}); {_ONE_SERIES}")
    first = slices[0]
    for one in slices:
        if one.frame_of_reference_uid != first.frame_of_reference_uid:
            raise DataError(f"{one.plane.name} and {first.plane.name} differ in frame of reference; {_ONE_SERIES}")
        if one.pixel_format != first.pixel_format:
            raise DataError(f"{one.plane.name} and {first.plane.name} differ in how pixels are stored; {_ONE_SERIES}")
    grid, order = stack_planes([one.plane for one in slices])
    return Series(
        grid=grid,
        slices=tuple(slices[i] for i in order),
        series_uid=first.series_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        study_uid=first.study_uid,
        study_date=first.study_date,
        modality=first.modality,
        acquisition=first.acquisition,
    )


def date_of(dataset: Dataset) -> datetime.date | None:
    """Return the StudyDate, or None where it is missing or no date."""
    try:
        return datetime.datetime.strptime(str(value_of(dataset, "StudyDate") or ""), "%Y%m%d").date()
    except ValueError:
        return None


def _files_of(source: Path | Sequence[Path]) -> list[Path]:
    if not isinstance(source, Path):
        return sorted(source)
    try:
        inside = [
            path for path in source.iterdir() if not path.name.startswith(".") and path.name.upper() != "DICOMDIR"
        ]
    except OSError as error:
        raise DataError(f"the series folder cannot be read: {error.strerror}") from None
    return sorted(path for path in inside if not path.is_dir())


def _name(number: int, files: Sequence[Path]) -> str:
    return f"file {number + 1} of {len(files)}"


def _first(groups: Sequence[Dataset], keyword: str, sequence: str) -> Any:
    """Return an attribute of a single-frame header, or of the functional group that holds it."""
    for group in groups:
        for item in [group, *(value_of(group, sequence) or [])]:
            value = value_of(item, keyword)
            if value is not None:
                return value
    return None


def _plane(dataset: Dataset, groups: Sequence[Dataset], name: str) -> Plane:
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
            found[keyword] = float(value_of(dataset, keyword))
        except (TypeError, ValueError):
            continue  # absent, empty or not a number: there is nothing to pass on
    for keyword, terms in ACQUISITION_CODES.items():
        value = value_of(dataset, keyword)
        codes = [value] if isinstance(value, str) else list(value or [])
        if codes and set(codes) <= terms:
            found[keyword] = "\\".join(codes)
    return {keyword: value for keyword, value in found.items() if isinstance(value, str) or math.isfinite(value)}


_PIXEL_FORMAT = ("BitsAllocated", "BitsStored", "PixelRepresentation")
_RESCALE = tuple((keyword, "PixelValueTransformationSequence") for keyword in ("RescaleSlope", "RescaleIntercept"))
_EXPORT = "export the series again as MR images"
_ONE_SERIES = "give the files of one series only"
