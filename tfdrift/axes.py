"""Which axis of an array of images is which: the only module that counts them.

An image is [S, S, C] or [D, S, S, C]: slices D where there are any, rows, columns, and channels last. Arrays hold
images along leading axes: [n, ...] for samples and batches, [N, n, ...] for N outcomes of each.
"""

from typing import Any

import numpy as np


def image_axes(images: Any, *, leading: int = 1) -> tuple[int, ...]:
    """Return the axes of an image in an array of images, for means and sums over whole images.

    Args:
        images: array or tensor [..., S, S, C] or [..., D, S, S, C], with `leading` axes before those of an image.
        leading: number of axes before those of an image.

    Example:
        >>> image_axes(np.zeros([5, 8, 8, 1])), image_axes(np.zeros([2, 5, 4, 8, 8, 1]), leading=2)
        ((1, 2, 3), (2, 3, 4, 5))
    """
    return tuple(range(leading, len(images.shape)))


def spatial_axes(images: Any, *, leading: int = 1) -> tuple[int, ...]:
    """Return the axes of an image without its channels; the last two are rows and columns.

    Args:
        images: see `image_axes`.
        leading: see `image_axes`.

    Example:
        >>> spatial_axes(np.zeros([5, 4, 8, 8, 1]))
        (1, 2, 3)
    """
    return image_axes(images, leading=leading)[:-1]


def window_axes(images: Any, *, leading: int = 1) -> tuple[int, ...]:
    """Return the axes along which a window of equal sides lies: of cubes all three, else rows and columns.

    A cube has isotropic pixels, see `tfdrift.cohort.crop`. In any other stack slices are farther apart than pixels.

    Args:
        images: see `image_axes`.
        leading: see `image_axes`.

    Example:
        >>> window_axes(np.zeros([5, 8, 8, 8, 1])), window_axes(np.zeros([5, 3, 8, 8, 1]))
        ((1, 2, 3), (2, 3))
    """
    axes = spatial_axes(images, leading=leading)
    return axes if len({images.shape[axis] for axis in axes}) == 1 else axes[-2:]


def per_image(values: np.ndarray, images: Any, *, leading: int = 1) -> np.ndarray:
    """Return one value an image, shaped to broadcast against the images.

    Args:
        values: number [...], with `leading` axes.
        images: see `image_axes`.
        leading: see `image_axes`.

    Example:
        >>> per_image(np.arange(5), np.zeros([5, 8, 8, 1])).shape
        (5, 1, 1, 1)
    """
    return np.reshape(values, [*np.shape(values), *[1] * len(image_axes(images, leading=leading))])


def picture(image: np.ndarray, *, channel: int = 0) -> np.ndarray:
    """Return a slice of an image to draw: [S, S], the middle one where there are several.

    Args:
        image: [S, S, C] or [D, S, S, C].
        channel: which one.

    Example:
        >>> picture(np.zeros([8, 8, 1])).shape, picture(np.zeros([5, 8, 8, 2]), channel=1).shape
        ((8, 8), (8, 8))
    """
    flat = image[..., channel]
    return flat if flat.ndim == 2 else flat[len(flat) // 2]


def first_channel(images: Any) -> Any:
    """Return the channel that treatment changes, as an image of one channel.

    Args:
        images: array or tensor [..., S, S, C].

    Example:
        >>> first_channel(np.zeros([5, 8, 8, 2])).shape
        (5, 8, 8, 1)
    """
    return images[..., :1]


def split_channels(images: Any, at: int) -> tuple[Any, Any]:
    """Return the channels before a place among them, and those from it on.

    Args:
        images: array or tensor [..., S, S, C].
        at: number of channels of the first part; below 0, how many the second part has.

    Example:
        >>> before, after = split_channels(np.zeros([5, 8, 8, 3]), -1)
        >>> before.shape, after.shape
        ((5, 8, 8, 2), (5, 8, 8, 1))
    """
    return images[..., :at], images[..., at:]
