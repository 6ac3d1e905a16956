import numpy as np
import pytest
import tensorflow as tf

from tfdrift.diffusion.predictions import PREDICTIONS, eps_from_x0
from tfdrift.diffusion.process import add_noise, rate_at, t_unit, training_target, x0_and_eps
from tfdrift.diffusion.schedule import SCHEDULES, make_schedule


def draw_images(seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.random((21, 4, 4, 1))), tf.constant(rng.standard_normal((21, 4, 4, 1)))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_target_of_training_gives_back_x0_and_eps(name, prediction):
    schedule = make_schedule(name, levels=21, noise_level=0.2)
    x0, eps = draw_images()
    level = tf.range(21)
    x_t = add_noise(x0, eps, level, schedule)
    target = training_target(prediction, x0, eps, level, schedule)
    x0_hat, eps_hat = x0_and_eps(prediction, target, x_t, level, schedule)
    # 1e-9 of the signal is left at the last level of linear-beta: dividing by it costs nine digits of sixteen.
    np.testing.assert_allclose(x0_hat, x0, atol=1e-9)
    np.testing.assert_allclose(eps_hat, eps, atol=1e-9)


def test_the_forward_process_has_the_mean_and_standard_deviation_of_equation_2():
    schedule = make_schedule("linear", levels=21, noise_level=0.2)
    eps = tf.random.stateless_normal([20, 100, 100, 1], seed=(1, 2), dtype=tf.float64)
    x_t = add_noise(tf.fill([20, 100, 100, 1], tf.constant(0.7, tf.float64)), eps, 15, schedule).numpy()
    standard_error = schedule.noise_rate[15] / np.sqrt(x_t.size)
    assert abs(x_t.mean() - 0.7 * np.sqrt(1 - 0.725)) < 4 * standard_error
    assert x_t.std() == pytest.approx(0.2 * np.sqrt(0.725), rel=0.01)


def test_v_is_the_derivative_of_x_t_along_the_rotation():
    schedule = make_schedule("cosine", levels=201, noise_level=0.3)
    x0, eps = (image[:1] for image in draw_images())
    angle = np.arccos(schedule.signal_rate)
    central = (add_noise(x0, eps, 101, schedule) - add_noise(x0, eps, 99, schedule)) / (angle[101] - angle[99])
    np.testing.assert_allclose(training_target("v", x0, eps, 100, schedule), central, atol=1e-4)


def test_without_noise_eps_is_zero_instead_of_undefined():
    x0, eps = draw_images()
    schedule = make_schedule("linear", levels=21, noise_level=0.0)
    x_t = add_noise(x0, eps, 5, schedule)
    np.testing.assert_array_equal(
        eps_from_x0(x_t, x0, rate_at(schedule.signal_rate, 5, like=x_t), tf.zeros_like(x_t)), 0
    )


def test_each_example_has_its_own_level():
    schedule = make_schedule("linear", levels=21, noise_level=0.2)
    x0, eps = draw_images()
    together = add_noise(x0, eps, tf.range(21), schedule)
    for level in (0, 7, 20):
        np.testing.assert_array_equal(together[level], add_noise(x0, eps, level, schedule)[level])


def test_time_runs_from_0_to_1_in_float32():
    t = t_unit(tf.range(21), 21)
    assert t.dtype == tf.float32
    np.testing.assert_allclose(t, np.linspace(0, 1, 21), rtol=1e-7)


def test_the_tensors_precision_is_kept():
    schedule = make_schedule("linear", levels=21, noise_level=0.2)
    image = tf.ones([1, 2, 2, 1], tf.float32)
    assert add_noise(image, image, 3, schedule).dtype == tf.float32
