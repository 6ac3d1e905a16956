"""A run that is given a condition: trained, scored, resumed, exported and asked with and without it."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.random_samples import make_samples
from tfdrift.config import train_config
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation.report import evaluate_run
from tfdrift.export.saved_model import export_run
from tfdrift.training.run_folder import load_predictor
from tfdrift.training.train import train

TINY: dict[str, Any] = {"image_size": 8, "base_filters": 2, "depth": 1, "levels": 3, "batch_size": 4, "steps": 3}


def aged_samples():
    samples = make_samples()
    age = np.linspace(50, 80, len(samples)).astype(np.float32)
    age[3] = np.nan
    return dataclasses.replace(samples, conditions={"age": age})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aged")
    train(train_config("method1", condition="age", **TINY), folder, echo=lambda _line: None, samples=aged_samples())
    return folder


def test_the_run_tells_what_it_is_given_and_loads_as_it_was(run):
    config, facts, predictor = load_predictor(run)
    assert config.conditions == ("age",)
    assert facts["data"]["inputs"]["conditions"]["names"] == ["age"]
    assert predictor.inputs.conditions.numbers == 1


def test_answers_depend_on_the_condition_and_an_unknown_one_is_none_given(run):
    predictor = load_predictor(run)[2]
    pre, seed = tf.constant(aged_samples().pre[:2]), tf.constant([[0, 0], [0, 1]], tf.int64)
    young, old, unknown = (predictor(pre, seed, tf.fill([2, 1], age))["post"] for age in (50.0, 80.0, np.nan))
    assert np.abs(young - old).max() > 1e-6
    np.testing.assert_array_equal(unknown, predictor(pre, seed)["post"])


def test_a_run_goes_on_with_the_same_condition_and_not_with_another(run):
    with pytest.raises(UsageError, match="condition: , not age"):
        train(train_config("method1", **TINY), run, echo=lambda _line: None, samples=aged_samples())
    other = dataclasses.replace(aged_samples(), conditions={"age": np.arange(12, dtype=np.float32)})
    with pytest.raises(UsageError, match="the data have changed"):
        train(train_config("method1", condition="age", **TINY), run, echo=lambda _line: None, samples=other)


def test_held_out_slices_are_scored_with_their_own_condition(run):
    scores = evaluate_run(run, samples=aged_samples())
    unknown = dataclasses.replace(aged_samples(), conditions={})
    assert scores.skill.value != evaluate_run(run, samples=unknown).skill.value


def test_an_exported_model_answers_with_and_without_the_condition(run, tmp_path):
    version = export_run(run, tmp_path / "models/aged")
    model = tf.saved_model.load(str(version))
    asked = {"image": tf.constant(aged_samples().pre[:2]), "seed": tf.constant([[0, 0], [0, 1]], tf.int64)}
    without = model.signatures["serving_default"](**asked)["post"].numpy()
    unknown = model.signatures["serving_conditioned"](**asked, condition=tf.fill([2, 1], np.nan))["post"].numpy()
    old = model.signatures["serving_conditioned"](**asked, condition=tf.fill([2, 1], 80.0))["post"].numpy()
    np.testing.assert_allclose(unknown, without, atol=1e-6)
    assert np.abs(old - without).max() > 1e-6
    stored = json.loads((version / "assets/config.json").read_text())
    assert stored["train"]["condition"] == "age"


def test_a_condition_that_the_data_lack_is_refused_before_training(tmp_path):
    config = train_config("method1", condition="dose", **TINY)
    with pytest.raises(DataError, match="--condition dose: the data do not have it; they have age"):
        train(config, tmp_path / "run", echo=lambda _line: None, samples=aged_samples())
