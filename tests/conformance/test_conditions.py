"""A run that is given a condition: trained, scored, resumed, exported and asked with and without it."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.clinic.patients import write_patient
from tests.command_line import exit_code
from tests.random_samples import make_samples
from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.models import Told
from tfdrift.clinic.served_model import ServedModel
from tfdrift.config import train_config
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation.outcomes import draw_outcomes
from tfdrift.evaluation.report import evaluate_run
from tfdrift.export.saved_model import export_run
from tfdrift.methods import METHODS
from tfdrift.serving.server import embedded_server
from tfdrift.training.batches import make_batches
from tfdrift.training.run_folder import build_network, inputs_of, load_predictor, make_run_loss
from tfdrift.training.train import train

NAMES = "age,response"
TOLD = ("conditioned", "guided")
TINY: dict[str, Any] = {"image_size": 8, "base_filters": 2, "depth": 1, "levels": 3, "batch_size": 4, "steps": 3}


def aged_samples():
    samples = make_samples()
    age = np.linspace(50, 80, len(samples)).astype(np.float32)
    age[3] = np.nan
    left = np.where(np.arange(len(samples)) % 4 < 2, 0.5, 1.5).astype(np.float32)  # patient by patient
    return dataclasses.replace(samples, conditions={"age": age}, follow_up_mm3=left)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aged")
    train(train_config("method1", condition=NAMES, **TINY), folder, echo=lambda _line: None, samples=aged_samples())
    return folder


@pytest.fixture(scope="module")
def version(run, tmp_path_factory):
    """Return the folder of the run's exported model."""
    return export_run(run, tmp_path_factory.mktemp("models") / "aged")


def known(age: float = np.nan, response: float = np.nan) -> tf.Tensor:
    """Return what is known of two slices: 0 is a good response and 1 a poor one."""
    return tf.constant([[age, response]] * 2, tf.float32)


def test_the_run_tells_what_it_is_given_and_loads_as_it_was(run):
    config, facts, predictor = load_predictor(run)
    assert (config.conditions, config.condition_dropout) == (("age", "response"), 0.1)
    told = facts["data"]["inputs"]["conditions"]
    assert (told["names"], told["classes"]) == (["age", "response"], [[], ["good", "poor"]])
    assert predictor.inputs.conditions.numbers == 2


def test_answers_depend_on_the_condition_and_an_unknown_one_is_none_given(run):
    predictor = load_predictor(run)[2]
    pre, seed = tf.constant(aged_samples().pre[:2]), tf.constant([[0, 0], [0, 1]], tf.int64)
    young, old, unknown = (predictor(pre, seed, known(age))["post"] for age in (50.0, 80.0, np.nan))
    good, poor = (predictor(pre, seed, known(response=response))["post"] for response in (0.0, 1.0))
    assert np.abs(young - old).max() > 1e-6
    assert np.abs(good - poor).max() > 1e-6
    np.testing.assert_array_equal(unknown, predictor(pre, seed)["post"])


def test_a_run_goes_on_with_the_same_condition_and_not_with_another(run):
    with pytest.raises(UsageError, match="condition: , not age,response"):
        train(train_config("method1", **TINY), run, echo=lambda _line: None, samples=aged_samples())
    other = dataclasses.replace(aged_samples(), follow_up_mm3=aged_samples().follow_up_mm3[::-1].copy())
    with pytest.raises(UsageError, match="the data have changed"):
        train(train_config("method1", condition=NAMES, **TINY), run, echo=lambda _line: None, samples=other)


def test_held_out_slices_are_scored_with_their_own_condition(run):
    scores = evaluate_run(run, samples=aged_samples())
    unknown = dataclasses.replace(aged_samples(), conditions={})
    drawn = [draw_outcomes(load_predictor(run)[2], one, count=1, seed=0)["post"] for one in (aged_samples(), unknown)]
    assert np.isfinite(scores.skill.value)
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-6


def test_a_forecast_is_not_told_the_response_that_nobody_knows_yet(run):
    samples, predictor = aged_samples(), load_predictor(run)[2]
    swapped = dataclasses.replace(samples, follow_up_mm3=2 - samples.follow_up_mm3)
    told, not_told = (draw_outcomes(predictor, one, count=1, seed=0)["post"] for one in (samples, swapped))
    np.testing.assert_array_equal(told, not_told)


