"""The losses against scikit-image and against their own closed forms."""

import numpy as np
import pytest
import tensorflow as tf
from skimage.metrics import structural_similarity

from tfdrift.training.losses import DRIFT_RANGE, IMAGE_RANGE, image_loss, mse, noise_loss, ssim, ssim_window


def images(size: int, data_range: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two correlated stacks of images whose values span the range."""
    rng = np.random.default_rng(seed)
    first = rng.random((3, size, size, 1), np.float32)
    second = np.clip(first + 0.2 * rng.standard_normal(first.shape, np.float32), 0, 1)
    lowest = 0.0 if data_range == IMAGE_RANGE else -1.0
    return (first * data_range + lowest).astype(np.float32), (second * data_range + lowest).astype(np.float32)


@pytest.mark.parametrize("data_range", [IMAGE_RANGE, DRIFT_RANGE])
@pytest.mark.parametrize("size", [8, 16, 32])
def test_ssim_equals_scikit_image_with_the_border_left_out(size, data_range):
    first, second = images(size, data_range)
    side, sigma = ssim_window(size)
    border = side // 2
    expected = []
    for a, b in zip(first[..., 0], second[..., 0], strict=True):
        similarity = structural_similarity(
            a.astype(np.float64),
            b.astype(np.float64),
            data_range=data_range,
            gaussian_weights=True,
            sigma=sigma,
            use_sample_covariance=False,
            full=True,
        )[1]
        expected.append(similarity[border:-border, border:-border].mean())
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
