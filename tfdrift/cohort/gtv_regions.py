"""Core, rim and outside of a GTV, slice by slice.

The rim of a GTV is what an erosion by half of its largest depth takes away, the core is what is left. Depth is the
distance of a pixel from the nearest one outside the GTV, so the two regions scale with the lesion: of a disc the core
is the disc of half the radius.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

from tfdrift.axes import spatial_axes

CORE_DEPTH = 0.5
"""The core is deeper than this share of the largest depth."""

REGIONS = ("core", "rim", "outside")
CORE, RIM, OUTSIDE = range(len(REGIONS))


def core_and_rim(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (core, rim) of a slice's GTV, which share no pixel and make up the GTV together.

    Args:
        mask: bool [H, W]; beyond the border nothing is GTV.

    Returns:
        Two bool [H, W]; the core of a GTV that is one or two pixels thin is the whole GTV.

    Example:
        >>> core, rim = core_and_rim(np.ones((9, 9), bool))
        >>> int(core.sum()), int(rim.sum())
        (25, 56)
    """
    depth = np.asarray(distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    core = mask & (depth > CORE_DEPTH * depth.max(initial=0))
    return core, mask & ~core


def gtv_regions(masks: np.ndarray) -> np.ndarray:
    """Return the number in `REGIONS` of each pixel's region, every slice by itself.

    Args:
        masks: bool [n, ..., S, S, 1], the GTV.

    Returns:
        int8, the same shape.

    Example:
        >>> regions = gtv_regions(np.pad(np.ones((1, 3, 3, 1), bool), ((0, 0), (1, 1), (1, 1), (0, 0))))
        >>> regions.squeeze().tolist()
        [[2, 2, 2, 2, 2], [2, 1, 1, 1, 2], [2, 1, 0, 1, 2], [2, 1, 1, 1, 2], [2, 2, 2, 2, 2]]
    """
    rows, columns = spatial_axes(masks)[-2:]
    slices = masks.reshape(-1, masks.shape[rows], masks.shape[columns])
    found = np.full(slices.shape, OUTSIDE, np.int8)
    for region, mask in zip(found, slices, strict=True):
        core, rim = core_and_rim(mask)
        region[core], region[rim] = CORE, RIM
    return found.reshape(masks.shape)
