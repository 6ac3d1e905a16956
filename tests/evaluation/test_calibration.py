import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.conftest import TINY
from tfdrift.config import TrainConfig, train_config
from tfdrift.errors import DataError
from tfdrift.evaluation.answers import Answers, answer
from tfdrift.evaluation.calibration import calibrate, read_calibration
from tfdrift.evaluation.document import as_document, as_json
from tfdrift.evaluation.response import lesions_of
from tfdrift.evaluation.uncertainty import interval


def patients_of(answers: Answers, patients: int) -> Answers:
    """Answers about the first so many patients alone."""
    names = np.unique(answers.held_out.patient)[:patients]
    rows = np.isin(answers.held_out.patient, names)
    by_slice = {name: getattr(answers, name)[rows] for name in ("group", "exponent", "cut", "mean_drift")}
    several = {name: getattr(answers, name)[:, rows] for name in ("post", "drift")}
    errors = {name: getattr(answers, name)[:, rows] for name in ("level_post_errors", "level_drift_errors")}
    return dataclasses.replace(answers, held_out=answers.held_out.take(rows), **by_slice, **several, **errors)


@pytest.fixture(scope="module")
def written(assessed, tmp_path_factory) -> Path:
    """The folder of an evaluation on nine patients, of runs with the settings of `run_config`."""
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "metrics.json").write_text(as_json(assessed.metrics))
    return folder


@pytest.fixture(scope="module")
def facts(phantom):
    """What stands beside the settings of a run on the same data."""
    return {"step": 2, "data": {"fingerprint": phantom.fingerprint()}}


def run_config(**given) -> TrainConfig:
    return train_config("method1", **{**TINY, **given})


def change(folder: Path, out: Path, **changed) -> Path:
    """Write a copy of an evaluation with other entries in its calibration; None for the whole takes it away."""
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["calibration"].update(changed)
    (out / "metrics.json").write_text(json.dumps(metrics))
    return out


def test_of_nine_patients_none_may_be_left_out(make_answers):
    # (0 + 1) / (9 + 1) = 0.1: the margins are the largest distances of any truth from its interval.
    answers = make_answers()
    found = calibrate(answers)
    low, high = interval(answers.ratios, 0.9)
    ratio = lesions_of(answers.held_out).ratio
    assert np.max(np.maximum(low - ratio, ratio - high)) == pytest.approx(found.volume_margin)
    inside = answers.gtv
    low, high = interval(answers.drift[:, inside], 0.9)
    drift = answers.held_out.drift[inside]
    assert np.max(np.maximum(low - drift, drift - high)) == pytest.approx(found.drift_margin)
    assert (found.patients, found.outcomes, found.runs) == (9, 8, 1)


def test_outcomes_that_spread_too_far_are_not_made_narrower(make_answers):
    found = calibrate(make_answers(shrink=0.0, noise=1.0, count=16))
    assert found.drift_margin == 0


def test_fewer_than_nine_patients_give_no_finite_margin(make_answers):
    found = calibrate(patients_of(make_answers(), 8))
    assert (found.patients, found.volume_margin, found.drift_margin) == (8, np.inf, np.inf)


def test_an_infinite_margin_is_null_in_the_document(make_answers):
    document = as_document(calibrate(patients_of(make_answers(), 8)))
    assert (document["patients"], document["volume_margin"], document["drift_margin"]) == (8, None, None)


def test_what_an_evaluation_wrote_is_read_back_for_a_run_of_any_fold_and_seed(written, facts, make_answers):
    config = run_config(fold=2, seed=5, log_every=1, steps=99)
    assert read_calibration(written, config, facts) == calibrate(make_answers())


def test_no_fold_seed_or_path_is_in_the_settings(make_answers):
    answers = make_answers()
    config = dataclasses.replace(answers.config, data="/home/someone/cohort")
    settings = calibrate(dataclasses.replace(answers, config=config)).settings
    assert settings["data"] == "cohort"
    assert not {"fold", "seed", "steps"} & set(settings)


def test_an_ensemble_says_of_how_many_runs_it_is(tiny_run, phantom):
    folders = [tiny_run("direct"), tiny_run("direct", seed=1)]
    assert calibrate(answer(folders, phantom, count=2)).runs == 2
    assert calibrate(answer(folders[:1], phantom, count=2)).runs == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (run_config(base_filters=4), "base_filters: 2, not 4"),
        (run_config(noise_level=0.3, levels=5), "levels: 3, not 5"),
        (train_config("direct", **TINY), "method: method1, not direct"),
    ],
)
def test_a_run_with_other_settings_is_refused(written, facts, config, said):
    with pytest.raises(DataError, match=f"was calibrated with other settings than the run's .*{said}"):
        read_calibration(written, config, facts)


def test_a_run_of_other_steps_is_refused(written, facts):
    with pytest.raises(DataError, match="steps: 2, not 3"):
        read_calibration(written, run_config(), {**facts, "step": 3})


def test_other_data_are_refused(written, facts):
    with pytest.raises(DataError, match="was calibrated on other data than the run was trained on"):
        read_calibration(written, run_config(), {**facts, "data": {"fingerprint": "other"}})


def test_an_ensembles_calibration_is_refused_for_a_run(written, facts, tmp_path):
    with pytest.raises(DataError, match="runs: 3, not 1"):
        read_calibration(change(written, tmp_path, runs=3), run_config(), facts)


def test_too_few_patients_are_refused(written, facts, tmp_path):
    few = change(written, tmp_path, patients=8, volume_margin=None, drift_margin=None)
    with pytest.raises(DataError, match="was calibrated on 8 patients, and a promise of 90% takes 9 or more"):
        read_calibration(few, run_config(), facts)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"skill": 0.5}'], ids=str)
def test_a_folder_without_calibration_is_refused(facts, tmp_path, content):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match="holds no calibration") as caught:
        read_calibration(tmp_path, run_config(), facts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"volume_margin": "wide"}, {"drift_margin": None}, {"volume_margin": -0.1}, {"drift_margin": float("nan")},
        {"coverage": 1.0}, {"coverage": 0.8}, {"patients": "many"}, {"settings": {"method": "magic"}}, {"settings": []},
        {"unknown": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_calibration_is_refused(written, facts, tmp_path, changed):
    with pytest.raises(DataError, match="holds a calibration this version cannot read") as caught:
        read_calibration(change(written, tmp_path, **changed), run_config(), facts)
    assert "\n" not in str(caught.value)
