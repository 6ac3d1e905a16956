import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SCHEDULE, SEED, echo, make_predictor, sample
from tfdrift.diffusion.noise import unit_normal
from tfdrift.diffusion.predictions import PREDICTIONS
from tfdrift.diffusion.process import training_target
from tfdrift.model.unet import build_unet


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


def test_method_2_answers_with_the_snapshots_of_one_path():
    predictor = make_predictor(build_unet(8, base_filters=2, depth=1), "method2", sample_steps=5)
    snapshots, path = predictor.at_levels(PRE, SEED), sample(predictor)
    assert predictor.levels() == [20, 15, 10, 5, 0]
    np.testing.assert_array_equal(snapshots["drift"], path.drift_hat)
    np.testing.assert_allclose(snapshots["post"], path.x0_hat + path.drift_hat, atol=1e-6)


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
