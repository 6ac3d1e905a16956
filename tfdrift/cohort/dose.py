"""The dose of treatment as a channel of the first MRI's crops, beside the signal.

In the channel `dose` a pixel holds the dose in Gy divided by `DOSE_UNIT_GY`, and zero outside the GTV, as the signal
does. It is on no scale of the slice's own: 1 is the same dose in every lesion.
"""

from collections.abc import Sequence

import numpy as np

from tfdrift.axes import image_axes
from tfdrift.cohort.crop import Box, crop_slice
from tfdrift.errors import DataError

DOSE = "dose"
"""Name of the channel."""

DOSE_UNIT_GY = 20.0
"""Gy that stand for 1."""


def crop_dose(
    dose_gy: np.ndarray,
    inside: np.ndarray,
    box: Box,
    spacing_mm: tuple[float, float, float],
) -> np.ndarray:
    """Return the channel `dose` of slices, or of a whole lesion, as float32 of the shape of `inside`.

    Args:
        dose_gy: real [n, rows, columns], or [n, slices, rows, columns] for cubes, in Gy.
        inside: bool [n, S, S, 1], or [n, S, S, S, 1], the GTV of the first MRI in the crops.
        box: where to crop.
        spacing_mm: of slices, rows and columns.

    Example:
        >>> box = Box(center_row=3.5, center_column=3.5, side_mm=4.0)
        >>> inside = np.ones((1, 4, 4, 1), bool)
        >>> crop_dose(np.full((1, 8, 8), 30.0), inside, box, (1.0, 1.0, 1.0))[0, 0, 0].tolist()
        [1.5]
    """
    crops = np.stack([crop_slice(one, box, spacing_mm, inside.shape[-2]) for one in dose_gy])
    return (crops[..., None] * inside / DOSE_UNIT_GY).astype(np.float32)


def has_dose(channels: Sequence[str]) -> bool:
    """Return whether a dose is among the channels of some images.

    Example:
        >>> has_dose(("T1", "dose")), has_dose(("T1",))
        (True, False)
    """
    return DOSE in channels


def scale_dose(images: np.ndarray, channels: Sequence[str], factor: float) -> np.ndarray:
    """Return images that received so many times the dose, and are otherwise the same.

    Args:
        images: real [..., S, S, C].
        channels: name of each of the C channels.
        factor: of the dose, 0 or more.

    Raises:
        DataError: there is no dose among the channels.

    Example:
        >>> scale_dose(np.ones((1, 2, 2, 2)), ("T1", "dose"), 1.2)[0, 0, 0].tolist()
        [1.0, 1.2]
    """
    if not has_dose(channels):
        raise DataError(f"the images show {', '.join(channels)} and no dose; it cannot be scaled")
    factors = np.array([factor if name == DOSE else 1.0 for name in channels], images.dtype)
    return images * factors


def mean_dose_gy(
    images: np.ndarray, mask: np.ndarray, channels: Sequence[str], *, unit_gy: float = DOSE_UNIT_GY
) -> np.ndarray:
    """Return the mean dose inside the GTV of each image, float64 [n], in Gy.

    Args:
        images: real [n, ..., S, S, C], crops of the first MRI.
        mask: bool [n, ..., S, S, 1], its GTV.
        channels: name of each of the C channels, one of them `DOSE`.
        unit_gy: Gy that stand for 1 in the images; 1 in crops of which nothing was scaled yet.

    Example:
        >>> mean_dose_gy(np.ones((1, 2, 2, 2)), np.ones((1, 2, 2, 1), bool), ("T1", "dose")).tolist()
        [20.0]
    """
    place = list(channels).index(DOSE)
    axes = image_axes(mask)
    total = np.sum(images[..., place : place + 1] * mask, axis=axes, dtype=np.float64)
    return unit_gy * total / np.maximum(mask.sum(axis=axes), 1)
