"""A run that starts from the weights of another one."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.training.conftest import no_echo
from tfdrift.config import read_config
from tfdrift.errors import DataError, UsageError
from tfdrift.training.run_folder import load_predictor
from tfdrift.training.train import train


@pytest.fixture(scope="module")
def first(make_samples, tiny_config, tmp_path_factory):
    """A run on data that tell a condition which later data lack."""
    folder, samples = tmp_path_factory.mktemp("first") / "run", make_samples()
    law = np.random.default_rng(0).standard_normal([len(samples), 2]).astype(np.float32)
    config = tiny_config("direct", condition="law", steps=4)
    train(config, folder, echo=no_echo, samples=dataclasses.replace(samples, conditions={"law": law}))
    return folder


def later_config(tiny_config, first, **given):
    return tiny_config("direct", condition="law", pretrained=str(first), **{"steps": 4, **given})


@pytest.fixture(scope="module")
def later(first, make_samples, tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("later") / "run"
    # A step so small that the weights are still the first ones.
    config = later_config(tiny_config, first, learning_rate=1e-12, weight_decay=0.0)
    train(config, folder, echo=no_echo, samples=make_samples())
    return folder


def test_it_starts_from_the_weights_and_inputs_of_the_other(first, later):
    before, after = load_predictor(first)[2], load_predictor(later)[2]
    assert after.inputs == before.inputs
    for one, other in zip(before.network.get_weights(), after.network.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-9)


def test_where_the_data_lack_the_condition_it_is_unknown(later, make_samples):
    predictor = load_predictor(later)[2]
    pre, seed = tf.constant(make_samples().pre[:2]), tf.constant([[0, 0], [0, 1]], tf.int64)
    unknown = tf.fill([2, 2], np.nan)
    np.testing.assert_array_equal(predictor(pre, seed)["post"], predictor(pre, seed, unknown)["post"])


def test_it_goes_on_to_the_same_bits(first, make_samples, tiny_config, tmp_path, read_weights):
    for folder, steps in (("cut", 2), ("cut", 4), ("whole", 4)):
        config = later_config(tiny_config, first, steps=steps)
        train(config, tmp_path / folder, echo=no_echo, samples=make_samples())
    cut, whole = read_weights(tmp_path / "cut"), read_weights(tmp_path / "whole")
    for name, weight in whole.items():
        np.testing.assert_array_equal(cut[name], weight)


def test_its_folder_says_where_the_other_lies_and_what_leaves_it_does_not(first, later):
    config, facts = read_config(later / "config.json")
    assert config.pretrained is not None
    assert (later / config.pretrained).resolve() == first.resolve()
    assert config.without_paths().pretrained is None
    assert len(facts["data"]["pretrained"]) == 64


def test_another_run_to_start_from_is_other_data(first, later, make_samples, tiny_config, tmp_path):
    shutil.copytree(first, tmp_path / "other")
    (part,) = (tmp_path / "other/checkpoints").glob("step-4.data-*")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    config = later_config(tiny_config, tmp_path / "other", learning_rate=1e-12, weight_decay=0.0)
    with pytest.raises(UsageError, match="the data have changed"):
        train(config, later, echo=no_echo, samples=make_samples())


def test_a_run_of_another_network_is_refused(first, make_samples, tiny_config, tmp_path):
    config = later_config(tiny_config, first, base_filters=3, output="correction")
    with pytest.raises(UsageError, match="has --base-filters 2, not 3, --output images, not correction; both must"):
        train(config, tmp_path / "run", echo=no_echo, samples=make_samples())


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_weights_is_refused(first, make_samples, tiny_config, tmp_path, exists):
    if exists:
        shutil.copytree(first, tmp_path / "first", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(DataError, match="holds no checkpoint yet" if exists else "does not exist; give a run folder"):
        train(later_config(tiny_config, tmp_path / "first"), tmp_path / "run", echo=no_echo, samples=make_samples())
