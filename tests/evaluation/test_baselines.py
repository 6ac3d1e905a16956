import dataclasses

import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.cohort.neighbours import turned
from tfdrift.evaluation import baselines
from tfdrift.evaluation.baselines import region_features, ridge, volume_baselines


def test_copy_predicts_no_change():
    held_out = make_samples()
    np.testing.assert_array_equal(baselines.copy(held_out), held_out.pre)


def test_a_change_that_all_lesions_share_is_predicted_exactly():
    ring = np.hypot(*np.mgrid[-3.5:4, -3.5:4])[None, ..., None].astype(np.float32)  # the same in all four rotations
    training, held_out = make_samples(seed=0), make_samples(seed=1)
    training = dataclasses.replace(training, post=training.pre + ring)
    np.testing.assert_allclose(baselines.mean_drift(training, held_out), held_out.pre + ring, atol=1e-5)


def test_the_mean_drift_knows_no_direction():
    training, held_out = make_samples(seed=0), make_samples(seed=1)
    added = (baselines.mean_drift(training, held_out) - held_out.pre)[0, ..., 0]
    np.testing.assert_allclose(added, np.rot90(added), atol=1e-6)


def test_the_held_out_truth_plays_no_part():
    training, held_out = make_samples(seed=0), make_samples(seed=1)
    changed = dataclasses.replace(held_out, post=held_out.post * 0)
    np.testing.assert_array_equal(baselines.mean_drift(training, held_out), baselines.mean_drift(training, changed))


@pytest.mark.parametrize("depth", [None, 2], ids=["slices", "stacks"])
def test_the_nearest_lesion_is_found_by_its_first_mri_and_its_drift_is_turned_with_it(depth):
    training = make_samples(seed=0, depth=depth, channels=("T1", "FLAIR"))
    twin = training.take(np.array([5, 3]))
    held_out = dataclasses.replace(
        make_samples(count=2, seed=1, depth=depth, channels=("T1", "FLAIR")), pre=turned(twin.pre, 6) + np.float32(1e-3)
    )
    expected = turned(twin.post, 6)
    np.testing.assert_allclose(baselines.nearest_lesion(training, held_out), expected, atol=2e-3)


def test_the_nearest_lesion_is_looked_for_without_the_held_out_truth():
    training, held_out = make_samples(seed=0), make_samples(seed=1)
    changed = dataclasses.replace(held_out, post=held_out.post * 0, post_mm3=held_out.post_mm3 * 2)
    first, second = (baselines.nearest_lesion(training, samples) for samples in (held_out, changed))
    np.testing.assert_array_equal(first, second)


def make_lesions(count=40, seed=0, **given):
    """Return a slice a lesion, discs of random radius with a ratio of volumes that the radius decides."""
    samples = make_samples(count=count, size=16, folds=4)
    rng = np.random.default_rng(seed)
    radius = rng.uniform(2, 6, count)
    disc = np.hypot(*(np.indices((16, 16)) - 7.5)) < radius[:, None, None]
    ratio = (0.4 + 0.1 * disc.sum(axis=(1, 2)) / 50).astype(np.float32)
    return dataclasses.replace(samples, pre_mask=disc[..., None], post_mm3=ratio, **given), ratio


def test_the_mean_ratio_is_that_of_the_training_lesions():
    samples, ratio = make_lesions()
    training, held_out = samples.take(np.arange(20)), samples.take(np.arange(20, 40))
    np.testing.assert_allclose(volume_baselines(training, held_out)["mean ratio"], ratio[:20].mean())


def test_ridge_finds_a_law_of_the_area():
    samples, ratio = make_lesions()
    training, held_out = samples.take(np.arange(30)), samples.take(np.arange(30, 40))
    found = volume_baselines(training, held_out)["ridge, shape and signal"]
    assert np.abs(found - ratio[30:]).max() < 0.05 * np.ptp(ratio)


def test_ridge_without_a_law_stays_at_the_mean():
    rng = np.random.default_rng(3)
    ratio = rng.normal(1, 0.2, 60)
    found = ridge(rng.standard_normal((60, 5)), ratio, np.arange(60).astype(str), rng.standard_normal((40, 5)))
    assert np.std(found) < 0.5 * np.std(ratio)


def test_an_interval_is_a_baseline_only_where_it_is_known_and_differs():
    days = np.arange(40, dtype=np.float32)
    for columns, there in (
        ({"interval_days": days}, True),
        ({"interval_days": np.full(40, 21, np.float32)}, False),
        ({"interval_days": np.where(days == 3, np.nan, days)}, False),
        ({}, False),
    ):
        samples, _ = make_lesions(conditions=columns)
        found = volume_baselines(samples.take(np.arange(20)), samples.take(np.arange(20, 40)))
        assert ("ridge, interval" in found) == there


def test_features_are_means_over_the_slices_of_a_lesion_in_mm():
    samples, _ = make_lesions(count=4, pixel_mm=np.full(4, 2, np.float32))
    area = 4 * samples.pre_mask.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(region_features(samples)[:, 0], area)
    one = dataclasses.replace(samples.take(np.arange(2)), lesion=np.array(["l", "l"]))
    np.testing.assert_allclose(region_features(one)[:, 0], [area[:2].mean()])


def test_a_lesion_that_shows_nothing_is_expected_to_behave_as_the_mean():
    features = np.array([[1.0], [2.0], [3.0], [4.0]])
    found = ridge(features, np.array([1.0, 2.0, 3.0, 4.0]), np.arange(4).astype(str), np.array([[np.nan]]))
    np.testing.assert_allclose(found, [2.5])
