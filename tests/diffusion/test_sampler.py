"""The sampler against theory: Gaussian data, for which the optimal noise estimate and the result are known."""

import numpy as np
import pytest
import tensorflow as tf

from tfdrift.diffusion.predictions import x0_from_eps
from tfdrift.diffusion.process import add_noise
from tfdrift.diffusion.sampler import ddim_sample, ddpm_std
from tfdrift.diffusion.schedule import SCHEDULES, make_schedule, sampler_levels

MEAN, STD = 0.6, 0.25


def optimal_estimate(schedule):
    """E[eps | x_t] for x0 ~ N(MEAN, STD^2): linear in x_t."""
    signal = tf.constant(schedule.signal_rate)
    noise = tf.constant(schedule.noise_rate)

    def estimate(x_t, level):
        a, b = signal[level], noise[level]
        eps_hat = b * (x_t - a * MEAN) / (a**2 * STD**2 + b**2)
        return x0_from_eps(x_t, eps_hat, a, b), eps_hat, tf.zeros_like(x_t)

    return estimate


def closed_form(schedule, levels, eta):
    """Mean and standard deviation of the sampler's output by the recursion for a linear Gaussian chain."""
    a, b = schedule.signal_rate[levels], schedule.noise_rate[levels]
    a_next, b_next = np.append(a[1:], 1.0), np.append(b[1:], 0.0)
    mean, variance = a[0] * MEAN, a[0] ** 2 * STD**2 + b[0] ** 2
    for i in range(len(levels)):
        gain = b[i] / (a[i] ** 2 * STD**2 + b[i] ** 2)  # eps_hat = gain * (x_t - a * MEAN)
        chain = eta * b_next[i] * np.sqrt(1 - (a[i] * b_next[i] / (a_next[i] * b[i])) ** 2)
        along = np.sqrt(b_next[i] ** 2 - chain**2)
        slope = a_next[i] * (1 - b[i] * gain) / a[i] + along * gain
        offset = a_next[i] * b[i] * gain * MEAN - along * gain * a[i] * MEAN
        mean, variance = slope * mean + offset, slope**2 * variance + chain**2
    return mean, np.sqrt(variance)


