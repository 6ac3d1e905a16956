import dataclasses

import numpy as np
import pytest

from tfdrift.cohort.neighbours import turned
from tfdrift.evaluation import memorisation, page
from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.memorisation import NEARLY, audit
from tfdrift.evaluation.page import compose

PICTURES = ("skills", "reliability", "lesions", "levels", "snapshots", "spread")


def training_row(phantom, row):
    """Return a slice of another fold, whose second MRI stands for what was learned by heart."""
    others = np.flatnonzero(phantom.fold != phantom.fold[row])
    return others[row % len(others)]


@pytest.fixture(scope="module")
def by_heart(make_answers, phantom):
    """Answers each of whose outcomes is a training image, turned, with a little noise."""
    answers = make_answers(noise=0.005)
    images = np.concatenate(
        [turned(phantom.post[[training_row(phantom, row)]], row % 8) for row in range(len(phantom))]
    )
    noise = 0.005 * np.random.default_rng(0).standard_normal((8, *images.shape))
    post = (images + noise).astype(np.float32)
    return dataclasses.replace(answers, post=post, drift=post - phantom.pre)


def test_a_method_that_returns_training_images_is_caught(by_heart):
    found = audit(by_heart)["Method 1"]
    assert found.ratio is not None
    assert found.ratio.value < NEARLY / 2
    assert found.outcome_ratio is not None
    assert found.outcome_ratio.value < NEARLY / 2
    assert found.nearly_copies.value == 1
    assert "Answers are nearly copies of training images** for 100% of the slices" in compose(
        assess(by_heart).metrics, PICTURES
    )


def test_the_image_that_was_copied_is_named_by_pseudonyms_alone(by_heart, phantom):
    for one in audit(by_heart)["Method 1"].nearest:
        copied = {
            str(phantom.lesion[training_row(phantom, row)]) for row in np.flatnonzero(phantom.lesion == one.lesion)
        }
        assert one.training_lesion in copied
        assert one.training_patient in phantom.patient
        assert one.ratio < NEARLY


def test_one_outcome_that_is_a_copy_is_caught_though_the_mean_is_none(make_answers, phantom):
    answers = make_answers(noise=0.2)
    post = answers.post.copy()
    post[3, 0] = phantom.post[training_row(phantom, 0)]
    found = audit(dataclasses.replace(answers, post=post))["Method 1"]
    before = audit(answers)["Method 1"]
    assert found.nearly_copies.value > before.nearly_copies.value
    assert found.nearest[0].lesion == phantom.lesion[0]
    assert found.nearest[0].ratio == 0


def test_the_truth_is_as_far_as_the_truth(make_answers):
    found = audit(make_answers(shrink=0, noise=0))["Method 1"]
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1, abs=1e-3)
    assert found.outcome_ratio is not None
    assert found.outcome_ratio.value == pytest.approx(1, abs=1e-3)
    assert found.nearly_copies.value == 0


def test_a_patients_own_images_are_no_training_images(make_answers, phantom):
    """The truth is in the data, and the run of its fold has not seen it."""
    answers = make_answers(shrink=0, noise=0)
    seen = dataclasses.replace(answers, left_out=(phantom.fold + 1) % 3)
    assert not np.isfinite(audit(seen)["Method 1"].nearest[0].ratio)
    assert audit(answers)["Method 1"].nearest[0].ratio > 0.99


def test_baselines_stand_beside_the_method_and_one_outcome_has_no_row_of_its_own(make_answers):
    assert list(audit(make_answers())) == ["copy", "mean drift", "nearest lesion", "Method 1"]
    direct = audit(make_answers("direct", count=1))
    assert list(direct) == ["copy", "mean drift", "nearest lesion", "direct"]
    assert direct["direct"].outcome_ratio is None


def test_the_page_says_that_nothing_is_copied(make_answers):
    page = compose(assess(make_answers(shrink=0.1)).metrics, PICTURES)
    assert "No answer and no outcome is nearly a copy of a training image" in page


def test_of_many_slices_some_are_looked_at(make_answers, monkeypatch):
    answers = make_answers()
    monkeypatch.setattr(memorisation, "AUDITED", 3)
    last = len(answers.held_out) - 1
    assert audit(answers) == audit(answers.take(np.array([0, last // 2, last])))


def test_the_page_says_how_many_slices_were_looked_at(assessed, monkeypatch):
    assert "Looked at are" not in compose(assessed.metrics, PICTURES)
    monkeypatch.setattr(page, "AUDITED", 3)
    assert f"Looked at are 3 of the {assessed.metrics.slices} slices, evenly" in compose(assessed.metrics, PICTURES)
