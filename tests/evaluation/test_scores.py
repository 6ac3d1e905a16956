import dataclasses

import numpy as np
import pytest

from tfdrift.evaluation import scores
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.evaluation.response import lesions_of
from tfdrift.evaluation.volumes import predicted_mask


def image_scores_of(answers, name):
    columns = {key: scores.slice_columns(answers, *pair) for key, pair in scores.predictions(answers).items()}
    return scores.image_scores(columns[name], columns["copy"]["mse"], answers.held_out.patient)


def perfect(make_answers):
    return make_answers(shrink=0.0, noise=0.0, count=1)


def test_the_truth_has_every_best_score(make_answers):
    found = image_scores_of(perfect(make_answers), "one outcome")
    best = {"skill": 1, "drift_skill": 1, "mse": 0, "mae": 0, "ssim": 1, "gtv_ssim": 1, "drift_correlation": 1}
    assert {name: found[name].value for name in best} == pytest.approx(best, abs=1e-6)
    assert found["sign_agreement"].value == pytest.approx(1, abs=1e-3)


def test_copy_has_no_skill_and_no_direction(make_answers):
    found = image_scores_of(make_answers(), "copy")
    assert (found["skill"].value, found["sign_agreement"].value) == (0, 0)
    assert np.isnan(found["drift_correlation"].value)


def test_half_of_the_drift_has_three_quarters_of_the_skill(make_answers):
    found = image_scores_of(make_answers(noise=0.0, count=1), "one outcome")
    assert found["skill"].value == pytest.approx(0.75, abs=1e-6)


def test_the_mean_of_outcomes_has_the_noise_of_one_divided_by_their_number(make_answers):
    answers = make_answers(shrink=0.0, noise=0.1, count=8)
    one, mean = (image_scores_of(answers, name)["gtv_mse"].value for name in ("one outcome", "mean outcome"))
    assert one == pytest.approx(0.01, rel=0.15)
    assert mean == pytest.approx(0.01 / 8, rel=0.15)


def test_errors_outside_the_gtv_do_not_count_inside(make_answers):
    answers = perfect(make_answers)
    post, drift = scores.predictions(answers)["one outcome"]
    spoilt = post + 0.5 * ~scores.gtv(answers)
    columns = scores.slice_columns(answers, spoilt, drift)
    np.testing.assert_allclose(columns["gtv_mse"], 0, atol=1e-12)
    assert (columns["mse"] > 0).all()


def test_the_gtv_is_that_of_either_session(make_answers, phantom):
    answers = make_answers()
    np.testing.assert_array_equal(scores.gtv(answers), phantom.pre_mask | phantom.post_mask)


def test_volume_ratios_come_from_the_masks_of_each_outcome(make_answers, phantom):
    answers = make_answers(shrink=0.0, noise=0.0, count=2)
    found = scores.ratio_outcomes(answers, answers.post)
    mask = predicted_mask(phantom.post[..., 0], np.ones(len(phantom)))
    owner = lesions_of(phantom).owner
    expected = np.bincount(owner, mask.sum(axis=(1, 2))) / np.bincount(owner, phantom.pre_mask.sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(found, [expected, expected])


def test_true_volumes_tell_groups_that_the_second_mri_decides(make_answers, phantom):
    decided = np.where(phantom.post_mm3 >= 0.9 * phantom.pre_mm3, phantom.pre_mm3, 0.1 * phantom.pre_mm3)
    answers = dataclasses.replace(make_answers(), held_out=dataclasses.replace(phantom, follow_up_mm3=decided))
    found = scores.clinical_scores(answers, lesions_of(phantom).ratio)  # the answers' cut is 0.9
    assert (found["volume_error"].value, found["response_accuracy"].value, found["response_auc"].value) == (0, 1, 1)


def test_a_cut_turns_predicted_volumes_into_groups(make_answers, phantom):
    answers = make_answers()
    share_poor = np.mean(lesions_of(phantom).poor)
    low, high = (scores.clinical_scores(answers, np.full(16, ratio)) for ratio in (0.89, 0.91))
    assert low["response_accuracy"].value == pytest.approx(1 - share_poor)
    assert high["response_accuracy"].value == pytest.approx(share_poor)


def test_the_copy_cannot_tell_responders(make_answers):
    table = scores.response_table(make_answers())
    assert table["copy"]["response_auc"].value == 0.5
    assert table["copy"]["volume_bias"].value == pytest.approx(
        1 - np.mean(lesions_of(make_answers().held_out).ratio), abs=1e-9
    )


def test_without_a_follow_up_there_is_no_response_to_tell(make_answers, phantom):
    unknown = dataclasses.replace(phantom, follow_up_mm3=np.full(len(phantom), np.nan, np.float32))
    found = scores.response_table(dataclasses.replace(make_answers(), held_out=unknown))["mean outcome"]
    assert np.isnan(found["response_auc"].value)
    assert np.isnan(found["response_accuracy"].value)
    assert np.isfinite(found["volume_error"].value)


def test_intervals_of_the_law_itself_need_no_calibration():
    rng = np.random.default_rng(0)
    outcomes, truth = rng.standard_normal((400, 6000)), rng.standard_normal(6000)
    patient = np.repeat(np.arange(60), 100)
    found = scores.interval_coverage(outcomes, truth, patient=patient.astype(str), group=patient % 5)
    for point in found["reliability"]:
        # 60 patients of 100 values: standard error below 0.007; calibration aims at most 1 / 49 higher.
        assert point["raw"] == pytest.approx(point["nominal"], abs=0.025)
        assert point["calibrated"] == pytest.approx(point["nominal"], abs=0.045)


def test_calibration_repairs_intervals_that_are_too_narrow():
    rng = np.random.default_rng(1)
    outcomes, truth = 0.3 * rng.standard_normal((20, 3000)), rng.standard_normal(3000)
    patient = np.repeat(np.arange(60), 50)
    found = scores.interval_coverage(outcomes, truth, patient=patient.astype(str), group=patient % 5)
    assert found["coverage"]["raw"].value < 0.5
    assert found["coverage"]["calibrated"].value == pytest.approx(0.9, abs=0.03)
    # The interval of a normal law around 0 that covers 90% is 3.29 wide; the outcomes' own scatter adds a little.
    assert found["width"]["calibrated"] == pytest.approx(3.29, rel=0.1)
    assert found["calibration_patients"] == 48


def test_too_few_patients_leave_the_interval_as_it_is():
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(9), 10)
    found = scores.interval_coverage(rng.random((5, 90)), rng.random(90), patient=patient.astype(str), group=patient)
    assert (found["calibration_patients"], found["patients_needed"]) == (8, 9)
    assert (found["coverage"]["calibrated"], found["width"]["calibrated"]) == (None, None)
    assert found["reliability"][7]["calibrated"] is not None  # 80% can be promised


