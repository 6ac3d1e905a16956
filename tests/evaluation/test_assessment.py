import dataclasses
import json

import numpy as np
import pytest

from tfdrift.config import train_config
from tfdrift.evaluation.assessment import ONE, assess, attainable_score, plain
from tfdrift.evaluation.intervals import Estimate
from tfdrift.evaluation.metrics import skill, squared_errors
from tfdrift.synthetic.phantom import attainable_skill


def test_the_document_is_json_and_keeps_the_fields_of_a_training_run(assessed):
    document = json.loads(json.dumps(assessed.metrics, allow_nan=False))
    assert document == assessed.metrics
    fields = "step method data fold patients lesions slices skill drift_skill ssim copy mean_drift levels best_level"
    assert set(fields.split()) <= set(document)
    assert set(document["skill"]) == {"value", "low", "high"}


def test_the_skill_is_that_of_one_outcome_and_the_methods_that_of_the_mean(assessed, make_answers, phantom):
    answers = make_answers()
    copy = squared_errors(phantom.pre, phantom.post)
    one = skill(squared_errors(answers.post[0], phantom.post), copy)
    mean = skill(squared_errors(answers.post.mean(axis=0), phantom.post), copy)
    methods = assessed.metrics["methods"]
    assert assessed.metrics["skill"]["value"] == pytest.approx(one)
    assert methods["Method 1" + ONE]["scores"]["skill"]["value"] == pytest.approx(one)
    assert methods["Method 1"]["scores"]["skill"]["value"] == pytest.approx(mean)


def test_every_method_stands_beside_the_baselines(assessed):
    assert list(assessed.metrics["methods"]) == [
        "copy", "mean drift", "Method 1, one outcome", "Method 1", "direct", "true second MRI",
    ]  # fmt: skip


def test_comparisons_are_with_the_baseline_and_every_other_method(assessed):
    pairs = [(entry["first"], entry["second"]) for entry in assessed.metrics["comparisons"]]
    assert pairs == [("Method 1", "mean drift"), ("Method 1", "direct")]
    methods = assessed.metrics["methods"]
    gap = methods["Method 1"]["scores"]["skill"]["value"] - methods["direct"]["scores"]["skill"]["value"]
    assert assessed.metrics["comparisons"][1]["difference"]["value"] == pytest.approx(gap)
    assert assessed.metrics["comparisons"][1]["sentence"].startswith("Method 1 beats direct by")


def test_the_tables_hold_every_slice_and_every_lesion_of_every_method(assessed, phantom):
    assert len(assessed.slices) == 5 * len(phantom)
    assert len(assessed.lesions) == 2 * len(set(phantom.lesion))
    row = assessed.slices[len(phantom) + 3]
    assert (row["method"], row["lesion"], row["fold"]) == ("mean drift", phantom.lesion[3], phantom.fold[3])


def test_the_table_of_slices_adds_up_to_the_skill(assessed):
    totals = {name: 0.0 for name in ("copy", "Method 1")}
    for row in assessed.slices:
        if row["method"] in totals:
            totals[row["method"]] += row["mse"]
    expected = assessed.metrics["methods"]["Method 1"]["scores"]["skill"]["value"]
    assert 1 - totals["Method 1"] / totals["copy"] == pytest.approx(expected)


def test_volumes_in_the_table_are_within_their_intervals(assessed):
    rows = [row for row in assessed.lesions if row["method"] == "Method 1"]
    assert all(row["predicted_low"] <= row["predicted_ratio"] <= row["predicted_high"] for row in rows)
    assert any(row["predicted_low"] < row["predicted_high"] for row in rows)


def test_a_folder_of_the_machine_stays_out(make_answers):
    answers = make_answers()
    config = dataclasses.replace(answers.config, data="/home/someone/cohort")
    assert "someone" not in json.dumps(assess(dataclasses.replace(answers, config=config)).metrics)


def test_what_can_be_attained_is_known_for_the_phantom_alone():
    patients = {"phantom000"}
    found = attainable_score(train_config("direct", image_size=8, depth=1), patients)
    expected = attainable_skill(image_size=8, among=patients)
    assert found == {"skill": expected.value, "standard_error": expected.standard_error}
    assert attainable_score(train_config("direct", data="mnist"), patients) is None


def test_numbers_that_are_not_finite_are_none():
    found = plain({"a": [Estimate(np.float64("nan"), -np.inf, 1.0), np.float32(0.5)], "b": (True, None, "x", 3)})
    assert found == {"a": [{"value": None, "low": None, "high": 1.0}, 0.5], "b": [True, None, "x", 3]}
