import numpy as np

from tests.methods.known_networks import PRE, SCHEDULE, SEED, echo, make_predictor
from tfdrift.diffusion.noise import unit_normal


def test_one_step_shows_the_network_the_image_noised_to_the_level():
    seen = make_predictor(echo, "method1", estimate_level=15)(PRE, SEED)
    eps = (seen["post"] - SCHEDULE.signal_rate[15] * PRE) / SCHEDULE.noise_rate[15]
    np.testing.assert_allclose(eps, unit_normal(SEED, PRE), atol=1e-5)
    np.testing.assert_allclose(seen["drift"], 0.75, rtol=1e-6)


def test_method_1_answers_at_every_level_by_itself():
    predictor = make_predictor(echo, "method1")
    snapshots = predictor.at_levels(PRE, SEED)
    assert predictor.levels() == list(range(20, -1, -1))
    alone = make_predictor(echo, "method1", estimate_level=13)(PRE, SEED)
    np.testing.assert_array_equal(snapshots["post"][7], alone["post"])
    np.testing.assert_allclose(snapshots["drift"][7], 13 / 20, rtol=1e-6)
