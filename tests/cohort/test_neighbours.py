import numpy as np
import pytest
import tensorflow as tf

from tfdrift.cohort.neighbours import nearest, turned
from tfdrift.methods.symmetries import ALL, apply_symmetry


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(3, 6, 6, 2), (3, 2, 6, 6, 1)], ids=["slices", "stacks"])
@pytest.mark.parametrize("number", range(ALL))
def test_symmetries_are_those_of_the_networks(number, shape):
    images = noise(*shape)
    expected = apply_symmetry(tf.constant(images), tf.fill([3], number)).numpy()
    np.testing.assert_array_equal(turned(images, number), expected)


@pytest.mark.parametrize("shape", [(6, 6, 2), (2, 6, 6, 1)], ids=["slices", "stacks"])
def test_a_copy_is_found_however_it_is_turned(shape):
    known = noise(20, *shape)
    images = np.concatenate([turned(known[10 + number : 11 + number], number) for number in range(ALL)])
    found = nearest(images, known)
    np.testing.assert_array_equal(found.row, 10 + np.arange(ALL))
    np.testing.assert_array_equal(found.symmetry, np.arange(ALL))
    np.testing.assert_array_equal(found.distance, 0)
    np.testing.assert_array_equal(found.of(known), images)


def test_the_distance_is_the_smallest_of_all_pairs_and_symmetries():
    images, known = noise(5, 4, 4, 1), noise(7, 4, 4, 1, seed=1)
    every = [[np.mean((image - turned(known, number)) ** 2, axis=(1, 2, 3)) for number in range(8)] for image in images]
    np.testing.assert_allclose(nearest(images, known).distance, np.min(every, axis=(1, 2)), rtol=1e-6)


def test_the_distance_of_a_near_copy_is_not_rounded_away():
    known = 100 + noise(3, 16, 16, 1)
    found = nearest(known + np.float32(0.01), known)
    np.testing.assert_allclose(found.distance, 1e-4, rtol=1e-2)


def test_more_images_than_a_block_are_all_answered():
    known = noise(2, 2, 2, 1)
    images = np.concatenate([known] * 1500)
    np.testing.assert_array_equal(nearest(images, known).row, [0, 1] * 1500)
