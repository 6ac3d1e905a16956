"""Answers at other doses, of a predictor that leaves less of a lesion, column by column, the more dose it is shown."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import make_predictor
from tfdrift.errors import DataError
from tfdrift.evaluation.dose_response import at_dose, ratios_at_doses
from tfdrift.evaluation.response import lesions_of
from tfdrift.methods.method import Predictor
from tfdrift.model.inputs import Inputs
from tfdrift.synthetic.phantom_samples import phantom_samples

SIZE = 16


def shrinking(steepness: float = 8.0) -> Predictor:
    """Return a predictor that takes away columns from the right, `steepness` more for every 20 Gy."""

    def network(inputs):
        image, dose = inputs["image"][..., :1], inputs["image"][..., 1:]
        place = tf.reshape(tf.cast(tf.range(SIZE), tf.float32), [1, 1, SIZE, 1])
        gone = tf.cast(place > 18 - steepness * tf.reduce_max(dose, axis=(1, 2, 3), keepdims=True), tf.float32)
        return {"recon": image * (1 - gone), "drift": -image * gone}

    return dataclasses.replace(make_predictor(network, "direct"), inputs=Inputs(channels=2))


@pytest.fixture(scope="module")
def samples():
    return phantom_samples(image_size=SIZE, patients=3, folds=3, law="dose")


def test_lesions_at_another_dose_are_the_same_but_for_it(samples):
    more = at_dose(samples, 1.25)
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
        at_dose(plain, 1.2)
