"""One optimiser step: what the network is shown, what the loss is, and what the update does to the weights."""

import dataclasses
from typing import Any, cast

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, stats

from tfdrift.config import train_config
from tfdrift.diffusion.schedule import make_schedule
from tfdrift.methods import METHODS, make_method
from tfdrift.methods.method import Method
from tfdrift.model.unet import build_unet
from tfdrift.training.losses import DRIFT_RANGE, IMAGE_RANGE, ssim
from tfdrift.training.step import make_loss, make_optimizer, make_train_step, metric_names

SCHEDULE = make_schedule("linear", levels=5, noise_level=0.2)
RNG = np.random.default_rng(0)
PRE, POST, RECON, DRIFT = (tf.constant(RNG.random((6, 8, 8, 1), np.float32)) for _ in range(4))
WEIGHTS: dict[str, Any] = {
    "weights": {"recon": 1.0, "drift": 3.0}, "ssim_shares": {"recon": 0.1, "drift": 0.2}
}  # fmt: skip


def method_of(name: str, prediction: str = "eps") -> Method:
    settings = {**dataclasses.asdict(train_config(name, levels=5)), "recon_ssim": 0.0, "prediction": prediction}
    return make_method(name, settings)


class Recorder:
    """A network that keeps what it is shown and answers with given images."""

    def __init__(self, recon: tf.Tensor = RECON, drift: tf.Tensor = DRIFT) -> None:
        self.recon, self.drift = recon, drift

    def __call__(self, inputs, training):
        assert training
        self.image, self.t = inputs["image"].numpy(), inputs["t"].numpy()
        return {"recon": self.recon, "drift": self.drift}


