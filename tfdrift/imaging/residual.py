"""How much of the structure of one session the other one does not show: the figure that tells a wrong registration."""

import numpy as np
import SimpleITK as sitk

from tfdrift.imaging.intensity import distance_mm, session_gain, tissue_mask
from tfdrift.imaging.resampling import coarser, coverage, resample_image, smooth

POOR_RESIDUAL_PERCENT = 40.0
"""A residual above it is suspect; docs/registration.md has the hits and the false alarms it was set from."""

RIM_MM = 25.0
"""Around the inner brain lie cortex, skull and scalp, whose edges tell a motion; jaw and neck lie further away."""

_VOXEL_MM = 2.0
_WINDOW_MM = 5.0
_FAINT = 0.03  # of the brain's signal; structure below it is mostly noise


def residual_percent(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    """Return how much of the local structure of the head is not common to both sessions, in per cent.

    In a Gaussian window of 5 mm around each voxel a straight line is fitted between the two signals. What it leaves of
    their variance, 1 - r^2, does not depend on gain, offset and slow shading, not even on which of two tissues is the
    brighter one. Its mean over the head, what both show within `RIM_MM` of the inner brain, counts each window by the
    share of its variance that stands out from structure of 3% of the brain's signal: flat windows hold noise alone.
    Both sessions are looked at in voxels of at least 2 mm.

    Args:
        fixed: the first session, 3-D, LPS mm, any signal unit.
        moving: the second session.
        transform: maps points of `fixed` to points of `moving`.

    Returns:
        From 0, where each window of one session is a linear function of the other's, to 100, where it tells nothing.

    Raises:
        DataError: an image shows no brain, or the two share too little of it.
    """
    first = coarser(fixed, _VOXEL_MM)
    second = resample_image(coarser(moving, _VOXEL_MM), first, transform, interpolation="linear")
    tissue = tissue_mask(first)
    seen = sitk.Resample(coverage(moving, fixed, transform), first, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    gain = session_gain(first, second, sitk.And(tissue, seen)).gain
    level = float(np.median(_array(first)[_array(tissue) > 0]))
    near = sitk.And(distance_mm(tissue) <= RIM_MM, seen)
    head = _array(near) > 0

    def local_mean(values: np.ndarray) -> np.ndarray:
        image = sitk.GetImageFromArray(np.where(head, values, 0).astype(np.float32))
        image.CopyInformation(first)
        return sitk.GetArrayFromImage(smooth(image, [_WINDOW_MM] * 3))[head]

    one, other = _array(first) / level - 1, gain * _array(second) / level - 1
    weight = local_mean(np.ones_like(one))
    mean_one, mean_other = local_mean(one) / weight, local_mean(other) / weight
    var_one = np.maximum(local_mean(one**2) / weight - mean_one**2, _TINY)
    var_other = np.maximum(local_mean(other**2) / weight - mean_other**2, _TINY)
    covariance = local_mean(one * other) / weight - mean_one * mean_other
    unexplained = 1 - np.minimum(covariance**2 / (var_one * var_other), 1)
    noise = _FAINT**2
    clear = np.sqrt(var_one * var_other / ((var_one + noise) * (var_other + noise)))
    return float(100 * np.average(unexplained, weights=clear))


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayViewFromImage(image)


_TINY = 1e-9  # of the brain's signal squared; keeps a window of one value from dividing by zero
