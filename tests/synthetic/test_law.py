import dataclasses

import numpy as np
import pytest

from tfdrift.synthetic.law import SESSIONS, Chance, Lesion, Waves, course, sigmoid
from tfdrift.synthetic.laws import LAWS
from tfdrift.synthetic.phantom import make_cohort

POLES = np.concatenate([np.eye(3), -np.eye(3)])


def constant(value: float) -> Waves:
    """Return waves without any wave: the same value, at most sqrt(2), everywhere."""
    return Waves(vectors=np.zeros((1, 3)), phases=np.array([np.arcsin(value / np.sqrt(2))]))


NO_CHANCE = Chance(radius=0.0, direction=constant(0.0), signal=0.0, follow_up=0.0)


def make_ball(
    *,
    radius_mm: float = 8.0,
    rim: float = 0.0,
    core: float = 0.35,
    chance: Chance = NO_CHANCE,
    law: str = "response",
) -> Lesion:
    """Return a lesion in the form of a ball, with the same rim in all directions and no texture."""
    return Lesion(
        center_mm=np.array([3.0, -4.0, 5.0]),
        radius_mm=radius_mm,
        core=core,
        shape=constant(0.0),
        rim=constant(rim),
        texture=constant(0.0),
        chance=chance,
        law=LAWS[law],
    )


def voxel_volume_mm3(lesion: Lesion, session: str, *, voxels: int = 90) -> float:
    """Return the volume by counting the voxels of a fine grid."""
    reach = lesion.reach_mm(session)
    axis = (np.arange(voxels) + 0.5) * 2 * reach / voxels - reach
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) + lesion.center_mm
    return float((lesion.depth(points, session) < 1).sum() * (2 * reach / voxels) ** 3)


def test_waves_have_mean_zero_and_variance_one():
    rng = np.random.default_rng(0)
    values = np.array([Waves.draw(rng, waves=5, shortest=1.5, longest=3.0)(POLES[:1])[0] for _ in range(4000)])
    assert abs(values.mean()) < 4 / np.sqrt(4000)
    # The kurtosis of K waves with random phases is 3 - 3 / (2 K) = 2.7, so the variance has s.e. sqrt(1.7 / n).
    assert abs(values.var() - 1) < 4 * np.sqrt(1.7 / 4000)


def test_a_ball_has_the_volume_of_a_ball():
    assert make_ball(radius_mm=8.0).volume_mm3("pre") == pytest.approx(4 / 3 * np.pi * 8.0**3, rel=1e-12)


@pytest.mark.parametrize("session", SESSIONS)
def test_volume_equals_the_voxels_of_a_fine_grid(session: str):
    lesion = make_cohort(3)[2].lesions[0]
    assert lesion.volume_mm3(session) == pytest.approx(voxel_volume_mm3(lesion, session), rel=0.01)


def test_volume_does_not_depend_on_the_place():
    lesion = make_cohort(2)[0].lesions[0]
    moved = dataclasses.replace(lesion, center_mm=lesion.center_mm + 10)
    assert moved.volume_mm3("post") == lesion.volume_mm3("post")


def test_the_surface_lies_at_depth_one_and_within_reach():
    lesion = make_cohort(2)[0].lesions[0]
    for session in SESSIONS:
        surface_mm = lesion.surface_mm(POLES, session)
        points = lesion.center_mm + POLES * surface_mm[:, None]
        np.testing.assert_allclose(lesion.depth(points, session), 1, rtol=1e-12)
        assert (surface_mm < lesion.reach_mm(session)).all()


def test_ball_changes_its_radius_by_the_law():
    ball = make_ball(rim=0.7, core=0.5)
    change = -0.06 - 0.14 * np.tanh(0.7) + 0.05 * (0.5 - 0.35) / 0.15
    for session, times in (("post", 1.0), ("follow_up", 1.7)):
        expected = 4 / 3 * np.pi * 8.0**3 * np.exp(3 * times * change)
        assert ball.volume_mm3(session) == pytest.approx(expected, rel=1e-12)


def test_ball_changes_its_signal_by_the_law():
    ball = make_ball(rim=0.7, core=0.5)
    points = ball.center_mm + POLES * 2
    # The post image shows, at the same depth, the pre signal times the law's factor: compare at equal depths.
    deeper = ball.center_mm + POLES * 2 * (ball.surface_mm(POLES, "post") / ball.surface_mm(POLES, "pre"))[:, None]
    log_ratio = np.log(ball.signal(deeper, "post") / ball.signal(points, "pre"))
    np.testing.assert_allclose(log_ratio, -0.25 - 0.25 * np.tanh(0.7) + 0.05, rtol=1e-12)


def test_the_core_is_dark_and_the_rim_bright_by_the_law():
    ball = make_ball(rim=0.7, core=0.35)
    center, edge = ball.center_mm + 1e-9, ball.center_mm + 8.0 * POLES[0]
    rim = 0.8 * (1 + 0.4 * np.tanh(0.7))
    for point, depth in ((center, 0.0), (edge, 1.0)):
        share = 1 / (1 + np.exp(-(depth - 0.35) / 0.08))
        assert ball.signal(point, "pre") == pytest.approx(1000 * (0.35 + (rim - 0.35) * share), rel=1e-6)


