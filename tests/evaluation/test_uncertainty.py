import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm, spearmanr

from tfdrift.evaluation.response import lesions_of
from tfdrift.evaluation.uncertainty import (
    SpreadGroup,
    crps,
    drift_uncertainty,
    error_by_spread,
    interval,
    interval_coverage,
    rank_correlation,
    spread,
    spread_error_correlation,
    volume_uncertainty,
)
from tfdrift.training.losses import fair_crps


def test_the_interval_of_many_normal_outcomes_is_that_of_the_law():
    outcomes = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    np.testing.assert_allclose(interval(outcomes, 0.9), norm.ppf([0.05, 0.95]), atol=1e-4)


def test_one_outcome_has_no_width_and_no_spread():
    outcome = np.array([[1.0, -2.0]])
    low, high = interval(outcome, 0.9)
    np.testing.assert_array_equal(low, outcome[0])
    np.testing.assert_array_equal(high, outcome[0])
    np.testing.assert_array_equal(spread(outcome), [0, 0])


def test_the_spread_is_unbiased():
    outcomes = np.random.default_rng(0).normal(0, 2.0, (3, 20_000))
    assert np.mean(spread(outcomes) ** 2) == pytest.approx(4.0, rel=0.03)  # standard error 1%


def test_crps_of_a_normal_law_is_the_closed_form():
    outcomes = norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    truth = np.array([-1.0, 0.0, 2.5])
    expected = truth * (2 * norm.cdf(truth) - 1) + 2 * norm.pdf(truth) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps(outcomes, truth), expected, atol=2e-4)


def test_crps_of_few_outcomes_is_that_of_many_on_average():
    truth = np.zeros(40_000)
    few = crps(np.random.default_rng(1).standard_normal((3, 40_000)), truth)
    expected = 2 * norm.pdf(0) - 1 / np.sqrt(np.pi)
    assert few.mean() == pytest.approx(expected, abs=4 * few.std() / 200)


def test_crps_of_the_report_is_that_of_the_loss():
    rng = np.random.default_rng(3)
    outcomes, truth = rng.standard_normal((5, 200)), rng.standard_normal(200)
    of_loss = float(fair_crps(tf.constant(outcomes.T, tf.float32), tf.constant(truth[:, None], tf.float32)))
    assert crps(outcomes, truth).mean() == pytest.approx(of_loss, abs=1e-6)


def test_crps_of_one_outcome_is_its_absolute_error():
    np.testing.assert_array_equal(crps(np.array([[1.0, 5.0]]), np.array([3.0, 5.0])), [2, 0])


def test_crps_equals_its_definition_over_pairs():
    outcomes = np.random.default_rng(2).standard_normal((5, 2))
    pairs = np.abs(outcomes[:, None] - outcomes[None]).sum(axis=(0, 1)) / 2
    expected = np.abs(outcomes - 0.3).mean(axis=0) - pairs / 20
    np.testing.assert_allclose(crps(outcomes, np.full(2, 0.3)), expected)


def test_rank_correlation_equals_that_of_scipy_with_ties():
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 5, 50), rng.integers(0, 5, 50)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_no_rank_correlation_with_a_constant():
    assert np.isnan(rank_correlation(np.zeros(4), np.arange(4)))


def test_spread_and_error_are_compared_inside_the_gtv_of_each_slice():
    spreads = np.arange(9.0).reshape(1, 3, 3, 1)
    errors = np.where(spreads < 6, 10 * spreads, 0.0)
    both = np.concatenate([spreads, spreads])
    inside = np.concatenate([spreads < 6, spreads >= 0])
    found = spread_error_correlation(both, np.concatenate([errors, -spreads]), inside)
    np.testing.assert_allclose(found, [1, -1])


