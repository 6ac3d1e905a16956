import numpy as np
import pytest
from scipy.stats import norm

from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.decisions import below, decide, decisions, reliability
from tfdrift.evaluation.page import compose
from tfdrift.evaluation.response import Lesions, lesions_of


def make_lesions(ratio):
    """Return lesions with these volume ratios, one a patient."""
    names = np.char.add("p", np.arange(len(ratio)).astype(str))
    return Lesions(
        name=names, patient=names, owner=np.arange(len(ratio)), pre_mm3=np.full(len(ratio), 900.0),
        ratio=np.array(ratio, float), poor=np.full(len(ratio), np.nan),
    )  # fmt: skip


def asked(ratios, truth, base_rate=0.5):
    lesions = make_lesions(truth)
    each = np.arange(len(truth))
    return decide(np.array(ratios, float), lesions, group=each, base_rate=np.full(len(truth), base_rate))


def test_exactly_eighty_percent_is_not_below():
    assert below(make_lesions([0.79, 0.8, np.float32(0.8), 0.81])).tolist() == [True, False, False, False]


def test_a_lesion_is_decided_where_nine_of_ten_outcomes_agree():
    ten = np.array([[0.5] * 9 + [1.0], [0.5] * 8 + [1.0] * 2, [0.5] * 1 + [1.0] * 9]).T
    found = asked(ten, [0.6, 0.6, 0.6]).by_outcomes
    assert (found.lesions, found.wrong_lesions) == (2, 1)
    assert (found.share.value, found.wrong.value) == (pytest.approx(2 / 3), 0.5)


def test_a_single_outcome_decides_every_lesion_and_is_told_how_often_wrongly():
    found = asked([[0.7, 0.9, 0.9, 0.7]], [0.7, 0.9, 0.7, 0.9])
    assert (found.by_outcomes.lesions, found.by_outcomes.wrong_lesions) == (4, 2)
    assert found.brier.value == 0.5


def test_where_nothing_is_decided_no_share_of_errors_is_told():
    found = asked([[0.7, 0.7], [0.9, 0.9]], [0.7, 0.9]).by_outcomes
    assert (found.lesions, found.share.value) == (0, 0)
    assert np.isnan(found.wrong.value)


def test_the_calibrated_interval_decides_less_and_is_wrong_no_more_than_it_promises():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.2, 1.4, 400)
    centre = truth + rng.normal(0, 0.2, 400)
    outcomes = centre + rng.normal(0, 0.02, (16, 400))  # far too sure
    lesions = make_lesions(truth)
    found = decide(outcomes, lesions, group=np.arange(400) % 20, base_rate=np.full(400, 0.5))
    assert found.by_interval is not None
    assert found.by_outcomes.share.value > 0.9
    assert found.by_outcomes.wrong.value > 0.1
    assert 0.2 < found.by_interval.share.value < found.by_outcomes.share.value
    assert found.by_interval.wrong_lesions <= 0.1 * 400


def test_with_too_few_patients_no_interval_decides():
    assert asked([[0.5] * 9], [0.5] * 9).by_interval is None
    assert asked([[0.5] * 10], [0.5] * 10).by_interval is not None


def test_probabilities_of_the_law_itself_are_reliable_and_better_than_the_base_rate():
    rng = np.random.default_rng(1)
    centre = rng.uniform(0.4, 1.2, 4000)
    truth, outcomes = centre + rng.normal(0, 0.2, 4000), centre + rng.normal(0, 0.2, (200, 4000))
    lesions = make_lesions(truth)
    found = decide(outcomes, lesions, group=np.arange(4000) % 20, base_rate=np.full(4000, 0.5))
    for group in found.reliability:
        assert group.observed == pytest.approx(group.predicted, abs=4 * 0.5 / np.sqrt(group.lesions))
    assert sum(group.lesions for group in found.reliability) == 4000
    # The score that the law itself has: the mean of p (1 - p).
    probability = norm.cdf(0.8, centre, 0.2)
    assert found.brier.value == pytest.approx(np.mean(probability * (1 - probability)), abs=0.01)
    assert found.brier_of_base_rate.value == 0.25


def test_a_share_between_two_bins_belongs_to_the_upper_one():
    found = reliability(np.array([0.2, 0.6, 1.0]), np.array([True, False, True]))
    assert [group.low for group in found] == [0.2, 0.6, 0.8]


def test_the_base_rate_is_that_of_the_training_patients(make_answers, phantom):
    answers, squares = make_answers(), []
    for fold in range(3):
        rate = below(lesions_of(phantom.take(phantom.fold != fold))).mean()
        squares += ((rate - below(lesions_of(phantom.take(phantom.fold == fold)))) ** 2).tolist()
    assert decisions(answers).brier_of_base_rate.value == pytest.approx(np.mean(squares))


def test_the_page_tells_how_many_are_decided_and_how_reliable_the_share_is(make_answers):
    metrics = assess(make_answers()).metrics
    found, page = metrics.ours.decisions, compose(metrics, ("skills", "reliability", "lesions"))
    assert found is not None
    assert f"| Method 1 | outcomes | {found.by_outcomes.share.words()} |" in page
    assert "| Method 1 | calibrated interval | too few patients to calibrate |" in page
    assert all(f"| {group.low:.1f} to {group.high:.1f} |" in page for group in found.reliability)
