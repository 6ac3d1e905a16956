"""More channels of the first MRI than the one that is predicted: other sequences and the dose, in the same crops.

The first channel is the MRI that the lesions are drawn on; `post` and the drift are of its kind. Zero everywhere means
that a channel is not known.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import SimpleITK as sitk

from tfdrift.axes import image_axes, per_image
from tfdrift.cohort.crop import Box, crop_signal
from tfdrift.cohort.dose import DOSE, DOSE_UNIT_GY
from tfdrift.imaging.pixels import measured

Scaling = Literal["first", "own", "dose"]


def scalings(names: Sequence[str]) -> tuple[Scaling, ...]:
    """Return what each channel is divided by, as its name tells.

    That is the largest signal of the first channel, for the first one and those that are named after it, such as
    `T1 below`; the largest of its own, for another sequence, whose units are others; and `DOSE_UNIT_GY` for the dose.

    Args:
        names: of all channels, in order.

    Example:
        >>> scalings(("T1", "T1 below", "FLAIR", "dose"))
        ('first', 'first', 'own', 'dose')
    """

    def one(name: str) -> Scaling:
        if name == DOSE:
            return "dose"
        return "first" if name == names[0] or name.startswith(f"{names[0]} ") else "own"

    return tuple(one(name) for name in names)


def crop_channel(
    image: np.ndarray,
    seen: np.ndarray,
    inside: np.ndarray,
    box: Box,
    spacing_mm: tuple[float, float, float],
    slices: Sequence[int],
) -> np.ndarray:
    """Return a channel in the crops of a lesion, in its own units and zero outside the GTV.

    Args:
        image: real [slices, rows, columns], on the first channel's grid.
        seen: bool, the same grid, where the channel was measured.
        inside: bool [n, S, S, 1], or [1, S, S, S, 1] of the whole lesion, the GTV in the crops.
        box: where to crop.
        spacing_mm: of slices, rows and columns.
        slices: indices of the n slices; nothing to a cube.

    Returns:
        float32 of the shape of `inside`.

    Example:
        >>> box = Box(center_row=3.5, center_column=3.5, side_mm=4.0)
        >>> ones = np.ones((2, 8, 8))
        >>> crop_channel(30 * ones, ones > 0, np.ones((1, 4, 4, 1), bool), box, (1.0, 1.0, 1.0), [1])[0, 0, 0].tolist()
        [30.0]
    """
    places = [slice(None)] if box.rank == 3 else slices
    crops = [crop_signal(image[place], seen[place], box, spacing_mm, inside.shape[-2]) for place in places]
    return (np.stack(crops)[..., None] * inside).astype(np.float32)


def cut_channel(
    channel: sitk.Image | None,
    gtv: np.ndarray,
    inside: np.ndarray,
    box: Box,
    spacing_mm: tuple[float, float, float],
    slices: Sequence[int],
) -> tuple[np.ndarray, float]:
    """Return a channel in the crops of a lesion, see `crop_channel`, and the share of the GTV where it was measured.

    Args:
        channel: on the first channel's grid; None where it is not known, which is zero everywhere and a share of 0.
        gtv: bool [slices, rows, columns], the lesion.
        inside: as of `crop_channel`.
        box: where to crop.
        spacing_mm: of slices, rows and columns.
        slices: indices of the n slices; nothing to a cube.
    """
    if channel is None:
        return np.zeros(inside.shape, np.float32), 0.0
    seen = sitk.GetArrayFromImage(measured(channel)) > 0
    crops = crop_channel(sitk.GetArrayViewFromImage(channel), seen, inside, box, spacing_mm, slices)
    return crops, float((seen & gtv).sum() / gtv.sum())


def scale_channel(crops: np.ndarray, name: str) -> np.ndarray:
    """Return a channel beyond the first as `Samples.pre` holds it: what an exported model makes of the same crops.

    Args:
        crops: float32 [n, ..., S, S, 1], of `crop_channel`.
        name: of the channel; `dose` is divided by `DOSE_UNIT_GY`, any other by its largest signal in each crop.

    Returns:
        float32 of the same shape; zero where a crop holds no signal above zero.

    Example:
        >>> scale_channel(np.full((1, 2, 2, 1), 30, np.float32), "dose")[0, 0, 0].tolist()
        [1.5]
        >>> scale_channel(np.full((1, 2, 2, 1), 30, np.float32), "FLAIR")[0, 0, 0].tolist()
        [1.0]
    """
    if name == DOSE:
        return crops / np.float32(DOSE_UNIT_GY)
    largest = per_image(crops.max(axis=image_axes(crops)), crops)
    return np.divide(crops, largest, out=np.zeros_like(crops), where=largest > 0)
