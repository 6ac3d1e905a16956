import numpy as np
import pytest

from tfdrift.evaluation.metrics import skill
from tfdrift.statistics.comparison import compare, holm, sentence
from tfdrift.statistics.intervals import Estimate

PATIENT = np.repeat(np.arange(30), 2).astype(str)


def make_errors(seed=0):
    """Return errors of two methods that differ little beside how much patients differ, and those of the copy."""
    rng = np.random.default_rng(seed)
    copy = rng.gamma(1, 1, 30).repeat(2)
    first = copy * rng.uniform(0.4, 0.5, 60)
    return first, first + 0.05 * copy, copy


def test_the_difference_is_that_of_the_two_skills():
    first, second, copy = make_errors()
    found = compare("a", "b", first, second, copy, PATIENT)
    assert found.difference.value == pytest.approx(skill(first, copy) - skill(second, copy))


def test_the_pairing_takes_out_what_patients_have_in_common():
    first, second, copy = make_errors()
    difference = compare("a", "b", first, second, copy, PATIENT).difference
    assert difference == pytest.approx((0.05, 0.05, 0.05))  # the same share of each patient's change


def test_swapping_the_methods_changes_the_sign_alone():
    first, second, copy = make_errors()
    second = second * np.random.default_rng(5).uniform(0.8, 1.2, 60)
    ours, theirs = (compare("a", "b", *pair, copy, PATIENT) for pair in ((first, second), (second, first)))
    assert theirs.difference == pytest.approx((-ours.difference.value, -ours.difference.high, -ours.difference.low))
    assert ours.better_for + theirs.better_for == 30


def test_methods_that_are_alike_are_told_apart_as_seldom_as_the_interval_says():
    told = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        first, second = rng.gamma(2, 1, (2, 40))
        difference = compare("a", "b", first, second, np.full(40, 3.0), np.arange(40).astype(str), seed=seed).difference
        told += difference.low > 0 or difference.high < 0
    assert 1 <= told <= 22  # 5% of 200, within four standard errors


def test_three_patients_that_agree_are_one_of_the_two_ends_of_eight_ways_to_swap():
    copy, patient = np.ones(6), np.repeat(["a", "b", "c"], 2)
    assert compare("a", "b", 0.1 * copy, 0.2 * copy, copy, patient).p_value == pytest.approx(2 / 8)


def test_one_patient_tells_no_methods_apart():
    copy = np.ones(3)
    found = compare("a", "b", 0.1 * copy, 0.2 * copy, copy, np.full(3, "a"))
    assert (found.p_value, found.difference.value) == (1.0, pytest.approx(0.1))
    assert (
        found.sentence == "a and b cannot be told apart: +0.100 in skill over copy (1 patient; better for 1 of them)."
    )


def test_slices_of_a_patient_are_swapped_together():
    copy, patient = np.ones(40), np.repeat(["a", "b"], 20)
    assert compare("a", "b", 0.1 * copy, 0.2 * copy, copy, patient).p_value == pytest.approx(2 / 4)


def test_p_values_of_methods_that_are_alike_are_below_a_bound_as_often_as_the_bound_says():
    p_values = []
    for seed in range(200):
        first, second = np.random.default_rng(seed).gamma(2, 1, (2, 12))
        p_values.append(compare("a", "b", first, second, np.ones(12), np.arange(12).astype(str)).p_value)
    assert abs(np.mean(np.array(p_values) <= 0.2) - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 200)


def test_holm_rejects_step_by_step_from_the_smallest():
    corrected = holm([0.02, 0.001, 0.5, 0.02])
    assert corrected == pytest.approx([0.06, 0.004, 0.5, 0.06])  # 4, 3, 2 and 1 times, never falling
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Estimate(0.05, 0.01, 0.09), "A beats B by 0.050 [0.010, 0.090] in skill"),
        (Estimate(-0.05, -0.09, -0.01), "A is beaten by B by 0.050 [0.010, 0.090] in skill"),
        (Estimate(0.05, -0.01, 0.11), "A and B cannot be told apart: +0.050 [-0.010, +0.110] in skill"),
        (Estimate(0.05, 0.0, 0.1), "A and B cannot be told apart"),
    ],
)
def test_the_sentence_claims_no_more_than_the_interval(difference, words):
    text = sentence("A", "B", difference, patients=39, better_for=27)
    assert text.startswith(words)
    assert text.endswith("(39 patients; better for 27 of them).")


def test_a_comparison_says_its_own_sentence():
    first, second, copy = make_errors()
    found = compare("a", "b", first, second, copy, PATIENT)
    assert found.sentence == sentence("a", "b", found.difference, patients=30, better_for=found.better_for)
