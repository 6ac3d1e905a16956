from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tfdrift.evaluation.metrics import (
    METRICS,
    absolute_errors,
    dice,
    drift_correlation,
    psnr,
    sign_agreement,
    skill,
    skill_interval,
    squared_errors,
    ssim,
)
from tfdrift.training.losses import ssim as ssim_of_the_loss


def make_images():
    """Return two random images each of prediction and truth, and a mask of 3 x 3 pixels of the first alone."""
    predicted, target = np.random.default_rng(6).standard_normal((2, 2, 8, 8, 1))
    inside = np.zeros(predicted.shape, bool)
    inside[0, 2:5, 2:5] = True
    return predicted, target, inside


def test_squared_error_of_a_constant_offset():
    target = np.zeros((3, 4, 4, 1), np.float32)
    offset = np.array([0.1, 0.2, 0.0]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(squared_errors(target + offset, target), [0.01, 0.04, 0])


def test_absolute_error_of_a_constant_offset():
    target = np.zeros((2, 4, 4, 1), np.float32)
    offset = np.array([-0.1, 0.2]).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(absolute_errors(target + offset, target), [0.1, 0.2])


@pytest.mark.parametrize("error", [squared_errors, absolute_errors])
def test_errors_inside_a_mask_see_nothing_outside(error):
    predicted, target, inside = make_images()
    expected = error(predicted[:1, 2:5, 2:5], target[:1, 2:5, 2:5])
    np.testing.assert_allclose(error(predicted, target, inside), [expected[0], np.nan])


def test_psnr_equals_that_of_scikit_image():
    first, second = np.random.default_rng(0).random((2, 3, 8, 8, 1))
    expected = [peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(second, first, strict=True)]
    np.testing.assert_allclose(psnr(squared_errors(first, second), data_range=1.0), expected, atol=1e-10)


def test_psnr_of_no_error_is_infinite():
    assert psnr(np.array([0.0]), data_range=1.0) == np.inf


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


def test_ssim_inside_a_mask_is_the_mean_of_the_map_there():
    first, second = np.random.default_rng(7).random((2, 1, 32, 32, 1))
    inside = np.zeros(first.shape, bool)
    inside[0, 10:20, 12:14] = True
    whole_map = structural_similarity(
        first[0, ..., 0],
        second[0, ..., 0],
        data_range=1.0,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )[1]
    np.testing.assert_allclose(
        ssim(first, second, data_range=1.0, inside=inside), [whole_map[10:20, 12:14].mean()], atol=1e-12
    )


def test_ssim_inside_an_empty_mask_is_not_a_number():
    image = np.random.default_rng(8).random((1, 16, 16, 1))
    assert np.isnan(ssim(image, image, data_range=1.0, inside=np.zeros(image.shape, bool))).all()


def test_drift_correlation_is_pearsons_inside_the_gtv():
    predicted, target, inside = make_images()
    expected = pearsonr(predicted[inside], target[inside]).statistic
    np.testing.assert_allclose(drift_correlation(predicted, target, inside), [expected, np.nan], atol=1e-12)


def test_drift_correlation_does_not_see_scale_and_offset():
    predicted, target, inside = make_images()
    again = drift_correlation(3 * predicted - 1, target, inside)
    np.testing.assert_allclose(again, drift_correlation(predicted, target, inside), atol=1e-12)


def test_a_constant_drift_correlates_with_nothing():
    _, target, inside = make_images()
    constant = np.full(target.shape, 0.1, np.float32)
    assert np.isnan(drift_correlation(constant, target, inside)[0])


def test_sign_agreement_counts_the_pixels_that_move_the_right_way():
    target = np.array([1.0, 1.0, -1.0, -1.0, 0.0, 1.0]).reshape(1, 6, 1, 1)
    predicted = np.array([2.0, -2.0, -0.1, 0.0, 5.0, -9.0]).reshape(1, 6, 1, 1)
    inside = np.array([1, 1, 1, 1, 1, 0], bool).reshape(1, 6, 1, 1)
    # Right at the first and third; the fifth does not move and the sixth is outside.
    np.testing.assert_array_equal(sign_agreement(predicted, target, inside), [0.5])


def test_every_score_is_explained_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    for name, metric in METRICS.items():
        assert f"| `{name}` | {metric.meaning} | {metric.better} |" in page


# Dice is of outlines, which noise does not have; its own tests stand below.
@pytest.mark.parametrize("name", [name for name in METRICS if name != "dice"])
def test_the_truth_scores_best_and_a_worse_prediction_worse(name):
    metric = METRICS[name]
    rng = np.random.default_rng(9)
    target = rng.standard_normal((4, 16, 16, 1))
    inside = rng.random(target.shape) > 0.3
    noise = rng.standard_normal(target.shape)
    perfect, near, far = (metric.function(target + share * noise, target, inside) for share in (0.0, 0.3, 2.0))
    order = [far, near, perfect] if metric.better == "high" else [perfect, near, far]
    assert (order[0] < order[1]).all()
    assert (order[1] < order[2]).all()


@pytest.mark.parametrize("name", [name for name in METRICS if name != "dice"])
def test_a_stack_of_slices_scores_as_its_slices_together(name):
    metric = METRICS[name]
    predicted, target = np.random.default_rng(10).random((2, 2, 3, 16, 16, 1))
    inside = np.zeros(target.shape, bool)
    inside[:, :, 4:12, 4:12] = True  # as many pixels in each slice
    stacks = metric.function(predicted, target, inside)
    if name in ("drift_correlation", "psnr", "gtv_psnr"):  # of all pixels at once, no mean over slices
        side_by_side = [
            np.concatenate(list(np.moveaxis(images, 1, 0)), axis=1) for images in (predicted, target, inside)
        ]
        np.testing.assert_allclose(stacks, metric.function(*side_by_side))
        return
    slices = metric.function(*(images.reshape(6, 16, 16, 1) for images in (predicted, target, inside)))
    np.testing.assert_allclose(stacks, slices.reshape(2, 3).mean(axis=1))


def test_ssim_of_a_stack_is_that_of_the_loss():
    first, second = np.random.default_rng(11).random((2, 2, 3, 16, 16, 1), np.float32)
    np.testing.assert_allclose(ssim(first, second, data_range=1.0), ssim_of_the_loss(first, second, 1.0), atol=1e-5)


def test_ssim_of_a_cube_is_that_of_the_loss_and_sees_the_order_of_its_slices():
    first, second = np.random.default_rng(12).random((2, 2, 12, 12, 12, 1), np.float32)
    found = ssim(first, second, data_range=1.0)
    np.testing.assert_allclose(found, ssim_of_the_loss(first, second, 1.0), atol=1e-5)
    order = np.random.default_rng(0).permutation(12)
    assert (np.abs(ssim(first[:, order], second[:, order], data_range=1.0) - found) > 1e-4).all()


def test_ssim_of_several_channels_is_the_mean_of_scikit_images():
    first, second = np.random.default_rng(12).random((2, 2, 16, 16, 2))
    given = {"gaussian_weights": True, "use_sample_covariance": False, "full": True, "data_range": 1.0}
    maps = [
        [structural_similarity(a[..., channel], b[..., channel], **given)[1] for channel in range(2)]
        for a, b in zip(first, second, strict=True)
    ]
    expected = np.array(maps)[:, :, 5:-5, 5:-5].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(ssim(first, second, data_range=1.0), expected)


def test_dice_of_a_shifted_disc_is_the_share_that_still_overlaps():
    row, column = np.mgrid[:64, :64] - 31.5
    discs = np.stack([(np.hypot(row, column - shift) < 16.0) * 0.7 for shift in (0, 8, 40)])[..., None]
    found = dice(discs, np.repeat(discs[:1], 3, axis=0))
    # Two discs of radius r, d apart, share 2 r^2 arccos(d / 2r) - d / 2 sqrt(4 r^2 - d^2).
    lens = (2 * 16**2 * np.arccos(8 / 32) - 4 * np.sqrt(4 * 16**2 - 64)) / (np.pi * 16**2)
    np.testing.assert_allclose(found, [1, lens, 0], atol=0.01)


def test_dice_is_of_all_slices_of_a_stack_and_undefined_where_nothing_is_shown():
    stack = np.zeros((2, 2, 8, 8, 1))
    stack[0, 0, 2:6, 2:6] = 1.0
    other = stack.copy()
    other[0, 1, 2:6, 2:6] = 1.0
    np.testing.assert_allclose(dice(stack, other), [2 / 3, np.nan])
