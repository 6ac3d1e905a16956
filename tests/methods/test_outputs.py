"""What an untrained run answers, and what its answer is compared with."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SEED
from tfdrift.axes import first_channel
from tfdrift.config import train_config
from tfdrift.errors import UsageError
from tfdrift.methods import METHODS
from tfdrift.methods.field import undo_vectors
from tfdrift.methods.method import Method, Predictor
from tfdrift.methods.outputs import AGREEMENTS, OUTPUTS
from tfdrift.methods.symmetries import apply_symmetry, undo_symmetry
from tfdrift.model.heads import HEADS
from tfdrift.model.inputs import Inputs
from tfdrift.training.run_folder import build_network, make_predictor, make_run_loss

TINY: dict[str, Any] = {"image_size": 8, "base_filters": 2, "depth": 1, "levels": 3}
CORRECTING = [name for name, method in METHODS.items() if "output" in {field for field in method.__dataclass_fields__}]


MOVING = [name for name in CORRECTING if METHODS[name].maps is not Method.maps]
FORMS = [(method, "difference") for method in CORRECTING] + [(method, "field") for method in MOVING]


@pytest.mark.parametrize(("method", "form"), FORMS)
def test_an_untrained_correction_predicts_no_change_to_the_bit(method, form):
    config = train_config(method, output="correction", drift_form=form, **TINY)
    answer = make_predictor(config, build_network(config))(PRE, SEED)
    np.testing.assert_array_equal(answer["post"], PRE)
    np.testing.assert_array_equal(answer["drift"], 0)


@pytest.mark.parametrize(("method", "form"), FORMS)
def test_the_loss_of_an_untrained_correction_is_that_of_no_change(method, form):
    config = train_config(method, output="correction", drift_form=form, **TINY)
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


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(MOVING)))
def test_a_method_that_tells_no_movement_has_no_field(method):
    with pytest.raises(UsageError, match=f"--drift-form field: {METHODS[method].label}"):
        train_config(method, drift_form="field")


def test_a_field_needs_a_correction_and_has_it_unless_told_otherwise():
    assert train_config("direct", drift_form="field").output == "correction"
    with pytest.raises(UsageError, match="--output images with --drift-form field: nothing would be moved"):
        train_config("direct", drift_form="field", output="images")


def field_predictor(method: str, slices: int | None = None, **given: Any) -> Predictor:
    """A field of a network whose weights are drawn, so that it moves, brightens and adds."""
    inputs = Inputs(slices=slices)
    config = train_config(method, drift_form="field", **{**TINY, **given})
    network = build_network(config, inputs)
    for number, weight in enumerate(network.trainable_variables):
        weight.assign(tf.random.stateless_normal(weight.shape, (0, number), stddev=0.3))
    return make_predictor(config, network, inputs)


MAPS = {"displacement", "log_jacobian", "log_gain", "residual"}


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("method", MOVING)
def test_a_field_is_told_beside_the_answer_it_makes(method, heads):
    answer = field_predictor(method, heads=heads)(PRE, SEED)
    assert set(answer) == {"post", "drift", *MAPS}
    np.testing.assert_allclose(answer["post"] - PRE, answer["drift"], atol=1e-6)
    assert answer["displacement"].shape == [3, 8, 8, 2]
    assert np.abs(answer["displacement"]).max() > 0.1
    assert all(answer[name].shape == PRE.shape for name in MAPS - {"displacement"})


def test_a_field_of_a_stack_moves_between_slices():
    pre = tf.random.stateless_uniform([2, 4, 8, 8, 1], (0, 1))
    answer = field_predictor("direct", slices=4)(pre, SEED[:2])
    assert answer["displacement"].shape == [2, 4, 8, 8, 3]
    assert answer["post"].shape == pre.shape


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("slices", [None, 4])
def test_an_averaged_field_turns_with_the_image(slices, number):
    predictor = field_predictor("direct", slices, symmetries=8)
    pre = tf.random.stateless_uniform([2, *([slices] if slices else []), 8, 8, 1], (0, 1))
    every = tf.fill([2], number)
    turned, answer = predictor(apply_symmetry(pre, every), SEED[:2]), predictor(pre, SEED[:2])
    for name in ("post", "drift", *(MAPS - {"displacement"})):
        np.testing.assert_allclose(undo_symmetry(turned[name], every), answer[name], atol=1e-4)
    np.testing.assert_allclose(undo_vectors(turned["displacement"], every), answer["displacement"], atol=1e-4)


def test_shrinkage_shrinks_the_change_and_what_is_told_of_it():
    predictor = field_predictor("direct")
    whole, half = predictor(PRE, SEED), dataclasses.replace(predictor, shrinkage=0.5)(PRE, SEED)
    np.testing.assert_allclose(half["post"], (whole["post"] + PRE) / 2, atol=1e-6)
    for name in ("drift", *MAPS):
        np.testing.assert_allclose(half[name], whole[name] / 2, atol=1e-6)


def test_averaged_answers_agree_and_are_the_mean_of_both():
    post, drift = PRE + 0.2, tf.fill(PRE.shape, 0.4)
    agreed, change = AGREEMENTS["averaged"](post, drift, PRE)
    np.testing.assert_allclose(change, 0.3, rtol=1e-5)
    np.testing.assert_allclose(agreed - PRE, change, atol=1e-6)


def test_answers_are_left_apart_by_default():
    post, drift = PRE + 0.2, tf.fill(PRE.shape, 0.4)
    assert AGREEMENTS[train_config("direct").agree](post, drift, PRE) == (post, drift)
