import numpy as np
import pytest

from tfdrift.evaluation.metrics import skill, skill_interval, squared_errors, ssim
from tfdrift.training.losses import ssim as ssim_of_the_loss


def test_squared_error_of_a_constant_offset():
    target = np.zeros((3, 4, 4, 1), np.float32)
    offset = np.array([0.1, 0.2, 0.0]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(squared_errors(target + offset, target), [0.01, 0.04, 0])


def test_skill_is_1_for_the_truth_0_for_the_copy_and_negative_for_worse():
    copy_errors = np.array([1.0, 3.0])
    assert skill(np.zeros(2), copy_errors) == 1
    assert skill(copy_errors, copy_errors) == 0
    assert skill(2 * copy_errors, copy_errors) == -1


def test_skill_is_undefined_where_nothing_changes():
    assert np.isnan(skill(np.zeros(2), np.zeros(2)))


def test_the_interval_is_a_point_when_all_patients_are_alike():
    estimate = skill_interval(np.full(12, 0.25), np.ones(12), np.repeat(list("abc"), 4))
    assert estimate == pytest.approx((0.75, 0.75, 0.75))


def test_slices_of_a_patient_are_drawn_together():
    # Many slices of few patients carry no more certainty than one slice of each.
    rng = np.random.default_rng(0)
    error_of_patient = rng.random(8)
    once = skill_interval(error_of_patient, np.ones(8), np.arange(8).astype(str))
    often = skill_interval(np.repeat(error_of_patient, 50), np.ones(400), np.repeat(np.arange(8), 50).astype(str))
    assert often == pytest.approx(once)
    assert once.high - once.low > 0.1


def test_the_interval_covers_the_true_skill_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = []
    for trial in range(200):
        errors = rng.gamma(4, 0.1, size=40)  # mean 0.4 against copy errors of 1: true skill 0.6
        estimate = skill_interval(errors, np.ones(40), np.arange(40).astype(str), seed=trial, draws=400)
        covered.append(estimate.low <= 0.6 <= estimate.high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_the_interval_depends_on_the_seed_alone():
    errors = np.random.default_rng(2).random(10)
    patients = np.arange(10).astype(str)
    first = skill_interval(errors, np.ones(10), patients, seed=3)
    assert first == skill_interval(errors, np.ones(10), patients, seed=3)
    assert first != skill_interval(errors, np.ones(10), patients, seed=4)


@pytest.mark.parametrize(("size", "data_range"), [(8, 1.0), (16, 2.0), (32, 1.0)])
def test_ssim_of_the_scores_is_that_of_the_loss(size, data_range):
    rng = np.random.default_rng(4)
    first, second = rng.random((2, 3, size, size, 1), np.float32)
    np.testing.assert_allclose(
        ssim(first, second, data_range=data_range), ssim_of_the_loss(first, second, data_range), atol=1e-5
    )


def test_ssim_of_an_image_with_itself_is_1():
    image = np.random.default_rng(5).random((2, 16, 16, 1), np.float32)
    np.testing.assert_allclose(ssim(image, image, data_range=1.0), 1)