def test_a_brighter_rim_shrinks_more():
    kept = [make_ball(rim=rim).volume_mm3("post") for rim in np.linspace(-1.4, 1.4, 8)]
    assert (np.diff(kept) < 0).all()


def test_a_larger_core_shrinks_less():
    kept = [make_ball(core=core).volume_mm3("post") for core in np.linspace(0.05, 0.7, 8)]
    assert (np.diff(kept) > 0).all()


def test_chance_changes_nothing_before_treatment():
    ball = make_ball(chance=Chance.draw(np.random.default_rng(1)))
    assert ball.volume_mm3("pre") == make_ball().volume_mm3("pre")


@pytest.mark.parametrize(
    ("session", "variance"), [("post", 2 * 0.05**2), ("follow_up", 1.7**2 * 2 * 0.05**2 + 0.05**2)]
)
def test_chance_averages_out_to_the_law_without_it(session: str, variance: float):
    rng, draws = np.random.default_rng(2), 2000
    logs = np.log([make_ball(rim=0.5, chance=Chance.draw(rng)).surface_mm(POLES[:1], session)[0] for _ in range(draws)])
    expected = np.log(make_ball(rim=0.5).surface_mm(POLES[:1], session)[0])
    assert abs(logs.mean() - expected) < 4 * np.sqrt(variance / draws)
    assert logs.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / draws))


def test_chance_of_the_signal_averages_out_to_the_law_without_it():
    rng, draws = np.random.default_rng(3), 2000
    lesions = [make_ball(chance=dataclasses.replace(NO_CHANCE, signal=Chance.draw(rng).signal)) for _ in range(draws)]
    point = lesions[0].center_mm + POLES[0]
    logs = np.log([lesion.signal(point, "post") for lesion in lesions])
    assert abs(logs.mean() - np.log(make_ball().signal(point, "post"))) < 4 * 0.10 / np.sqrt(draws)
    assert logs.std() == pytest.approx(0.10, rel=4 * np.sqrt(0.5 / draws))


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid(np.array([-1e6, -2.0, 0.0, 1e6])), [0, 1 / (1 + np.exp(2)), 0.5, 1])


def test_a_change_goes_on_ever_more_slowly():
    through = [course(day) for day in range(0, 400, 10)]
    assert (course(0), course(21)) == (0, 1)
    assert course(90) == pytest.approx(1.7, abs=5e-4)
    assert (np.diff(through) > 0).all()
    assert (np.diff(through, 2) < 0).all()
    assert course(10_000) == pytest.approx(1.7456, abs=5e-5)


@pytest.mark.parametrize("law", LAWS)
def test_what_one_pair_ends_with_the_next_begins_with(law: str):
    lesion = make_cohort(3, law=law)[2].lesions[0]
    one, next_one, whole = lesion.between(0, 10), lesion.between(10, 60), lesion.between(0, 60)
    points = lesion.center_mm + 0.7 * lesion.radius_mm * POLES
    for before, after, first, second in (
        (one, next_one, "post", "pre"), (next_one, whole, "post", "post"), (one, whole, "pre", "pre"),
        (lesion, whole, "pre", "pre"),
    ):  # fmt: skip
        np.testing.assert_array_equal(before.surface_mm(POLES, first), after.surface_mm(POLES, second))
        np.testing.assert_array_equal(before.signal(points, first), after.signal(points, second))
        assert before.volume_mm3(first) == after.volume_mm3(second)
    half_way = points + one.movement_mm(points)
    np.testing.assert_allclose(half_way + next_one.movement_mm(half_way), points + whole.movement_mm(points), rtol=1e-9)


def test_between_the_days_of_the_cohort_a_lesion_is_the_cohorts():
    lesion = make_cohort(3)[2].lesions[0]
    same = lesion.between(0, 21)
    for session in SESSIONS:
        np.testing.assert_array_equal(same.surface_mm(POLES, session), lesion.surface_mm(POLES, session))


@pytest.mark.parametrize(("law", "sign"), [("response", -1), ("growth", 1)])
def test_the_volume_follows_the_course_on_the_logarithm(law: str, sign: int):
    ball = make_ball(law=law)
    logs = [np.log(ball.between(0, day).volume_mm3("post") / ball.volume_mm3("pre")) for day in (5, 21, 90)]
    np.testing.assert_allclose(logs, logs[1] * np.array([course(5), 1, course(90)]), rtol=1e-9)
    assert sign * logs[1] > 0


def test_a_necrotic_core_darkens_with_time_and_stays_above_nothing():
    ball = make_ball(law="necrosis")
    middle = ball.center_mm + 1e-9
    told = [ball.between(0, day).signal(middle, "post") for day in (0, 10, 21, 90, 1000)]
    assert (np.diff(told) < 0).all()
    assert told[-1] > 0
