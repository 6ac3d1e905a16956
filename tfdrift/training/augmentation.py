"""What a training image may look like as well: the square's rotations."""

import tensorflow as tf


def rotate(images: tf.Tensor, quarter_turns: tf.Tensor) -> tf.Tensor:
    """Return each image turned counter-clockwise by its number of quarter turns.

    Args:
        images: [B, S, S, 1].
        quarter_turns: int [B], 0 to 3.

    Example:
        >>> image = tf.reshape(tf.range(4), [1, 2, 2, 1])
        >>> rotate(image, tf.constant([1]))[0, :, :, 0].numpy().tolist() == np.rot90([[0, 1], [2, 3]]).tolist()
        True
    """
    once = tf.reverse(tf.transpose(images, [0, 2, 1, 3]), [1])
    images = tf.where(tf.reshape(tf.math.floormod(quarter_turns, 2) == 1, [-1, 1, 1, 1]), once, images)
    return tf.where(tf.reshape(quarter_turns >= 2, [-1, 1, 1, 1]), tf.reverse(images, [1, 2]), images)
