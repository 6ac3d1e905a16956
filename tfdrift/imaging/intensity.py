"""Two sessions on one intensity scale, judged by the tissue that should not have changed.

MR signal has no unit: the same brain comes out brighter or darker after another shimming or receiver gain. The scale of
the second session is taken from healthy tissue, never from a lesion, which is what the drift is about.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from tfdrift.errors import DataError
from tfdrift.imaging.pixels import measured
from tfdrift.imaging.resampling import smooth

TISSUE_DEPTH_MM = 5.0
LESION_MARGIN_MM = 10.0
BRAIN_SIGNAL = (0.6, 1.4)
"""Times the brain's median signal: from grey matter in the shade to white matter near the coil; fat is brighter."""
MIN_TISSUE_VOXELS = 1000
DRIFT_LIMIT_PERCENT = 5.0
SPREAD_LIMIT_PERCENT = 20.0

_SMOOTHING_MM = 2.0
_CORE_DEPTH_MM = 10.0
_CORE_REACH_MM = 8.0
_NORMAL_SIGMA_PER_MAD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
_MEDIAN_ERROR_PER_MEAN_ERROR = float(np.sqrt(np.pi / 2))  # of a normal sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionGain:
    """What the second session is multiplied with to stand on the scale of the first.

    Args:
        gain: the factor, above 0.
        standard_error: of the factor, for noise independent from voxel to voxel; resampling correlates neighbours, so
            take it as a lower bound for a resampled session.
        voxels: how many voxels it rests on.
    """

    gain: float
    standard_error: float
    voxels: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackgroundDrift:
    """The "drift" measured where there is none, in per cent of that tissue's own signal.

    Args:
        mean_percent: mean of post - pre; what is wrong with the scale.
        spread_percent: 1.4826 x median absolute deviation of post - pre; noise and misregistration.
        voxels: how many voxels it rests on.
    """

    mean_percent: float
    spread_percent: float
    voxels: int

    @property
    def acceptable(self) -> bool:
        """Whether both figures stay within `DRIFT_LIMIT_PERCENT` and `SPREAD_LIMIT_PERCENT`; warn where not."""
        return abs(self.mean_percent) <= DRIFT_LIMIT_PERCENT and self.spread_percent <= SPREAD_LIMIT_PERCENT


def tissue_mask(image: sitk.Image) -> sitk.Image:
    """Return the inner brain: voxels of the brain's own signal, at least `TISSUE_DEPTH_MM` away from any other signal.

    Otsu's threshold on the slightly smoothed image parts bright from dark, and the median of what lies deepest in the
    bright is the brain's signal: nothing else in a head is as thick. Signals within `BRAIN_SIGNAL` times it are kept,
    which leaves out air, bone and fluid, and the fat of scalp and orbits. The largest piece that is `_CORE_DEPTH_MM`
    deep is the brain's core; what lies near it is its rest, and muscles, further away, are not. The brightest 2% are
    clipped first, so that no lesion or vessel pulls the threshold up.

    Args:
        image: 3-D, any signal unit, at least 0 in air.

    Returns:
        uint8 on the grid of `image`, 1 in tissue; empty where the image shows none.

    Raises:
        DataError: the image is constant or holds a value that is not finite.
    """
    values = sitk.GetArrayViewFromImage(image)
    if not np.isfinite(values).all():
        raise DataError("an MR image holds values that are not finite; export the series again")
    low, high = float(values.min()), float(np.quantile(values, 0.98))
    if low >= high:
        raise DataError("an MR image shows the same signal almost everywhere; no tissue can be told from air")
    smoothed = sitk.Clamp(smooth(image, [_SMOOTHING_MM] * 3), sitk.sitkFloat32, low, high)
    bright = sitk.OtsuThreshold(smoothed, 0, 1)
    depth = sitk.GetArrayFromImage(distance_mm(bright == 0))
    brain_signal = float(np.median(sitk.GetArrayViewFromImage(smoothed)[depth >= depth.max() / 2]))
    dimmest, brightest = (share * brain_signal for share in BRAIN_SIGNAL)
    alike = sitk.And(bright, sitk.And(smoothed >= dimmest, smoothed <= brightest))
    away_mm = distance_mm(alike == 0)
    core = sitk.RelabelComponent(sitk.ConnectedComponent(away_mm > _CORE_DEPTH_MM), sortByObjectSize=True) == 1
    if not sitk.GetArrayViewFromImage(core).any():
        return core
    return sitk.And(away_mm > TISSUE_DEPTH_MM, distance_mm(core) <= _CORE_REACH_MM)


def healthy_tissue(
    tissues: Sequence[sitk.Image], lesions: Sequence[sitk.Image], *, margin_mm: float = LESION_MARGIN_MM
) -> sitk.Image:
    """Return the tissue common to all sessions that is farther than `margin_mm` from every lesion of any of them.

    Args:
        tissues: uint8, `tissue_mask` of each session on one grid; at least one.
        lesions: uint8, every GTV of every session on the same grid.
        margin_mm: at least 0; the default leaves out enhancement beyond the contour and most of the oedema.

    Raises:
        DataError: a grid differs from the first one.
    """
    healthy = tissues[0] > 0
    for mask in [*tissues[1:], *lesions]:
        _check_same_grid(healthy, mask)
    for tissue in tissues[1:]:
        healthy = sitk.And(healthy, tissue > 0)
    for lesion in lesions:
        if sitk.GetArrayViewFromImage(lesion).any():  # the distance to nothing is not defined
            healthy = sitk.And(healthy, distance_mm(lesion) > margin_mm)
    return healthy


