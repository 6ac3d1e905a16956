import numpy as np
import pytest

from tests.synthetic.test_law import POLES, make_ball
from tfdrift.synthetic.dose_plan import FALL_MM, HOT_SPOT, MAX_TILT, PRESCRIPTION_GY, DosePlan
from tfdrift.synthetic.phantom import gtv, make_cohort

PLAN = DosePlan(prescription_gy=18.0, hot_spot=0.3, tilt=np.array([0.0, 0.04, 0.0]))


def test_the_surface_gets_the_prescription_the_middle_more_and_less_is_left_outside():
    surface, far = np.full(6, 8.0), np.full(6, 8.0 + FALL_MM)
    at_surface = PLAN.dose_gy(POLES, surface, surface)
    np.testing.assert_allclose(at_surface, 18.0 * (1 + POLES[:, 1] * 0.04))
    np.testing.assert_allclose(PLAN.dose_gy(POLES, np.zeros(6), surface), 18.0 * 1.3)
    np.testing.assert_allclose(PLAN.dose_gy(POLES, far, surface), at_surface / np.e)


def test_the_mean_is_that_over_the_voxels_of_the_gtv():
    for patient in make_cohort(3, law="dose"):
        for lesion in patient.lesions:
            axis = np.linspace(-1, 1, 61) * lesion.reach_mm("pre")
            points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) + lesion.center_mm
            inside = points[gtv(lesion, "pre", points)]
            assert lesion.mean_dose_gy == pytest.approx(lesion.dose_gy(inside).mean(), rel=2e-3)


def test_scaling_scales_the_dose_everywhere_and_goes_back():
    distance, surface = np.array([0.0, 4.0, 8.0, 9.0, 15.0, 30.0]), np.full(6, 8.0)
    given = PLAN.dose_gy(POLES, distance, surface)
    np.testing.assert_allclose(PLAN.scaled(0.8).dose_gy(POLES, distance, surface), 0.8 * given)
    np.testing.assert_allclose(PLAN.scaled(0.8).scaled(1.25).dose_gy(POLES, distance, surface), given)


def test_plans_are_drawn_within_their_ranges_whatever_the_lesion_is_like():
    lesions = [lesion for patient in make_cohort(60, law="dose") for lesion in patient.lesions]
    plans = [lesion.plan for lesion in lesions if lesion.plan is not None]
    assert len(plans) == len(lesions)
    prescribed = np.array([plan.prescription_gy for plan in plans])
    assert PRESCRIPTION_GY[0] <= prescribed.min() < prescribed.max() <= PRESCRIPTION_GY[1]
    assert all(HOT_SPOT[0] <= plan.hot_spot <= HOT_SPOT[1] for plan in plans)
    assert max(np.linalg.norm(plan.tilt) for plan in plans) <= MAX_TILT
    # Independent numbers correlate by 0 with a standard deviation of 1 / sqrt(n).
    assert abs(np.corrcoef(prescribed, [lesion.radius_mm for lesion in lesions])[0, 1]) < 4 / np.sqrt(len(lesions))


def test_a_lesion_without_a_plan_has_no_dose():
    ball = make_ball()
    assert ball.mean_dose_gy == 0
    np.testing.assert_array_equal(ball.dose_gy(ball.center_mm + POLES), np.zeros(6))
    assert ball.at_dose(1.2) is ball
