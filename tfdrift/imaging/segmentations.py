"""The segments of a DICOM Segmentation (SEG), frame by frame, and the mask they make on a series' own grid.

A segmentation is taken as it is or not at all: nothing is resampled. Its voxels must be voxels of the series; it may
leave out slices, rows and columns, hold its frames in any order, and have rows and columns that run the other way.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import needless, text_of, value_of
from tfdrift.imaging.geometry import MAX_FRAME_PIXELS, MAX_VOXELS, Grid, Plane
from tfdrift.imaging.pixels import read_stored
from tfdrift.imaging.slices import plane_of

SEGMENTATION_CLASSES = (SegmentationStorage, "1.2.840.10008.5.1.4.1.1.66.7")  # the latter is Label Map Segmentation
"""SOP classes of segmentations that are made of voxels; there are others, of surfaces."""

SAME_PLACE_MM = 0.1
"""How far the centre of a segmentation's voxel may be from the series' own: what rounded positions leave."""

MAX_DECODED = 2**32
"""Most pixels that are decoded of one file: 160 segments of a volume of 512 x 512 x 100."""

_KINDS = {"BINARY": (1,), "FRACTIONAL": (8,), "LABELMAP": (8, 16)}
_SAME_THICKNESS = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """The voxels of a segment in one frame.

    Args:
        number: of the frame in the file, from 1.
        plane: place of the whole frame.
        top: row of the frame in which the voxels' box begins.
        left: column of the frame in which it begins.
        pixels: bool [rows, columns], the box around the voxels.
        apart_mm: distance of the segmentation's slices; None where its frames do not tell.
    """

    number: int
    plane: Plane
    top: int
    left: int
    pixels: np.ndarray
    apart_mm: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """One segment.

    Args:
        number: SegmentNumber.
        label: SegmentLabel, which may hold anything, a person's name too.
        frames: in the order of the file; none where it has no voxel.
        image_uids: SOPInstanceUIDs of the images that these frames name as their sources; for matching in memory, and
            must not be written to any file.
        image_classes: SOP classes that they name for these.
        warnings: what a person should know of how it was read.
    """

    number: int
    label: str
    frames: tuple[Frame, ...]
    image_uids: frozenset[str] = frozenset()
    image_classes: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


def read_segments(dataset: Dataset, name: str) -> list[Segment]:
    """Return the segments of a Segmentation; use inside `parsing(name)`.

    A voxel belongs to a segment where a binary frame is 1, where a fractional one is half of MaximumFractionalValue or
    more, and where a label map holds the segment's number. A label map's PixelPaddingValue, 0 where it has none, is
    background.

    Args:
        dataset: from `read_nested`.
        name: what the file is called in error messages.

    Raises:
        DataError: it is no segmentation of voxels in a patient, it does not say where a frame is or of which segment,
            its pixels cannot be decoded or are none of its kind, two segments have one number, or it holds more than
            `MAX_DECODED` pixels, or more than `MAX_VOXELS` in the boxes around the segments.

    Source: DICOM PS3.3, C.8.20.2 (Segmentation Image) and C.8.20.3.1 (Segmentation Fractional Type).
    """
    kind = _kind(dataset, name)
    described = value_of(dataset, "SegmentSequence") or []
    background = _background(dataset) if kind == "LABELMAP" else None
    declared = any(np.atleast_1d(needless(dataset, "SpecificCharacterSet") or ""))
    labels: dict[int, str] = {}
    for item in described:
        number = _number(value_of(item, "SegmentNumber"), name)
        if number in labels:
            raise DataError(f"{name} gives two segments the number {number}; {_EXPORT}")
        labels[number] = text_of(item, "SegmentLabel", declared=declared)
    if background is not None:
        labels.pop(background, None)
    if not labels:
        raise DataError(f"{name} has no segments (SegmentSequence)")
    groups = _groups(dataset, name)
    planes = [plane_of(dataset, group, f"frame {k} of {name}") for k, group in enumerate(groups, start=1)]
    apart_mm = _distance_mm(planes, groups)
    frames: dict[int, list[Frame]] = {number: [] for number in labels}
    images: dict[int, list[Dataset]] = {number: [] for number in labels}
    room = MAX_VOXELS
    for k, (group, plane) in enumerate(zip(groups, planes, strict=True)):
        for number, inside in _inside(dataset, k, group, kind, background, name):
            if number not in frames:
                raise DataError(f"frame {k + 1} of {name} is of segment {number}, which it does not describe")
            if not inside.any():
                continue
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            box = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
            room -= box.size
            if room < 0:
                raise DataError(f"{name} has segments of more than {MAX_VOXELS} voxels, the most read")
            images[number] += _sources(group)
            frames[number].append(
                Frame(number=k + 1, plane=plane, top=int(rows[0]), left=int(columns[0]), pixels=box, apart_mm=apart_mm)
            )
    warnings = ("fractional segmentation: what is half of the maximum or more is inside",)
    return [
        Segment(
            number=number,
            label=label,
            frames=tuple(frames[number]),
            image_uids=_named(images[number], "ReferencedSOPInstanceUID"),
            image_classes=_named(images[number], "ReferencedSOPClassUID"),
            warnings=warnings if kind == "FRACTIONAL" else (),
        )
        for number, label in labels.items()
    ]


def frames_misfit(frames: Sequence[Frame], grid: Grid) -> str:
    """Say why a segment's frames do not fit a grid; empty where they do.

    They fit when the centre of every voxel is the centre of one of the grid's, within `SAME_PLACE_MM`, the slices
    are as far apart, and no two frames of one slice differ.

    Args:
        frames: of one segment.
        grid: of a series.

    Returns:
        One line that goes on from the segment's name.
    """
    seen: dict[int, tuple[Frame, np.ndarray, np.ndarray]] = {}
    for frame in frames:
        if frame.apart_mm is not None and abs(frame.apart_mm - grid.spacing_mm[2]) > SAME_PLACE_MM:
            return f"has slices {frame.apart_mm:.4g} mm apart, the series {grid.spacing_mm[2]:.4g} mm; {_SAME_GRID}"
        landed = _landing(frame, grid)
        if landed is None:
            return f"lies on another grid than the series (frame {frame.number}); {_SAME_GRID}"
        k, rows, columns = landed
        for places, size in ((np.array([k]), grid.size[2]), (rows, grid.size[1]), (columns, grid.size[0])):
            if places.min() < 0 or places.max() >= size:
                return f"reaches outside the volume (frame {frame.number}); give the series it was drawn on"
        if k in seen:
            other, other_rows, other_columns = seen[k]
            same = np.array_equal(rows, other_rows) and np.array_equal(columns, other_columns)
            if not same or not np.array_equal(frame.pixels, other.pixels):
                return (
                    f"has two frames in slice {k + 1} that differ (frames {other.number} and {frame.number}); {_EXPORT}"
                )
        seen[k] = frame, rows, columns
    return ""


def fill_frames(frames: Sequence[Frame], grid: Grid) -> tuple[np.ndarray, list[int]]:
    """Return the voxels of a segment on a grid that its frames fit.

    Args:
        frames: of one segment, at least one.
        grid: of the series.

    Returns:
        uint8 [slices, rows, columns], 1 inside, from the first slice with a voxel to the last; and the slices that
        have one, in order.
    """
    landed = [_landing(frame, grid) for frame in frames]
    places = [place for place in landed if place is not None]
    slices = sorted({k for k, _, _ in places})
    inside = np.zeros((slices[-1] - slices[0] + 1, grid.size[1], grid.size[0]), np.uint8)
    for frame, (k, rows, columns) in zip(frames, places, strict=True):
        inside[k - slices[0]][np.ix_(rows, columns)] = frame.pixels
    return inside, slices


def _kind(dataset: Dataset, name: str) -> str:
    """Return the SegmentationType of an object whose pixels can be read."""
    if value_of(dataset, "SOPClassUID") not in SEGMENTATION_CLASSES:
        raise DataError(f"{name} is no segmentation of voxels; {_EXPORT}")
    kind = str(value_of(dataset, "SegmentationType") or "")
    if kind not in _KINDS:
        raise DataError(f"{name} has no SegmentationType of {', '.join(_KINDS)}; {_EXPORT}")
    bits, stored = value_of(dataset, "BitsAllocated"), value_of(dataset, "BitsStored")
    whole = value_of(dataset, "SamplesPerPixel") == 1 and value_of(dataset, "PixelRepresentation") == 0
    if bits not in _KINDS[kind] or stored != bits or not whole:
        raise DataError(f"{name} has pixels that are none of a {kind} segmentation; {_EXPORT}")
    rows, columns = value_of(dataset, "Rows") or 0, value_of(dataset, "Columns") or 0
    if not 0 < rows * columns <= MAX_FRAME_PIXELS:
        raise DataError(f"{name} has {rows} rows and {columns} columns, which no segmentation of an MR has")
    if bits == 1 and not dataset.file_meta.TransferSyntaxUID.is_little_endian:
        raise DataError(f"{name} has its bits in big-endian order; {_EXPORT}")
    return kind


def _background(dataset: Dataset) -> int:
    value = value_of(dataset, "PixelPaddingValue")
    # Where VRs are implicit, pydicom may leave the bytes as they are.
    return int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value or 0)


def _number(value: Any, name: str) -> int:
    if value is None:
        raise DataError(f"{name} has a segment or a frame without a segment's number; {_EXPORT}")
    return int(value)


def _groups(dataset: Dataset, name: str) -> list[list[Dataset]]:
    """Return of each frame its functional groups and the shared ones."""
    per_frame = value_of(dataset, "PerFrameFunctionalGroupsSequence") or []
    num_frames = int(value_of(dataset, "NumberOfFrames") or 1)
    if len(per_frame) != num_frames:
        raise DataError(f"{name} has {num_frames} frames and {len(per_frame)} positions; {_EXPORT}")
    if num_frames * dataset.Rows * dataset.Columns > MAX_DECODED:
        raise DataError(f"{name} has more than {MAX_DECODED} pixels, the most read")
    shared = value_of(dataset, "SharedFunctionalGroupsSequence") or []
    return [[group, *shared] for group in per_frame]


def _inside(
    dataset: Dataset, frame: int, groups: list[Dataset], kind: str, background: int | None, name: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the segments of a frame by number, with bool [rows, columns]."""
    name = f"frame {frame + 1} of {name}"
    values = read_stored(dataset, frame, name)
    if kind == "LABELMAP":
        for number in np.unique(values).tolist():
            if number != background:
                yield number, values == number
        return
    most = 1 if kind == "BINARY" else value_of(dataset, "MaximumFractionalValue")
    if not most or values.max() > most:
        raise DataError(f"{name} has values above its MaximumFractionalValue, or none is given; {_EXPORT}")
    found = [
        value_of(item, "ReferencedSegmentNumber")
        for group in groups
        for item in value_of(group, "SegmentIdentificationSequence") or []
    ]
    yield _number(found[0] if found else None, name), 2 * values >= most


