import numpy as np
import pytest
from scipy.stats import permutation_test

from tfdrift.cohort.gtv_regions import core_and_rim
from tfdrift.errors import DataError
from tfdrift.reproduction.regions import group_difference, lesion_means


def disc(radius: float, size: int = 101) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - size // 2
    return np.hypot(rows, columns) < radius


def test_means_of_a_lesion_are_over_all_pixels_of_its_slices():
    masks = np.stack([disc(20, 51), disc(10, 51), disc(15, 51)])[..., None]
    cores = np.stack([core_and_rim(mask[..., 0])[0] for mask in masks])[..., None]
    images = np.where(cores, np.array([1.0, 2.0, 4.0])[:, None, None, None], -1.0)
    means = lesion_means(images, masks, np.array(["b", "b", "a"]))
    weights = cores[:2].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(means["core"], [4.0, np.average([1.0, 2.0], weights=weights)])
    np.testing.assert_allclose(means["rim"], [-1.0, -1.0])


def test_with_one_lesion_a_patient_the_test_is_the_plain_permutation_test():
    rng = np.random.default_rng(1)
    values, first = rng.normal(size=12), np.arange(12) < 6
    values[first] += 0.8
    found = group_difference(values, first, np.arange(12).astype(str), draws=20_000)
    # Every one of the 924 ways to choose six of twelve.
    exact = permutation_test(
        (values[first], values[~first]), lambda a, b: a.mean() - b.mean(), n_resamples=1000, alternative="two-sided"
    )
    assert found.value == pytest.approx(exact.statistic)
    p_value = float(exact.pvalue)
    assert found.p_value == pytest.approx(p_value, abs=4 * (p_value / 20_000) ** 0.5)


def test_lesions_of_one_patient_do_not_count_as_many():
    """Six patients, three a group: there are 20 ways to deal the groups, so p is 2 / 20 at least."""
    patient = np.repeat(np.arange(6), 10).astype(str)
    first = np.repeat(np.arange(6) < 3, 10)
    values = first + 0.01 * np.random.default_rng(0).normal(size=60)
    assert group_difference(values, first, patient, draws=4000).p_value == pytest.approx(0.1, abs=0.02)


def test_p_values_of_groups_that_do_not_differ_are_uniform():
    rng = np.random.default_rng(2)
    p_values = []
    for seed in range(120):
        patient = np.repeat(np.arange(18), np.repeat([1, 3], [12, 6]))
        values = rng.normal(size=18)[patient] + 0.3 * rng.normal(size=len(patient))
        first = rng.random(len(patient)) < 0.5
        p_values.append(group_difference(values, first, patient.astype(str), seed=seed, draws=99).p_value)
    # 120 uniform numbers lie this far from their distribution with a probability of one in a hundred (Kolmogorov).
    ranks = (np.arange(120) + 0.5) / 120
    assert np.abs(np.sort(p_values) - ranks).max() < 1.63 / np.sqrt(120) + 0.01


def test_the_interval_holds_the_difference_and_shrinks_with_the_spread():
    patient = np.arange(40).astype(str)
    first = np.arange(40) % 2 == 0
    noise = np.random.default_rng(3).normal(size=40)
    wide, narrow = (group_difference(first + scale * noise, first, patient, draws=500) for scale in (1.0, 0.1))
    for found in (wide, narrow):
        assert found.low < found.value < found.high
    assert narrow.high - narrow.low == pytest.approx(0.1 * (wide.high - wide.low), rel=1e-6)


def test_a_lesion_without_such_a_region_is_left_out():
    values = np.array([1.0, 2.0, np.nan, 5.0])
    first = np.array([True, True, True, False])
    assert group_difference(values, first, np.array(list("abcd")), draws=10).value == pytest.approx(-3.5)


def test_an_empty_group_is_refused():
    with pytest.raises(DataError, match="one of the two groups has no lesion"):
        group_difference(np.ones(3), np.ones(3, bool), np.array(["a", "b", "c"]))
