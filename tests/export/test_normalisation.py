import numpy as np
import tensorflow as tf

from tfdrift.cohort.channels import scale_channel
from tfdrift.export.normalisation import normalise

NAMES = ("T1", "T1 below", "FLAIR", "dose")
IMAGE = np.random.default_rng(0).uniform(0, 1000, (3, 6, 6, 4)).astype(np.float32)


def test_each_channel_is_what_training_makes_of_it_to_the_bit():
    image, scale = (value.numpy() for value in normalise(tf.constant(IMAGE), NAMES))
    np.testing.assert_array_equal(scale, IMAGE[..., :1].max(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_array_equal(image[..., :2], IMAGE[..., :2] / scale)
    for place in (2, 3):
        np.testing.assert_array_equal(
            image[..., place : place + 1], scale_channel(IMAGE[..., place : place + 1], NAMES[place])
        )


def test_an_unknown_channel_stays_zero_and_the_others_what_they_were():
    without = IMAGE * np.array([1, 1, 0, 0], np.float32)
    image, _ = normalise(tf.constant(without), NAMES)
    whole, _ = normalise(tf.constant(IMAGE), NAMES)
    np.testing.assert_array_equal(image, whole.numpy() * np.array([1, 1, 0, 0], np.float32))


def test_channels_without_names_are_all_on_the_first_ones_scale():
    """As models of versions that knew no names were trained."""
    image, scale = normalise(tf.constant(IMAGE))
    np.testing.assert_array_equal(image, IMAGE / scale.numpy())