def test_an_exported_model_answers_with_and_without_the_condition(version):
    model = tf.saved_model.load(str(version))
    asked = {"image": tf.constant(aged_samples().pre[:2]), "seed": tf.constant([[0, 0], [0, 1]], tf.int64)}
    without = model.signatures["serving_default"](**asked)["post"].numpy()
    conditioned, guided = (model.signatures[f"serving_{told}"] for told in ("conditioned", "guided"))
    unknown, old, poor = (conditioned(**asked, condition=c)["post"] for c in (known(), known(80.0), known(80.0, 1.0)))
    np.testing.assert_allclose(unknown, without, atol=1e-6)
    assert np.abs(old - without).max() > 1e-6
    far = guided(**asked, condition=known(80.0, 1.0), guidance=tf.fill([2, 1], 3.0))["post"]
    np.testing.assert_allclose(far - old, 3 * (poor - old), atol=1e-5)
    as_examples = model.signatures["serve_tf_examples"]
    plain, told = (as_examples(examples=serialised(asked, age))["post"] for age in (None, 80.0))
    np.testing.assert_allclose(plain, without, atol=1e-6)
    np.testing.assert_allclose(told, old, atol=1e-6)
    stored = json.loads((version / "assets/config.json").read_text())
    assert stored["train"]["condition"] == NAMES
    assert set(stored["conditions"]) == {"age", "response"}
    card = (version / "assets.extra/model_card.md").read_text()
    assert "| 1 | age | the column age of the cohort | " in card
    assert "| 0 good, 1 poor |" in card
    assert set(model.signatures) >= {f"{name}_{told}" for name in ("serving", "ensemble") for told in TOLD}


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return write_patient(tmp_path_factory.mktemp("patient"))


def predict(patient, source: list[str], out, *given: str) -> int | str | None:
    files = ["--series", str(patient.series), "--rtstruct", str(patient.rtstruct), "--outcomes", "2"]
    return exit_code(["predict", *source, *files, "--out", str(out), *given])


def test_predict_asks_what_if(version, patient, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tfdrift.clinic.predict.build_report", lambda *_args, **_named: "")
    monkeypatch.setattr("tfdrift.clinic.predict.write_dicom", lambda *_args: None)
    given = ["--given", "age=65", "--given", "response=good", "--given", "response=poor", "--guidance", "2"]
    assert predict(patient, ["--model", str(version)], tmp_path / "out", *given) == 0
    assert "if it responds well" in capsys.readouterr().out
    (lesion,) = json.loads((tmp_path / "out/prediction.json").read_text())["lesions"]
    assert lesion["told"] == {"age": 65.0, "response": None}
    assert [(case["words"], case["guidance"]) for case in lesion["scenarios"]] == [
        ("if it responds well", 2.0),
        ("if it responds poorly", 2.0),
    ]


def test_a_server_is_told_what_a_folder_is_told(version):
    image, seed = 1000 * aged_samples().pre[:2], np.array([[0, 0], [0, 1]])
    with embedded_server({"aged": version.parent}) as server:
        served, local = ServedModel(f"127.0.0.1:{server.grpc_port}", "aged"), LocalModel(version)
        assert served.about.conditions == local.about.conditions
        for told in (None, Told(known(65.0).numpy()), Told(known(65.0, 1.0).numpy(), guidance=2.0)):
            theirs, ours = (model.predict(image, seed, 0, told)["post"] for model in (served, local))
            np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-3)
        served.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--given", "dose=3"], "--given dose: the model takes age, response"),
        (["--given", "response=fair"], "--given response=fair: the model has seen good, poor alone"),
        (["--guidance", "2"], "--guidance 2: no class is asked for"),
    ],
)
def test_what_the_model_cannot_be_told_is_one_line_and_exit_code_2(version, patient, tmp_path, capsys, given, said):
    assert predict(patient, ["--model", str(version)], tmp_path / "out", *given) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def serialised(asked: dict[str, tf.Tensor], age: float | None) -> tf.Tensor:
    """Return each request as a `tf.Example`, with a condition where there is an age."""
    found = []
    for image, seed in zip(asked["image"].numpy(), asked["seed"].numpy(), strict=True):
        example = tf.train.Example()
        example.features.feature["image"].float_list.value.extend(image.ravel())
        example.features.feature["seed"].int64_list.value.extend(seed)
        if age is not None:
            example.features.feature["condition"].float_list.value.extend([age, np.nan])
        found.append(example.SerializeToString())
    return tf.constant(found)


def test_a_condition_that_the_data_lack_is_refused_before_training(tmp_path):
    config = train_config("method1", condition="dose", **TINY)
    with pytest.raises(
        DataError, match="--condition dose: the data do not have it; they have age, core, peak, response, size"
    ):
        train(config, tmp_path / "run", echo=lambda _line: None, samples=aged_samples())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_from_conditions(method):
    config = train_config(method, condition="size,core,age,response", **TINY)
    inputs = inputs_of(config, aged_samples())
    loss = make_run_loss(config, build_network(config, inputs))
    batch = make_batches(aged_samples(), batch_size=4, seed=0, conditions=inputs.conditions, dropout=0.1)
    assert np.isfinite(loss(batch(tf.constant(0, tf.int64)), tf.constant([0, 0], tf.int64))["loss"])
