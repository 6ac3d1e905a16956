"""Errors of known size are put on known lesions; what is learned must be that size."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.random_samples import make_samples
from tfdrift.diffusion.noise import example_seeds
from tfdrift.methods.dressing import Dressing, dressed
from tfdrift.training.dressing import Answered, learn_dressing, size_and_gain_errors

LESIONS, SIDE = 80, 24
TRUE = Dressing(growth=0.15, movement=1.0, gain=0.2, texture=0.2)
NONE = Dressing(growth=0.0, movement=0.0, gain=0.0, texture=0.0)


def answered(true):
    """Return striped discs as answers and, as what came, the same with errors."""
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    radius = np.random.default_rng(0).uniform(5, 8, LESIONS)[:, None, None]
    inside = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1)
    lesions = (inside * (0.7 + 0.3 * np.sin(rows) * np.sin(columns)))[..., None].astype(np.float32)
    answer = {"post": tf.constant(lesions), "drift": tf.zeros_like(lesions)}
    post = tf.function(dressed)(answer, example_seeds(LESIONS, 7), true)["post"].numpy()
    return Answered(lesions, dataclasses.replace(make_samples(count=LESIONS, size=SIDE), pre=lesions, post=post))


@pytest.fixture(scope="module")
def learned():
    """What two groups teach together."""
    whole = answered(TRUE)
    rows = np.split(np.arange(LESIONS), 2)
    return learn_dressing([Answered(whole.predicted[half], whole.held_out.take(half)) for half in rows], seed=0)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Dressing)])
def test_the_size_of_errors_is_found(learned, name):
    # A standard deviation of 80 normal numbers has a relative standard error of 0.08.
    assert getattr(learned, name) == pytest.approx(getattr(TRUE, name), rel=0.3)


def test_where_nothing_errs_nothing_is_learned():
    found = learn_dressing([answered(NONE)], seed=0)
    assert (found.growth, found.gain) == (0, 0)
    assert found.movement < 0.05
    assert found.texture < 0.005


def test_a_lesion_is_measured_over_all_of_its_slices():
    true = np.zeros((3, 16, 16, 1), np.float32)
    true[:, 4:12, 4:12] = 1.0
    predicted = true.copy()
    predicted[1, 4:12, 4:8] = 0.0  # half of the second slice of lesion 0, a quarter of the lesion
    growth, gain = size_and_gain_errors(predicted, true, np.array([0, 0, 1]))
    assert growth == pytest.approx(np.sqrt(np.mean([(np.log(3 / 4) / 2) ** 2, 0])))
    assert gain == pytest.approx(0)


def test_a_lesion_that_is_gone_does_not_count():
    gone = np.zeros((2, 16, 16, 1), np.float32)
    there = gone.copy()
    there[1, 4:12, 4:12] = 1.0
    assert size_and_gain_errors(there, there, np.array([0, 1])) == (0, 0)
    assert size_and_gain_errors(there, gone, np.array([0, 1])) == (0, 0)