def shown(method: str, seed: int, step: int, pre: tf.Tensor = PRE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (image, level, eps) that a network is shown at a step, eps solved from eq. 2."""
    network: Any = Recorder(tf.zeros_like(pre), tf.zeros_like(pre))
    loss = make_loss(network, method_of(method, "x0"), **WEIGHTS)
    loss({"pre": pre, "post": pre}, tf.constant([seed, step], tf.int64))
    level = np.rint(network.t[:, 0] * 4).astype(int)
    signal_rate, noise_rate = (r[level][:, None, None, None] for r in (SCHEDULE.signal_rate, SCHEDULE.noise_rate))
    return network.image, level, (network.image - signal_rate * pre.numpy()) / noise_rate


def mixed(predicted: np.ndarray, target: np.ndarray, share: float, data_range: float) -> float:
    """Return (1 - w) * MSE + w * (1 - SSIM), worked out again."""
    similarity = ssim(tf.constant(predicted, tf.float32), tf.constant(target, tf.float32), data_range).numpy()
    return float((1 - share) * np.mean((predicted - target) ** 2) + share * (1 - similarity.mean()))


def test_adamw_has_the_numbers_of_the_paper():
    settings = make_optimizer(learning_rate=1e-4, weight_decay=1e-4).get_config()
    expected = {"learning_rate": 1e-4, "weight_decay": 1e-4, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    assert {name: settings[name] for name in expected} == pytest.approx(expected)


def balanced_loss(recon: tf.Tensor, drift: tf.Tensor, balance: str) -> tf.Tensor:
    network: Any = Recorder(recon, drift)
    options = {**WEIGHTS, "ssim_shares": {"recon": 0.0, "drift": 0.0}}
    loss = make_loss(network, method_of("direct"), balance=balance, **options)
    return loss({"pre": PRE, "post": POST}, tf.constant([0, 0], tf.int64))["loss"]


@pytest.mark.parametrize("step", [0, 25, 50, 100])
def test_cosine_decay_falls_from_the_learning_rate_to_zero_at_the_last_step(step):
    optimizer = make_optimizer(learning_rate=0.01, weight_decay=0.0, decay="cosine", steps=100)
    optimizer.build([keras.Variable(0.0)])
    cast(keras.Variable, optimizer.iterations).assign(step)
    assert float(optimizer.learning_rate) == pytest.approx(0.01 * (1 + np.cos(np.pi * step / 100)) / 2, abs=1e-9)


def test_without_decay_the_learning_rate_stays():
    assert float(make_optimizer(learning_rate=0.01, weight_decay=0.0).learning_rate) == pytest.approx(0.01)


def test_balance_by_uncertainty_is_its_gaussian_likelihood_at_the_best_variances():
    """sum of w (L / v + log v), minimised over v by scipy, is sum of w (1 + log L)."""
    losses = np.mean((RECON - POST).numpy() ** 2), np.mean((DRIFT - (POST - PRE)).numpy() ** 2)
    best = optimize.minimize(
        lambda log_v: np.sum([1, 3] * (losses * np.exp(-log_v) + log_v)), np.zeros(2), tol=1e-10
    ).fun
    assert float(balanced_loss(RECON, DRIFT, "uncertainty")) == pytest.approx(best - 4, abs=1e-5)


def test_balance_by_uncertainty_does_not_mind_the_size_of_a_loss():
    """With an error a hundred times as large, the gradient of the loss by the error's logarithm stays the same."""

    def slope(balance: str, error: float) -> float:
        log_error = tf.Variable(np.log(error), dtype=tf.float32)
        with tf.GradientTape() as tape:
            value = balanced_loss(POST + tf.exp(log_error), DRIFT, balance)
        slopes: Any = tape.gradient(value, [log_error])
        return float(slopes[0])

    assert slope("uncertainty", 10.0) == pytest.approx(slope("uncertainty", 0.1), rel=1e-3)
    assert slope("fixed", 10.0) == pytest.approx(1e4 * slope("fixed", 0.1), rel=1e-3)


@pytest.mark.parametrize("method", ["method1", "method2"])
def test_what_a_step_shows_depends_on_seed_and_step_alone(method):
    image, level, _ = shown(method, 3, 7)
    tf.random.normal([5], seed=1)  # a draw in between, as another part of the program may make
    again, level_again, _ = shown(method, 3, 7)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(level, level_again)


@pytest.mark.parametrize(("seed", "step"), [(4, 7), (3, 8)])
def test_another_seed_or_another_step_draws_other_noise(seed, step):
    _, _, eps = shown("method1", 3, 7)
    _, _, other = shown("method1", seed, step)
    assert np.abs(eps - other).min(axis=(1, 2, 3)).max() > 1e-4


def test_noise_is_unit_normal_and_independent_between_steps_seeds_and_images():
    pre = tf.zeros([64, 8, 8, 1])
    draws = [shown("method1", *at, pre=pre)[2].ravel() for at in ((0, 0), (0, 1), (1, 0))]
    for draw in draws:
        assert stats.kstest(draw, "norm").pvalue > 1e-3
    bound = 4 / np.sqrt(draws[0].size)
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < bound
    images = draws[0].reshape(64, 64)
    assert abs(np.corrcoef(images[:-1].ravel(), images[1:].ravel())[0, 1]) < bound


def test_every_level_is_drawn_equally_often():
    pre = tf.zeros([500, 8, 8, 1])
    counts = np.bincount(np.concatenate([shown("method2", 0, step, pre)[1] for step in range(8)]), minlength=5)
    assert len(counts) == 5
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_level_of_an_image_does_not_tell_its_noise():
    _, level, eps = shown("method1", 0, 0, tf.zeros([500, 8, 8, 1]))
    groups = [eps[level == k].mean(axis=(1, 2, 3)) for k in range(5)]
    assert stats.f_oneway(*groups).pvalue > 1e-3


def test_direct_sees_the_clean_image_at_time_0():
    network: Any = Recorder()
    loss = make_loss(network, method_of("direct"), **WEIGHTS)
    loss({"pre": PRE, "post": POST}, tf.constant([0, 0], tf.int64))
    np.testing.assert_array_equal(network.image, PRE)
    np.testing.assert_array_equal(network.t, np.zeros([6, 1]))


@pytest.mark.parametrize("method", ["method1", "direct"])
def test_the_loss_of_method_1_and_direct_compares_with_post_and_drift(method):
    network: Any = Recorder()
    loss = make_loss(network, method_of(method), **WEIGHTS)
    parts = loss({"pre": PRE, "post": POST}, tf.constant([0, 0], tf.int64))
    recon = mixed(RECON.numpy(), POST.numpy(), 0.1, IMAGE_RANGE)
    drift = mixed(DRIFT.numpy(), (POST - PRE).numpy(), 0.2, DRIFT_RANGE)
    np.testing.assert_allclose(parts["recon_loss"], recon, rtol=1e-5)
    np.testing.assert_allclose(parts["drift_loss"], drift, rtol=1e-5)
    np.testing.assert_allclose(parts["loss"], recon + 3 * drift, rtol=1e-5)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_loss_of_method_2_compares_with_what_is_predicted(prediction):
    network: Any = Recorder()
    loss = make_loss(network, method_of("method2", prediction), **WEIGHTS)
    parts = loss({"pre": PRE, "post": POST}, tf.constant([2, 5], tf.int64))
    _, level, eps = shown("method2", 2, 5)
    signal_rate = SCHEDULE.signal_rate[level][:, None, None, None]
    v = signal_rate * 0.2 * eps - np.sqrt(1 - signal_rate**2) * PRE.numpy()
    target = {"eps": eps, "x0": PRE.numpy(), "v": v}[prediction]
    recon = mixed(RECON.numpy(), target, 0.1 if prediction == "x0" else 0.0, IMAGE_RANGE)
    drift = mixed(DRIFT.numpy(), (POST - PRE).numpy(), 0.2, DRIFT_RANGE)
    np.testing.assert_allclose(parts["loss"], recon + 3 * drift, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "prediction"), [("method1", "eps"), ("direct", "eps"), *(("method2", p) for p in ("eps", "x0", "v"))]
)
def test_the_named_metrics_are_those_of_a_step(method, prediction):
    network: Any = Recorder()
    loss = make_loss(network, method_of(method, prediction), **WEIGHTS)
    parts = loss({"pre": PRE, "post": POST}, tf.constant([0, 0], tf.int64))
    assert {*parts, "gradient_norm"} == set(metric_names(method_of(method, prediction)))


