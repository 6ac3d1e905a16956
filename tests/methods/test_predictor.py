"""The predictions, with networks whose right answer is known instead of a trained one."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdrift.diffusion.noise import unit_normal
from tfdrift.diffusion.predictions import PREDICTIONS
from tfdrift.diffusion.process import training_target
from tfdrift.diffusion.sampler import Trajectory
from tfdrift.diffusion.schedule import make_schedule
from tfdrift.methods import METHODS
from tfdrift.methods.method import Predictor, asking
from tfdrift.methods.method2 import Method2
from tfdrift.model.unet import build_unet

SCHEDULE = make_schedule("linear", levels=21, noise_level=0.2)
PRE = tf.constant(np.random.default_rng(0).random((3, 8, 8, 1), np.float32))
SEED = tf.constant([[0, 1], [0, 2], [5, 3]], tf.int64)


def echo(inputs):
    """Return the image and the time that the network was given."""
    return {"recon": inputs["image"], "drift": tf.zeros_like(inputs["image"]) + inputs["t"][:, :, None, None]}


def make_predictor(network: Any, method: str, **settings: Any) -> Predictor:
    return Predictor(network=network, method=METHODS[method](schedule=SCHEDULE, **settings))


def sample(predictor: Predictor) -> Trajectory:
    assert isinstance(predictor.method, Method2)
    return predictor.method.sample(asking(predictor.network), PRE, SEED)


def test_one_step_shows_the_network_the_image_noised_to_the_level():
    seen = make_predictor(echo, "method1", estimate_level=15)(PRE, SEED)
    eps = (seen["post"] - SCHEDULE.signal_rate[15] * PRE) / SCHEDULE.noise_rate[15]
    np.testing.assert_allclose(eps, unit_normal(SEED, PRE), atol=1e-5)
    np.testing.assert_allclose(seen["drift"], 0.75, rtol=1e-6)


def test_direct_shows_the_network_the_clean_image_at_time_0():
    seen = make_predictor(echo, "direct")(PRE, SEED)
    np.testing.assert_array_equal(seen["post"], PRE)
    np.testing.assert_array_equal(seen["drift"], 0)


@pytest.mark.parametrize("num_steps", [1, 4, 21])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_method_2_with_an_oracle_returns_the_pre_image(prediction, num_steps):
    eps = unit_normal(SEED, PRE)

    def oracle(inputs):
        level = tf.cast(tf.round(inputs["t"][:, 0] * 20), tf.int32)
        return {"recon": training_target(prediction, PRE, eps, level, SCHEDULE), "drift": tf.zeros_like(PRE)}

    path = sample(make_predictor(oracle, "method2", prediction=prediction, sample_steps=num_steps))
    np.testing.assert_allclose(path.x0_hat[-1], PRE, atol=2e-5)


@pytest.mark.parametrize(("drift_from", "expected"), [("mean", (1.0 + 0.5 + 0.0) / 3), ("last", 0.0)])
def test_method_2_adds_the_drift_of_the_last_level_or_the_mean_over_levels(drift_from, expected):
    def network(inputs):
        return {"recon": PRE, "drift": echo(inputs)["drift"]}  # drift = time

    predict = make_predictor(network, "method2", prediction="x0", sample_steps=3, drift_from=drift_from)
    predicted = predict(PRE, SEED)
    np.testing.assert_allclose(predicted["drift"], expected, atol=1e-6)
    np.testing.assert_allclose(predicted["post"], PRE + expected, atol=1e-6)


@pytest.mark.parametrize("method", ["method1", "method2", "direct"])
def test_the_same_seed_gives_the_same_bits_and_noise_matters_where_there_is_noise(method):
    network = build_unet(8, base_filters=2, depth=1)
    predict = tf.function(make_predictor(network, method, sample_steps=3).__call__)
    first, again = predict(PRE, SEED)["post"].numpy(), predict(PRE, SEED)["post"].numpy()
    other = predict(PRE, SEED + 1)["post"].numpy()
    np.testing.assert_array_equal(first, again)
    assert (np.abs(first - other).max() > 1e-6) == (method != "direct")


def test_method_1_answers_at_every_level_by_itself():
    predictor = make_predictor(echo, "method1")
    snapshots = predictor.at_levels(PRE, SEED)
    assert predictor.levels() == list(range(20, -1, -1))
    alone = make_predictor(echo, "method1", estimate_level=13)(PRE, SEED)
    np.testing.assert_array_equal(snapshots["post"][7], alone["post"])
    np.testing.assert_allclose(snapshots["drift"][7], 13 / 20, rtol=1e-6)


def test_method_2_answers_with_the_snapshots_of_one_path():
    predictor = make_predictor(build_unet(8, base_filters=2, depth=1), "method2", sample_steps=5)
    snapshots, path = predictor.at_levels(PRE, SEED), sample(predictor)
    assert predictor.levels() == [20, 15, 10, 5, 0]
    np.testing.assert_array_equal(snapshots["drift"], path.drift_hat)
    np.testing.assert_allclose(snapshots["post"], path.x0_hat + path.drift_hat, atol=1e-6)


def test_direct_has_one_answer_without_a_level():
    predictor = make_predictor(echo, "direct")
    assert predictor.levels() == [None]
    np.testing.assert_array_equal(predictor.at_levels(PRE, SEED)["post"][0], PRE)


def test_method_2_starts_from_the_level_it_is_told():
    seen = []

    def network(inputs):
        seen.append(inputs["image"])
        return {"recon": inputs["image"] * 0, "drift": inputs["image"] * 0}

    predictor = make_predictor(network, "method2", start_level=7, sample_steps=1)
    sample(predictor)
    assert predictor.levels() == [7]
    expected = SCHEDULE.signal_rate[7] * PRE + SCHEDULE.noise_rate[7] * unit_normal(SEED, PRE)
    np.testing.assert_allclose(seen[0], expected, atol=1e-6)
    assert make_predictor(network, "method2", start_level=7, sample_steps=8).levels() == list(range(7, -1, -1))
