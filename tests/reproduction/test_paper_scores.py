import dataclasses

import numpy as np
import pytest
from skimage.metrics import mean_squared_error

from tests.reproduction.random_predictions import make_predictions
from tfdrift.reproduction.paper_scores import as_table, compare_runs, score_run


def test_scores_are_those_of_the_images():
    predicted = make_predictions()
    samples, scores = predicted.samples, score_run(predicted)
    mse = mean_squared_error(samples.post, predicted.final["post"])
    assert scores["final"]["post"]["mse"] == pytest.approx(mse, rel=1e-5)
    assert scores["final"]["post"]["skill"]["value"] == pytest.approx(
        1 - mse / mean_squared_error(samples.post, samples.pre), rel=1e-5
    )


def test_no_change_has_no_skill_in_post_and_drift_alike():
    scores = score_run(make_predictions())
    assert [scores["copy"][name]["skill"]["value"] for name in ("post", "drift")] == [0.0, 0.0]


def test_a_level_with_more_error_has_less_skill():
    levels = score_run(make_predictions())["levels"]
    assert [entry["level"] for entry in levels] == [2, 1, 0]
    skills = [entry["drift"]["skill"]["value"] for entry in levels]
    assert skills == sorted(skills)


def test_perfect_predictions_score_one():
    scores = score_run(make_predictions(error=0.0))["final"]
    for name in ("post", "drift"):
        assert scores[name] == {"mse": 0.0, "ssim": 1.0, "skill": {"value": 1.0, "low": 1.0, "high": 1.0}}


def test_the_gain_is_the_difference_of_the_skills():
    worse, better = make_predictions(error=0.2), make_predictions(error=0.1, seed=1)
    (gain,) = compare_runs([(worse, better)])
    first, second = score_run(worse), score_run(better)
    for name in ("post", "drift"):
        difference = second["final"][name]["skill"]["value"] - first["final"][name]["skill"]["value"]
        assert gain[name]["value"] == pytest.approx(difference)
        assert 0 < gain[name]["low"] <= difference <= gain[name]["high"]


def test_a_run_gains_nothing_over_itself_whichever_patients_are_drawn():
    predicted = make_predictions()
    gain = compare_runs([(predicted, predicted)])[0]["post"]
    assert (gain["value"], gain["low"], gain["high"], gain["better_for"]) == (0.0, 0.0, 0.0, 0)
    assert "cannot be told apart" in gain["sentence"]


def test_p_values_are_corrected_for_every_comparison_of_post_and_drift():
    first, second, third = (make_predictions(error=error, seed=seed) for seed, error in enumerate((0.2, 0.1, 0.15)))
    gains = compare_runs([(first, second), (first, third)])
    tests = [gain[name] for gain in gains for name in ("post", "drift")]
    assert max(test["p_holm"] for test in tests) <= 1
    smallest = min(tests, key=lambda test: test["p_value"])
    assert smallest["p_holm"] == pytest.approx(min(4 * smallest["p_value"], 1))


def test_runs_on_other_slices_are_not_compared():
    predicted = make_predictions()
    fewer = dataclasses.replace(predicted, samples=predicted.samples.take(np.arange(5)))
    with pytest.raises(ValueError, match="hold out other slices"):
        compare_runs([(predicted, fewer)])


def test_the_table_has_a_row_a_run_with_its_numbers():
    first, second = make_predictions(error=0.2), make_predictions(error=0.1)
    (gain,) = compare_runs([(first, second)])
    rows = as_table([score_run(first), score_run(second)], [gain]).splitlines()
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {9}
    assert rows[2].startswith("| method1 with 0.2 | ")
    assert f"{gain['post']['value']:+.3f} [" in rows[3]
    assert rows[3].endswith(f"| {gain['drift']['p_holm']:.2g} |")
    assert rows[2].endswith("|  |")
