"""Where voxels are: planes of a series in patient coordinates (DICOM LPS, mm) and the regular grid they make up."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from tfdrift.errors import DataError

ORTHONORMAL_TOLERANCE = 1e-4
"""How far a direction cosine may be from unit length, a right angle, or its neighbour's. 1e-4 rad moves the far corner
of a 256 mm image by 0.026 mm; a cosine written with six digits is within 1e-6."""

POSITION_TOLERANCE_MM = 0.02
"""How far a slice may be from its place in the even stack. Positions rounded to 1/100 mm stay within it, and it is a
twentieth of the finest voxels used in radiosurgery."""

SPACING_TOLERANCE = 1e-5
"""Largest relative difference of the pixel spacing between slices: rounding of the decimal text, nothing more."""

MIN_SLICES = 3
"""Two slices have one distance, so a slice missing between them could not be noticed."""

MAX_VOXELS = 2**27
"""Largest volume that is read: 512 MiB as float32; a brain in 0.5 mm voxels has half of it."""

MAX_FRAME_PIXELS = 2**22
"""Largest slice that is read (2048 x 2048), which bounds what one compressed frame can expand to."""

_SPACING_RANGE_MM = (1e-3, 1e3)
_POSITION_LIMIT_MM = 1e5
_AXIAL_COSINE = 0.99


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plane:
    """One slice's place.

    Args:
        name: what the slice is called in error messages; no identity.
        position_mm: centre of the first pixel (ImagePositionPatient).
        orientation: direction cosines of a row, then of a column (ImageOrientationPatient).
        spacing_mm: distance between rows, then between columns (PixelSpacing).
        rows: number of rows.
        columns: number of columns.

    Raises:
        DataError: a value is missing, not finite, out of every reasonable range, or the cosines are not two
            perpendicular unit vectors.
    """

    name: str
    position_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    rows: int
    columns: int

    def __post_init__(self) -> None:
        position, orientation = np.array(self.position_mm, float), np.array(self.orientation, float)
        spacing = np.array(self.spacing_mm, float)
        if position.shape != (3,) or not np.all(np.abs(position) <= _POSITION_LIMIT_MM):
            raise DataError(f"{self.name} has no usable ImagePositionPatient; {_EXPORT}")
        if orientation.shape != (6,) or not np.all(np.isfinite(orientation)):
            raise DataError(f"{self.name} has no usable ImageOrientationPatient; {_EXPORT}")
        low, high = _SPACING_RANGE_MM
        if spacing.shape != (2,) or not np.all((spacing >= low) & (spacing <= high)):
            raise DataError(f"{self.name} has no usable PixelSpacing; {_EXPORT}")
        if self.rows < 1 or self.columns < 1 or self.rows * self.columns > MAX_FRAME_PIXELS:
            raise DataError(f"{self.name} has {self.rows} rows and {self.columns} columns, which no MR slice has")
        row, column = orientation[:3], orientation[3:]
        errors = [abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column)]
        if max(errors) > ORTHONORMAL_TOLERANCE:
            raise DataError(f"{self.name} has an ImageOrientationPatient that is not two perpendicular unit vectors")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """A regular grid of voxels in patient coordinates, named as SimpleITK names it.

    Args:
        size: columns, rows, slices.
        spacing_mm: distance between the centres of neighbouring columns, rows, slices.
        origin_mm: centre of the first voxel.
        direction: 3 x 3 matrix, row by row; its columns are the unit vectors along a row, a column and the stack.
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> "Grid":
        """Return the grid of a three-dimensional image."""
        return cls(
            size=image.GetSize(),
            spacing_mm=image.GetSpacing(),
            origin_mm=image.GetOrigin(),
            direction=image.GetDirection(),
        )

    @property
    def orientation(self) -> str:
        """Return `axial`, `coronal` or `sagittal`, or `oblique` when the normal is over 8 degrees off each axis."""
        normal = np.abs(np.reshape(self.direction, (3, 3))[:, 2])
        if normal.max() < _AXIAL_COSINE:
            return "oblique"
        return ("sagittal", "coronal", "axial")[int(np.argmax(normal))]

    def to_index(self, points_mm: np.ndarray) -> np.ndarray:
        """Return continuous indices (column, row, slice) of points; whole numbers are voxel centres.

        Args:
            points_mm: float64 [n, 3], patient coordinates.

        Returns:
            float64 [n, 3].

        Example:
            >>> upright = (1, 0, 0, 0, 1, 0, 0, 0, 1)
            >>> grid = Grid(size=(4, 4, 4), spacing_mm=(1, 2, 3), origin_mm=(5, 5, 5), direction=upright)
            >>> grid.to_index(np.array([[6.0, 7.0, 8.0]]))
            array([[1., 1., 1.]])
        """
        # A direction is orthonormal, so its transpose is its inverse.
        return (points_mm - np.array(self.origin_mm)) @ np.reshape(self.direction, (3, 3)) / np.array(self.spacing_mm)

    def place(self, image: sitk.Image) -> None:
        """Give an image of this size this grid's spacing, origin and direction."""
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction)