def _sources(groups: list[Dataset]) -> list[Dataset]:
    """Return what names the images that a frame was drawn on."""
    derived = [item for group in groups for item in needless(group, "DerivationImageSequence") or []]
    return [image for item in derived for image in needless(item, "SourceImageSequence") or []]


def _named(images: list[Dataset], keyword: str) -> frozenset[str]:
    return frozenset(str(needless(image, keyword) or "") for image in images) - {""}


def _distance_mm(planes: Sequence[Plane], groups: list[list[Dataset]]) -> float | None:
    """Return how far apart a segmentation's slices are: frames may be left out, so it counts where both tell the same.

    What PixelMeasuresSequence says is often wrong alone, and frames that are there are often not neighbours.
    """
    normal = np.cross(planes[0].orientation[:3], planes[0].orientation[3:])
    depths_mm = np.sort([np.dot(plane.position_mm, normal) for plane in planes])
    gaps_mm = np.diff(depths_mm)
    gaps_mm = gaps_mm[gaps_mm > SAME_PLACE_MM]
    measures = [item for group in groups[0] for item in value_of(group, "PixelMeasuresSequence") or []]
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        for item in measures:
            stated = needless(item, keyword)
            if stated and len(gaps_mm):
                nearest = float(gaps_mm.min())
                return nearest if abs(float(stated) - nearest) <= _SAME_THICKNESS * nearest else None
    return None


