import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.conftest import TINY
from tfdrift.config import TrainConfig, train_config
from tfdrift.errors import DataError
from tfdrift.evaluation.answers import Answers, answer
from tfdrift.evaluation.calibration import adaptive_margins, as_calibration, calibrate, read_calibration
from tfdrift.evaluation.document import as_document, as_json
from tfdrift.evaluation.response import lesions_of
from tfdrift.evaluation.uncertainty import drift_values, interval, volume_values
from tfdrift.statistics import conformal


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


def test_runs_that_choose_their_steps_are_calibrated_by_runs_that_looked_as_often(make_answers, facts, tmp_path):
    answers = make_answers()
    config = run_config(inner_folds=2, validate_every=1, decay="cosine", steps=7)
    calibration = calibrate(dataclasses.replace(answers, config=config))
    document = {"calibration": as_document(calibration)}
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    of_another_fold = {**facts, "step": 5}
    assert read_calibration(tmp_path, dataclasses.replace(config, fold=1), of_another_fold) == calibration
    for name, value in (("validate_every", 2), ("steps", 8)):
        with pytest.raises(DataError, match=f"{name}: {getattr(config, name)}, not {value}"):
            read_calibration(tmp_path, dataclasses.replace(config, **{name: value}), of_another_fold)


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


def test_few_patients_have_constant_margins_alone(make_answers):
    assert calibrate(make_answers()).adaptive is None
    assert adaptive_margins(make_answers()) is None


def test_the_adaptive_margins_for_a_new_patient_cover_the_patients_who_calibrated(many_answers):
    found = calibrate(many_answers).adaptive
    assert found is not None
    for margin, spread in ((found.volume, volume_values(many_answers)), (found.drift, drift_values(many_answers))):
        values = spread.values
        assert (margin.learned_on, margin.calibrated_on) == (15, 30)
        calibrating = ~np.isin(values.patient, np.unique(values.patient)[1::3])
        covered = values.score <= margin.at(values.spread, values.region) + 1e-12
        of_patients = conformal.coverage_by_patient(
            -covered[calibrating].astype(float), values.patient[calibrating], -1
        )
        assert np.sum(1 - of_patients) <= 0.1 * 31 - 1 + 1e-9
    assert (len(found.volume.weights), len(found.drift.weights)) == (1, 3)


def test_both_margins_stand_side_by_side(many_assessed):
    ours = many_assessed.metrics.ours
    found, sure = ours.adaptive, ours.uncertainty
    assert found is not None
    for one, same in ((found.drift, sure.drift), (found.volume, sure.volume)):
        assert one.coverage["constant"] == same.coverage["calibrated"]
        assert one.width["constant"] == pytest.approx(same.width["calibrated"])
        assert one.coverage["adaptive"].value == pytest.approx(0.93, abs=0.05)
        assert (one.learning_patients, one.calibration_patients) == (10, 20)
        for groups in (one.by_size, one.by_predicted_change):
            assert sum(group.lesions for group in groups) == many_assessed.metrics.lesions
            assert groups[0].high < groups[-1].low
    assert found.decided["constant"] == ours.decisions.by_interval
    assert set(found.drift.by_region) == {"core", "rim", "outside"}
    assert found.volume.by_region == {}


def test_where_the_spread_tells_the_error_adaptive_intervals_of_drift_are_narrower(many_assessed):
    drift = many_assessed.metrics.ours.adaptive.drift
    assert drift.width_ratio.high < 0.9
    assert drift.interval_score["adaptive"] < 0.9 * drift.interval_score["constant"]


def test_adaptive_margins_are_read_back(many_assessed, many_answers, tmp_path):
    (tmp_path / "metrics.json").write_text(as_json(many_assessed.metrics))
    facts = {"step": 2, "data": {"fingerprint": many_answers.fingerprint}}
    assert read_calibration(tmp_path, run_config(), facts) == calibrate(many_answers)


def test_a_calibration_from_before_there_were_any_is_read(many_answers):
    document = as_document(calibrate(many_answers))
    del document["adaptive"]
    old = as_calibration(document, "old")
    assert old.adaptive is None
    assert old.volume_interval((100.0, 900.0), 1000.0, 500.0)[1] == 900 + 1000 * old.volume_margin
    np.testing.assert_array_equal(old.drift_margins(np.ones((2, 2)), np.zeros((2, 2), int)), old.drift_margin)


def test_the_intervals_of_a_new_patient_are_the_adaptive_ones(many_answers):
    calibration = calibrate(many_answers)
    found = calibration.adaptive
    assert found is not None
    wide = 2 * found.volume.floor + 0.5
    margin = found.volume.margin * found.volume.weights[0] * wide
    assert margin > 0
    low, high = calibration.volume_interval((100.0, 900.0), 1000.0, 1000.0 * wide)
    assert (low, high) == (pytest.approx(max(100 - 1000 * margin, 0)), pytest.approx(900 + 1000 * margin))
    # No narrower than the floor has it, however little the outcomes differ.
    least = found.volume.margin * found.volume.weights[0] * found.volume.floor
    assert calibration.volume_interval((100.0, 900.0), 1000.0, 0.0)[1] == pytest.approx(900 + 1000 * least)
    regions = np.array([0, 1, 2])
    expected = found.drift.margin * np.array(found.drift.weights) * max(0.2, found.drift.floor)
    np.testing.assert_allclose(calibration.drift_margins(np.full(3, 0.2), regions), expected)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("drift", {"weights": [1.0]}), ("volume", {"weights": [1.0, 1.0]}), ("drift", {"floor": 0.0}),
        ("drift", {"margin": -0.1}), ("volume", {"margin": None}), ("volume", {"weights": [float("inf")]}),
        ("drift", {"unknown": 1}), ("drift", {"weights": None}),
    ],
    ids=str,
)  # fmt: skip
def test_damaged_adaptive_margins_are_refused(many_answers, kind, changed):
    document = as_document(calibrate(many_answers))
    document["adaptive"][kind].update(changed)
    with pytest.raises(DataError, match="holds a calibration this version cannot read"):
        as_calibration(document, "some model")
