import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SEED, echo, make_predictor
from tfdrift.diffusion.noise import example_seeds
from tfdrift.methods.dressing import Dressing, dressed, with_errors

NONE = Dressing(growth=0.0, movement=0.0, gain=0.0, texture=0.0)
SIDE = 33
PLACES = np.moveaxis(np.indices((SIDE, SIDE)), 0, -1) - SIDE // 2
BELL = tf.constant(np.exp(-np.sum(PLACES**2, axis=-1) / (2 * 4.0**2))[None, ..., None], tf.float32)
"""A lesion of standard deviation 4 pixels in the middle of its crop."""


def errors(**values):
    """Return the same errors at every pixel: growth, gain, rows, columns, texture."""
    names = ("growth", "gain", "rows", "columns", "texture")
    return tf.constant([[values.get(name, 0.0) for name in names]])[:, None, None] * tf.ones([1, SIDE, SIDE, 1])


def moments(image):
    """Return total signal, centre and standard deviation along the rows."""
    weights = np.asarray(image, np.float64)[0, ..., 0]
    centre = [np.sum(weights * PLACES[..., axis]) / weights.sum() for axis in range(2)]
    return weights.sum(), centre, np.sqrt(np.sum(weights * PLACES[..., 0] ** 2) / weights.sum() - centre[0] ** 2)


def test_without_deviations_an_answer_keeps_its_bits():
    answer = {"post": PRE, "drift": PRE / 2, "log_gain": PRE}
    for name, image in dressed(answer, SEED, NONE).items():
        np.testing.assert_array_equal(image, answer[name])


@pytest.mark.parametrize("growth", [-1.0, 1.0])
def test_growth_is_of_the_logarithm_of_the_diameter_about_the_middle(growth):
    grown = with_errors(BELL, errors(growth=growth), dataclasses.replace(NONE, growth=0.2))
    _, centre, deviation = moments(grown)
    assert deviation == pytest.approx(4 * np.exp(0.2 * growth), rel=0.03)
    np.testing.assert_allclose(centre, 0, atol=0.01)


def test_movement_is_in_pixels_along_each_axis():
    moved = with_errors(BELL, errors(rows=1.0, columns=-0.5), dataclasses.replace(NONE, movement=2.0))
    total, centre, _ = moments(moved)
    np.testing.assert_allclose(np.abs(centre), [2.0, 1.0], atol=0.01)
    assert total == pytest.approx(moments(BELL)[0], rel=0.01)


@pytest.mark.parametrize("name", ["gain", "texture"])
def test_brightness_errs_by_its_logarithm_and_is_right_in_the_mean(name):
    one = with_errors(BELL, errors(**{name: 1.0}), dataclasses.replace(NONE, **{name: 0.3}))
    np.testing.assert_allclose(one, BELL * np.exp(0.3 - 0.3**2 / 2), rtol=1e-5)
    deviations, ones = dataclasses.replace(NONE, **{name: 0.3}), tf.ones([4000, 8, 8, 1])
    draw = tf.function(lambda seed: dressed({"post": ones, "drift": ones}, seed, deviations))
    mean = draw(example_seeds(4000, 0))["post"].numpy().mean(axis=0)
    np.testing.assert_allclose(mean, 1, atol=5 * np.sqrt(np.expm1(0.3**2) / 4000))


def test_the_second_mri_and_the_drift_err_alike_and_maps_do_not():
    some = Dressing(growth=0.1, movement=1.0, gain=0.1, texture=0.1)
    answer = dressed({"post": PRE, "drift": tf.zeros_like(PRE), "log_gain": PRE}, SEED, some)
    np.testing.assert_allclose(answer["drift"], answer["post"] - PRE, atol=1e-6)
    assert np.abs(answer["drift"]).max() > 0.01
    np.testing.assert_array_equal(answer["log_gain"], PRE)


def test_an_error_is_that_of_the_seed_whatever_the_batch_and_the_slice():
    some = Dressing(growth=0.1, movement=1.0, gain=0.1, texture=0.1)
    together = dressed({"post": PRE, "drift": PRE}, SEED, some)["post"].numpy()
    alone = dressed({"post": PRE[1:2], "drift": PRE[1:2]}, SEED[1:2], some)["post"].numpy()
    np.testing.assert_array_equal(together[1:2], alone)
    # Brightness is that of the lesion in each of its slices.
    bright = dressed({"post": PRE, "drift": PRE}, tf.repeat(SEED[:1], 3, axis=0), dataclasses.replace(NONE, gain=0.5))
    factors = bright["post"].numpy() / PRE.numpy()
    assert np.ptp(factors) < 1e-5 < abs(factors.mean() - 1)


def test_stacks_of_slices_err_along_three_axes():
    post = tf.random.stateless_uniform([2, 4, 8, 8, 1], (0, 1))
    some = Dressing(growth=0.1, movement=1.0, gain=0.1, texture=0.1)
    answer = dressed({"post": post, "drift": post}, SEED[:2], some)
    assert answer["post"].shape == post.shape
    assert np.isfinite(answer["post"]).all()


def test_a_dressed_predictor_draws_and_its_levels_stay_bare():
    bare = make_predictor(echo, "direct")
    dressing = Dressing(growth=0.1, movement=1.0, gain=0.1, texture=0.1)
    some = dataclasses.replace(bare, dressing=dressing)
    assert (bare.draws, some.draws) == (False, True)
    expected = dressed(bare(PRE, SEED), SEED, dressing)
    np.testing.assert_array_equal(some(PRE, SEED)["post"], expected["post"])
    np.testing.assert_array_equal(some.at_levels(PRE, SEED)["post"], bare.at_levels(PRE, SEED)["post"])
