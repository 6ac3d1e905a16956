import dataclasses

import numpy as np

from tests.random_samples import make_samples
from tfdrift.evaluation import baselines


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
