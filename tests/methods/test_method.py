import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SEED, make_predictor
from tfdrift.config import train_config
from tfdrift.methods import METHODS, make_method
from tfdrift.methods.method import Predictor, asking
from tfdrift.model.conditions import fit_conditions
from tfdrift.model.inputs import Inputs
from tfdrift.model.unet import build_unet


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits_and_noise_matters_where_there_is_noise(method):
    network = build_unet(8, base_filters=2, depth=1, latents=METHODS[method].latents)
    predict = tf.function(make_predictor(network, method).__call__)
    first, again = predict(PRE, SEED)["post"].numpy(), predict(PRE, SEED)["post"].numpy()
    other = predict(PRE, SEED + 1)["post"].numpy()
    np.testing.assert_array_equal(first, again)
    assert (np.abs(first - other).max() > 1e-6) == (method != "direct")


def test_a_method_has_the_settings_it_names_and_no_others():
    settings = dataclasses.asdict(train_config("method2", start_level=4, sample_steps=3, levels=6))
    assert make_method("method2", settings).levels() == [4, 2, 0]
    assert make_method("direct", settings).levels() == [None]


def test_a_network_with_conditions_is_given_them_encoded():
    conditions = fit_conditions(["age"], {"age": np.array([50.0, 70.0], np.float32)})
    seen = {}

    def network(inputs):
        seen.update(inputs)
        return {"recon": inputs["image"], "drift": inputs["image"]}

    method = make_method("direct", dataclasses.asdict(train_config("direct")))
    predictor = Predictor(network=network, method=method, inputs=Inputs(conditions=conditions))  # pyright: ignore[reportArgumentType]
    predictor(PRE, SEED, tf.constant([[70.0], [60.0], [np.nan]]))
    np.testing.assert_allclose(seen["condition"], [[1, 1], [0, 1], [0, 0]])
    predictor(PRE, SEED)
    np.testing.assert_array_equal(seen["condition"], np.zeros([3, 2]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("slices", "channels"), [(None, 1), (None, 3), (4, 1), (4, 2)])
def test_every_method_learns_from_and_answers_images_of_any_shape(method, slices, channels):
    settings = dataclasses.asdict(train_config(method, levels=3, image_size=8, depth=1))
    how, inputs = make_method(method, settings), Inputs(channels=channels, slices=slices)
    shape = inputs.image_shape(8)
    network = build_unet(
        8,
        channels=channels,
        slices=slices,
        outputs=how.output_channels(channels),
        base_filters=2,
        depth=1,
        latents=how.latents,
    )
    pre, post = tf.random.stateless_uniform([2, *shape], (0, 1)), tf.zeros([2, *shape[:-1], 1])
    shown = how.show(pre, post, tf.constant([0, 0], tf.int64))
    outputs = asking(network, latents=how.latents)(shown.image, shown.t)
    assert {name: output.shape for name, output in outputs.items()} == {
        name: target.shape for name, target in shown.targets.items()
    }
    predictor = Predictor(network=network, method=how, inputs=inputs)
    answer, at_levels = predictor(pre, SEED[:2]), predictor.at_levels(pre, SEED[:2])
    for name in ("post", "drift"):
        assert answer[name].shape == post.shape
        assert at_levels[name].shape == (len(predictor.levels()), *post.shape)
