import numpy as np
import pytest

from tfdrift.statistics.intervals import (
    Estimate,
    bootstrap_interval,
    draw_patients,
    interval_words,
    mean_interval,
    ratio_interval,
)


def test_a_ratio_is_that_of_the_sums_and_not_the_mean_of_ratios():
    estimate = ratio_interval(np.array([1.0, 9.0]), np.array([1.0, 3.0]), np.array(["a", "b"]))
    assert estimate.value == 2.5


def test_the_interval_of_two_patients_spans_both():
    estimate = ratio_interval(np.array([1.0, 9.0]), np.array([1.0, 3.0]), np.array(["a", "b"]))
    assert (estimate.low, estimate.high) == (1.0, 3.0)  # a quarter of the resamples holds one of them alone


def test_both_kinds_of_bootstrap_draw_the_same_patients():
    rng = np.random.default_rng(0)
    values, patient = rng.random(30), rng.integers(0, 7, 30).astype(str)
    fast = ratio_interval(values, np.ones(30), patient, seed=4, draws=500)
    plain = bootstrap_interval(lambda rows: float(values[rows].mean()), patient, seed=4, draws=500)
    assert fast == pytest.approx(plain)


def test_rows_without_a_score_do_not_count():
    estimate = mean_interval(np.array([1.0, np.nan, 3.0, np.nan]), np.array(["a", "a", "b", "c"]))
    assert estimate.value == 2


def test_a_score_that_no_row_has_is_not_a_number():
    assert np.isnan(mean_interval(np.full(3, np.nan), np.array(["a", "b", "c"]))).all()


def test_resamples_that_do_not_define_the_statistic_are_left_out():
    patient = np.array(["a", "b"])
    estimate = bootstrap_interval(lambda rows: 5.0 if len(set(rows)) == 2 else float("nan"), patient)
    assert estimate == (5, 5, 5)


def test_a_resample_draws_as_many_patients_as_there_are_each_as_often_as_another():
    drawn = draw_patients(5, seed=0, draws=4000)
    assert drawn.shape == (4000, 5)
    np.testing.assert_allclose(np.bincount(drawn.ravel()) / drawn.size, 0.2, atol=0.01)  # standard error 0.003


@pytest.mark.parametrize(
    ("estimate", "signed", "words"),
    [
        (Estimate(0.5, 0.25, 0.75), False, "0.500 [0.250, 0.750]"),
        (Estimate(0.5, -0.25, 0.75), True, "+0.500 [-0.250, +0.750]"),
        (Estimate(-0.0001, -1.0, 0.0), False, "0.000 [-1.000, 0.000]"),
        (Estimate(0.5, np.nan, np.nan), False, "0.500"),
        (Estimate(np.nan, np.nan, np.nan), False, "–"),
    ],
)
def test_an_estimate_in_words_shows_what_is_defined(estimate, signed, words):
    assert estimate.words(signed=signed) == words
    document = {name: None if np.isnan(value) else value for name, value in estimate._asdict().items()}
    assert interval_words(document, signed=signed) == words
