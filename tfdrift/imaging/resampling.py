"""The second session's image and masks on the grid of the first.

Transforms map a point of the fixed session to the point of the moving one that shows the same tissue, LPS mm: for each
voxel of the result SimpleITK looks up where to read.
"""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from tfdrift.errors import DataError
from tfdrift.imaging.pixels import NOT_MEASURED, measured, without_padding

MOST_LOST = 0.5
"""Share of a mask's volume that resampling it may cost; a lesion that loses more is hardly the same one."""

_INTERPOLATORS = {"linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline}


def resample_image(
    moving: sitk.Image, fixed: sitk.Image, transform: sitk.Transform, *, interpolation: str = "bspline"
) -> sitk.Image:
    """Return `moving` on the grid of `fixed`, 0 (air) outside its field of view; ask `coverage` where that is.

    Padding is not mixed into the signal beside it, and stays `NOT_MEASURED`.

    The third-order B-spline keeps the rim of a lesion sharper than the linear interpolation, which blurs the second
    session alone and so makes drift of its own; docs/registration.md measures both. The spline's ringing is cut off at
    the range of `moving`, so that no signal turns negative.

    Args:
        moving: the second session.
        fixed: the first session; only its grid is used.
        transform: maps points of `fixed` to points of `moving`.
        interpolation: `bspline` or, for images with a signal-to-noise ratio near 10, `linear`.

    Returns:
        float32.

    Raises:
        DataError: another interpolation.
    """
    if interpolation not in _INTERPOLATORS:
        raise DataError(f"interpolation {interpolation}: choose from {', '.join(_INTERPOLATORS)}")
    filled = without_padding(moving)
    onto = sitk.Resample(filled, fixed, transform, _INTERPOLATORS[interpolation], 0.0, sitk.sitkFloat32)
    values = sitk.GetArrayViewFromImage(moving)
    onto = sitk.Clamp(onto, sitk.sitkFloat32, min(float(values.min()), 0.0), float(values.max()))
    if filled is moving:
        return onto
    seen = sitk.GetArrayFromImage(sitk.Resample(measured(moving), fixed, transform, sitk.sitkNearestNeighbor, 1))
    result = sitk.GetImageFromArray(np.where(seen > 0, sitk.GetArrayViewFromImage(onto), NOT_MEASURED))
    result.CopyInformation(onto)
    return result


def resample_channel(channel: sitk.Image, image: sitk.Image, *, interpolation: str = "bspline") -> sitk.Image:
    """Return another image of the same frame of reference on the grid of `image`.

    Args:
        channel: float32, on its own grid.
        image: whose grid is wanted.
        interpolation: see `resample_image`.

    Returns:
        float32, `NOT_MEASURED` outside the field of view of `channel`; the channel itself where the grids agree.

    Raises:
        DataError: another interpolation.
    """
    if channel.IsSameImageGeometryAs(image):
        return channel
    still = sitk.Transform()
    onto = resample_image(channel, image, still, interpolation=interpolation)
    seen = sitk.Resample(measured(channel), image, still, sitk.sitkNearestNeighbor, 0)
    values = np.where(sitk.GetArrayViewFromImage(seen) > 0, sitk.GetArrayViewFromImage(onto), NOT_MEASURED)
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result


def resample_mask(mask: sitk.Image, fixed: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Return `mask` on the grid of `fixed`: interpolated linearly, then cut at one half.

    The cut puts the surface between voxels, so that the place survives a shift by a fraction of a voxel, where the
    nearest neighbour steps by whole ones. Convex corners are rounded off: lesions lose some per cent of their volume,
    and small ones on thick slices whole slices. Where more than `MOST_LOST` would be lost the cut is lowered until the
    volume is kept: the largest shares are taken. Both are measured in docs/registration.md; take volumes from the
    session's own grid. What the field of view of `fixed` cuts off is not made up for.

    Args:
        mask: any number type, 0 outside, on the grid of the moving session.
        fixed: the first session; only its grid is used.
        transform: maps points of `fixed` to points of the moving session, LPS mm.

    Returns:
        uint8; the mask itself, bit by bit, where the grids agree and the transform is the identity.
    """
    share = sitk.Resample(sitk.Cast(mask > 0, sitk.sitkFloat32), fixed, transform, sitk.sitkLinear, 0.0)
    shares = sitk.GetArrayViewFromImage(share)
    partly = shares[shares > 0]
    volume = float(partly.sum(dtype=np.float64))
    if not partly.size or (partly >= 0.5).sum() >= (1 - MOST_LOST) * volume:
        return share >= 0.5
    kept = min(max(round(volume), 1), partly.size)
    least = float(np.partition(partly, partly.size - kept)[partly.size - kept])
    # Equal shares go together: with the last of them or without, whichever is nearer.
    above, upto = int((partly > least).sum()), int((partly >= least).sum())
    return share > least if above > 0 and volume - above < upto - volume else share >= least


def coverage(moving: sitk.Image, fixed: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Return where both sessions were measured: inside the moving one's field of view, and padding in neither.

    Drift outside it is not drift.

    Args:
        moving: the second session.
        fixed: the first session.
        transform: maps points of `fixed` to points of `moving`, LPS mm.

    Returns:
        uint8 on the grid of `fixed`, 1 where both were measured.
    """
    seen = sitk.Resample(measured(moving), fixed, transform, sitk.sitkNearestNeighbor, 0)
    return sitk.And(seen, measured(fixed))


def coarser(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Return `image` smoothed and resampled so that no voxel side is below `spacing_mm`; thicker slices stay.

    Args:
        image: 3-D.
        spacing_mm: the smallest side.

    Returns:
        float32, over the same field of view.
    """
    fine, count = image.GetSpacing(), image.GetSize()
    coarse = [max(side, spacing_mm) for side in fine]
    size = [max(round(n * side / wide), 1) for n, side, wide in zip(count, fine, coarse, strict=True)]
    sigmas_mm = [wide / 2 if wide > side else 0.0 for side, wide in zip(fine, coarse, strict=True)]
    first = [wide / side / 2 - 0.5 for side, wide in zip(fine, coarse, strict=True)]
    origin = image.TransformContinuousIndexToPhysicalPoint(first)
    grid = (size, sitk.Transform(), sitk.sitkLinear, origin, coarse, image.GetDirection())
    return sitk.Resample(smooth(image, sigmas_mm), *grid, 0.0, sitk.sitkFloat32)


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
