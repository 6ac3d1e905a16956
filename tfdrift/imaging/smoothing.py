"""Gaussian smoothing in mm of volumes with any number of voxels along each axis."""

from collections.abc import Sequence

import SimpleITK as sitk

FILTERED_VOXELS = 4
"""What SimpleITK's recursive Gaussian needs along an axis; fewer end in its RuntimeError."""


def smooth(image: sitk.Image, sigmas_mm: Sequence[float]) -> sitk.Image:
    """Return `image` under a Gaussian, continued beyond each face by the values on that face.

    SimpleITK's recursive filter continues an image in this way by itself, but refuses fewer than four voxels along an
    axis. Such an axis is continued before it is filtered and cut back afterwards, which changes no value.

    Args:
        image: 3-D, any number type.
        sigmas_mm: standard deviation along columns, rows and slices, in mm; 0 leaves that axis as it is.

    Returns:
        float32 on the grid of `image`.

    Example:
        >>> three = sitk.GetImageFromArray([[[1.0]], [[4.0]], [[1.0]]])
        >>> smoothed = sitk.GetArrayFromImage(smooth(three, (0, 0, 50)))
        >>> bool(smoothed.max() - smoothed.min() < 0.01)
        True
    """
    result = sitk.Cast(image, sitk.sitkFloat32)
    for axis in (2, 0, 1):  # SimpleITK's own order in `SmoothingRecursiveGaussian`, to the same bits
        if sigmas_mm[axis] == 0:
            continue
        margin = [0, 0, 0]
        margin[axis] = max(FILTERED_VOXELS - image.GetSize()[axis], 0)
        padded = sitk.ZeroFluxNeumannPad(result, margin, margin) if margin[axis] else result
        filtered = sitk.RecursiveGaussian(padded, sigma=float(sigmas_mm[axis]), direction=axis)
        result = sitk.Crop(filtered, margin, margin) if margin[axis] else filtered
    return result
