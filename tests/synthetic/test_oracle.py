import numpy as np
import pytest

from tfdrift.cohort.samples import Samples
from tfdrift.errors import UsageError
from tfdrift.evaluation.response import lesions_of
from tfdrift.synthetic import phantom
from tfdrift.synthetic.law import Chance, Waves
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.oracle import ask_oracle, foreseen_volumes, foreseen_volumes_told
from tfdrift.synthetic.phantom_samples import phantom_samples

PATIENTS = 9  # three of them with several lesions; the first two carry the largest and the smallest


@pytest.fixture(scope="module")
def samples() -> Samples:
    return phantom_samples(image_size=16, patients=PATIENTS, folds=3)


def without_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every outcome be the law's alone: no chance, and no bias field that differs between the draws."""
    still = Waves(vectors=np.zeros((1, 3)), phases=np.zeros(1))
    nothing = Chance(radius=0.0, direction=still, signal=0.0, follow_up=0.0)
    monkeypatch.setattr(Chance, "draw", lambda _: nothing)
    monkeypatch.setattr(phantom, "BIAS_STD", 0.0)


def test_a_perfect_predictor_attains_everything_when_nothing_is_left_to_chance(monkeypatch: pytest.MonkeyPatch):
    without_chance(monkeypatch)
    monkeypatch.setattr(phantom, "NOISE_STD", 0.0)
    attainable = ask_oracle(image_size=16, patients=3, draws=8).attainable
    assert attainable.value == pytest.approx(1, abs=1e-12)
    assert attainable.standard_error == pytest.approx(0, abs=1e-12)


def test_without_chance_only_the_noises_variance_is_lost(monkeypatch: pytest.MonkeyPatch):
    without_chance(monkeypatch)
    lost = {}
    for noise_std in (5.0, 10.0):
        monkeypatch.setattr(phantom, "NOISE_STD", noise_std)
        lost[noise_std] = 1 - ask_oracle(image_size=16, patients=3, draws=8).attainable.value
    assert 0 < lost[5.0] < 0.01
    assert lost[10.0] / lost[5.0] == pytest.approx(4, rel=0.05)


def test_attainable_skill_lies_above_that_of_mean_drift(samples: Samples):
    attainable = ask_oracle(image_size=16, patients=PATIENTS, draws=8).attainable
    # Fitted to the very slices it is asked for, so no mean drift map can do better.
    residual = samples.drift - samples.drift.mean(axis=0)
    mean_drift_skill = 1 - np.mean(residual**2) / np.mean(samples.drift**2)
    assert 0 < mean_drift_skill < attainable.value - 4 * attainable.standard_error
    assert attainable.value < 1


def test_standard_error_covers_another_set_of_draws():
    first, second = (ask_oracle(image_size=16, patients=3, draws=16, draw_seed=s).attainable for s in (0, 1))
    error = np.hypot(first.standard_error, second.standard_error)
    assert 0 < abs(first.value - second.value) < 4 * error


def test_too_few_draws_are_refused():
    with pytest.raises(UsageError, match="7 draws: 8 or more are needed"):
        ask_oracle(draws=7)


def test_scoring_nobody_is_refused():
    with pytest.raises(UsageError, match="none of the 2 patients is among those to score"):
        ask_oracle(patients=2, draws=8, among=["phantom002"])


def test_attainable_skill_of_a_part_ignores_the_rest():
    part = ask_oracle(image_size=16, patients=4, draws=8, among=["phantom001"]).attainable
    assert part == ask_oracle(image_size=16, patients=2, draws=8, among=["phantom001"]).attainable
    assert part != ask_oracle(image_size=16, patients=2, draws=8).attainable


def test_the_first_mris_are_those_of_the_samples(samples: Samples):
    np.testing.assert_array_equal(ask_oracle(image_size=16, patients=PATIENTS, draws=8).pre, samples.pre)


def test_the_cohorts_own_outcome_is_one_more_draw():
    samples = phantom_samples(image_size=16, patients=24, folds=2, seed=3, law="growth")
    post = ask_oracle(image_size=16, patients=24, draws=15, seed=3, law="growth").post
    inside = samples.pre_mask & samples.post_mask
    # Among 16 exchangeable numbers each rank has the same chance, so the mean share below is one half. Pixels and
    # lesions of a patient go together, so patients are the unit.
    share = ((post < samples.post).mean(axis=0) + 0.5 * (post == samples.post).mean(axis=0))[inside]
    patient = np.broadcast_to(samples.patient[:, None, None, None], inside.shape)[inside]
    means = np.array([share[patient == name].mean() for name in np.unique(patient)])
    assert abs(means.mean() - 0.5) < 4 * means.std(ddof=1) / np.sqrt(len(means))
    assert means.std() > 0.05


def test_who_knows_the_law_of_a_later_day_knows_the_images_of_that_day(monkeypatch: pytest.MonkeyPatch):
    without_chance(monkeypatch)
    monkeypatch.setattr(phantom, "NOISE_STD", 0.0)
    pairs = [(0, 10), (0, 90)]
    oracle = ask_oracle(image_size=16, patients=2, draws=8, pairs=pairs)
    drawn = phantom_samples(image_size=16, patients=2, folds=2, pairs=pairs)
    np.testing.assert_allclose(oracle.post[0], drawn.post, atol=1e-6)


def test_without_chance_volumes_are_known_in_advance(monkeypatch: pytest.MonkeyPatch):
    without_chance(monkeypatch)
    new = NewPatients(patients=3, data_seed=5, days=(60,))
    lesions = lesions_of(new.draw(8))
    np.testing.assert_allclose(foreseen_volumes(new, 60, draws=8), np.tile(lesions.ratio, [8, 1]), rtol=1e-6)


def test_who_knows_the_change_so_far_foresees_most_of_what_is_chance():
    new = NewPatients(patients=9, data_seed=5, since=21, days=(90,))
    ratio = lesions_of(new.draw(8)).ratio
    told, not_told = (
        np.abs(foresee(new, 90, draws=16).mean(axis=0) - ratio).mean()
        for foresee in (foreseen_volumes_told, foreseen_volumes)
    )
    assert told < not_told / 5


def test_before_treatment_nothing_has_changed():
    with pytest.raises(UsageError, match="first MRIs on day 0"):
        foreseen_volumes_told(NewPatients(patients=2, data_seed=5), 90)


def test_what_follows_a_later_mri_is_not_for_the_oracle():
    with pytest.raises(UsageError, match="begin on day 0"):
        ask_oracle(patients=2, draws=8, pairs=[(10, 20)])


def test_one_who_knows_the_law_is_told_the_dose():
    oracle = ask_oracle(image_size=16, patients=3, draws=16, law="dose")
    samples = phantom_samples(image_size=16, patients=3, folds=3, law="dose")
    np.testing.assert_array_equal(oracle.pre, samples.pre)
    assert oracle.post.shape == (16, *samples.post.shape)
    # Without chance the outcome at each lesion's own dose, so the skill is far above that of the mean change.
    assert oracle.attainable.value > 0.6
