"""How tissue is predicted to move, as a DICOM Deformable Spatial Registration."""

import io
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import DeformableSpatialRegistrationStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from tfdrift.clinic.dicom_writing import Object, new_object
from tfdrift.clinic.source_images import Source, making_objects
from tfdrift.imaging.geometry import Grid

_IDENTITY = [float(one) for one in np.eye(4).ravel()]


def write_deformation(
    path: Path, source: Source, grid: Grid, vectors_mm: np.ndarray, about: Object, *, corner: tuple[int, int, int]
) -> None:
    """Write displacements of the MRI's points until the predicted second MRI, on a block of the MRI's voxels.

    The registered frame of reference is the MRI's own. The predicted MRI has one that is made up for it here, with the
    same coordinates: DICOM knows no deformation of a frame into itself. Outside the block nothing moves.

    Args:
        path: of the file.
        source: the slices that the block spans.
        grid: of the whole MRI.
        vectors_mm: real [n, rows, columns, 3], LPS mm, to be added to the place of each voxel.
        about: what the object says of itself.
        corner: slice, row and column in the MRI of the block's first voxel.

    Raises:
        DataError: the headers of the series hold something that a new object may not.

    Source: DICOM PS3.3, C.20.3.
    """
    direction, spacing_mm = np.reshape(grid.direction, (3, 3)), np.array(grid.spacing_mm)
    position_mm = np.array(grid.origin_mm) + direction @ (spacing_mm * np.array(corner[::-1]))
    with making_objects():
        dataset = new_object(source, about, DeformableSpatialRegistrationStorage, "REG")
        dataset.ContentDate, dataset.ContentTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
        dataset.ContentLabel, dataset.ContentDescription = about.label, about.description
        dataset.ContentCreatorName = dataset.Laterality = ""
        block = Dataset()
        block.ImagePositionPatient = [format_number_as_ds(float(mm)) for mm in position_mm]
        block.ImageOrientationPatient = [format_number_as_ds(float(one)) for one in direction[:, :2].T.ravel()]
        block.GridDimensions = list(vectors_mm.shape[2::-1])
        block.GridResolution = [float(mm) for mm in spacing_mm]
        block.add_new("VectorGridData", "OF", np.ascontiguousarray(vectors_mm, "<f4").tobytes())
        moved = _registered(generate_uid())
        moved.DeformableRegistrationGridSequence = Items([block])
        itself = _registered(dataset.FrameOfReferenceUID)
        itself.ReferencedImageSequence = Items(source.instances())
        dataset.DeformableRegistrationSequence = Items([itself, moved])
        referenced = Dataset()
        referenced.SeriesInstanceUID = source.images[0].SeriesInstanceUID
        referenced.ReferencedInstanceSequence = Items(source.instances())
        dataset.ReferencedSeriesSequence = Items([referenced])
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())


def _registered(frame_uid: str) -> Dataset:
    """Return an item for a frame of reference that coincides with the registered one but for a deformation."""
    item = Dataset()
    item.SourceFrameOfReferenceUID = frame_uid
    for keyword in ("PreDeformationMatrixRegistrationSequence", "PostDeformationMatrixRegistrationSequence"):
        matrix = Dataset()
        matrix.FrameOfReferenceTransformationMatrixType = "RIGID"
        matrix.FrameOfReferenceTransformationMatrix = _IDENTITY
        setattr(item, keyword, Items([matrix]))
    item.RegistrationTypeCodeSequence = Items([])  # must be there; no code stands for a prediction
    return item
