import dataclasses

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from tests.random_samples import make_samples
from tfdrift.cohort.volumes import predicted_mask
from tfdrift.evaluation.response import (
    area_ratios,
    auc,
    fit_cut,
    fit_exponent,
    lesions_of,
    of_lesions,
    ratio_outcomes,
    response_scores,
)
from tfdrift.synthetic.phantom_samples import phantom_samples


def make_spheres(factors, *, size=64, shells=81):
    """Return slices through spheres of half the image's side, each shrunk by its factor."""
    samples = make_samples(count=shells * len(factors), size=size)
    across = np.hypot(*np.mgrid[: 2 * size, : 2 * size] / size - (1 - 0.5 / size)).reshape(1, 2 * size, 2 * size)
    height = np.linspace(-1, 1, shells)[:, None, None]
    disc = [across[:, ::2, ::2] ** 2 + height**2 < radius**2 for radius in (1, *factors)]
    number = np.repeat(np.arange(len(factors)), shells)
    return dataclasses.replace(
        samples,
        pre_mask=np.concatenate([disc[0]] * len(factors))[..., None],
        post_mask=np.concatenate(disc[1:])[..., None],
        lesion=np.char.add("l", number.astype(str)),
        patient=np.char.add("p", number.astype(str)),
        fold=np.zeros(len(number), np.int32),
        post_mm3=np.repeat(np.float32(factors), shells) ** 3,
    )


def with_ratios(ratio, follow_up):
    """Return one slice a lesion with these volumes relative to the first."""
    samples = make_samples(count=len(ratio))
    return dataclasses.replace(
        samples, post_mm3=np.array(ratio, np.float32), follow_up_mm3=np.array(follow_up, np.float32)
    )


def test_areas_of_all_slices_through_a_sphere_add_up_to_its_volume():
    factors = [0.5, 0.8, 1.0]
    np.testing.assert_allclose(
        area_ratios((spheres := make_spheres(factors)).post_mask, spheres), np.power(factors, 3), rtol=0.02
    )


def test_every_slice_of_a_sphere_asks_for_no_exponent():
    assert fit_exponent(make_spheres([0.6, 0.9])) == pytest.approx(1, abs=0.02)


def test_the_middle_slice_alone_asks_for_three_halves():
    spheres = make_spheres([0.6, 0.9])
    middle = spheres.take(np.array([40, 81 + 40]))
    assert fit_exponent(middle) == pytest.approx(1.5, abs=0.03)


def test_a_lesion_that_is_gone_does_not_spoil_the_exponent():
    spheres = make_spheres([0.6, 0.9, 0.0])
    assert fit_exponent(spheres) == pytest.approx(1, abs=0.02)


def test_outcomes_have_areas_of_their_own():
    spheres = make_spheres([0.6, 0.9])
    found = area_ratios(np.stack([spheres.pre_mask, spheres.post_mask]), spheres)
    np.testing.assert_array_equal(found[0], [1, 1])
    np.testing.assert_array_equal(found[1], area_ratios(spheres.post_mask, spheres))


def test_groups_are_those_of_the_paper():
    lesions = lesions_of(with_ratios([1, 1, 1], [0.8, 0.79, np.nan]))
    np.testing.assert_array_equal(lesions.poor, [1, 0, np.nan])


def test_every_slice_knows_its_lesion_and_every_lesion_its_patient():
    phantom = phantom_samples(image_size=8, patients=4, folds=2)
    lesions = lesions_of(phantom)
    np.testing.assert_array_equal(lesions.name[lesions.owner], phantom.lesion)
    np.testing.assert_array_equal(lesions.patient[lesions.owner], phantom.patient)
    np.testing.assert_array_equal(lesions.ratio[lesions.owner] * phantom.pre_mm3, phantom.post_mm3.astype(float))


def test_the_cut_between_groups_that_do_not_overlap_is_half_way():
    assert fit_cut(with_ratios([0.5, 0.6, 0.9, 1.1], [0.3, 0.4, 0.9, 1.2])) == pytest.approx(0.75)


def test_the_cut_makes_the_fewest_errors():
    # One poor lesion shrank early on; no cut tells it rightly without telling two others wrongly.
    found = fit_cut(with_ratios([0.4, 0.5, 0.6, 0.9, 1.0], [1, 0.1, 0.1, 1, 1]))
    assert found == pytest.approx(0.75)


def test_no_cut_lies_between_equal_ratios():
    assert fit_cut(with_ratios([0.5, 0.7, 0.7, 0.9], [0.1, 0.1, 1, 1])) == pytest.approx(0.8)


def test_one_group_alone_has_no_cut():
    assert np.isnan(fit_cut(with_ratios([0.5, 0.7], [0.1, np.nan])))


def test_auc_is_the_mann_whitney_statistic():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    expected = mannwhitneyu(score[positive], score[~positive]).statistic / (positive.sum() * (~positive).sum())
    assert auc(score, positive) == pytest.approx(expected)


def test_auc_of_one_class_is_not_a_number():
    assert np.isnan(auc(np.arange(3.0), np.ones(3, bool)))


def test_volume_ratios_come_from_the_masks_of_each_outcome(make_answers, phantom):
    answers = make_answers(shrink=0.0, noise=0.0, count=2)
    found = ratio_outcomes(answers.post, phantom, answers.exponent)
    mask = predicted_mask(phantom.post[..., 0], np.ones(len(phantom)))
    owner = lesions_of(phantom).owner
    expected = np.bincount(owner, mask.sum(axis=(1, 2))) / np.bincount(owner, phantom.pre_mask.sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(found, [expected, expected])


def test_true_volumes_tell_groups_that_the_second_mri_decides(phantom):
    follow_up_mm3 = np.where(phantom.post_mm3 >= 0.9 * phantom.pre_mm3, phantom.pre_mm3, 0.1 * phantom.pre_mm3)
    decided = dataclasses.replace(phantom, follow_up_mm3=follow_up_mm3)
    found = response_scores(lesions_of(decided).ratio, decided, np.full(len(phantom), 0.9))
    assert (found["volume_error"].value, found["response_accuracy"].value, found["response_auc"].value) == (0, 1, 1)


def test_a_cut_turns_predicted_volumes_into_groups(phantom):
    share_poor = np.mean(lesions_of(phantom).poor)
    low, high = (response_scores(np.full(16, ratio), phantom, np.full(len(phantom), 0.9)) for ratio in (0.89, 0.91))
    assert low["response_accuracy"].value == pytest.approx(1 - share_poor)
    assert high["response_accuracy"].value == pytest.approx(share_poor)


def test_lesions_of_several_slices_in_one_image_have_the_ratios_of_their_slices():
    rng = np.random.default_rng(1)
    whole = make_samples(count=2, folds=2, depth=4)
    flat = make_samples(count=8, folds=1)
    flat = dataclasses.replace(
        flat, pre_mask=whole.pre_mask.reshape(flat.pre_mask.shape), lesion=np.repeat(whole.lesion, 4)
    )
    post = rng.random((3, *whole.post.shape)) ** 4
    expected = ratio_outcomes(post.reshape(3, *flat.post.shape), flat, np.full(8, 1.5))
    np.testing.assert_allclose(ratio_outcomes(post, whole, np.full(2, 1.5)), expected)


def test_what_is_the_same_for_all_slices_of_a_lesion_is_one_value(phantom):
    lesions = lesions_of(phantom)
    np.testing.assert_array_equal(of_lesions(phantom.pre_mm3, phantom), lesions.pre_mm3)
    np.testing.assert_array_equal(of_lesions(phantom.lesion, phantom), lesions.name)
