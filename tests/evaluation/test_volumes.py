import numpy as np
import pytest

from tfdrift.cohort.phantom import phantom_samples
from tfdrift.evaluation.volumes import predicted_mask


@pytest.fixture(scope="module")
def phantom():
    return phantom_samples(image_size=16, patients=6, folds=2)


def test_true_second_images_give_their_gtv_back(phantom):
    found = predicted_mask(phantom.post, phantom.pre, phantom.pre_mask)
    assert np.mean(found != phantom.post_mask) < 1e-3


def test_the_unit_of_the_images_does_not_matter(phantom):
    expected = predicted_mask(phantom.post, phantom.pre, phantom.pre_mask)
    np.testing.assert_array_equal(predicted_mask(700 * phantom.post, 700 * phantom.pre, phantom.pre_mask), expected)


def test_outcomes_are_masked_one_by_one(phantom):
    outcomes = np.stack([phantom.post, 0 * phantom.post, phantom.pre])
    found = predicted_mask(outcomes, phantom.pre, phantom.pre_mask)
    np.testing.assert_array_equal(found[0], predicted_mask(phantom.post, phantom.pre, phantom.pre_mask))
    assert not found[1].any()


def test_a_slice_without_a_first_gtv_has_no_second_one():
    image = np.ones((1, 4, 4, 1))
    assert not predicted_mask(image, image, image < 0).any()
