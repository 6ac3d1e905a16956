import dataclasses
import tempfile

import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift import on_disk
from tfdrift.config import train_config
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.assessment import assess, attainable_score
from tfdrift.evaluation.baselines import copy, mean_drift
from tfdrift.evaluation.document import Attainable, as_json
from tfdrift.evaluation.metrics import skill, squared_errors
from tfdrift.evaluation.pictures import draw_pictures
from tfdrift.evaluation.scores import ONE
from tfdrift.synthetic.oracle import ask_oracle


def test_the_skill_is_that_of_one_outcome_and_the_methods_that_of_the_mean(assessed, make_answers, phantom):
    answers = make_answers()
    copy = squared_errors(phantom.pre, phantom.post)
    one = skill(squared_errors(answers.post[0], phantom.post), copy)
    mean = skill(squared_errors(answers.post.mean(axis=0), phantom.post), copy)
    scored = assessed.metrics.scored
    assert assessed.metrics.skill.value == pytest.approx(one)
    assert scored["Method 1" + ONE]["skill"].value == pytest.approx(one)
    assert scored["Method 1"]["skill"].value == pytest.approx(mean)


def test_every_method_stands_beside_the_baselines(assessed):
    assert list(assessed.metrics.methods) == [
        "copy", "mean drift", "nearest lesion", "Method 1, one outcome", "Method 1", "direct", "true second MRI",
    ]  # fmt: skip


def test_comparisons_are_with_the_baseline_and_every_other_method(assessed):
    pairs = [(entry.first, entry.second) for entry in assessed.metrics.comparisons]
    assert pairs == [("Method 1", "mean drift"), ("Method 1", "direct")]
    scored = assessed.metrics.scored
    gap = scored["Method 1"]["skill"].value - scored["direct"]["skill"].value
    assert assessed.metrics.comparisons[1].difference.value == pytest.approx(gap)
    assert assessed.metrics.comparisons[1].sentence.startswith("Method 1 beats direct by")


def test_the_tables_hold_every_slice_and_every_lesion_of_every_method(assessed, phantom):
    assert len(assessed.slices) == 6 * len(phantom)
    assert len(assessed.lesions) == 2 * len(set(phantom.lesion))
    row = assessed.slices[len(phantom) + 3]
    assert (row["method"], row["lesion"], row["fold"]) == ("mean drift", phantom.lesion[3], phantom.fold[3])


def test_the_table_of_slices_adds_up_to_the_skill(assessed):
    totals = {name: 0.0 for name in ("copy", "Method 1")}
    for row in assessed.slices:
        if row["method"] in totals:
            totals[row["method"]] += row["mse"]
    expected = assessed.metrics.scored["Method 1"]["skill"].value
    assert 1 - totals["Method 1"] / totals["copy"] == pytest.approx(expected)


def test_volumes_in_the_table_are_within_their_intervals(assessed):
    rows = [row for row in assessed.lesions if row["method"] == "Method 1"]
    assert all(row["predicted_low"] <= row["predicted_ratio"] <= row["predicted_high"] for row in rows)
    assert any(row["predicted_low"] < row["predicted_high"] for row in rows)


def test_a_folder_of_the_machine_stays_out(make_answers):
    answers = make_answers()
    config = dataclasses.replace(answers.config, data="/home/someone/cohort")
    assert "someone" not in as_json(assess(dataclasses.replace(answers, config=config)).metrics)


def test_whole_lesions_of_several_slices_are_scored_and_drawn():
    samples = make_samples(count=24, folds=2, depth=3, channels=("T1", "FLAIR"))
    rng = np.random.default_rng(0)
    drift = samples.drift + 0.1 * rng.standard_normal((4, *samples.post.shape)).astype(np.float32)
    pre = copy(samples)
    errors = np.stack([squared_errors(pre + drift[0], samples.post)] * 2)
    answers = Answers(
        label="Method 1", config=train_config("method1"), step=1, fingerprint=samples.fingerprint(), data=samples,
        left_out=samples.fold, held_out=samples, group=samples.fold,
        post=pre + drift, drift=drift, levels=[1, 0], level_post_errors=errors,
        level_drift_errors=errors, shown=drift[:2, 0], shown_row=0, mean_drift=mean_drift(samples, samples),
        exponent=np.ones(24), cut=np.full(24, 0.9),
    )  # fmt: skip
    found = assess(answers).metrics
    one, mean = (found.scored[name]["mse"].value for name in ("Method 1, one outcome", "Method 1"))
    assert one == pytest.approx(0.01, rel=0.1)
    assert mean == pytest.approx(0.01 / 4, rel=0.1)
    assert set(draw_pictures(found, answers)) == {"skills", "reliability", "lesions", "levels", "snapshots", "spread"}


def test_what_can_be_attained_is_known_for_the_phantom_alone():
    patients = {"phantom000"}
    found = attainable_score(train_config("direct", image_size=8, depth=1), patients)
    expected = ask_oracle(image_size=8, among=patients).attainable
    assert found == Attainable(skill=expected.value, standard_error=expected.standard_error)
    assert attainable_score(train_config("direct", data="mnist"), patients) is None


def test_scores_are_the_same_to_the_bit_in_memory_and_on_disk(make_answers, assessed, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(on_disk, "ON_DISK_FROM", 1)
    monkeypatch.setattr(on_disk, "PART_BYTES", 4000)
    others = [make_answers("direct", shrink=0.7, count=1)]
    again = assess(make_answers(), others, attainable=assessed.metrics.attainable)
    assert as_json(again.metrics) == as_json(assessed.metrics)
    assert again.lesions == assessed.lesions
    assert list(tmp_path.iterdir()) == []
