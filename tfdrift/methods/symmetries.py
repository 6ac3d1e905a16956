"""The symmetries of the square: what an image may look like as well, in training and when a network is asked.

A lesion has no direction that an anatomy would give it. So both images of a pair, turned or mirrored, are another pair,
and a network's answer should turn with its image. Symmetry 0 is the image as it is, 1 to 3 turn it, 4 to 7 mirror it as
well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads the tables' names, and TensorFlow takes seconds
    import tensorflow as tf

    from tfdrift.methods.method import Ask, Images

ALL = 8
SYMMETRIES = (1, ALL)
"""What `--symmetries` may be: how many of them an answer is averaged over."""


def rotate(images: tf.Tensor, quarter_turns: tf.Tensor) -> tf.Tensor:
    """Return each image turned counter-clockwise by its number of quarter turns.

    Args:
        images: [B, S, S, C], or [B, D, S, S, C], which are turned about the slices' axis.
        quarter_turns: int [B], 0 to 3.

    Example:
        >>> import numpy as np, tensorflow as tf
        >>> image = tf.reshape(tf.range(4), [1, 2, 2, 1])
        >>> rotate(image, tf.constant([1]))[0, :, :, 0].numpy().tolist() == np.rot90([[0, 1], [2, 3]]).tolist()
        True
    """
    import tensorflow as tf

    rank = images.shape.rank
    rows, columns = rank - 3, rank - 2
    swapped = [*range(rows), columns, rows, rank - 1]
    turns = tf.reshape(quarter_turns, [-1, *[1] * (rank - 1)])
    once = tf.reverse(tf.transpose(images, swapped), [rows])
    images = tf.where(tf.math.floormod(turns, 2) == 1, once, images)
    return tf.where(turns >= 2, tf.reverse(images, [rows, columns]), images)


def apply_symmetry(images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Return each image under a symmetry of the square: turned, then mirrored left to right.

    Args:
        images: [B, S, S, C], or [B, D, S, S, C], whose slices are turned and mirrored one as the other.
        number: int [B], 0 to 7: `number % 4` quarter turns, mirrored from 4 on.

    Example:
        >>> import tensorflow as tf
        >>> apply_symmetry(tf.reshape(tf.range(4), [1, 2, 2, 1]), tf.constant([4]))[0, :, :, 0].numpy().tolist()
        [[1, 0], [3, 2]]
    """
    import tensorflow as tf

    return _mirrored(rotate(images, tf.math.floormod(number, 4)), number)


def turn_over(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return each cube with another of its axes along the slices, forwards or backwards, as its seed draws it.

    With the symmetries of the square in each slice these are the 48 of a cube; what is no cube stays as it is.

    Args:
        images: [B, S, S, C], or [B, D, S, S, C].
        seed: int64 [B, 2].

    Example:
        >>> import tensorflow as tf
        >>> cube, seed = tf.reshape(tf.range(8), [1, 2, 2, 2, 1]), tf.constant([[1, 2]], tf.int64)
        >>> sorted(tf.reshape(turn_over(cube, seed), [-1]).numpy().tolist()) == list(range(8))
        True
    """
    import tensorflow as tf

    from tfdrift.diffusion.noise import unit_normal

    if images.shape.rank != 5 or len(set(images.shape[1:4])) > 1:
        return images
    drawn = unit_normal(seed, tf.zeros([tf.shape(images)[0], 4]), 2)
    along, backwards = (
        tf.reshape(values, [-1, 1, 1, 1, 1]) for values in (tf.argmax(drawn[:, :3], axis=1), drawn[:, 3] > 0)
    )
    once = tf.transpose(images, [0, 2, 3, 1, 4])
    images = tf.where(along == 0, images, tf.where(along == 1, once, tf.transpose(once, [0, 2, 3, 1, 4])))
    return tf.where(backwards, tf.reverse(images, [1]), images)


def undo_symmetry(images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Return the inverse of `apply_symmetry`.

    Args:
        images: see there.
        number: see there.
    """
    import tensorflow as tf

    return rotate(_mirrored(images, number), tf.math.floormod(-number, 4))


def undo_each(outputs: Images, number: tf.Tensor) -> Images:
    """Return `undo_symmetry` of each of a network's outputs.

    Args:
        outputs: images by name.
        number: see `apply_symmetry`.
    """
    return {name: undo_symmetry(output, number) for name, output in outputs.items()}


def symmetric(ask: Ask, turn_back: Callable[[Images, tf.Tensor], Images] = undo_each) -> Ask:
    """Return a network averaged over the symmetries of the square: its answer turns and mirrors with the image.

    Each symmetry of the image is answered, turned back, and the mean taken. Whatever a method has put into the image,
    noise above all, is turned along with it, so that all eight answer to the same draw. They are asked one after the
    other, so that the network's memory is that of one.

    Args:
        ask: the network.
        turn_back: (outputs for the turned image, number of the symmetry int [B]) to those for the image.

    Source: Cohen and Welling (2016), sec. 2, averaging over a group; test-time augmentation.
    """
    import tensorflow as tf

    def ask_all(image: tf.Tensor, t: tf.Tensor, latent: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        def ask_one(number: tf.Tensor) -> dict[str, tf.Tensor]:
            every = tf.fill([tf.shape(image)[0]], number)
            turned = None if latent is None else apply_symmetry(latent, every)
            return turn_back(ask(apply_symmetry(image, every), t, turned), every)

        answers = tf.map_fn(
            ask_one,
            tf.range(ALL),
            parallel_iterations=1,
            fn_output_signature={"recon": tf.float32, "drift": tf.float32},
        )
        return {name: tf.reduce_mean(answer, axis=0) for name, answer in answers.items()}

    return ask_all


def _mirrored(images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    rank = images.shape.rank
    is_mirrored = tf.reshape(number >= 4, [-1, *[1] * (rank - 1)])
    return tf.where(is_mirrored, tf.reverse(images, [rank - 2]), images)
