import dataclasses

import numpy as np
import pytest

from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.page import compose
from tfdrift.evaluation.response import lesions_of
from tfdrift.evaluation.strata import quantile_groups, strata
from tfdrift.synthetic.phantom_samples import phantom_samples


def test_a_method_that_fails_on_large_lesions_is_seen(make_answers, phantom):
    answers = make_answers(noise=0.02)
    large = (phantom.pre_mm3 > np.quantile(lesions_of(phantom).pre_mm3, 2 / 3))[:, None, None, None]
    drift = np.where(large, 0 * answers.drift, phantom.drift + 0.02 * (answers.drift - phantom.drift))
    found = strata(dataclasses.replace(answers, post=phantom.pre + drift, drift=drift.astype(np.float32)))
    small, _, big = found.size
    assert big.skill.value == pytest.approx(0, abs=0.01)
    assert small.skill.value > 0.9
    assert big.crps.value > small.crps.value
    assert small.high < big.low


def test_groups_hold_all_lesions_once_and_thirds_of_them(make_answers, phantom):
    lesions = len(set(phantom.lesion))
    for groups in vars(strata(make_answers())).values():
        assert sum(group.lesions for group in groups) == lesions
        assert max(group.lesions for group in groups) - min(group.lesions for group in groups) <= 1
        assert all(group.patients <= group.lesions for group in groups)


def test_the_change_is_that_of_the_truth_and_not_of_the_answer(make_answers):
    ends = [[(group.low, group.high) for group in strata(make_answers(shrink=shrink)).change] for shrink in (0.1, 0.9)]
    assert ends[0] == ends[1]
    assert ends[0] == sorted(ends[0])


def test_the_scores_of_the_groups_make_up_those_of_all(make_answers):
    answers = make_answers()
    found = assess(answers).metrics.ours
    groups = strata(answers).size
    assert found.uncertainty is not None
    expected = found.uncertainty.drift.crps.value
    ends = [group.crps.value for group in groups]
    assert min(ends) <= expected <= max(ends)


def test_with_too_few_patients_coverage_is_raw_alone(make_answers):
    for group in strata(make_answers()).size:  # nine patients in three folds
        assert set(group.drift_coverage) == set(group.volume_coverage) == {"raw"}


def test_with_enough_patients_coverage_is_calibrated_too(make_answers):
    many = phantom_samples(image_size=8, patients=30, folds=3)
    rng = np.random.default_rng(0)
    drift = (many.drift + 0.1 * rng.standard_normal((8, *many.post.shape))).astype(np.float32)
    answers = dataclasses.replace(
        make_answers(), data=many, held_out=many, group=many.fold, left_out=many.fold, post=many.pre + drift,
        drift=drift, exponent=np.ones(len(many)), cut=np.full(len(many), 0.9),
    )  # fmt: skip
    for group in strata(answers).size:
        assert group.drift_coverage["calibrated"].value == pytest.approx(0.9, abs=0.05)


def test_equal_values_are_one_group():
    assert [group.tolist() for group in quantile_groups(np.ones(4))] == [[True] * 4]


def test_the_page_has_a_row_for_each_group(make_answers):
    metrics = assess(make_answers()).metrics
    page = compose(metrics, ("skills", "reliability", "lesions"))
    assert metrics.ours.strata is not None
    for group in metrics.ours.strata.size:
        assert f"| volume {group.low:.0f} to {group.high:.0f} mm³ | {group.lesions} |" in page
    assert page.count("| change 0") == 3