def _landing(frame: Frame, grid: Grid) -> tuple[int, np.ndarray, np.ndarray] | None:
    """Return slice, rows and columns of the grid on which a frame's box lies; None where it lies between voxels."""
    plane = frame.plane
    along_row, along_column = np.reshape(np.array(plane.orientation, float), (2, 3))
    row_mm, column_mm = plane.spacing_mm
    across, down = (plane.columns - 1) * column_mm * along_row, (plane.rows - 1) * row_mm * along_column
    index = grid.to_index(np.array(plane.position_mm, float) + np.array([np.zeros(3), across, down, across + down]))
    corners = np.round(index)
    if np.any(np.abs(index - corners) * grid.spacing_mm > SAME_PLACE_MM):
        return None
    first, right, below, _ = corners.astype(int)
    if (np.abs(right - first) != (plane.columns - 1, 0, 0)).any() or (
        np.abs(below - first) != (0, plane.rows - 1, 0)
    ).any():
        return None
    columns = first[0] + (1 if right[0] >= first[0] else -1) * (frame.left + np.arange(frame.pixels.shape[1]))
    rows = first[1] + (1 if below[1] >= first[1] else -1) * (frame.top + np.arange(frame.pixels.shape[0]))
    return int(first[2]), rows, columns


_EXPORT = "export the segmentation again"
_SAME_GRID = "export the segmentation on the series' own voxels"