def tiny_network() -> keras.Model:
    return build_unet(8, base_filters=2, depth=1)


def one_batch(_step):
    return {"pre": PRE, "post": POST}


def method_loss(network, method="method1"):
    return make_loss(network, method_of(method), **WEIGHTS)


def values(*variables) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def gradient_taken(clip_norm: float) -> tuple[np.ndarray, float]:
    """Return the gradient that moved the weights, seen through plain gradient descent, and the norm reported."""
    network = tiny_network()
    before = values(*network.trainable_variables)
    train_step = make_train_step(
        network, keras.optimizers.SGD(1.0), method_loss(network), one_batch, seed=0, clip_norm=clip_norm
    )
    _, metrics = train_step(tf.constant(0, tf.int64))
    after = values(*network.trainable_variables)
    moved = np.concatenate([(a - b).ravel() for a, b in zip(before, after, strict=True)])
    return moved, float(metrics["gradient_norm"])


def test_clipping_bounds_the_gradient_and_keeps_its_direction():
    free, norm = gradient_taken(0.0)
    clipped, reported = gradient_taken(norm / 10)
    assert np.linalg.norm(free) == pytest.approx(norm, rel=1e-4)
    assert np.linalg.norm(clipped) == pytest.approx(norm / 10, rel=1e-4)
    assert clipped @ free == pytest.approx(np.linalg.norm(clipped) * np.linalg.norm(free), rel=1e-4)
    assert reported == pytest.approx(norm)


def test_a_gradient_below_the_limit_is_left_alone():
    free, norm = gradient_taken(0.0)
    np.testing.assert_array_equal(gradient_taken(norm * 10)[0], free)


