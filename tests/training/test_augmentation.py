"""Cohorts on disk come back to the bit or not at all; batches show every slice in every rotation once an epoch."""

import numpy as np
import pytest
import tensorflow as tf

from tfdrift.training.augmentation import rotate


@pytest.mark.parametrize("turns", range(4))
def test_rotation_is_that_of_numpy(turns):
    images = np.random.default_rng(0).random((3, 6, 6, 1), np.float32)
    turned = rotate(tf.constant(images), tf.fill([3], turns))
    np.testing.assert_array_equal(turned, np.rot90(images, turns, axes=(1, 2)))


def test_each_image_of_a_batch_has_its_own_rotation():
    images = np.random.default_rng(0).random((4, 6, 6, 1), np.float32)
    turned = rotate(tf.constant(images), tf.constant([3, 0, 2, 1]))
    for image, after, turns in zip(images, turned.numpy(), (3, 0, 2, 1), strict=True):
        np.testing.assert_array_equal(after, np.rot90(image, turns))
