"""What an untrained run answers, and what its answer is compared with."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SEED
from tfdrift.axes import first_channel
from tfdrift.config import train_config
from tfdrift.errors import UsageError
from tfdrift.methods import METHODS
from tfdrift.methods.outputs import AGREEMENTS, OUTPUTS
from tfdrift.training.run_folder import build_network, make_predictor, make_run_loss

TINY: dict[str, Any] = {"image_size": 8, "base_filters": 2, "depth": 1, "levels": 3}
CORRECTING = [name for name, method in METHODS.items() if "output" in {field for field in method.__dataclass_fields__}]


@pytest.mark.parametrize("method", CORRECTING)
def test_an_untrained_correction_predicts_no_change_to_the_bit(method):
    config = train_config(method, output="correction", **TINY)
    answer = make_predictor(config, build_network(config))(PRE, SEED)
    np.testing.assert_array_equal(answer["post"], PRE)
    np.testing.assert_array_equal(answer["drift"], 0)


@pytest.mark.parametrize("method", CORRECTING)
def test_the_loss_of_an_untrained_correction_is_that_of_no_change(method):
    config = train_config(method, output="correction", **TINY)
    post = tf.random.stateless_uniform([3, 8, 8, 1], (1, 2))
    loss = make_run_loss(config, build_network(config))({"pre": PRE, "post": post}, tf.constant([0, 0], tf.int64))
    no_change = np.mean((post - PRE) ** 2)
    assert float(loss["recon_mse"]) == pytest.approx(no_change, rel=1e-6)
    assert float(loss["drift_mse"]) == pytest.approx(no_change, rel=1e-6)


def test_a_correction_is_of_the_channel_that_changes():
    pre, recon = tf.random.stateless_uniform([2, 4, 4, 3], (0, 1)), tf.ones([2, 4, 4, 1])
    np.testing.assert_array_equal(OUTPUTS["correction"].post(recon, pre), first_channel(pre) + 1)


def test_method_2_has_no_correction():
    with pytest.raises(UsageError, match="--output correction: Method 2"):
        train_config("method2", output="correction")


def test_averaged_answers_agree_and_are_the_mean_of_both():
    post, drift = PRE + 0.2, tf.fill(PRE.shape, 0.4)
    agreed, change = AGREEMENTS["averaged"](post, drift, PRE)
    np.testing.assert_allclose(change, 0.3, rtol=1e-5)
    np.testing.assert_allclose(agreed - PRE, change, atol=1e-6)


def test_answers_are_left_apart_by_default():
    post, drift = PRE + 0.2, tf.fill(PRE.shape, 0.4)
    assert AGREEMENTS[train_config("direct").agree](post, drift, PRE) == (post, drift)