def test_where_the_truth_is_one_more_outcome_error_follows_spread_in_every_group():
    rng = np.random.default_rng(4)
    scale = np.exp(rng.normal(0, 1, 20_000))
    outcomes = scale * rng.standard_normal((200, 20_000))
    truth = scale * rng.standard_normal(20_000)
    for group in error_by_spread(spread(outcomes), np.abs(outcomes.mean(axis=0) - truth), bins=4):
        assert group.error == pytest.approx(np.sqrt(1 + 1 / 200) * group.spread, rel=0.05)


def test_groups_of_equal_spread_are_joined():
    assert error_by_spread(np.zeros(30), np.full(30, 2.0)) == [SpreadGroup(spread=0.0, error=2.0)]


def defined(estimate):
    assert estimate is not None
    return estimate


def test_intervals_of_the_law_itself_need_no_calibration():
    rng = np.random.default_rng(0)
    outcomes, truth = rng.standard_normal((400, 6000)), rng.standard_normal(6000)
    patient = np.repeat(np.arange(60), 100)
    found = interval_coverage(outcomes, truth, patient=patient.astype(str), group=patient % 5)
    for point in found.reliability:
        # 60 patients of 100 values: standard error below 0.007; calibration aims at most 1 / 49 higher.
        assert point.raw == pytest.approx(point.nominal, abs=0.025)
        assert point.calibrated == pytest.approx(point.nominal, abs=0.045)


def test_calibration_repairs_intervals_that_are_too_narrow():
    rng = np.random.default_rng(1)
    outcomes, truth = 0.3 * rng.standard_normal((20, 3000)), rng.standard_normal(3000)
    patient = np.repeat(np.arange(60), 50)
    found = interval_coverage(outcomes, truth, patient=patient.astype(str), group=patient % 5)
    assert defined(found.coverage["raw"]).value < 0.5
    assert defined(found.coverage["calibrated"]).value == pytest.approx(0.9, abs=0.03)
    # The interval of a normal law around 0 that covers 90% is 3.29 wide; the outcomes' own scatter adds a little.
    assert found.width["calibrated"] == pytest.approx(3.29, rel=0.1)
    assert found.calibration_patients == 48


def test_too_few_patients_leave_the_interval_as_it_is():
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(9), 10)
    found = interval_coverage(rng.random((5, 90)), rng.random(90), patient=patient.astype(str), group=patient)
    assert (found.calibration_patients, found.patients_needed) == (8, 9)
    assert (found.coverage["calibrated"], found.width["calibrated"]) == (None, None)
    assert found.reliability[7].calibrated is not None  # 80% can be promised


def test_spread_where_the_error_is_shows_as_correlation(make_answers, phantom):
    rng = np.random.default_rng(3)
    scale = (0.2 * rng.random(phantom.pre.shape)).astype(np.float32)
    drift = phantom.drift + scale * rng.standard_normal((16, *phantom.pre.shape)).astype(np.float32)
    drift = drift + scale * rng.standard_normal(phantom.pre.shape).astype(np.float32)  # an error all outcomes share
    honest = dataclasses.replace(make_answers(), drift=drift)
    assert defined(drift_uncertainty(honest).spread_error).low > 0.2
    assert abs(defined(drift_uncertainty(make_answers(noise=0.05)).spread_error).value) < 0.1


def test_crps_of_copy_is_the_mean_change(make_answers, phantom):
    found = drift_uncertainty(make_answers())
    inside = phantom.pre_mask | phantom.post_mask
    change = np.abs(phantom.drift * inside).sum(axis=(1, 2, 3)) / inside.sum(axis=(1, 2, 3))
    assert found.copy_crps.value == pytest.approx(change.mean(), rel=1e-5)


def test_volumes_have_their_own_uncertainty(make_answers, phantom):
    answers = make_answers(shrink=0.0, noise=0.0, count=1)
    found = volume_uncertainty(answers)
    ratio = answers.ratios[0]
    assert found.crps.value == pytest.approx(np.mean(np.abs(ratio - lesions_of(phantom).ratio)))
    assert found.width["raw"] == 0
