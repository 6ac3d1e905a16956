"""The predictions, with networks whose right answer is known instead of a trained one."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from tfdrift.axes import spatial_axes
from tfdrift.diffusion.noise import example_seeds, unit_normal, whole_and_smooth
from tfdrift.diffusion.schedule import make_schedule

SCHEDULE = make_schedule("linear", levels=21, noise_level=0.2)
PRE = tf.constant(np.random.default_rng(0).random((3, 8, 8, 1), np.float32))
SEED = tf.constant([[0, 1], [0, 2], [5, 3]], tf.int64)


def test_noise_is_unit_normal_and_independent_between_streams():
    like = tf.zeros([2, 100, 100, 1])
    seed = tf.constant([[0, 1], [0, 2]], tf.int64)
    first, second = unit_normal(seed, like, 0).numpy(), unit_normal(seed, like, 1).numpy()
    for draw in (first, second):
        assert abs(draw.mean()) < 4 / np.sqrt(draw.size)
        assert abs(draw.std() - 1) < 4 / np.sqrt(2 * draw.size)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / np.sqrt(first.size)
    assert abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 4 / np.sqrt(first[0].size)


def test_an_examples_noise_does_not_depend_on_its_batch():
    together = unit_normal(SEED, PRE).numpy()
    alone = unit_normal(SEED[1:2], PRE[1:2]).numpy()
    np.testing.assert_array_equal(together[1:2], alone)


def test_each_example_has_a_seed_of_its_own():
    np.testing.assert_array_equal(example_seeds(3, 7), [[7, 0], [7, 1], [7, 2]])


drawn = tf.function(partial(whole_and_smooth, whole=2, smooth=3))


def test_whole_and_smooth_noise_is_unit_normal_at_every_place_the_border_too():
    seeds = tf.constant(np.stack([np.zeros(4000), np.arange(4000)], axis=1), tf.int64)
    maps = drawn(seeds, tf.zeros([4000, 8, 8, 1])).numpy()
    np.testing.assert_allclose(maps.mean(axis=0), 0, atol=5 / np.sqrt(4000))
    np.testing.assert_allclose(maps.var(axis=0), 1, atol=5 * np.sqrt(2 / 4000))


def test_the_first_maps_have_one_value_an_image_and_the_others_change_over_a_quarter_of_it():
    seeds = tf.constant(np.stack([np.zeros(4000), np.arange(4000)], axis=1), tf.int64)
    maps = drawn(seeds, tf.zeros([4000, 16, 16, 1])).numpy()
    assert np.ptp(maps[..., :2], axis=spatial_axes(maps)).max() == 0
    smooth = maps[..., 2:]
    for shift in range(6):  # means of 4 numbers a side share 4 - shift of them
        together = (smooth[:, 8, 4] * smooth[:, 8, 4 + shift]).mean()
        assert together == pytest.approx(max(0, 1 - shift / 4), abs=5 / np.sqrt(4000))


def test_whole_and_smooth_noise_does_not_depend_on_the_batch():
    alone = whole_and_smooth(SEED[1:2], PRE[1:2], whole=2, smooth=3)
    np.testing.assert_array_equal(whole_and_smooth(SEED, PRE, whole=2, smooth=3)[1:2], alone)
