"""The predictions, with networks whose right answer is known instead of a trained one."""

import numpy as np
import tensorflow as tf

from tfdrift.diffusion.noise import example_seeds, unit_normal
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
