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

from tfdrift.clinic.dicom_writing import COLOURS, LONGEST_LABEL, Object, new_object
from tfdrift.clinic.outlines import trace_outlines
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
