"""What a training image may look like as well: the square's rotations."""

import tensorflow as tf


def rotate(images: tf.Tensor, quarter_turns: tf.Tensor) -> tf.Tensor:
    """Return each image turned counter-clockwise by its number of quarter turns.

    Args:
        images: [B, S, S, C], or [B, D, S, S, C], which are turned about the slices' axis.
        quarter_turns: int [B], 0 to 3.

    Example:
        >>> import numpy as np
        >>> image = tf.reshape(tf.range(4), [1, 2, 2, 1])
        >>> rotate(image, tf.constant([1]))[0, :, :, 0].numpy().tolist() == np.rot90([[0, 1], [2, 3]]).tolist()
        True
    """
    rank = images.shape.rank
    rows, columns = rank - 3, rank - 2
    swapped = [*range(rows), columns, rows, rank - 1]
    turns = tf.reshape(quarter_turns, [-1, *[1] * (rank - 1)])
    once = tf.reverse(tf.transpose(images, swapped), [rows])
    images = tf.where(tf.math.floormod(turns, 2) == 1, once, images)
    return tf.where(turns >= 2, tf.reverse(images, [rows, columns]), images)
