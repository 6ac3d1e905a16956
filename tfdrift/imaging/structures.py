"""The structures of an RTSTRUCT or a Segmentation, and the mask that one makes on a series' own grid."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from tfdrift.errors import DataError
from tfdrift.imaging.contours import first_crossing, unique_contours
from tfdrift.imaging.dicom import needless, parsing, read_nested, text_of, value_of
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.polygons import fill_polygons
from tfdrift.imaging.segmentations import Frame, fill_frames, frames_misfit, read_segments

PLANE_TOLERANCE_MM = 0.1
"""How far a contour's points may be from its own plane, and two contours' planes from each other to count as one.
Contours rounded to 1/10 mm stay within it; half of it is the error a slice index could have, far below half a slice."""

OUTSIDE_TOLERANCE = 0.5
"""How many voxels a contour may reach beyond the outer faces of the volume: a contour drawn along the image's edge
does, by smoothing; more means that part of the lesion is not in the image."""

HALF_SLICE_TOLERANCE = 1e-3
"""Slices; a contour this close to half-way counts as half-way and goes to the slice further along the normal."""

MAX_POINTS = 2_000_000
"""Most contour points that are read from one structure set; 50 structures of 100 slices have a fifth of it."""

OTHER_FRAME = "was drawn in another frame of reference"
"""Why a structure's contours cannot be used on a series; goes on from the structure's name."""

OTHER_SERIES = "was drawn on another series"
"""As `OTHER_FRAME`, for one in the same frame of reference."""

_FILLED_TYPES = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_SKIPPED_TYPES = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
_NUMBER_BYTES = b"0123456789+-.eE\\ "


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Roi:
    """One structure of a structure set, as contours; or, of a Segmentation, as voxels.

    Args:
        number: ROINumber, or SegmentNumber.
        name: ROIName, or SegmentLabel, which may hold anything, a person's name too.
        contours_mm: closed contours, float64 [n, 3] each, patient coordinates; none where it has voxels.
        frames: its voxels; none where it has contours.
        warnings: what was skipped and why.
        fault: why the contours cannot be used; empty where they can.
        places: of each contour in the file, from 1; empty where there is no file.
        frame_uid: UID of the frame of reference that it is drawn in; empty where it names none. For matching in
            memory, and must not be written to any file.
        image_uids: SOPInstanceUIDs that its contours name as their images; for matching in memory, too.
        image_classes: SOP classes that they name for these.
    """

    number: int
    name: str
    contours_mm: tuple[np.ndarray, ...]
    frames: tuple[Frame, ...] = ()
    warnings: tuple[str, ...] = ()
    fault: str = ""
    places: tuple[int, ...] = ()
    frame_uid: str = ""
    image_uids: frozenset[str] = frozenset()
    image_classes: frozenset[str] = frozenset()

    @property
    def is_drawn(self) -> bool:
        """Whether there is a contour or a voxel."""
        return bool(self.contours_mm or self.frames)

    def place(self, index: int) -> int:
        """Return what a message calls a contour: its place in the file, or among the contours."""
        return self.places[index] if self.places else index + 1

    @functools.cached_property
    def crossing(self) -> tuple[int, int] | None:
        """The first two contours that cross, see `first_crossing`; looked for once, whatever the grid."""
        return first_crossing(self.contours_mm)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StructureSet:
    """What an RTSTRUCT or Segmentation says; the UIDs are for matching in memory and must not be written to any file.

    Args:
        rois: its structures in the order of the file.
        series_uids: series it refers to.
        frame_of_reference_uids: frames of reference it names.
        study_uid: study it stands in; empty where there is none.
        series_of_frame: the series it refers to, by the frame of reference under which they stand.
    """

    rois: tuple[Roi, ...]
    series_uids: frozenset[str]
    frame_of_reference_uids: frozenset[str]
    study_uid: str
    series_of_frame: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)


def read_structures(path: Path, name: str = "the structure set") -> StructureSet:
    """Read an RTSTRUCT file, or a Segmentation, whose segments are structures by their labels and numbers.

    Contours of the types CLOSED_PLANAR and CLOSEDPLANAR_XOR are kept. POINT and open contours, and contours of fewer
    than 3 points, are skipped with a warning. A structure with a contour that cannot be read gets a `fault`; the others
    stay usable. A Segmentation is read as `tfdrift.imaging.segmentations` tells.

    Args:
        path: the file.
        name: what the file is called in error messages.

    Raises:
        DataError: it cannot be read, is neither RTSTRUCT nor SEG, has no structure, names two structures by one number,
            or has more than `MAX_POINTS` points; or see `read_segments`.
    """
    dataset = read_nested(path, name)
    with parsing(name):
        modality = value_of(dataset, "Modality")
        if modality == "SEG":
            return _segmentation(dataset, name)
        if modality != "RTSTRUCT":
            raise DataError(f"{name} is not an RTSTRUCT or SEG; give the structure set's file")
        described = value_of(dataset, "StructureSetROISequence") or []
        if not described:
            raise DataError(f"{name} has no structures (StructureSetROISequence)")
        referenced: dict[str, set[str]] = {}
        for frame in value_of(dataset, "ReferencedFrameOfReferenceSequence") or []:
            series_uids = referenced.setdefault(str(value_of(frame, "FrameOfReferenceUID") or ""), set())
            for study in value_of(frame, "RTReferencedStudySequence") or []:
                for series in value_of(study, "RTReferencedSeriesSequence") or []:
                    series_uids.add(str(value_of(series, "SeriesInstanceUID") or ""))
        series_of_frame = {frame: frozenset(uids - {""}) for frame, uids in referenced.items()}
        contours: dict[int, list[Dataset]] = {}
        for item in value_of(dataset, "ROIContourSequence") or []:
            contours.setdefault(int(value_of(item, "ReferencedROINumber")), []).extend(
                value_of(item, "ContourSequence") or []
            )
        declared = any(np.atleast_1d(needless(dataset, "SpecificCharacterSet") or ""))
        rois, points_left = [], MAX_POINTS
        for item in described:
            number = int(value_of(item, "ROINumber"))
            if number in {roi.number for roi in rois}:
                raise DataError(f"{name} gives two structures the number {number}; export it again")
            roi = _roi(number, text_of(item, "ROIName", declared=declared), contours.get(number, []), points_left)
            points_left -= sum(len(points) for points in roi.contours_mm)
            rois.append(dataclasses.replace(roi, frame_uid=str(value_of(item, "ReferencedFrameOfReferenceUID") or "")))
        return StructureSet(
            rois=tuple(rois),
            series_uids=frozenset().union(*series_of_frame.values()),
            frame_of_reference_uids=frozenset((set(referenced) | {roi.frame_uid for roi in rois}) - {""}),
            study_uid=str(value_of(dataset, "StudyInstanceUID") or ""),
            series_of_frame=series_of_frame,
        )


def _segmentation(dataset: Dataset, name: str) -> StructureSet:
    frame_uid = str(value_of(dataset, "FrameOfReferenceUID") or "")
    rois = [
        Roi(
            number=segment.number,
            name=segment.label,
            contours_mm=(),
            frames=segment.frames,
            warnings=segment.warnings,
            frame_uid=frame_uid,
        )
        for segment in read_segments(dataset, name)
    ]
    referenced = value_of(dataset, "ReferencedSeriesSequence") or []
    return StructureSet(
        rois=tuple(rois),
        series_uids=frozenset({str(value_of(item, "SeriesInstanceUID") or "") for item in referenced} - {""}),
        frame_of_reference_uids=frozenset({frame_uid} - {""}),
        study_uid=str(value_of(dataset, "StudyInstanceUID") or ""),
    )


def find_roi(structures: StructureSet, name: str) -> Roi:
    """Return the structure of exactly this name, or of this number where it is given as `#3`.

    Args:
        structures: from `read_structures`.
        name: ROIName, SegmentLabel or number; spaces around it do not count.

    Raises:
        DataError: there is none, or more than one. The message lists the names there are, for the console of the person
            who gave the name; it must not go to a log.
    """
    found = [roi for roi in structures.rois if name.strip() in (roi.name.strip(), f"#{roi.number}")]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted({roi.name.strip() for roi in structures.rois}))
    message = f"{len(found) or 'no'} structures are called {name}; there are: {names}"
    # A name can hold characters that steer a terminal.
    raise DataError("".join(char if char.isprintable() else "?" for char in message))


def in_frame(roi: Roi, frame_uid: str) -> Roi:
    """Return a structure as a series of a frame of reference sees it: drawn in another one, it has a fault.

    A structure set of a fused CT and MR holds contours in the coordinates of both.

    Args:
        roi: from `read_structures`.
        frame_uid: Frame of Reference UID of the series; empty where it names none.

    Returns:
        The structure itself where either names no frame or both name the same; else one without contours.

    Source: DICOM PS3.3, C.8.8.5, Referenced Frame of Reference UID (3006,0024).
    """
    same = not roi.frame_uid or not frame_uid or roi.frame_uid == frame_uid
    return roi if same else drawn_elsewhere(roi, OTHER_FRAME)


def drawn_elsewhere(roi: Roi, where: str) -> Roi:
    """Return a structure as a series sees it that it was not drawn on: without contours.

    Args:
        roi: from `read_structures`.
        where: its fault, such as `OTHER_SERIES`.
    """
    return dataclasses.replace(
        roi, contours_mm=(), frames=(), places=(), warnings=(), image_uids=frozenset(), fault=where
    )


def rasterise(roi: Roi, image: sitk.Image) -> tuple[sitk.Image, tuple[str, ...]]:
    """Return the voxels whose centres are inside a structure's contours, or a segment's own voxels.

    A contour belongs to the nearest slice. Contours in one plane are nested or apart, and combined by the even-odd
    rule, so a contour inside another is a hole and one inside the hole an island. Where contours of several planes are
    nearest to one slice, the plane nearest to it counts and the others are named in a warning. Slices without a contour
    stay empty: nothing is interpolated.

    Args:
        roi: from `read_structures`.
        image: the volume whose grid the mask gets; any orientation.

    Returns:
        The mask, uint8, 1 inside; and warnings, those of the structure first.

    Raises:
        DataError: the contours are faulty, there are none, they are not parallel to the slices, two of them cross, or
            they reach outside the volume by more than `OUTSIDE_TOLERANCE`; no voxel centre is inside any; or a
            segment's voxels are not the image's, see `frames_misfit`.
    """
    grid = Grid.of(image)
    reason = misfit(roi, grid)
    if reason:
        raise DataError(f"structure {roi.number} {reason}")
    inside, slices, warnings = _fill(roi, grid)
    empty = len(inside) - len(slices)
    if empty:
        kind = "frame" if roi.frames else "contour"
        warnings.append(f"{empty} slices between the first and the last {kind} have none, and stay empty")
    mask = sitk.Image(list(grid.size), sitk.sitkUInt8)
    grid.place(mask)
    mask[:, :, slices[0] : slices[-1] + 1] = sitk.GetImageFromArray(inside)
    return mask, (*roi.warnings, *warnings)


def _fill(roi: Roi, grid: Grid) -> tuple[np.ndarray, list[int], list[str]]:
    """Return a structure that fits a grid: uint8 [slices, rows, columns], its slices, and warnings.

    The array is from the first of the slices to the last.
    """
    if roi.frames:
        inside, drawn = fill_frames(roi.frames, grid)
        return inside, drawn, []
    indices = [grid.to_index(points) for points in roi.contours_mm]
    depths = np.array([points[:, 2].mean() for points in indices])
    slices = _nearest_slices(depths, grid.size[2])
    drawn = np.unique(slices).tolist()
    chosen: list[int] = []
    unused = 0
    for k in drawn:
        members = np.flatnonzero(slices == k)
        nearest = depths[members][np.argmin(np.abs(depths[members] - k))]
        in_plane = np.abs(depths[members] - nearest) * grid.spacing_mm[2] <= PLANE_TOLERANCE_MM
        chosen += members[in_plane].tolist()
        unused += int(np.sum(~in_plane))
    columns, rows, _ = grid.size
    shape = (drawn[-1] - drawn[0] + 1, rows, columns)
    inside = fill_polygons([indices[i][:, :2] for i in chosen], slices[chosen] - drawn[0], shape)
    if not inside.any():
        raise DataError(f"structure {roi.number} has no voxel centre inside its contours; it is smaller than a voxel")
    warnings = []
    if unused:
        warnings.append(
            f"{unused} contours are further from a slice than another contour of that slice, and are not used"
        )
    return inside, drawn, warnings


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskFigures:
    """How large a mask is and where.

    Args:
        voxels: number of voxels inside.
        volume_mm3: their volume.
        centroid_mm: mean of their centres, patient coordinates.
    """

    voxels: int
    volume_mm3: float
    centroid_mm: tuple[float, float, float]


def mask_figures(mask: sitk.Image) -> MaskFigures:
    """Return size and place of a mask with at least one voxel inside."""
    slices, rows, columns = np.nonzero(sitk.GetArrayViewFromImage(mask))
    centre = mask.TransformContinuousIndexToPhysicalPoint(
        [float(columns.mean()), float(rows.mean()), float(slices.mean())]
    )
    return MaskFigures(
        voxels=len(slices), volume_mm3=len(slices) * float(np.prod(mask.GetSpacing())), centroid_mm=tuple(centre)
    )


def misfit(roi: Roi, grid: Grid) -> str:
    """Say why a structure's contours or voxels do not fit a grid; empty where they do.

    Contours fit when every one is parallel to the slices and inside the volume, and no two cross: which part of two
    that do is meant, nobody can tell. Voxels fit as `frames_misfit` tells.

    Args:
        roi: from `read_structures`.
        grid: of a series.

    Returns:
        One line that goes on from the structure's name, such as "has no closed contours".
    """
    if roi.fault:
        return roi.fault
    if roi.frames:
        return frames_misfit(roi.frames, grid)
    if not roi.contours_mm:
        return "has no closed contours"
    limits = np.array(grid.size) - 0.5
    for k, points in enumerate(roi.contours_mm):
        number, index = roi.place(k), grid.to_index(points)
        depth = index[:, 2].mean()
        if np.abs(index[:, 2] - depth).max() * grid.spacing_mm[2] > PLANE_TOLERANCE_MM:
            return f"has contours that are not parallel to the slices (contour {number}); draw it on this series"
        beyond = max((-0.5 - index[:, :2]).max(), (index[:, :2] - limits[:2]).max())
        if (
            beyond > OUTSIDE_TOLERANCE
            or not -0.5 <= depth + HALF_SLICE_TOLERANCE <= limits[2] + 2 * HALF_SLICE_TOLERANCE
        ):
            return f"reaches outside the volume (contour {number}); give the series it was drawn on"
    try:
        crossing = roi.crossing
    except DataError as error:
        return str(error)
    if crossing:
        one, other = (roi.place(k) for k in crossing)
        depth = grid.to_index(roi.contours_mm[crossing[0]])[:, 2].mean(keepdims=True)
        slice_number = int(_nearest_slices(depth, grid.size[2])[0]) + 1
        return f"has contours that cross in slice {slice_number} (contours {one} and {other}); draw them as one"
    return ""


def _nearest_slices(depths: np.ndarray, num_slices: int) -> np.ndarray:
    nearest = np.floor(depths + 0.5 + HALF_SLICE_TOLERANCE).astype(int)
    return np.clip(nearest, 0, num_slices - 1)


def _roi(number: int, name: str, items: Sequence[Dataset], points_left: int) -> Roi:
    contours, places, skipped_types, short = [], [], 0, 0
    image_uids, image_classes = set(), set()
    for place, item in enumerate(items, start=1):
        kind = str(value_of(item, "ContourGeometricType") or "").strip()
        if kind in _SKIPPED_TYPES:
            skipped_types += 1
            continue
        if kind not in _FILLED_TYPES:
            return Roi(
                number=number, name=name, contours_mm=(), fault=f"has a contour of unknown type (contour {place})"
            )
        try:
            points = _points(item, points_left)
        except DataError as error:
            return Roi(number=number, name=name, contours_mm=(), fault=f"{error} (contour {place})")
        points_left -= len(points)
        if len(points) < 3:
            short += 1
            continue
        contours.append(points)
        places.append(place)
        for image in needless(item, "ContourImageSequence") or []:
            image_uids.add(str(needless(image, "ReferencedSOPInstanceUID") or ""))
            image_classes.add(str(needless(image, "ReferencedSOPClassUID") or ""))
    try:
        kept = unique_contours(contours)
    except DataError as error:
        return Roi(number=number, name=name, contours_mm=(), fault=str(error))
    warnings = []
    if len(kept) < len(contours):
        # By the even-odd rule the two would cancel and the slice be empty.
        warnings.append(f"{len(contours) - len(kept)} contours are drawn twice; each counts once")
    if skipped_types:
        warnings.append(f"{skipped_types} contours are points or open lines and enclose nothing; they are skipped")
    if short:
        warnings.append(f"{short} contours have fewer than 3 points; they are skipped")
    return Roi(
        number=number,
        name=name,
        contours_mm=tuple(contours[k] for k in kept),
        warnings=tuple(warnings),
        places=tuple(places[k] for k in kept),
        image_uids=frozenset(image_uids - {""}),
        image_classes=frozenset(image_classes - {""}),
    )


def _points(item: Dataset, points_left: int) -> np.ndarray:
    """Return one contour's points, float64 [n, 3]; a planning system's hundred thousand numbers, so parsed at once."""
    element, stated = item.get_item("ContourData"), value_of(item, "NumberOfContourPoints")
    if element is None and stated == 0:
        return np.empty((0, 3))
    if not isinstance(element, RawDataElement) or element.VR not in (None, "DS", "UN"):
        raise DataError("has contour data that are not decimal text")
    text = (element.value or b"").strip(b" \0")
    count = text.count(b"\\") + 1 if text else 0
    if element.length not in (0xFFFFFFFF, len(element.value or b"")) or text.translate(None, _NUMBER_BYTES):
        raise DataError("has contour data that are cut off or not numbers")
    if count > 3 * points_left:
        raise DataError(f"has more points than the {MAX_POINTS} that are read from one structure set")
    try:
        values = np.fromstring(text, sep="\\") if text else np.empty(0)
    except ValueError:
        values = np.empty(0)
    if len(values) != count:
        raise DataError("has contour data that are not numbers")
    if count % 3:
        raise DataError(f"has {count} contour coordinates, which is not a multiple of 3")
    if stated is not None and int(stated) != count // 3:
        raise DataError(f"has {count // 3} points in a contour that says {int(stated)}")
    if not np.all(np.abs(values) < 1e6):
        raise DataError("has contour points that are nowhere near a patient")
    return values.reshape(-1, 3)
