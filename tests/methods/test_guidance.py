import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SEED
from tfdrift.config import train_config
from tfdrift.errors import UsageError
from tfdrift.methods import METHODS, make_method
from tfdrift.methods.method import Predictor
from tfdrift.model.conditions import Conditions, fit_conditions
from tfdrift.model.inputs import Inputs
from tfdrift.model.unet import build_unet

COLUMNS = {"age": np.array([50.0, 70.0], np.float32), "response": np.array(["good", "poor"])}
TOLD = tf.constant([[60.0, 1.0]] * len(PRE))
CLASSLESS = tf.constant([[60.0, np.nan]] * len(PRE))


def predictor(method: str = "method1", conditions: Conditions | None = None, **settings) -> Predictor:
    """Return a network with its first weights and two conditions, one of them a class."""
    conditions = fit_conditions(list(COLUMNS), COLUMNS) if conditions is None else conditions
    config = train_config(method, levels=3, image_size=8, depth=1, **settings)
    how = make_method(method, dataclasses.asdict(config))
    network = build_unet(
        8, base_filters=2, depth=1, conditions=conditions.inputs, outputs=how.output_channels(1), latents=how.latents
    )
    inputs = Inputs(conditions=conditions)
    return Predictor(network=network, method=how, inputs=inputs, symmetries=config.symmetries)


def weights(w: float) -> tf.Tensor:
    return tf.fill([len(PRE), 1], w)


@pytest.mark.parametrize("method", METHODS)
def test_weight_1_is_plain_and_weight_0_knows_no_class(method):
    ask = predictor(method)
    for w, condition in ((1.0, TOLD), (0.0, CLASSLESS)):
        plain = ask(PRE, SEED, condition)
        for name, image in ask(PRE, SEED, TOLD, weights(w)).items():
            np.testing.assert_allclose(image, plain[name], atol=1e-5)


@pytest.mark.parametrize("symmetries", [1, 8])
def test_an_answer_in_one_step_moves_in_proportion_to_the_weight(symmetries):
    ask = predictor("method1", symmetries=symmetries)
    without, plain, far = (ask(PRE, SEED, TOLD, weights(w))["post"].numpy() for w in (0.0, 1.0, 3.0))
    assert np.abs(plain - without).max() > 1e-4
    np.testing.assert_allclose(far - without, 3 * (plain - without), atol=1e-5)


def test_each_image_has_a_weight_of_its_own():
    ask = predictor()
    mixed = ask(PRE, SEED, TOLD, tf.constant([[0.0], [1.0], [3.0]]))["post"].numpy()
    for row, w in enumerate((0.0, 1.0, 3.0)):
        np.testing.assert_allclose(mixed[row], ask(PRE, SEED, TOLD, weights(w))["post"][row], atol=1e-6)


def test_guidance_of_a_model_without_a_class_is_refused():
    ages = fit_conditions(["age"], COLUMNS)
    with pytest.raises(UsageError, match="--guidance: the model has no class to be led by"):
        predictor(conditions=ages)(PRE, SEED, None, weights(2.0))
