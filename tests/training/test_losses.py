"""The losses against scikit-image and against their own closed forms."""

import math

import numpy as np
import pytest
import tensorflow as tf
from skimage.metrics import structural_similarity

from tfdrift.training.losses import (
    DRIFT_RANGE,
    IMAGE_RANGE,
    MEAN_SHARE,
    fair_crps,
    image_loss,
    mse,
    noise_loss,
    outcomes_loss,
    ssim,
    ssim_window,
)

RNG = np.random.default_rng(0)


def images(size: int, data_range: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two correlated stacks of images whose values span the range."""
    rng = np.random.default_rng(seed)
    first = rng.random((3, size, size, 1), np.float32)
    second = np.clip(first + 0.2 * rng.standard_normal(first.shape, np.float32), 0, 1)
    lowest = 0.0 if data_range == IMAGE_RANGE else -1.0
    return (first * data_range + lowest).astype(np.float32), (second * data_range + lowest).astype(np.float32)


def scikit_image_similarity(first: np.ndarray, second: np.ndarray, data_range: float, sigma: float) -> np.ndarray:
    """Return the similarity at each pixel, or voxel, as scikit-image has it."""
    return structural_similarity(
        first.astype(np.float64),
        second.astype(np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=sigma,
        use_sample_covariance=False,
        full=True,
    )[1]


@pytest.mark.parametrize("data_range", [IMAGE_RANGE, DRIFT_RANGE])
@pytest.mark.parametrize("size", [8, 16, 32])
def test_ssim_equals_scikit_image_with_the_border_left_out(size, data_range):
    first, second = images(size, data_range)
    side, sigma = ssim_window(size)
    border = side // 2
    expected = []
    for a, b in zip(first[..., 0], second[..., 0], strict=True):
        similarity = scikit_image_similarity(a, b, data_range, sigma)
        expected.append(similarity[border:-border, border:-border].mean())
    np.testing.assert_allclose(ssim(tf.constant(first), tf.constant(second), data_range), expected, atol=1e-5)


@pytest.mark.parametrize("data_range", [IMAGE_RANGE, DRIFT_RANGE])
@pytest.mark.parametrize("size", [8, 16])
def test_ssim_of_a_cube_is_that_of_scikit_image_in_three_dimensions(size, data_range):
    rng = np.random.default_rng(size)
    first, second = (data_range * rng.random((2, 2, size, size, size, 1)) - data_range / 2).astype(np.float32)
    side, sigma = ssim_window(size)
    inner = (slice(side // 2, size - side // 2),) * 3
    expected = [
        scikit_image_similarity(a, b, data_range, sigma)[inner].mean()
        for a, b in zip(first[..., 0], second[..., 0], strict=True)
    ]
    np.testing.assert_allclose(ssim(tf.constant(first), tf.constant(second), data_range), expected, atol=1e-5)


@pytest.mark.parametrize("size", range(4, 40))
def test_the_window_is_odd_fits_the_image_and_is_the_one_scikit_image_derives(size):
    side, sigma = ssim_window(size)
    assert side % 2 == 1
    assert 3 <= side <= size
    assert 2 * int(3.5 * sigma + 0.5) + 1 == side  # scikit-image's truncate = 3.5


@pytest.mark.parametrize("size", [11, 12, 64, 512])
def test_the_window_is_that_of_the_original_paper_wherever_it_fits(size):
    assert ssim_window(size) == (11, 1.5)


@pytest.mark.parametrize("data_range", [IMAGE_RANGE, DRIFT_RANGE])
def test_equal_images_have_similarity_1(data_range):
    first, _ = images(16, data_range)
    np.testing.assert_allclose(ssim(tf.constant(first), tf.constant(first), data_range), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("predicted", "target"),
    [(0.0, 0.0), (0.7, 0.7), (0.0, 0.7), (0.7, 0.0), ("random", "random"), ("random", 0.0), (0.0, "random")],
)
@pytest.mark.parametrize("size", [4, 8, 32])
def test_gradients_are_finite_on_empty_constant_and_equal_images(size, predicted, target):
    rng = np.random.default_rng(1)
    pattern = rng.random((2, size, size, 1), np.float32)
    first, second = (
        tf.constant(pattern if value == "random" else np.full_like(pattern, value)) for value in (predicted, target)
    )
    with tf.GradientTape() as tape:
        tape.watch(first)
        loss = image_loss(first, second, ssim_share=0.5, data_range=IMAGE_RANGE)["loss"]
    assert np.isfinite(loss)
    assert np.isfinite(tf.convert_to_tensor(tape.gradient(loss, first)).numpy()).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_loss_is_the_weighted_sum_of_its_parts(share):
    first, second = images(16, DRIFT_RANGE)
    parts = image_loss(tf.constant(first), tf.constant(second), ssim_share=share, data_range=DRIFT_RANGE)
    error = np.mean((first.astype(np.float64) - second) ** 2)
    similarity = np.mean(ssim(tf.constant(first), tf.constant(second), DRIFT_RANGE))
    np.testing.assert_allclose(parts["mse"], error, rtol=1e-5)
    np.testing.assert_allclose(parts["ssim"], similarity, rtol=1e-6)
    np.testing.assert_allclose(parts["loss"], (1 - share) * error + share * (1 - similarity), rtol=1e-5)


def test_mse_is_the_mean_over_batch_and_pixels():
    predicted = tf.constant([[[[1.0], [2.0]]], [[[3.0], [0.0]]]])
    assert float(mse(predicted, tf.zeros_like(predicted))) == pytest.approx((1 + 4 + 9) / 4)


def test_noise_has_no_similarity_in_its_loss():
    first, second = images(8, DRIFT_RANGE)
    parts = noise_loss(tf.constant(first), tf.constant(second))
    assert set(parts) == {"loss", "mse"}
    np.testing.assert_allclose(parts["loss"], np.mean((first - second) ** 2), rtol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_score_of_a_few_normal_outcomes_is_without_bias_that_of_the_normal_distribution(count):
    """Of N(0, 1) about y the score is y (2 F(y) - 1) + 2 f(y) - 1 / sqrt(pi) (Gneiting and Raftery 2007, eq. 22)."""
    y, trials = 0.7, 400_000
    outcomes = RNG.standard_normal((trials, count)).astype(np.float32)
    density = math.exp(-(y**2) / 2) / math.sqrt(2 * math.pi)
    expected = y * math.erf(y / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi)
    score = float(fair_crps(tf.constant(outcomes), tf.fill([trials, 1], y)))
    assert score == pytest.approx(expected, abs=5 / math.sqrt(trials))


def test_outcomes_that_are_the_truth_score_0_and_one_outcome_too_narrow_or_wide_scores_worse():
    truth = tf.constant(RNG.standard_normal((500, 16, 16, 1)), tf.float32)
    assert float(outcomes_loss(tf.concat([truth] * 3, axis=-1), truth)["loss"]) == pytest.approx(0, abs=1e-6)
    drawn = RNG.standard_normal((500, 16, 16, 4)).astype(np.float32)
    scores = [float(fair_crps(tf.constant(width * drawn), truth)) for width in (0.3, 1.0, 3.0)]
    assert min(scores) == scores[1]


def test_outcomes_that_agree_between_neighbours_are_told_from_those_that_do_not():
    """Both have the same pixels one by one; of an image of one value only the first has the right average."""
    truth = tf.constant(np.broadcast_to(RNG.standard_normal((500, 1, 1, 1)), (500, 16, 16, 1)), tf.float32)
    whole = tf.constant(np.broadcast_to(RNG.standard_normal((500, 1, 1, 4)), (500, 16, 16, 4)), tf.float32)
    apart = tf.constant(RNG.standard_normal((500, 16, 16, 4)), tf.float32)
    of_whole, of_apart = outcomes_loss(whole, truth), outcomes_loss(apart, truth)
    assert float(of_apart["crps"]) == pytest.approx(float(of_whole["crps"]), abs=0.1)
    without_mean = [float(parts["loss"] - MEAN_SHARE * parts["mse"]) for parts in (of_whole, of_apart)]
    assert without_mean[0] < without_mean[1] - 0.2