def within_reach(region: sitk.Image, lesion: sitk.Image, *, reach_mm: float = 25.0) -> sitk.Image:
    """Return the part of `region` at most `reach_mm` from `lesion`, to judge the scale where the drift is measured.

    Args:
        region: uint8, 1 inside.
        lesion: uint8 on the same grid, with at least one voxel inside.
        reach_mm: between voxel centres, at least 0.

    Returns:
        uint8 on the same grid.

    Raises:
        DataError: the grids differ, or the lesion is empty.
    """
    _check_same_grid(region, lesion)
    if not sitk.GetArrayViewFromImage(lesion).any():
        raise DataError("a lesion mask is empty; there is no neighbourhood to look at")
    return sitk.And(region > 0, distance_mm(lesion) <= reach_mm)


def session_gain(pre: sitk.Image, post: sitk.Image, healthy: sitk.Image) -> SessionGain:
    """Return the factor that brings `post` onto the scale of `pre`: the median over tissue of pre / post.

    Where the true signals are s and s/g and both carry symmetric noise, pre - g*post is symmetric about zero, so that
    pre/post is below g exactly as often as above it, in every voxel whatever its signal. The median is therefore right
    with noise in both sessions, where a regression through the origin comes out too small by s^2/(s^2 + noise^2). It
    also stands up to half of the voxels being wrong, and swapping the sessions gives the inverse. A bias field b(x)
    between the sessions moves it by no more than b's range over the tissue, and not at all when b's median is 1.

    Args:
        pre: the first session, any unit.
        post: the second session on the grid of the first.
        healthy: uint8 on the same grid, see `healthy_tissue`.

    Raises:
        DataError: the grids differ, or fewer than `MIN_TISSUE_VOXELS` voxels are healthy tissue with signal in both.
    """
    first, second = _signals(pre, post, healthy)
    with_signal = (first > 0) & (second > 0)
    _check_enough(int(with_signal.sum()))
    ratio = first[with_signal] / second[with_signal]
    gain = float(np.median(ratio))
    sigma = _NORMAL_SIGMA_PER_MAD * float(np.median(np.abs(ratio - gain)))
    return SessionGain(
        gain=gain, standard_error=_MEDIAN_ERROR_PER_MEAN_ERROR * sigma / np.sqrt(ratio.size), voxels=ratio.size
    )


def background_drift(pre: sitk.Image, post: sitk.Image, healthy: sitk.Image) -> BackgroundDrift:
    """Return how large post - pre is where nothing should have changed, in per cent of the median signal of `pre`.

    Args:
        pre: the first session.
        post: the second session on the grid and on the scale of the first.
        healthy: uint8 on the same grid; `within_reach` of one lesion for that lesion's figure.

    Raises:
        DataError: the grids differ, or there are fewer than `MIN_TISSUE_VOXELS` voxels, or their median signal is 0.
    """
    first, second = _signals(pre, post, healthy)
    _check_enough(first.size)
    level = float(np.median(first))
    if level <= 0:
        raise DataError(f"the median signal of healthy tissue in the first MRI is {level:g}; it must be above 0")
    drift = 100 * (second - first) / level
    spread = _NORMAL_SIGMA_PER_MAD * float(np.median(np.abs(drift - np.median(drift))))
    return BackgroundDrift(mean_percent=float(drift.mean()), spread_percent=spread, voxels=drift.size)


def distance_mm(mask: sitk.Image) -> sitk.Image:
    """Return float32, the distance in mm from each voxel's centre to the nearest of `mask`, 0 or below inside."""
    return sitk.SignedMaurerDistanceMap(mask > 0, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)


def _signals(pre: sitk.Image, post: sitk.Image, region: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    _check_same_grid(pre, post)
    _check_same_grid(pre, region)
    inside = sitk.GetArrayFromImage(sitk.And(region > 0, sitk.And(measured(pre), measured(post)))) > 0
    first, second = sitk.GetArrayViewFromImage(pre)[inside], sitk.GetArrayViewFromImage(post)[inside]
    return first.astype(np.float64), second.astype(np.float64)


def _check_enough(voxels: int) -> None:
    if voxels < MIN_TISSUE_VOXELS:
        raise DataError(
            f"only {voxels} voxels of healthy tissue with signal in both MRIs, {MIN_TISSUE_VOXELS} are needed; "
            "check that both show the same part of the head"
        )


def _check_same_grid(one: sitk.Image, other: sitk.Image) -> None:
    if one.GetSize() != other.GetSize() or not one.IsSameImageGeometryAs(other):
        raise DataError(
            f"two images are not on one grid (sizes {one.GetSize()} and {other.GetSize()}); resample the second first"
        )