def test_the_average_follows_its_recursion():
    network, averaged = tiny_network(), tiny_network()
    train_step = make_train_step(
        network,
        make_optimizer(learning_rate=1e-2, weight_decay=1e-4),
        method_loss(network),
        one_batch,
        seed=0,
        averaged=averaged,
        ema=0.3,
    )
    expected = values(*averaged.trainable_variables)
    for step in range(6):
        train_step(tf.constant(step, tf.int64))
        keep = min(0.3, (1 + step) / (10 + step))  # 0.1, 0.18, 0.25, then 0.3
        weights = values(*network.trainable_variables)
        expected = [keep * mean + (1 - keep) * weight for mean, weight in zip(expected, weights, strict=True)]
    for mean, right in zip(values(*averaged.trainable_variables), expected, strict=True):
        np.testing.assert_allclose(mean, right, rtol=1e-5, atol=1e-7)


def state_after_a_bad_step(network, loss) -> tuple[bool, list[np.ndarray], list[np.ndarray]]:
    """Return (finite, state before, state after): weights, average and everything the optimiser keeps."""
    averaged = tiny_network()
    optimizer = make_optimizer(learning_rate=1e-2, weight_decay=1e-4)
    good = make_train_step(
        network, optimizer, method_loss(network), one_batch, seed=0, averaged=averaged, ema=0.5, clip_norm=1.0
    )
    bad = make_train_step(network, optimizer, loss, one_batch, seed=0, averaged=averaged, ema=0.5, clip_norm=1.0)
    good(tf.constant(0, tf.int64))
    kept = [*network.variables, *averaged.variables, *optimizer.variables]
    before = values(*kept)
    finite, _ = bad(tf.constant(1, tf.int64))
    return bool(finite), before, values(*kept)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_changes_nothing(wrong):
    network = tiny_network()
    good = method_loss(network)

    def loss(batch, seed):
        metrics = good(batch, seed)
        return {**metrics, "loss": metrics["loss"] * wrong}

    finite, before, after = state_after_a_bad_step(network, loss)
    assert not finite
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gradient_that_is_not_finite_under_a_finite_loss_changes_nothing():
    network = tiny_network()
    good = method_loss(network)

    def loss(batch, seed):
        metrics = good(batch, seed)
        return {**metrics, "loss": tf.sqrt(0 * metrics["loss"])}  # the slope of the root at 0 is infinite

    finite, before, after = state_after_a_bad_step(network, loss)
    assert not finite
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def by_heart(method: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the metrics of the first and the last of 150 steps with the same images, levels and noise.

    Nothing limits the network then but its optimiser.
    """
    network = build_unet(8, base_filters=16, depth=1, heads="decoupled", latents=METHODS[method].latents)
    loss = method_loss(network, method)
    train_step = tf.function(
        make_train_step(
            network,
            make_optimizer(learning_rate=5e-3, weight_decay=0.0),
            lambda batch, _seed: loss(batch, tf.constant([0, 0], tf.int64)),
            lambda _step: {"pre": PRE[:2], "post": POST[:2]},
            seed=0,
        )
    )
    first, *_, last = [train_step(tf.constant(step, tf.int64))[1] for step in range(150)]
    return {name: float(value) for name, value in first.items()}, {name: float(value) for name, value in last.items()}


SCORING = [name for name in METHODS if "outcomes" in method_of(name).losses.values()]


@pytest.mark.parametrize("method", [name for name in METHODS if name not in SCORING])
def test_one_batch_is_learned_by_heart(method):
    first, last = by_heart(method)
    assert last["loss"] < first["loss"] / 100


@pytest.mark.parametrize("method", SCORING)
def test_every_outcome_learns_one_batch_by_heart(method):
    """A score of outcomes falls as the error does, not as its square."""
    first, last = by_heart(method)
    assert last["recon_mse"] + last["drift_mse"] < (first["recon_mse"] + first["drift_mse"]) / 100
    assert last["loss"] < first["loss"] / 10