def sampled_mean_and_std(schedule, levels, eta):
    """Mean and standard deviation of the sampler's output, exactly: it is affine in its start and in its draws.

    Row 0 of the batch starts from 0 with no draws, row 1 from 1, row 2 + i draws 1 in step i alone.
    """
    rows = len(levels) + 2
    start = tf.reshape(tf.one_hot(1, rows, dtype=tf.float64), [rows, 1, 1, 1])
    sampled = ddim_sample(
        optimal_estimate(schedule),
        start,
        schedule=schedule,
        levels=levels,
        eta=eta,
        draw=lambda i: tf.reshape(tf.one_hot(2 + i, rows, dtype=tf.float64), [rows, 1, 1, 1]),
    ).x0_hat[-1]
    offset, *gains = sampled.numpy().ravel()
    gains = np.array(gains) - offset
    a, b = schedule.signal_rate[levels[0]], schedule.noise_rate[levels[0]]
    stds = np.array([np.sqrt(a**2 * STD**2 + b**2), *np.ones(len(levels))])
    return offset + gains[0] * a * MEAN, np.sqrt(((gains * stds) ** 2).sum())


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", SCHEDULES)
def test_gaussian_data_come_out_as_the_closed_form_says_for_every_number_of_steps(name, eta):
    schedule = make_schedule(name, levels=21, noise_level=0.2)
    for num_steps in range(1, 22):
        levels = sampler_levels(21, num_steps)
        np.testing.assert_allclose(
            sampled_mean_and_std(schedule, levels, eta), closed_form(schedule, levels, eta), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("num_steps", [1, 2, 5, 21])
@pytest.mark.parametrize("name", SCHEDULES)
def test_an_oracle_gives_back_the_image(name, num_steps):
    schedule = make_schedule(name, levels=21, noise_level=0.2)
    rng = np.random.default_rng(0)
    x0, eps = tf.constant(rng.random((3, 4, 4, 1))), tf.constant(rng.standard_normal((3, 4, 4, 1)))
    signal, noise = tf.constant(schedule.signal_rate), tf.constant(schedule.noise_rate)

    def oracle(x_t, level):
        return x0_from_eps(x_t, eps, signal[level], noise[level]), eps, x0

    result = ddim_sample(
        oracle, add_noise(x0, eps, 20, schedule), schedule=schedule, levels=sampler_levels(21, num_steps)
    )
    np.testing.assert_allclose(result.x0_hat[-1], x0, atol=1e-9)
    assert result.x0_hat.shape == result.drift_hat.shape == (num_steps, 3, 4, 4, 1)


def test_eta_0_is_deterministic_and_needs_no_draw():
    schedule = make_schedule("linear", levels=21, noise_level=0.2)
    start = tf.ones([2, 3, 3, 1], tf.float64)
    first, second = (
        ddim_sample(optimal_estimate(schedule), start, schedule=schedule, levels=sampler_levels(21, 7)).x0_hat.numpy()
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_eta_above_0_without_draws_is_refused():
    schedule = make_schedule("linear", levels=21, noise_level=0.2)
    with pytest.raises(ValueError, match=r"eta 0.3 needs noise"):
        ddim_sample(optimal_estimate(schedule), tf.ones([1, 1, 1, 1]), schedule=schedule, levels=[20, 0], eta=0.3)


@pytest.mark.parametrize("noise_level", [0.2, 1.0])
def test_eta_1_has_the_variance_of_ddpm(noise_level):
    # Ho et al. eq. 7: beta_tilde = (1 - alpha_bar[t-1]) / (1 - alpha_bar[t]) * beta[t], for unit noise.
    schedule = make_schedule("linear-beta", levels=21, noise_level=noise_level)
    beta = np.linspace(0.05, 0.95, 21)
    share = np.cumprod(1 - beta)
    expected = noise_level**2 * (1 - share[:-1]) / (1 - share[1:]) * beta[1:]
    signal, noise = schedule.signal_rate, schedule.noise_rate
    np.testing.assert_allclose(ddpm_std(signal[1:], noise[1:], signal[:-1], noise[:-1]) ** 2, expected, rtol=1e-9)


def test_the_spread_of_one_step_with_eta_1_is_ddpm_std():
    schedule = make_schedule("linear", levels=21, noise_level=0.2)
    seen = []

    def estimate(x_t, _level):
        seen.append(x_t)
        zeros = tf.zeros_like(x_t)
        return zeros, zeros, zeros

    def draw(step):
        return tf.random.stateless_normal([100, 40, 40, 1], seed=tf.stack([3, step]), dtype=tf.float64)

    ddim_sample(
        estimate, tf.zeros([100, 40, 40, 1], tf.float64), schedule=schedule, levels=[20, 12], eta=1.0, draw=draw
    )
    signal, noise = schedule.signal_rate, schedule.noise_rate
    expected = ddpm_std(signal[[20]], noise[[20]], signal[[12]], noise[[12]])[0]
    assert seen[1].numpy().std() == pytest.approx(expected, rel=0.01)


def test_clipping_derives_eps_again():
    schedule = make_schedule("linear", levels=21, noise_level=0.2)
    start = tf.fill([1, 1, 1, 1], tf.constant(3.0, tf.float64))
    a, b = schedule.signal_rate[20], schedule.noise_rate[20]
    seen = []

    def estimate(x_t, _level):
        seen.append(x_t)
        return tf.fill(x_t.shape, tf.constant(5.0, tf.float64)), tf.zeros_like(x_t), tf.zeros_like(x_t)

    result = ddim_sample(estimate, start, schedule=schedule, levels=[20, 10], clip=(0.0, 1.0))
    np.testing.assert_array_equal(result.x0_hat, 1.0)
    eps = (3.0 - a * 1.0) / b  # what explains x_t = 3 once x0_hat = 1
    expected = schedule.signal_rate[10] * 1.0 + schedule.noise_rate[10] * eps
    np.testing.assert_allclose(seen[1], expected, rtol=1e-12)


def test_the_graph_does_not_grow_with_the_number_of_steps():
    schedule = make_schedule("linear", levels=64, noise_level=0.2)

    def nodes(num_steps):
        function = tf.function(
            lambda x_t: ddim_sample(
                optimal_estimate(schedule), x_t, schedule=schedule, levels=sampler_levels(64, num_steps)
            )
        )
        graph = function.get_concrete_function(tf.TensorSpec([None, 4, 4, 1], tf.float64)).graph.as_graph_def()
        return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)

    assert nodes(64) == nodes(2)
