"""Scores of the counterfactual, on a predictor that leaves less of a lesion the more dose it is shown."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import make_predictor
from tfdrift.config import train_config
from tfdrift.errors import DataError
from tfdrift.evaluation.response import lesions_of
from tfdrift.methods.method import Predictor
from tfdrift.model.inputs import Inputs
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.new_patients.dose_scores import (
    ASKED,
    CURVE,
    as_dose_table,
    draw_doses,
    ratios_at_doses,
    score_doses,
    score_effects,
)
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.phantom_samples import phantom_samples

SIZE = 16
NEW = NewPatients(patients=6, data_seed=5, law="dose")
PATIENTS = np.repeat(["a", "b", "c"], 4)
TRUE = np.tile([-0.1, 0.2, -0.15, 0.3], 3)


def shrinking(steepness: float = 8.0) -> Predictor:
    """Return a predictor that takes away columns from the right, `steepness` more for every 20 Gy."""

    def network(inputs):
        image, dose = inputs["image"][..., :1], inputs["image"][..., 1:]
        place = tf.reshape(tf.cast(tf.range(SIZE), tf.float32), [1, 1, SIZE, 1])
        gone = tf.cast(place > 18 - steepness * tf.reduce_max(dose, axis=(1, 2, 3), keepdims=True), tf.float32)
        return {"recon": image * (1 - gone), "drift": -image * gone}

    return dataclasses.replace(make_predictor(network, "direct"), inputs=Inputs(channels=2))


@pytest.fixture(scope="module")
def row():
    training = phantom_samples(image_size=SIZE, patients=3, folds=3, law="dose")
    config = train_config("direct", image_size=SIZE, depth=1, law="dose")
    return score_doses(Run(label="shrinks", method="direct"), config, shrinking(), training, NEW)


def test_effects_of_the_right_size_have_slope_and_ratio_1():
    found = score_effects(TRUE, TRUE, PATIENTS)
    for name in ("right_sign", "slope", "median_ratio"):
        assert (found[name]["value"], found[name]["low"], found[name]["high"]) == pytest.approx((1, 1, 1))
    assert found["effect_error"]["value"] == 0
    assert found["true_effect"]["value"] == pytest.approx(np.abs(TRUE).mean())


def test_half_the_size_is_slope_and_ratio_one_half_and_no_effect_has_no_sign():
    half, none = score_effects(TRUE / 2, TRUE, PATIENTS), score_effects(np.zeros(12), TRUE, PATIENTS)
    assert (half["slope"]["value"], half["median_ratio"]["value"]) == pytest.approx((0.5, 0.5))
    assert half["right_sign"]["value"] == 1
    assert (none["right_sign"]["value"], none["slope"]["value"]) == (0, 0)
    assert score_effects(TRUE[:0], TRUE[:0], PATIENTS[:0]) == {"count": 0}


def test_the_truth_is_the_same_lesion_at_another_dose(row):
    for factor in ASKED:
        true = [lesion[f"times_{factor}"]["true"] for lesion in row["lesions"]]
        np.testing.assert_allclose(true, NEW.ratios_at_dose(factor) - NEW.ratios_at_dose(1.0))
        assert (np.sign(true) == np.sign(1 - factor)).all()
    for curve in row["curves"]:
        assert np.diff(curve["true"]).max() < 0
        assert np.diff(curve["predicted"]).max() <= 0


def test_every_effect_is_counted_once_within_or_beyond_the_doses_of_training(row):
    assert row["both"]["count"] == len(ASKED) * len(row["lesions"])
    assert row["seen"]["count"] + row["unseen"]["count"] == row["both"]["count"]
    low, high = row["trained_on_gy"]
    doses = [factor * lesion["given_gy"] for lesion in row["lesions"] for factor in ASKED]
    assert row["seen"]["count"] == sum(low <= dose <= high for dose in doses) > 0


def test_a_row_is_json_a_table_and_a_picture(row):
    assert json.loads(json.dumps(row)) == row
    assert as_dose_table([row]).count("| shrinks |") == len(ASKED) + 3 + 1
    drawn = draw_doses([row, row], "title").axes
    assert len(drawn) == 10
    assert np.size(drawn[1].lines[0].get_xdata()) == len(CURVE)


@pytest.fixture(scope="module")
def samples():
    return phantom_samples(image_size=SIZE, patients=3, folds=3, law="dose")


def test_lesions_at_another_dose_are_the_same_but_for_it(samples):
    more = samples.at_dose(1.25)
    np.testing.assert_allclose(more.pre[..., 1], 1.25 * samples.pre[..., 1], rtol=1e-6)
    np.testing.assert_array_equal(more.pre[..., 0], samples.pre[..., 0])
    np.testing.assert_array_equal(more.post, samples.post)


def test_more_dose_leaves_less_by_a_model_that_says_so_and_the_same_by_one_that_does_not(samples):
    less, given, more = ratios_at_doses(shrinking(), samples, (0.7, 1.0, 1.4), exponent=1.5)
    assert less.shape == (1, len(lesions_of(samples).name))
    assert (less >= given).all()
    assert (given >= more).all()
    assert (less > more).all()
    np.testing.assert_array_equal(*ratios_at_doses(shrinking(0.0), samples, (0.8, 1.2), exponent=1.5))


def test_lesions_whose_dose_is_not_shown_are_refused():
    plain = phantom_samples(image_size=8, patients=2, folds=2)
    with pytest.raises(DataError, match="the images show T1 and no dose"):
        plain.at_dose(1.2)
