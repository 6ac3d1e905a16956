import math

import numpy as np
import pytest

from tfdrift.statistics import conformal


def test_the_widened_interval_covers_the_truth_when_the_margin_is_the_score():
    rng = np.random.default_rng(0)
    truth, low, high = rng.standard_normal(50), rng.standard_normal(50) - 1, rng.standard_normal(50) + 1
    score = conformal.scores(truth, low, high)
    edge = np.isclose(low - score, truth) | np.isclose(high + score, truth)
    assert edge.all()


@pytest.mark.parametrize(("patients", "coverage"), [(9, 0.9), (10, 0.9), (25, 0.9), (39, 0.9), (7, 0.5), (19, 0.95)])
def test_with_one_value_a_patient_the_margin_is_the_split_conformal_quantile(patients, coverage):
    values = np.random.default_rng(1).standard_normal(patients)
    place = math.ceil((patients + 1) * coverage - 1e-9)
    assert conformal.margin(values, np.arange(patients), coverage) == np.sort(values)[place - 1]


@pytest.mark.parametrize(("coverage", "fewest"), [(0.9, 9), (0.8, 4), (0.95, 19), (0.5, 1)])
def test_too_few_patients_have_no_finite_margin(coverage, fewest):
    assert conformal.fewest_patients(coverage) == fewest
    values = np.zeros(fewest)
    assert conformal.margin(values, np.arange(fewest), coverage) == 0
    assert conformal.margin(values[1:], np.arange(fewest - 1), coverage) == math.inf


def test_many_values_of_one_patient_count_as_one_patient():
    values = np.concatenate([np.zeros(12), np.full(1000, 5.0)])
    patient = np.concatenate([np.arange(12), np.full(1000, 12)])
    # 13 patients: at most 0.4 of one may be left out at 90%, so the one with many values decides; at 80% not.
    assert conformal.margin(values, patient, 0.9) == 5
    assert conformal.margin(values, patient, 0.8) == 0


def test_a_new_patient_is_covered_as_promised_and_little_more():
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(2000):
        difficulty = np.exp(rng.normal(0, 1, 21))  # patients differ far more than a patient's values do
        values = np.abs(rng.standard_normal((21, 10))) * difficulty[:, None]
        found = conformal.margin(values[:20].ravel(), np.repeat(np.arange(20), 10), 0.9)
        covered.append(np.mean(values[20] <= found))
    # Promised: 0.9 or more on average over patients. At most 2 / (n + 1) more where scores have no ties.
    assert 0.9 - 0.012 <= np.mean(covered) <= 0.9 + 2 / 21


def test_no_patient_takes_part_in_its_own_calibration():
    rng = np.random.default_rng(3)
    values, patient = rng.standard_normal(60), np.repeat(np.arange(20), 3)
    group = conformal.patient_groups(patient.astype(str))
    found = conformal.margins(values, patient, group, 0.8)
    changed = np.where(patient == 4, 100.0, values)
    again = conformal.margins(changed, patient, group, 0.8)
    np.testing.assert_array_equal(again[patient == 4], found[patient == 4])
    assert (again[patient != 4] >= found[patient != 4]).all()


def test_no_patient_is_cut_in_two_groups():
    patient = np.repeat(np.arange(50), 4).astype(str)
    group = conformal.patient_groups(patient, groups=7)
    assert all(len(set(group[patient == name])) == 1 for name in set(patient))
    assert len(set(group)) == 7


def test_coverage_is_the_share_of_each_patients_values():
    values = np.array([-1.0, 1.0, 1.0, -1.0, -1.0])
    patient = np.array(["a", "a", "b", "c", "c"])
    np.testing.assert_array_equal(conformal.coverage_by_patient(values, patient, 0), [0.5, 0, 1])
    np.testing.assert_array_equal(conformal.coverage_by_patient(values, patient, np.array([0, 1, 2, 0, 0])), [1, 1, 1])