def test_spread_where_the_error_is_shows_as_correlation(make_answers, phantom):
    rng = np.random.default_rng(3)
    scale = (0.2 * rng.random(phantom.pre.shape)).astype(np.float32)
    drift = phantom.drift + scale * rng.standard_normal((16, *phantom.pre.shape)).astype(np.float32)
    drift = drift + scale * rng.standard_normal(phantom.pre.shape).astype(np.float32)  # an error all outcomes share
    honest = dataclasses.replace(make_answers(), drift=drift)
    assert scores.drift_uncertainty(honest)["spread_error"].low > 0.2
    assert abs(scores.drift_uncertainty(make_answers(noise=0.05))["spread_error"].value) < 0.1


def test_crps_of_copy_is_the_mean_change(make_answers, phantom):
    found = scores.drift_uncertainty(make_answers())
    inside = phantom.pre_mask | phantom.post_mask
    change = np.abs(phantom.drift * inside).sum(axis=(1, 2, 3)) / inside.sum(axis=(1, 2, 3))
    assert found["copy_crps"].value == pytest.approx(change.mean(), rel=1e-5)


def test_volumes_have_their_own_uncertainty(make_answers, phantom):
    answers = make_answers(shrink=0.0, noise=0.0, count=1)
    found = scores.volume_uncertainty(answers)
    ratio = scores.ratio_outcomes(answers, answers.post)[0]
    assert found["crps"].value == pytest.approx(np.mean(np.abs(ratio - lesions_of(phantom).ratio)))
    assert found["width"]["raw"] == 0


def test_the_best_level_flatters_and_the_chosen_one_does_not(make_answers, phantom):
    # Two levels without any difference but luck: whichever is best for a fold is worst for the others.
    answers = make_answers()
    copy_mse = squared_errors(phantom.pre, phantom.post)
    lucky = np.where(answers.group == 0, 0.2, 0.6) * copy_mse
    other = np.where(answers.group == 0, 0.6, 0.5) * copy_mse
    answers = dataclasses.replace(
        answers, levels=[1, 0], level_post_errors=np.stack([lucky, other]), level_drift_errors=np.stack([lucky, other])
    )
    found = scores.level_scores(answers, copy_mse)
    assert found["best_level"]["skill"] == max(entry["skill"] for entry in found["levels"])
    by_hand = np.where(answers.group == 0, other, lucky)
    totals = [lucky[answers.group != 1].sum(), other[answers.group != 1].sum()]
    assert totals[0] < totals[1]  # so folds 1 and 2 choose the first level, and fold 0 the second
    assert found["chosen_level"]["skill"].value == pytest.approx(1 - by_hand.sum() / copy_mse.sum())
    assert found["chosen_level"]["skill"].value < found["best_level"]["skill"]
