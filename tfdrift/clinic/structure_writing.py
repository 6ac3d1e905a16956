"""Masks on a series' own slices as the contours of an RTSTRUCT, for a planning system."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds
from skimage.measure import label

from tfdrift.clinic.dicom_writing import COLOURS, LONGEST_LABEL, Object, new_object
from tfdrift.clinic.source_images import Source, making_objects

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # what a structure set names a study by, retired everywhere else


class Structure(NamedTuple):
    """One structure of a structure set.

    Args:
        number: ROINumber.
        name: ROIName, of which 64 characters are kept.
        description: what a reader must know of it.
        mask: bool [n, rows, columns] on the n slices of the source; may be empty.
    """

    number: int
    name: str
    description: str
    mask: np.ndarray


def write_structure_set(path: Path, source: Source, structures: Sequence[Structure], about: Object) -> None:
    """Write masks as closed planar contours along the edges of their voxels, holes as keyholes.

    Every contour refers to the slice it lies on, and the structure set to every slice of the source. A structure whose
    mask is empty stands in it without contours.

    Args:
        path: of the file.
        source: all slices of the series.
        structures: with a number of its own each.
        about: what the structure set says of itself.

    Raises:
        DataError: the headers of the series hold something that a new object may not.
    """
    with making_objects():
        dataset = _about(source, about)
        frame_uid = source.images[0].FrameOfReferenceUID
        dataset.ReferencedFrameOfReferenceSequence = Items([_frame_of_reference(source)])
        described, drawn, observed = [], [], []
        for place, structure in enumerate(structures):
            roi, contours, observation = Dataset(), Dataset(), Dataset()
            roi.ROINumber, roi.ReferencedFrameOfReferenceUID = structure.number, frame_uid
            roi.ROIName = structure.name.replace("\\", "/")[:LONGEST_LABEL]
            roi.ROIDescription = structure.description
            roi.ROIGenerationAlgorithm = "AUTOMATIC"
            contours.ReferencedROINumber = structure.number
            contours.ROIDisplayColor = list(COLOURS[place % len(COLOURS)])
            items = _contours(structure.mask, source)
            if items:
                contours.ContourSequence = Items(items)
            observation.ObservationNumber, observation.ReferencedROINumber = place + 1, structure.number
            observation.RTROIInterpretedType, observation.ROIInterpreter = "GTV", ""
            described.append(roi)
            drawn.append(contours)
            observed.append(observation)
        dataset.StructureSetROISequence = Items(described)
        dataset.ROIContourSequence = Items(drawn)
        dataset.RTROIObservationsSequence = Items(observed)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())


def _about(source: Source, about: Object) -> Dataset:
    """Return patient, study, series, equipment, and what the structure set is called."""
    dataset = new_object(source, about, RTStructureSetStorage, "RTSTRUCT")
    # Some viewers show of several structure sets the one whose series is the newest.
    dataset.SeriesDate, dataset.SeriesTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    dataset.OperatorsName = ""
    dataset.StructureSetLabel, dataset.StructureSetName = about.label, about.description
    dataset.StructureSetDescription = about.description
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def _frame_of_reference(source: Source) -> Dataset:
    image = source.images[0]
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = image.SeriesInstanceUID
    series.ContourImageSequence = Items(source.instances())
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, image.StudyInstanceUID
    study.RTReferencedSeriesSequence = Items([series])
    frame.FrameOfReferenceUID = image.FrameOfReferenceUID
    frame.RTReferencedStudySequence = Items([study])
    return frame


def _contours(mask: np.ndarray, source: Source) -> list[Dataset]:
    row_mm, column_mm = source.spacing_mm
    along_row, along_column = np.reshape(source.orientation, (2, 3))
    items = []
    for k in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for outline in trace_outlines(mask[k]):
            points = np.array(source.positions_mm[k]) + outline @ np.stack(
                [column_mm * along_row, row_mm * along_column]
            )
            item = Dataset()
            item.ContourImageSequence = Items([source.references[k].item()])
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            item.ContourData = [format_number_as_ds(float(value)) for value in points.ravel()]
            items.append(item)
    return items


Vertex = tuple[int, int]
_RIGHT, _DOWN, _LEFT, _UP = (1, 0), (0, 1), (-1, 0), (0, -1)


def trace_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return the closed outlines of a mask, one for each group of pixels that share edges.

    A hole is joined to the outline around it by a line that is gone along twice (keyhole, DICOM PS3.3 C.8.8.6.3), so an
    outline is the whole of its group. Pixels that touch at a corner alone are two groups.

    Args:
        mask: bool [rows, columns].

    Returns:
        Float64 [n, 2] each, (column, row) in pixels, whole numbers at pixel centres; the first point comes once.

    Example:
        >>> trace_outlines(np.array([[False, True, True]]))[0].tolist()
        [[0.5, -0.5], [2.5, -0.5], [2.5, 0.5], [0.5, 0.5]]
    """
    groups = np.asarray(label(mask, connectivity=1))
    return [_outline(groups == number) for number in range(1, groups.max(initial=0) + 1)]


