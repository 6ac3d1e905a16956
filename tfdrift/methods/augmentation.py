"""How each slice is shown in training: the paper's rotations, and looks that a lesion might as well have had."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from tfdrift.axes import spatial_axes
from tfdrift.methods.symmetries import ALL, apply_symmetry, rotate, turn_over

if TYPE_CHECKING:  # the command line reads the table's names, and TensorFlow takes seconds
    import tensorflow as tf

SCALE_STD = 0.07
"""Standard deviation of the logarithm of how much larger a lesion is shown."""
SHIFT_STD = 0.6
"""Standard deviation of how far it is moved along each axis, in pixels."""
ELASTIC_STD, ELASTIC_KNOTS = 0.7, 4
"""Standard deviation of what each of so many knots along an axis is moved by beside that, in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What training shows of a pair of images beside the pair itself.

    Args:
        copies: how many looks an epoch has of each slice.
        look: (images [B, ..., C], number of the look int [B], 0 to `copies` - 1, seed int64 [B, 2]) to the images as
            they look then; both images of a pair are given the same number and seed.
    """

    copies: int
    look: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def warp(images: tf.Tensor, seed: tf.Tensor, *, elastic: bool = False) -> tf.Tensor:
    """Return each image turned by any angle, made larger or smaller, and moved, by what its seed draws.

    Every pixel takes the value of the one that is nearest to where it comes from, so that the edge of a lesion, which
    holds most of the drift, stays as sharp as it was: averages of neighbours blur it. What comes from outside is 0.

    Args:
        images: float32 [B, S, S, C], or [B, D, S, S, C], whose slices are warped one as the other.
        seed: int64 [B, 2].
        elastic: whether knots of a coarse lattice are moved as well, each by itself, and the rest follows smoothly.

    Source: Simard, Steinkraus and Platt (2003), sec. 2, for affine and elastic distortions.
    """
    import tensorflow as tf

    from tfdrift.diffusion.noise import unit_normal

    rows, columns = spatial_axes(images)[-2:]
    height, width = int(images.shape[rows]), int(images.shape[columns])  # pyright: ignore[reportArgumentType]
    batch = tf.shape(images)[0]
    turn_y, turn_x, larger, *shift = tf.unstack(unit_normal(seed, tf.zeros([batch, 5])), axis=1)
    angle = tf.atan2(turn_y, turn_x)  # of two independent normal numbers: every angle alike
    shrunk = tf.exp(-SCALE_STD * larger)
    cos, sin = (shrunk * tf.cos(angle))[:, None, None], (shrunk * tf.sin(angle))[:, None, None]
    down, right = (SHIFT_STD * pixels[:, None, None] for pixels in shift)
    y, x = tf.meshgrid(*(tf.range(float(side)) - (side - 1) / 2 for side in (height, width)), indexing="ij")
    row = cos * y - sin * x + down + (height - 1) / 2
    column = sin * y + cos * x + right + (width - 1) / 2
    if elastic:
        knots = ELASTIC_STD * unit_normal(seed, tf.zeros([batch, ELASTIC_KNOTS, ELASTIC_KNOTS, 2]), 1)
        bent_down, bent_right = tf.unstack(tf.image.resize(knots, [height, width], "bicubic"), axis=3)
        row, column = row + bent_down, column + bent_right
    row, column = tf.cast(tf.round(row), tf.int32), tf.cast(tf.round(column), tf.int32)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    flat = tf.where(inside, row * width + column, 0)
    return _taken(images, flat, inside)


def _taken(images: tf.Tensor, flat: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """Return, in every slice of an image, the pixels of number `flat` int [B, S, S], and 0 where not `inside`."""
    import tensorflow as tf

    shape = tf.shape(images)
    pixels = tf.reshape(images, [shape[0], -1, shape[-3] * shape[-2], shape[-1]])
    numbers = tf.repeat(tf.reshape(flat, [shape[0], 1, -1]), tf.shape(pixels)[1], axis=1)
    found = tf.reshape(tf.gather(pixels, numbers, axis=2, batch_dims=2), shape)
    seen = tf.reshape(inside, [shape[0], *[1] * (images.shape.rank - 4), shape[-3], shape[-2], 1])
    return tf.where(seen, found, 0.0)


def _mirrored_and_warped(*, elastic: bool) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    def look(images: tf.Tensor, number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return warp(apply_symmetry(turn_over(images, seed), number), seed, elastic=elastic)

    return look


AUGMENTATIONS: dict[str, Augmentation] = {
    "rotations": Augmentation(copies=4, look=lambda images, number, _seed: rotate(images, number)),
    "symmetries": Augmentation(
        copies=ALL, look=lambda images, number, seed: apply_symmetry(turn_over(images, seed), number)
    ),
    "affine": Augmentation(copies=ALL, look=_mirrored_and_warped(elastic=False)),
    "elastic": Augmentation(copies=ALL, look=_mirrored_and_warped(elastic=True)),
}
"""What `--augment` may be.

The paper's four rotations; those and their mirror images; any angle, size and place, mirrored or not; the same bent as
well. Of volumes that are cubes the last three also take any axis for that of the slices.
"""
