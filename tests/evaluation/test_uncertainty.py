import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from tfdrift.evaluation.uncertainty import (
    crps,
    error_by_spread,
    interval,
    rank_correlation,
    spread,
    spread_error_correlation,
)


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
        assert group["error"] == pytest.approx(np.sqrt(1 + 1 / 200) * group["spread"], rel=0.05)


def test_groups_of_equal_spread_are_joined():
    assert error_by_spread(np.zeros(30), np.full(30, 2.0)) == [{"spread": 0.0, "error": 2.0}]
