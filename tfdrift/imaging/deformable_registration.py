"""Deformations that a planning system has stored as DICOM Deformable Spatial Registration objects."""

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import value_of
from tfdrift.imaging.geometry import MAX_VOXELS, Plane

INVERSION_TOLERANCE_MM = 0.5
"""A deformation whose inverse misses by more somewhere is refused in that direction; half a fine voxel."""

_INVERSION_ITERATIONS = 200
_INVERSION_ERROR = 1e-3  # of a grid step, where the search for the inverse ends


class Deformation(NamedTuple):
    """How a grid of vectors moves points of the registered frame; the identity outside the grid.

    Args:
        transform: maps points of the registered frame, LPS mm, to themselves plus the vector there.
        warnings: what is wrong with the vectors.
    """

    transform: sitk.DisplacementFieldTransform
    warnings: tuple[str, ...]


def read_deformation(grid: Dataset, before: np.ndarray) -> Deformation:
    """Read an item of the Deformable Registration Grid Sequence; use inside `parsing`.

    The object maps a point x of the registered frame to M_post (M_pre x + d(x)), which is M_post M_pre (x + e(x)) with
    e(x) the vector d(x) turned back by M_pre; x + e(x) is what is returned.

    Args:
        grid: the item.
        before: float64 [4, 4], M_pre, a rotation and a shift.

    Raises:
        DataError: sizes, spacings and vectors do not go together, or there are more than `MAX_VOXELS` vectors.

    Source: DICOM PS3.3, C.20.3.1.1.
    """
    size = [int(n) for n in np.ravel(value_of(grid, "GridDimensions") or [])]
    spacing_mm = [float(mm) for mm in np.ravel(value_of(grid, "GridResolution") or [])]
    data = value_of(grid, "VectorGridData")
    if len(size) != 3 or min(size) < 1 or len(spacing_mm) != 3 or not min(spacing_mm) > 0:
        raise DataError("a deformable registration has no usable GridDimensions or GridResolution; export it again")
    if np.prod(size, dtype=float) > MAX_VOXELS:
        raise DataError(f"a deformable registration has more than {MAX_VOXELS} vectors, the most read")
    if not isinstance(data, bytes) or len(data) != 12 * int(np.prod(size)):
        raise DataError("a deformable registration holds another number of vectors than its grid has; export it again")
    plane = Plane(
        name="a deformable registration",
        position_mm=tuple(float(mm) for mm in value_of(grid, "ImagePositionPatient") or ()),
        orientation=tuple(float(cosine) for cosine in value_of(grid, "ImageOrientationPatient") or ()),
        spacing_mm=(spacing_mm[1], spacing_mm[0]),
        rows=size[1],
        columns=size[0],
    )
    vectors = np.frombuffer(data, "<f4").reshape(*size[::-1], 3).astype(np.float64)
    undefined = ~np.isfinite(vectors).all(axis=-1)
    vectors[undefined] = 0
    field = sitk.GetImageFromArray(vectors @ before[:3, :3], isVector=True)
    row, column = np.reshape(plane.orientation, (2, 3))
    field.SetDirection(np.stack([row, column, np.cross(row, column)], axis=1).ravel().tolist())
    field.SetSpacing(spacing_mm)
    field.SetOrigin(plane.position_mm)
    warnings = []
    if undefined.any():
        warnings.append(f"the deformation is undefined at {undefined.mean():.0%} of its points; there nothing deforms")
    folds = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field)) <= 0
    if folds.any():
        warnings.append(f"the deformation folds at {int(folds.sum())} of its {folds.size} points")
    return Deformation(sitk.DisplacementFieldTransform(field), tuple(warnings))


def inverted(transform: sitk.DisplacementFieldTransform) -> sitk.DisplacementFieldTransform:
    """Return the inverse of a deformation, on the same grid.

    Raises:
        DataError: it has none there, to `INVERSION_TOLERANCE_MM`: it folds, or its vectors leave the grid.
    """
    field = transform.GetDisplacementField()
    inverse = sitk.InvertDisplacementField(
        field,
        maximumNumberOfIterations=_INVERSION_ITERATIONS,
        maxErrorToleranceThreshold=_INVERSION_ERROR,
        meanErrorToleranceThreshold=_INVERSION_ERROR,
        enforceBoundaryCondition=False,
    )
    back = sitk.DisplacementFieldTransform(sitk.Image(inverse))
    both = sitk.CompositeTransform([transform, back])  # the last one is applied first
    missed = sitk.TransformToDisplacementField(
        both, sitk.sitkVectorFloat64, field.GetSize(), field.GetOrigin(), field.GetSpacing(), field.GetDirection()
    )
    worst_mm = float(np.linalg.norm(sitk.GetArrayViewFromImage(missed), axis=-1).max())
    if worst_mm > INVERSION_TOLERANCE_MM:
        raise DataError(
            f"a deformable registration is asked for against its direction and cannot be inverted (off by "
            f"{worst_mm:.1f} mm); export the one from the first MRI's frame to the second's"
        )
    return back
