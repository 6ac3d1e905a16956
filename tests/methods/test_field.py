"""Flows whose displacement and growth are known, and images moved by them."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdrift.axes import spatial_axes
from tfdrift.methods.field import divergence, exponential, moved, sample, smoothed, undo_vectors
from tfdrift.methods.outputs import DRIFT_FORMS, OUTPUTS
from tfdrift.methods.symmetries import ALL, apply_symmetry, undo_symmetry

RNG = np.random.default_rng(0)
SHAPES = pytest.mark.parametrize("sides", [(8, 8), (4, 8, 8)])


def images(*sides: int, channels: int = 1) -> tf.Tensor:
    return tf.constant(RNG.random((3, *sides, channels), np.float32))


def places(*sides: int) -> np.ndarray:
    """Place of each pixel from the middle, float32 [1, ..., D]."""
    index = np.moveaxis(np.indices(sides, np.float32), 0, -1)
    return (index - (np.array(sides, np.float32) - 1) / 2)[None]


def eddies(side: int = 48, strongest: float = 3.0) -> tf.Tensor:
    """A smooth velocity, pixels, that fades to 0 at the border and turns, grows and shrinks within."""
    x, y = np.moveaxis(places(side, side), -1, 0) / side * 2 * np.pi
    fade = np.cos(x / 2) ** 2 * np.cos(y / 2) ** 2
    return tf.constant(strongest * fade[..., None] * np.stack([np.sin(y), np.cos(x)], axis=-1), tf.float32)


@SHAPES
def test_without_velocity_an_image_stays_as_it_is_to_the_bit(sides):
    still, log_jacobian = exponential(tf.zeros([3, *sides, len(sides)]))
    np.testing.assert_array_equal(still, 0)
    np.testing.assert_array_equal(log_jacobian, 0)
    image = images(*sides)
    np.testing.assert_array_equal(sample(image, still), image)


def test_a_place_between_pixels_is_linear_between_them():
    plane = tf.constant(places(8, 9) @ np.array([[2.0], [-3.0]], np.float32))
    shift = tf.constant([0.25, -0.5]) * tf.ones([1, 8, 9, 2])
    np.testing.assert_allclose((sample(plane, shift) - plane)[:, 1:-1, 1:-1], 0.5 + 1.5, rtol=1e-5)


def test_beyond_the_border_is_what_is_on_it():
    image = images(6, 6)
    far = tf.constant([0.0, 100.0]) * tf.ones([3, 6, 6, 2])
    np.testing.assert_array_equal(sample(image, far), np.repeat(image[:, :, -1:], 6, axis=2))


@pytest.mark.parametrize("steps", [(2, -1), (0, 3), (1, 2, -3)])
def test_a_constant_velocity_is_a_shift_toward_where_it_points(steps):
    sides = (10,) * len(steps)
    image = np.zeros((1, *sides, 1), np.float32)
    image[(0, *[slice(3, 7)] * len(steps), 0)] = RNG.random([4] * len(steps))
    velocity = tf.constant(steps, tf.float32) * tf.ones([1, *sides, len(steps)])
    maps = moved({"drift": tf.concat([velocity, tf.zeros([1, *sides, 1])], axis=-1)}, tf.constant(image))
    np.testing.assert_allclose(maps["image"], np.roll(image, steps, axis=spatial_axes(image)), atol=1e-5)
    np.testing.assert_allclose(maps["displacement"], velocity, rtol=1e-5)
    np.testing.assert_array_equal(maps["log_jacobian"], 0)


@pytest.mark.parametrize(("sides", "growth"), [((33, 33), 0.2), ((33, 33), -0.3), ((17, 17, 17), 0.2)])
def test_a_uniform_expansion_grows_by_the_exponential_in_each_direction(sides, growth):
    place = places(*sides)
    displacement, log_jacobian = exponential(tf.constant(growth * place))
    inside = (slice(None), *[slice(side // 4, -(side // 4)) for side in sides])
    np.testing.assert_allclose(log_jacobian[inside], len(sides) * growth, rtol=1e-4)
    # The first short step is Euler's, a relative error of a / 2 ** 7.
    np.testing.assert_allclose(displacement[inside], ((np.exp(growth) - 1) * place)[inside], rtol=0.003, atol=1e-4)


def test_the_flow_backwards_undoes_the_flow():
    velocity = eddies()
    there, growth = exponential(velocity)
    back, shrinking = exponential(-velocity)
    assert np.abs(there).max() > 2
    np.testing.assert_allclose(there + sample(back, there), 0, atol=0.05)
    np.testing.assert_allclose(growth + sample(shrinking, there), 0, atol=0.05)


def test_a_smooth_image_comes_back():
    velocity = eddies()
    x, y = np.moveaxis(places(48, 48), -1, 0) / 8
    image = tf.constant(np.exp(-(x**2) - y**2)[..., None], tf.float32)
    there, back = exponential(-velocity)[0], exponential(velocity)[0]
    assert np.abs(sample(image, there) - image).max() > 0.1
    np.testing.assert_allclose(sample(sample(image, there), back), image, atol=0.02)


def test_the_log_jacobian_is_that_of_the_displacement():
    displacement, log_jacobian = exponential(eddies())
    rows = np.gradient(displacement[0].numpy(), axis=0)
    columns = np.gradient(displacement[0].numpy(), axis=1)
    determinant = (1 + rows[..., 0]) * (1 + columns[..., 1]) - rows[..., 1] * columns[..., 0]
    inside = np.s_[2:-2, 2:-2]
    assert np.ptp(np.log(determinant)) > 0.4
    np.testing.assert_allclose(log_jacobian.numpy()[0, ..., 0][inside], np.log(determinant)[inside], atol=0.05)


def test_the_divergence_of_a_linear_field_is_its_trace_at_the_border_too():
    matrix = np.array([[0.3, 2.0], [-1.0, 0.5]], np.float32)
    np.testing.assert_allclose(divergence(tf.constant(places(6, 9) @ matrix.T)), 0.8, rtol=1e-5)


@SHAPES
def test_smoothing_keeps_what_is_constant_and_averages_the_rest(sides):
    constant = tf.ones([1, *sides, len(sides)])
    np.testing.assert_allclose(smoothed(constant), constant, rtol=1e-6)
    noise = tf.constant(RNG.normal(size=(1, *sides, len(sides))), tf.float32)
    assert np.std(smoothed(noise)) < 0.5 * np.std(noise)


@SHAPES
def test_gain_and_residual_are_linear(sides):
    form, pre = DRIFT_FORMS["field"], images(*sides)
    velocity, residual = tf.zeros([3, *sides, len(sides)]), images(*sides) - 0.5
    doubling = tf.concat([velocity, tf.fill([3, *sides, 1], np.float32(np.log(2)))], axis=-1)
    found = form.read({"recon": residual, "drift": doubling}, pre, OUTPUTS["correction"])
    np.testing.assert_allclose(found["recon"], 2 * pre + residual, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["drift"], pre + residual, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["residual"], residual, atol=1e-6)
    np.testing.assert_allclose(np.exp(found["log_gain"]), 2, rtol=1e-6)


@pytest.mark.parametrize("number", range(ALL))
@SHAPES
def test_outputs_for_a_turned_image_turned_back_say_the_same_of_the_image(sides, number):
    form, every = DRIFT_FORMS["field"], tf.fill([3], number)
    pre, recon = images(*sides), images(*sides)
    drift = 4 * images(*sides, channels=len(sides) + 1) - 2
    turned = form.read({"recon": recon, "drift": drift}, apply_symmetry(pre, every), OUTPUTS["correction"])
    back = form.turn_back({"recon": recon, "drift": drift}, every)
    found = form.read(back, pre, OUTPUTS["correction"])
    for name in ("recon", "drift", "log_jacobian", "log_gain", "residual"):
        np.testing.assert_allclose(found[name], undo_symmetry(turned[name], every), atol=1e-4)
    np.testing.assert_allclose(found["displacement"], undo_vectors(turned["displacement"], every), atol=1e-4)


def test_each_image_of_a_batch_is_turned_back_by_its_own_symmetry():
    vectors, numbers = images(4, 4, channels=2), tf.constant([5, 0, 2])
    together = undo_vectors(vectors, numbers)
    for row in range(3):
        np.testing.assert_array_equal(together[row], undo_vectors(vectors[row : row + 1], numbers[row : row + 1])[0])


def test_a_vector_is_turned_with_its_image():
    # A quarter turn counter-clockwise takes what points down to what points right, and the undoing takes it back.
    right = tf.constant([0.0, 1.0]) * tf.ones([1, 2, 2, 2])
    np.testing.assert_array_equal(undo_vectors(right, tf.constant([1]))[0, 0, 0], [1, 0])
    np.testing.assert_array_equal(undo_vectors(right, tf.constant([4]))[0, 0, 0], [0, -1])


def test_what_is_not_finite_spoils_its_own_image_alone():
    velocity, image = tf.Variable(images(6, 6, channels=3)), images(6, 6)
    whole = moved({"drift": velocity}, image)
    velocity[1, 2, 2].assign([np.nan, np.inf, 0])
    spoilt = moved({"drift": velocity}, image)
    for name, value in whole.items():
        assert name == "log_gain" or not np.isfinite(spoilt[name][1]).all()
        for row in (0, 2):
            np.testing.assert_array_equal(spoilt[name][row], value[row])


def test_an_image_can_be_fitted_by_moving_alone():
    # A spot two pixels off: the velocity is learned by gradient descent from 0.
    x, y = np.moveaxis(places(16, 16), -1, 0)
    pre, post = (tf.constant(np.exp(-((x - at) ** 2 + y**2) / 8)[..., None]) for at in (-1, 1))
    velocity = tf.Variable(tf.zeros([1, 16, 16, 2]))
    errors = []
    for _ in range(60):
        with tf.GradientTape() as tape:
            maps = moved({"drift": tf.concat([velocity, tf.zeros([1, 16, 16, 1])], axis=-1)}, pre)
            error = tf.reduce_mean((maps["image"] - post) ** 2)
        errors.append(float(error))
        gradient: Any = tape.gradient(error, velocity)
        velocity.assign_sub(200 * gradient)
    assert errors[-1] < 0.1 * errors[0]
    assert float(maps["displacement"][0, 7, 7, 0]) == pytest.approx(2, abs=0.5)
