import numpy as np
import pytest
from scipy import ndimage

from tfdrift.cohort.volumes import BACKGROUND_FRACTION, predicted_mask
from tfdrift.training.data import load_samples


@pytest.fixture(scope="module")
def phantom():
    """True posts and masks of the phantom, each image's largest pre signal being 1."""
    samples = load_samples("phantom", image_size=32)
    return samples.post[..., 0], samples.post_mask[..., 0], np.ones(len(samples))


def disc(radius: float, size=41) -> np.ndarray:
    rows, columns = np.indices((size, size)) - size // 2
    return np.hypot(rows, columns) <= radius


def test_true_posts_give_the_true_masks(phantom):
    post, truth, scale = phantom
    np.testing.assert_array_equal(predicted_mask(post, scale), truth)


def test_volume_survives_the_noise_and_blur_of_a_network(phantom):
    post, truth, scale = phantom
    blurred = ndimage.gaussian_filter(post, (0, 1, 1))
    noisy = blurred + np.random.default_rng(0).normal(0, 0.03, post.shape)
    found = predicted_mask(noisy, scale).sum(axis=(1, 2))
    assert found.sum() == pytest.approx(truth.sum(), rel=0.03)
    assert np.median(np.abs(found / truth.sum(axis=(1, 2)) - 1)) < 0.05


def test_a_blurred_disc_keeps_its_area():
    truth = disc(12)
    blurred = ndimage.gaussian_filter(700.0 * truth, 1.5)
    # To first order a blur leaves the half-height line of a straight edge where it was; the rest is curvature.
    assert predicted_mask(blurred[None], np.array([1000.0])).sum() == pytest.approx(truth.sum(), rel=0.02)


def test_a_lesion_that_faded_evenly_is_found_whole():
    truth = disc(9)
    blurred = ndimage.gaussian_filter(truth.astype(float), 1.0)
    bright, faded = predicted_mask(np.stack([900.0 * blurred, 250.0 * blurred]), np.array([1000.0, 1000.0]))
    np.testing.assert_array_equal(bright, faded)


def test_a_dark_core_is_part_of_the_lesion():
    ring = disc(12) & ~disc(5)
    np.testing.assert_array_equal(predicted_mask(ring[None].astype(float), np.ones(1))[0], disc(12))


def test_units_do_not_matter(phantom):
    post, _, scale = phantom
    np.testing.assert_array_equal(
        predicted_mask(post[:8].astype(np.float64), scale[:8]), predicted_mask(512.0 * post[:8], 512.0 * scale[:8])
    )


def test_background_is_no_lesion():
    faint = np.full((1, 8, 8), BACKGROUND_FRACTION * 0.99)
    assert not predicted_mask(faint, np.ones(1)).any()
