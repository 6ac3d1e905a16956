"""A series of DICOM MR slices to one volume in mm, or a refusal that says which file and why.

Files are named by their number in the sorted list of files and their instance number, such as "file 3 of 35 (instance
7)": folder and file names often hold the patient's name, and messages end up in logs.
"""

import dataclasses
import datetime
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import read_header, read_whole
from tfdrift.imaging.geometry import Grid, stack_planes
from tfdrift.imaging.pixels import read_frame
from tfdrift.imaging.slices import Slice, slices_of


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
        copies: slices of further files that are the same instance as one of `slices`.
    """

    grid: Grid
    slices: tuple[Slice, ...]
    series_uid: str
    frame_of_reference_uid: str
    study_uid: str
    study_date: datetime.date | None
    modality: str
    acquisition: dict[str, float | str]
    copies: tuple[Slice, ...] = ()

    def __str__(self) -> str:
        """Describe the series without identity, to tell candidates apart."""
        columns, rows, slices = self.grid.size
        spacing = " x ".join(f"{mm:.3g}" for mm in self.grid.spacing_mm)
        return f"{self.modality}, {columns} x {rows} x {slices} voxels of {spacing} mm, {self.grid.orientation}"


def read_series(source: Path | Sequence[Path]) -> tuple[sitk.Image, Series]:
    """Read one DICOM series as a volume in patient coordinates.

    What must be true of the input, or it is refused:

    - every file in the folder (not in its sub-folders, and but for DICOMDIR and hidden files) is readable DICOM;
      what `tfdrift.imaging.slices.passed_over` names is passed over
    - files of one SOPInstanceUID hold the same header and pixels, and count once
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
    files = files_of(source)
    slices = read_slices(files)
    if not slices:
        raise DataError("no file is a DICOM image; give the folder that holds the slices themselves")
    series = assemble_series(slices)
    image = sitk.Image(list(series.grid.size), sitk.sitkFloat32)
    series.grid.place(image)
    columns, rows, _ = series.grid.size
    place_of = {_instance(one): k for k, one in enumerate(series.slices)}
    slices_in = defaultdict(list)
    for one in (*series.slices, *series.copies):
        slices_in[one.file].append(one)
    filled: dict[int, Slice] = {}
    for file, inside in slices_in.items():
        dataset = read_whole(files[file], _name(file, files))
        for one in inside:
            pixels = read_frame(
                dataset, one.frame, shape=(rows, columns), slope=one.slope, intercept=one.intercept, name=one.plane.name
            )
            k = place_of[_instance(one)]
            if k in filled and not np.array_equal(sitk.GetArrayFromImage(image[:, :, k]), pixels):
                raise DataError(_TWO_CONTENTS.format(one.plane.name, filled[k].plane.name))
            # Slice by slice into the image, so that a large volume is in memory once.
            image[:, :, k] = sitk.GetImageFromArray(pixels)
            filled[k] = one
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


def assemble_series(slices: Sequence[Slice]) -> Series:
    """Check that slices are one regular volume and put them in order.

    Slices of one SOPInstanceUID and frame are one; whether their pixels agree, `read_series` sees.

    Raises:
        DataError: they are of several series or frames of reference, one SOPInstanceUID stands in two headers that
            differ, or `stack_planes` refuses them. Several series are listed with what tells them apart.
    """
    slices, copies = _without_copies(slices)
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
    first = slices[order[0]]
    return Series(
        grid=grid,
        slices=tuple(slices[i] for i in order),
        series_uid=first.series_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        study_uid=first.study_uid,
        study_date=first.study_date,
        modality=first.modality,
        acquisition=first.acquisition,
        copies=tuple(copies),
    )


def files_of(source: Path | Sequence[Path]) -> list[Path]:
    """Return the files that `read_series` reads, in the order that `Slice.file` counts them.

    Raises:
        DataError: the folder cannot be read.
    """
    if not isinstance(source, Path):
        return sorted(source)
    try:
        inside = [
            path for path in source.iterdir() if not path.name.startswith(".") and path.name.upper() != "DICOMDIR"
        ]
    except OSError as error:
        raise DataError(f"the series folder cannot be read: {error.strerror}") from None
    return sorted(path for path in inside if not path.is_dir())


def _without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Return of each instance its first slice, and the others."""
    first: dict[tuple[object, ...], Slice] = {}
    copies = []
    for one in slices:
        known = first.setdefault(_instance(one), one)
        if known is one:
            continue
        # Dates and acquisition may be told otherwise by a copy; where it lies and what its values mean may not.
        same_plane = dataclasses.replace(one.plane, name=known.plane.name) == known.plane
        if not same_plane or any(getattr(one, name) != getattr(known, name) for name in _OF_ONE_INSTANCE):
            raise DataError(_TWO_CONTENTS.format(one.plane.name, known.plane.name))
        copies.append(one)
    return list(first.values()), copies


def _instance(one: Slice) -> tuple[object, ...]:
    """Return what tells a slice from every other: its instance and frame, or its file where it names none."""
    return (one.sop_instance_uid or one.file, one.frame)


def _name(number: int, files: Sequence[Path]) -> str:
    return f"file {number + 1} of {len(files)}"


_OF_ONE_INSTANCE = ("slope", "intercept", "pixel_format", "series_uid", "frame_of_reference_uid")
_TWO_CONTENTS = "{} and {} have one SOPInstanceUID and different content; export the series again"
_ONE_SERIES = "give the files of one series only"
