import itertools

import numpy as np
import pytest

from tfdrift.diffusion.schedule import SCHEDULES, alpha_bar, make_schedule, sampler_levels
from tfdrift.errors import UsageError


@pytest.mark.parametrize("levels", [2, 21, 64])
@pytest.mark.parametrize("name", SCHEDULES)
def test_signal_falls_and_noise_rises_with_the_level(name, levels):
    schedule = make_schedule(name, levels=levels, noise_level=0.2)
    assert (np.diff(schedule.signal_rate) < 0).all()
    assert (np.diff(schedule.noise_rate) >= 0).all()  # 1 - 1e-20 is 1 at the far end of linear-beta
    assert schedule.signal_rate.min() > 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_signal_and_noise_shares_sum_to_one_before_the_noise_level(name):
    schedule = make_schedule(name, levels=21, noise_level=0.5)
    np.testing.assert_allclose(schedule.signal_rate**2 + (schedule.noise_rate / 0.5) ** 2, 1, rtol=1e-14)


def test_linear_is_the_papers_linspace():
    np.testing.assert_allclose(1 - alpha_bar("linear", 21), [0.05 + 0.045 * i for i in range(21)], rtol=1e-13)


def test_linear_beta_leaves_almost_nothing():
    # The product of 1 - beta over the 21 betas, by logarithms.
    expected = np.exp(sum(np.log(0.95 - 0.045 * i) for i in range(21)))
    assert alpha_bar("linear-beta", 21)[-1] == pytest.approx(expected, rel=1e-12)
    assert 1e-10 < expected < 1e-8


def test_linear_rate_is_linear_in_the_noise_rate():
    rate = make_schedule("linear-rate", levels=11, noise_level=1).noise_rate
    np.testing.assert_allclose(np.diff(rate), 0.09, rtol=1e-12)


def test_cosine_shares_the_ends_of_linear_and_turns_evenly():
    np.testing.assert_allclose(alpha_bar("cosine", 21)[[0, -1]], alpha_bar("linear", 21)[[0, -1]], rtol=1e-12)
    angle = np.arccos(np.sqrt(alpha_bar("cosine", 21)))
    np.testing.assert_allclose(np.diff(angle, 2), 0, atol=1e-14)


def test_levels_are_n_strictly_decreasing_integers_for_every_t_and_n():
    for levels in range(2, 65):
        for num_steps in range(1, levels + 1):
            visited = sampler_levels(levels, num_steps)
            assert len(visited) == num_steps
            assert all(isinstance(level, int) for level in visited)
            assert visited[0] == levels - 1
            assert visited[-1] == (0 if num_steps > 1 else levels - 1)
            assert all(a > b for a, b in itertools.pairwise(visited))


@pytest.mark.parametrize("num_steps", [0, -1, 22])
def test_step_counts_out_of_range_are_refused(num_steps):
    with pytest.raises(UsageError, match=f"--sample-steps {num_steps}: must be between 1 and --levels 21"):
        sampler_levels(21, num_steps)


def test_an_unknown_schedule_is_refused_with_the_choices():
    with pytest.raises(UsageError, match="--schedule sigmoid: choose from linear, linear-beta, linear-rate, cosine"):
        make_schedule("sigmoid", levels=21, noise_level=0.2)


def test_one_level_is_refused():
    with pytest.raises(UsageError, match="at least 2 levels"):
        alpha_bar("linear", 1)


def test_a_negative_noise_level_is_refused():
    with pytest.raises(UsageError, match=r"--noise-level -0\.1"):
        make_schedule("linear", levels=21, noise_level=-0.1)


def test_a_schedule_that_leaves_no_signal_in_float32_is_refused():
    with pytest.raises(UsageError, match="--schedule linear-beta with --levels 1000 leaves no signal"):
        make_schedule("linear-beta", levels=1000, noise_level=0.2)