def _outline(group: np.ndarray) -> np.ndarray:
    """Return the outline of one group of pixels that share edges."""
    # The first loop holds the topmost vertex of all, so it is the one around the group.
    outline, *holes = sorted(_loops(group), key=_top)
    corners: set[Vertex] = set()
    for hole in holes:  # from the top: what is met going up from a hole is the outline or a hole that is joined already
        row, column = _top(hole)
        start = (column, row)
        places = {vertex: at for at, vertex in enumerate(outline)}
        end = next((column, above) for above in range(row - 1, -1, -1) if (column, above) in places)
        at, turn = places[end], hole.index(start)
        outline = [*outline[: at + 1], *hole[turn:], *hole[:turn], start, *outline[at:]]
        corners |= {start, end}
    kept = [
        vertex
        for before, vertex, after in zip([outline[-1], *outline[:-1]], outline, [*outline[1:], outline[0]], strict=True)
        if vertex in corners or _step(before, vertex) != _step(vertex, after)
    ]
    return np.array(kept, float) - 0.5


def _loops(group: np.ndarray) -> list[list[Vertex]]:
    """Return the closed loops along pixel edges, a vertex at every corner of a pixel, the group to their right.

    Vertex (i, j) is the upper left corner of pixel (column i, row j).
    """
    padded = np.pad(group, 1)
    inside, after = padded[1:-1, 1:-1], {}
    sides = {
        _RIGHT: (padded[:-2, 1:-1], (0, 0)),  # along the upper edge of a pixel with nothing above
        _DOWN: (padded[1:-1, 2:], (1, 0)),
        _LEFT: (padded[2:, 1:-1], (1, 1)),
        _UP: (padded[1:-1, :-2], (0, 1)),
    }
    for step, (neighbour, (right, below)) in sides.items():
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            after.setdefault((column + right, row + below), []).append(step)
    loops = []
    while after:
        vertex = next(iter(after))
        step = after[vertex][0]
        loop = []
        while vertex in after:
            steps = after[vertex]
            # Where two pixels touch at a corner, the loop turns right and so stays with the pixel it is on.
            turned = (-step[1], step[0])
            step = turned if turned in steps and loop else steps[0]
            steps.remove(step)
            if not steps:
                del after[vertex]
            loop.append(vertex)
            vertex = (vertex[0] + step[0], vertex[1] + step[1])
        loops.append(loop)
    return loops


def _top(loop: list[Vertex]) -> tuple[int, int]:
    """Return row and column of a loop's topmost vertex, the leftmost of several."""
    return min((row, column) for column, row in loop)


def _step(one: Vertex, other: Vertex) -> Vertex:
    return int(np.sign(other[0] - one[0])), int(np.sign(other[1] - one[1]))