def stack_planes(planes: Sequence[Plane]) -> tuple[Grid, list[int]]:
    """Find the regular grid that planes make up, sorted along their normal.

    The distance between slices comes from their positions alone; SliceThickness and SpacingBetweenSlices are not used.

    Args:
        planes: in any order.

    Returns:
        The grid, and the order in which the planes stand in it.

    Raises:
        DataError: fewer than `MIN_SLICES` planes, more than `MAX_VOXELS` voxels, different sizes, spacings or
            orientations, two planes in one place, a gap, uneven distances, or a stack that leans against its normal
            (gantry tilt). The message names a slice at fault.

    Example:
        >>> axial = {"orientation": (1, 0, 0, 0, 1, 0), "spacing_mm": (1, 1), "rows": 8, "columns": 9}
        >>> planes = [Plane(name=f"file {i}", position_mm=(0, 0, 3 * i), **axial) for i in (2, 0, 1)]
        >>> grid, order = stack_planes(planes)
        >>> grid.size, grid.spacing_mm, order
        ((9, 8, 3), (1.0, 1.0, 3.0), [1, 2, 0])
    """
    if len(planes) < MIN_SLICES:
        raise DataError(f"a volume needs at least {MIN_SLICES} slices, not {len(planes)}")
    first = planes[0]
    for plane in planes:
        if not np.allclose(plane.orientation, first.orientation, rtol=0, atol=ORTHONORMAL_TOLERANCE):
            raise DataError(f"{plane.name} and {first.name} differ in orientation; {_ONE_SERIES}")
        if (plane.rows, plane.columns) != (first.rows, first.columns):
            raise DataError(f"{plane.name} and {first.name} differ in rows and columns; {_ONE_SERIES}")
        if not np.allclose(plane.spacing_mm, first.spacing_mm, rtol=SPACING_TOLERANCE, atol=0):
            raise DataError(f"{plane.name} and {first.name} differ in PixelSpacing; {_ONE_SERIES}")
    if len(planes) * first.rows * first.columns > MAX_VOXELS:
        raise DataError(
            f"{len(planes)} slices of {first.rows} x {first.columns} are more than {MAX_VOXELS} voxels, the most read"
        )
    direction = _direction(np.array(first.orientation, float))
    positions = np.array([plane.position_mm for plane in planes], float)
    order = [int(i) for i in np.argsort(positions @ direction[:, 2], kind="stable")]
    slice_spacing = _slice_spacing([planes[i] for i in order], positions[order], direction)
    row_mm, column_mm = first.spacing_mm
    grid = Grid(
        size=(first.columns, first.rows, len(planes)),
        spacing_mm=(float(column_mm), float(row_mm), slice_spacing),
        origin_mm=tuple(positions[order[0]].tolist()),
        direction=tuple(direction.ravel().tolist()),
    )
    return grid, order


def _direction(orientation: np.ndarray) -> np.ndarray:
    """Return the right-handed orthonormal matrix nearest the row; its columns are row, column and normal."""
    row = orientation[:3] / np.linalg.norm(orientation[:3])
    column = orientation[3:] - (orientation[3:] @ row) * row
    column /= np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)], axis=1)


def _slice_spacing(planes: Sequence[Plane], positions_mm: np.ndarray, direction: np.ndarray) -> float:
    """Return the distance of sorted planes in mm, or say what is wrong with it."""
    offsets_mm = (positions_mm - positions_mm[0]) @ direction
    depths_mm, gaps_mm = offsets_mm[:, 2], np.diff(offsets_mm[:, 2])
    twin = int(np.argmin(gaps_mm))
    if gaps_mm[twin] <= POSITION_TOLERANCE_MM:
        raise DataError(
            f"{planes[twin].name} and {planes[twin + 1].name} are in the same place: a duplicate slice, or several "
            "echoes or time points in one series; keep one"
        )
    usual_mm, widest = float(np.median(gaps_mm)), int(np.argmax(gaps_mm))
    if gaps_mm[widest] > 1.5 * usual_mm:
        raise DataError(
            f"slices are missing between {planes[widest].name} and {planes[widest + 1].name}: they are "
            f"{gaps_mm[widest]:.3f} mm apart and the others {usual_mm:.3f} mm; export the whole series"
        )
    spacing_mm = depths_mm[-1] / (len(planes) - 1)
    off_mm = np.abs(depths_mm - spacing_mm * np.arange(len(planes)))
    worst = int(np.argmax(off_mm))
    if off_mm[worst] > POSITION_TOLERANCE_MM:
        raise DataError(
            f"uneven slice distances: {planes[worst].name} is {off_mm[worst]:.3f} mm away from its place in an even "
            f"stack of {spacing_mm:.3f} mm; reconstruct the series with even slices"
        )
    lean_mm = np.linalg.norm(offsets_mm[:, :2], axis=1)
    worst = int(np.argmax(lean_mm))
    if lean_mm[worst] > POSITION_TOLERANCE_MM:
        raise DataError(
            f"the stack leans (gantry tilt): {planes[worst].name} is {lean_mm[worst]:.3f} mm beside the slice normal; "
            "resample the series to upright slices first"
        )
    return float(spacing_mm)


_EXPORT = "export the series again as MR images with their geometry"
_ONE_SERIES = "give the files of one series only"
