import dataclasses

import numpy as np
import pytest

from tfdrift.evaluation import scores
from tfdrift.evaluation.metrics import METRICS, Metric, squared_errors
from tfdrift.evaluation.response import lesions_of


def image_scores_of(answers, name):
    held_out = answers.held_out
    return scores.image_scores(
        scores.slice_scores(held_out, *scores.predictions(answers)[name]), answers.copy_mse, held_out.patient
    )


def perfect(make_answers):
    return make_answers(shrink=0.0, noise=0.0, count=1)


def test_the_truth_has_every_best_score(make_answers):
    found = image_scores_of(perfect(make_answers), "Method 1")
    best = {"skill": 1, "drift_skill": 1, "mse": 0, "mae": 0, "ssim": 1, "gtv_ssim": 1, "drift_correlation": 1}
    assert {name: found[name].value for name in best} == pytest.approx(best, abs=1e-6)
    assert found["sign_agreement"].value == pytest.approx(1, abs=1e-3)


def test_copy_has_no_skill_and_no_direction(make_answers):
    found = image_scores_of(make_answers(), "copy")
    assert (found["skill"].value, found["sign_agreement"].value) == (0, 0)
    assert np.isnan(found["drift_correlation"].value)


def test_half_of_the_drift_has_three_quarters_of_the_skill(make_answers):
    found = image_scores_of(make_answers(noise=0.0, count=1), "Method 1")
    assert found["skill"].value == pytest.approx(0.75, abs=1e-6)


def test_the_mean_of_outcomes_has_the_noise_of_one_divided_by_their_number(make_answers):
    answers = make_answers(shrink=0.0, noise=0.1, count=8)
    one, mean = (image_scores_of(answers, name)["gtv_mse"].value for name in ("Method 1, one outcome", "Method 1"))
    assert one == pytest.approx(0.01, rel=0.15)
    assert mean == pytest.approx(0.01 / 8, rel=0.15)


def test_errors_outside_the_gtv_do_not_count_inside(make_answers):
    answers = perfect(make_answers)
    post, drift = scores.predictions(answers)["Method 1"]
    spoilt = post + 0.5 * ~answers.gtv
    columns = scores.slice_scores(answers.held_out, spoilt, drift)
    np.testing.assert_allclose(columns["gtv_mse"], 0, atol=1e-12)
    assert (columns["mse"] > 0).all()


def test_the_gtv_is_that_of_either_session(make_answers, phantom):
    answers = make_answers()
    np.testing.assert_array_equal(answers.gtv, phantom.pre_mask | phantom.post_mask)


def test_the_copy_cannot_tell_responders(make_answers):
    table = scores.clinic_scores(make_answers())
    assert table["copy"]["response_auc"].value == 0.5
    assert table["copy"]["volume_bias"].value == pytest.approx(
        1 - np.mean(lesions_of(make_answers().held_out).ratio), abs=1e-9
    )


def test_without_a_follow_up_there_is_no_response_to_tell(make_answers, phantom):
    unknown = dataclasses.replace(phantom, follow_up_mm3=np.full(len(phantom), np.nan, np.float32))
    found = scores.clinic_scores(dataclasses.replace(make_answers(), held_out=unknown))["Method 1"]
    assert np.isnan(found["response_auc"].value)
    assert np.isnan(found["response_accuracy"].value)
    assert np.isfinite(found["volume_error"].value)


def test_the_best_level_flatters_and_the_chosen_one_does_not(make_answers, phantom):
    # Two levels without any difference but luck: whichever is best for a fold is worst for the others.
    answers = make_answers()
    copy_mse = squared_errors(phantom.pre, phantom.post)
    lucky = np.where(answers.group == 0, 0.2, 0.6) * copy_mse
    other = np.where(answers.group == 0, 0.6, 0.5) * copy_mse
    answers = dataclasses.replace(
        answers, levels=[1, 0], level_post_errors=np.stack([lucky, other]), level_drift_errors=np.stack([lucky, other])
    )
    best = max(entry.skill for entry in scores.level_scores(answers))
    chosen = scores.choose_level(answers)
    by_hand = np.where(answers.group == 0, other, lucky)
    totals = [lucky[answers.group != 1].sum(), other[answers.group != 1].sum()]
    assert totals[0] < totals[1]  # so folds 1 and 2 choose the first level, and fold 0 the second
    assert chosen is not None
    assert chosen.skill.value == pytest.approx(1 - by_hand.sum() / copy_mse.sum())
    assert chosen.skill.value < best


def test_one_group_of_patients_chooses_no_level(make_answers, phantom):
    assert scores.choose_level(dataclasses.replace(make_answers(), group=np.zeros(len(phantom), int))) is None


def test_only_the_scores_asked_for_are_made(make_answers):
    answers = make_answers()
    found = scores.slice_scores(answers.held_out, answers.post[0], answers.drift[0], names=("ssim", "drift_mse"))
    assert list(found) == ["ssim", "drift_mse"]


def test_a_new_score_needs_its_entry_in_the_table_alone(make_answers, monkeypatch):
    metric = Metric(
        of="drift", function=lambda predicted, *_: image_sums(predicted), better="low", words="sum", meaning="a sum"
    )
    monkeypatch.setitem(METRICS, "drift_sum", metric)
    answers = make_answers(count=1)
    found = image_scores_of(answers, "Method 1")["drift_sum"]
    assert found.value == pytest.approx(image_sums(answers.drift[0]).mean())


def image_sums(images):
    return images.reshape(len(images), -1).sum(axis=1, dtype=np.float64)
