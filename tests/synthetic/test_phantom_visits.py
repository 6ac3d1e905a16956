import numpy as np
import pytest

from tfdrift.importing.target_names import is_target
from tfdrift.synthetic.phantom import make_cohort
from tfdrift.synthetic.phantom_visits import make_acquisitions, roi_names

COHORT = make_cohort()
SPACING_MM = (1.5, 0.9, 0.9)


def test_patients_of_the_whole_cohort_are_told_apart():
    visits = [make_acquisitions(patient, 0, SPACING_MM)[0].visit for patient in COHORT]
    assert len({visit.patient_id for visit in visits}) == len(COHORT)


def test_lesions_of_a_visit_have_different_names():
    for patient in COHORT:
        for session in ("pre", "post", "follow_up"):
            assert len(set(roi_names(patient, session))) == len(patient.lesions)


def test_backward_numbers_name_every_lesion_of_the_first_visit_otherwise():
    first, later = roi_names(COHORT[11], "pre"), roi_names(COHORT[11], "follow_up")
    assert [name.split("_")[0][-1] for name in later] == [name.split("-")[1][0] for name in first][::-1]


@pytest.mark.parametrize("patient", COHORT[:6], ids=lambda patient: patient.name)
def test_head_points_and_indices_are_inverse(patient):
    for one in make_acquisitions(patient, 0, SPACING_MM):
        index = np.random.default_rng(0).uniform(0, 100, 3)
        np.testing.assert_allclose(one.to_index(one.in_head(index)), index, atol=1e-9)


def test_visits_follow_at_about_three_weeks_and_three_months():
    for patient in COHORT:
        first, second, third = (one.visit.date for one in make_acquisitions(patient, 0, SPACING_MM))
        assert abs((second - first).days - 21) <= 2
        assert abs((third - first).days - 90) <= 2


def test_every_lesion_of_the_cohort_has_a_name_that_the_default_pattern_takes():
    for patient in COHORT:
        for session in ("pre", "post", "follow_up"):
            assert all(is_target(name) for name in roi_names(patient, session))
