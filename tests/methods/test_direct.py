import numpy as np

from tests.methods.known_networks import PRE, SEED, echo, make_predictor


def test_direct_shows_the_network_the_clean_image_at_time_0():
    seen = make_predictor(echo, "direct")(PRE, SEED)
    np.testing.assert_array_equal(seen["post"], PRE)
    np.testing.assert_array_equal(seen["drift"], 0)


def test_direct_has_one_answer_without_a_level():
    predictor = make_predictor(echo, "direct")
    assert predictor.levels() == [None]
    np.testing.assert_array_equal(predictor.at_levels(PRE, SEED)["post"][0], PRE)
