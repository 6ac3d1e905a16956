"""Which image of others is most like an image, however either is turned or mirrored.

A lesion has no direction that an anatomy would give it, so two images are compared over the eight symmetries of the
square, numbered as in `tfdrift.methods.symmetries`.
"""

from typing import NamedTuple

import numpy as np

from tfdrift.axes import image_axes, spatial_axes
from tfdrift.methods.symmetries import ALL

_BLOCK = 1024


class Neighbours(NamedTuple):
    """The nearest of the known images to each of n images.

    Args:
        row: int64 [n], which known image.
        symmetry: int64 [n], under which `turned` it is nearest.
        distance: float64 [n], mean squared difference over the whole image.
    """

    row: np.ndarray
    symmetry: np.ndarray
    distance: np.ndarray

    def of(self, known: np.ndarray) -> np.ndarray:
        """Return for each of the n images what belongs to its neighbour, turned as that one was, [n, ..., S, S, C].

        Args:
            known: float [m, ..., S, S, C], a map for each known image.
        """
        found = known[self.row]
        for number in range(1, ALL):
            here = self.symmetry == number
            found[here] = turned(found[here], number)
        return found


def turned(images: np.ndarray, symmetry: int) -> np.ndarray:
    """Return images under a symmetry of the square, as `tfdrift.methods.symmetries.apply_symmetry` does.

    Args:
        images: [n, ..., S, S, C].
        symmetry: 0 to 7: `symmetry % 4` quarter turns counter-clockwise, mirrored left to right from 4 on.

    Example:
        >>> turned(np.arange(4).reshape(1, 2, 2, 1), 4)[0, :, :, 0].tolist()
        [[1, 0], [3, 2]]
    """
    rows, columns = spatial_axes(images)[-2:]
    found = np.rot90(images, symmetry % 4, (rows, columns))
    return np.flip(found, columns) if symmetry >= 4 else found


def nearest(images: np.ndarray, known: np.ndarray) -> Neighbours:
    """Return the known image that each image differs least from, over the eight symmetries.

    Args:
        images: float32 [n, ..., S, S, C].
        known: float32 [m, ..., S, S, C], m at least 1.

    Example:
        >>> known = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
        >>> nearest(turned(known[1:], 3), known)
        Neighbours(row=array([1]), symmetry=array([3]), distance=array([0.]))
    """
    flat = images.reshape(len(images), -1)
    squares = np.sum(known.astype(np.float64) ** 2, axis=image_axes(known))
    best = np.full(len(images), np.inf)
    row, symmetry = np.zeros((2, len(images)), np.int64)
    for number in range(ALL):
        candidates = turned(known, number).reshape(len(known), -1)
        for start in range(0, len(images), _BLOCK):  # one matrix product a block
            block = slice(start, start + _BLOCK)
            # Less the square of the image itself, which is the same for all candidates.
            differences = squares - 2 * (flat[block] @ candidates.T)
            place = differences.argmin(axis=1)
            smallest = differences[np.arange(len(place)), place]
            nearer = smallest < best[block]
            best[block][nearer], row[block][nearer] = smallest[nearer], place[nearer]
            symmetry[block][nearer] = number
    # A difference of large sums would round the distance of a near copy away.
    for start in range(0, len(images), _BLOCK):
        block = slice(start, start + _BLOCK)
        like = Neighbours(row[block], symmetry[block], best[block]).of(known)
        best[block] = np.mean((images[block].astype(np.float64) - like) ** 2, axis=image_axes(images))
    return Neighbours(row, symmetry, best)
