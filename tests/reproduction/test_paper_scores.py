import dataclasses

import numpy as np
import pytest
from skimage.metrics import mean_squared_error

from tests.evaluation.outcomes import make_outcome
from tfdrift.reproduction.paper_scores import as_table, compare_outcomes, score_outcome


def test_scores_are_those_of_the_images():
    outcome = make_outcome()
    samples, scores = outcome.samples, score_outcome(outcome)
    mse = mean_squared_error(samples.post, outcome.final["post"])
    assert scores["final"]["post"]["mse"] == pytest.approx(mse, rel=1e-5)
    assert scores["final"]["post"]["skill"]["value"] == pytest.approx(
        1 - mse / mean_squared_error(samples.post, samples.pre), rel=1e-5
    )


def test_no_change_has_no_skill_in_post_and_drift_alike():
    scores = score_outcome(make_outcome())
    assert [scores["copy"][name]["skill"]["value"] for name in ("post", "drift")] == [0.0, 0.0]


def test_a_level_with_more_error_has_less_skill():
    levels = score_outcome(make_outcome())["levels"]
    assert [entry["level"] for entry in levels] == [2, 1, 0]
    skills = [entry["drift"]["skill"]["value"] for entry in levels]
    assert skills == sorted(skills)


def test_perfect_predictions_score_one():
    scores = score_outcome(make_outcome(error=0.0))["final"]
    for name in ("post", "drift"):
        assert scores[name] == {"mse": 0.0, "ssim": 1.0, "skill": {"value": 1.0, "low": 1.0, "high": 1.0}}


def test_the_gain_is_the_difference_of_the_skills():
    worse, better = make_outcome(error=0.2), make_outcome(error=0.1, seed=1)
    (gain,) = compare_outcomes([(worse, better)])
    first, second = score_outcome(worse), score_outcome(better)
    for name in ("post", "drift"):
        difference = second["final"][name]["skill"]["value"] - first["final"][name]["skill"]["value"]
        assert gain[name]["value"] == pytest.approx(difference)
        assert 0 < gain[name]["low"] <= difference <= gain[name]["high"]


def test_a_run_gains_nothing_over_itself_whichever_patients_are_drawn():
    outcome = make_outcome()
    gain = compare_outcomes([(outcome, outcome)])[0]["post"]
    assert (gain["value"], gain["low"], gain["high"], gain["better_for"]) == (0.0, 0.0, 0.0, 0)
    assert "cannot be told apart" in gain["sentence"]


def test_p_values_are_corrected_for_every_comparison_of_post_and_drift():
    first, second, third = (make_outcome(error=error, seed=seed) for seed, error in enumerate((0.2, 0.1, 0.15)))
    gains = compare_outcomes([(first, second), (first, third)])
    tests = [gain[name] for gain in gains for name in ("post", "drift")]
    assert max(test["p_holm"] for test in tests) <= 1
    smallest = min(tests, key=lambda test: test["p_value"])
    assert smallest["p_holm"] == pytest.approx(min(4 * smallest["p_value"], 1))


def test_runs_on_other_slices_are_not_compared():
    outcome = make_outcome()
    fewer = dataclasses.replace(outcome, samples=outcome.samples.take(np.arange(5)))
    with pytest.raises(ValueError, match="hold out other slices"):
        compare_outcomes([(outcome, fewer)])


def test_the_table_has_a_row_a_run_with_its_numbers():
    first, second = make_outcome(error=0.2), make_outcome(error=0.1)
    (gain,) = compare_outcomes([(first, second)])
    rows = as_table([score_outcome(first), score_outcome(second)], [gain]).splitlines()
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {9}
    assert rows[2].startswith("| method1 with 0.2 | ")
    assert f"{gain['post']['value']:+.3f} [" in rows[3]
    assert rows[3].endswith(f"| {gain['drift']['p_holm']:.2g} |")
    assert rows[2].endswith("|  |")
