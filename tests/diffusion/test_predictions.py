import numpy as np
import pytest

from tfdrift.diffusion.predictions import PREDICTIONS, Rates, eps_from_x0, x0_from_eps

RATES: Rates = Rates(signal=0.8, noise=0.12, sigma=0.6, noise_level=0.2)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_perfect_prediction_gives_back_image_and_noise(name):
    x0, eps = np.random.default_rng(0).random((2, 5))
    x_t = RATES.signal * x0 + RATES.noise * eps
    x0_hat, eps_hat = PREDICTIONS[name].estimate(PREDICTIONS[name].target(x0, eps, RATES), x_t, RATES)
    np.testing.assert_allclose(x0_hat, x0, atol=1e-12)
    np.testing.assert_allclose(eps_hat, eps, atol=1e-12)


def test_only_the_clean_image_is_an_image():
    assert [name for name, prediction in PREDICTIONS.items() if prediction.is_image] == ["x0"]


def test_noise_and_image_are_two_ways_to_say_the_same():
    x_t, eps = np.array([0.3, 0.9]), np.array([-1.0, 2.0])
    x0 = x0_from_eps(x_t, eps, 0.8, 0.12)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(eps_from_x0(x_t, x0, 0.8, 0.12), eps)  # pyright: ignore[reportArgumentType]


def test_where_there_is_no_noise_none_is_found():
    assert eps_from_x0(np.array([0.3]), np.array([0.2]), 1.0, 0.0).numpy() == [0.0]  # pyright: ignore[reportArgumentType]
