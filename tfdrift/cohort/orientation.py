"""Which way the slices of an acquisition lie: lesions seen from the side look different to a model."""

from collections.abc import Sequence

import numpy as np

ORIENTATIONS = ("sagittal", "coronal", "axial")
"""By the patient axis that the normal of the slices is nearest to: left to right, front to back, foot to head."""


def orientation_of(direction: Sequence[float]) -> str:
    """Return the one of `ORIENTATIONS` that slices are nearest to; a tilt of some degrees is still axial.

    Args:
        direction: 3 x 3 matrix, row by row, whose columns are the unit vectors along a row, a column and the stack, as
            in `tfdrift.imaging.geometry.Grid` and SimpleITK's images.

    Example:
        >>> orientation_of([1, 0, 0, 0, 1, 0, 0, 0, 1]), orientation_of([0, 0, -1, 1, 0, 0, 0, -1, 0])
        ('axial', 'sagittal')
    """
    normal = np.abs(np.reshape(direction, (3, 3))[:, 2])
    return ORIENTATIONS[int(np.argmax(normal))]
