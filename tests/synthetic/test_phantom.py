import dataclasses
from collections import Counter

import numpy as np
import pytest

from tfdrift.cohort.folds import split
from tfdrift.cohort.samples import COLUMNS, Samples
from tfdrift.errors import DataError, UsageError
from tfdrift.synthetic import phantom
from tfdrift.synthetic.law import SESSIONS, Chance, Lesion, Waves
from tfdrift.synthetic.phantom import (
    HEAD_SEMI_AXES_MM,
    NOISE_STD,
    VOLUME_RANGE_MM3,
    Patient,
    attainable_skill,
    gtv,
    is_poor,
    make_cohort,
    phantom_samples,
    rician,
    tissue_signal,
)

PATIENTS = 9  # three of them with several lesions; the first two carry the largest and the smallest


@pytest.fixture(scope="module")
def cohort() -> list[Patient]:
    return make_cohort()


@pytest.fixture(scope="module")
def samples() -> Samples:
    return phantom_samples(image_size=16, patients=PATIENTS, folds=3)


def lesions_of(cohort: list[Patient]) -> list[Lesion]:
    return [lesion for patient in cohort for lesion in patient.lesions]


def grid_around(lesion: Lesion, *, half_mm: float, spacing_mm: float) -> np.ndarray:
    """Return points float64 [n, n, n, 3] around a lesion's centre."""
    axis = np.arange(-half_mm, half_mm + spacing_mm / 2, spacing_mm)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) + lesion.center_mm


def without_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every outcome be the law's alone: no chance, and no bias field that differs between the draws."""
    still = Waves(vectors=np.zeros((1, 3)), phases=np.zeros(1))
    nothing = Chance(radius=0.0, direction=still, signal=0.0, follow_up=0.0)
    monkeypatch.setattr(Chance, "draw", lambda _: nothing)
    monkeypatch.setattr(phantom, "BIAS_STD", 0.0)


def test_cohort_has_the_papers_counts(cohort: list[Patient]):
    counts = [len(patient.lesions) for patient in cohort]
    assert (len(counts), sum(counts), counts.count(1)) == (39, 69, 26)
    assert sum(count for count in counts if count > 1) == 43


def test_volumes_span_the_papers_range_exactly(cohort: list[Patient]):
    volumes_mm3 = [lesion.volume_mm3("pre") for lesion in lesions_of(cohort)]
    assert (min(volumes_mm3), max(volumes_mm3)) == pytest.approx(VOLUME_RANGE_MM3, rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_about_half_of_the_lesions_respond_poorly(seed: int):
    # 95% of cohorts of 69 lesions have 26 to 43 poor responders when a lesion is one with probability 1/2.
    assert 26 <= sum(map(is_poor, lesions_of(make_cohort(seed=seed)))) <= 43


def test_poor_response_keeps_four_fifths_of_the_volume(cohort: list[Patient]):
    for lesion in lesions_of(cohort)[:12]:
        assert is_poor(lesion) == (lesion.volume_mm3("follow_up") / lesion.volume_mm3("pre") >= 0.8)


def test_lesions_of_a_patient_never_overlap(cohort: list[Patient]):
    for patient in cohort:
        for i, lesion in enumerate(patient.lesions):
            for other in patient.lesions[:i]:
                distance_mm = np.linalg.norm(lesion.center_mm - other.center_mm)
                for session in SESSIONS:
                    assert distance_mm > lesion.reach_mm(session) + other.reach_mm(session)


def test_lesions_lie_inside_the_brain(cohort: list[Patient]):
    directions = np.random.default_rng(0).normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for lesion in lesions_of(cohort):
        for session in SESSIONS:
            surface_mm = lesion.center_mm + directions * lesion.surface_mm(directions, session)[:, None]
            assert np.linalg.norm(surface_mm / HEAD_SEMI_AXES_MM, axis=1).max() < 0.87  # the brain's edge


def test_gtv_has_the_lesions_volume(cohort: list[Patient]):
    lesion = cohort[5].lesions[0]
    reach_mm = lesion.reach_mm("post")
    inside = gtv(lesion, "post", grid_around(lesion, half_mm=reach_mm, spacing_mm=reach_mm / 40))
    assert inside.sum() * (reach_mm / 40) ** 3 == pytest.approx(lesion.volume_mm3("post"), rel=0.01)


def test_gtv_of_the_whole_head_holds_nothing_far_from_the_lesion(cohort: list[Patient]):
    lesion = cohort[5].lesions[0]
    assert not gtv(lesion, "pre", lesion.center_mm + np.eye(3) * 1.01 * lesion.reach_mm("pre")).any()


def test_signal_deep_in_a_lesion_is_the_laws_times_gain_and_bias(cohort: list[Patient]):
    patient = cohort[0]
    lesion, points = patient.lesions[0], patient.lesions[0].center_mm + np.array([[1.0, 2.0, -1.0]])
    for session in SESSIONS:
        bias = np.exp(0.08 * patient.bias[session](points))
        expected = patient.gain[session] * bias * lesion.signal(points, session)
        np.testing.assert_allclose(tissue_signal(patient, session, points), expected, rtol=1e-12)


def test_air_around_the_head_gives_no_signal(cohort: list[Patient]):
    outside = np.array([[80.0, 0, 0], [0, -99.0, 0], [0, 0, 75.0]])
    assert np.abs(tissue_signal(cohort[0], "pre", outside)).max() < 1e-6


def test_brain_far_from_lesions_differs_between_sessions_by_gain_and_bias_alone(cohort: list[Patient]):
    patient = dataclasses.replace(cohort[0], lesions=cohort[0].lesions[:0])
    points = np.random.default_rng(0).uniform(-40, 40, (200, 3))
    plain = {s: np.exp(0.08 * patient.bias[s](points)) * patient.gain[s] for s in SESSIONS}
    tissue = {s: tissue_signal(patient, s, points) / plain[s] for s in SESSIONS}
    np.testing.assert_allclose(tissue["post"], tissue["pre"], rtol=1e-12)


def test_rician_noise_of_no_signal_has_rayleighs_moments():
    values = rician(np.zeros(100_000), np.random.default_rng(0))
    std = NOISE_STD * np.sqrt(2 - np.pi / 2)
    assert abs(values.mean() - NOISE_STD * np.sqrt(np.pi / 2)) < 4 * std / np.sqrt(values.size)
    assert values.std() == pytest.approx(std, rel=0.02)


def test_rician_noise_of_a_strong_signal_is_normal():
    values = rician(np.full(100_000, 1000.0), np.random.default_rng(0))
    # To second order in sigma / A the mean is A + sigma^2 / (2 A).
    assert abs(values.mean() - (1000 + NOISE_STD**2 / 2000)) < 4 * NOISE_STD / np.sqrt(values.size)
    assert values.std() == pytest.approx(NOISE_STD, rel=0.02)


def test_the_same_seed_gives_the_same_bits(samples: Samples):
    again = phantom_samples(image_size=16, patients=PATIENTS, folds=3)
    assert again.fingerprint() == samples.fingerprint()


def test_another_seed_gives_other_lesions(samples: Samples):
    other = phantom_samples(image_size=16, patients=2, folds=2, seed=1)
    for name in ("phantom000", "phantom001"):
        ours, theirs = samples.pre[samples.patient == name], other.pre[other.patient == name]
        assert len(ours) != len(theirs) or not np.array_equal(ours, theirs)


def test_a_patient_does_not_depend_on_how_many_there_are(samples: Samples):
    few = phantom_samples(image_size=16, patients=3, folds=3)
    same = samples.take(np.isin(samples.patient, few.patient))
    for name in COLUMNS:
        if name != "fold":  # the deal of patients to folds is the cohort's
            np.testing.assert_array_equal(getattr(few, name), getattr(same, name))


def test_drift_is_zero_outside_both_gtvs_and_not_inside(samples: Samples):
    either = samples.pre_mask | samples.post_mask
    assert not samples.drift[~either].any()
    assert np.count_nonzero(samples.drift[either]) > 0.99 * either.sum()


def test_samples_carry_the_analytic_volumes(samples: Samples, cohort: list[Patient]):
    for number, lesion in enumerate(cohort[2].lesions):
        rows = samples.take(samples.lesion == f"phantom002-{number + 1}")
        for session in SESSIONS:
            values = getattr(rows, f"{session}_mm3")
            np.testing.assert_allclose(values, lesion.volume_mm3(session), rtol=1e-6)


def test_lesions_look_as_different_to_training_as_they_are(samples: Samples):
    for fold in range(3):
        split(samples, fold)  # refuses shared patients and shared images


def test_folds_are_balanced_in_size_and_response():
    full = phantom_samples(image_size=8)
    fold_of = dict(zip(full.patient.tolist(), full.fold.tolist(), strict=True))
    sizes = Counter(fold_of.values())
    assert sorted(sizes.values()) == [7, 8, 8, 8, 8]
    poor = {patient.name: np.mean([is_poor(lesion) for lesion in patient.lesions]) for patient in make_cohort()}
    shares = [sum(poor[name] for name, fold in fold_of.items() if fold == k) / sizes[k] for k in range(5)]
    assert max(shares) - min(shares) < 1 / 7  # no more than one patient of the smallest fold


def test_union_box_shows_at_least_as_many_millimetres(samples: Samples):
    union = phantom_samples(image_size=16, patients=3, folds=3, box="union")
    same = samples.take(np.isin(samples.patient, union.patient))
    assert (union.pixel_mm >= same.pixel_mm).all()
    assert (union.pixel_mm > same.pixel_mm).any()


def test_a_perfect_predictor_attains_everything_when_nothing_is_left_to_chance(monkeypatch: pytest.MonkeyPatch):
    without_chance(monkeypatch)
    monkeypatch.setattr(phantom, "NOISE_STD", 0.0)
    attainable = attainable_skill(image_size=16, patients=3, draws=8)
    assert attainable.value == pytest.approx(1, abs=1e-12)
    assert attainable.standard_error == pytest.approx(0, abs=1e-12)


def test_without_chance_only_the_noises_variance_is_lost(monkeypatch: pytest.MonkeyPatch):
    without_chance(monkeypatch)
    lost = {}
    for noise_std in (5.0, 10.0):
        monkeypatch.setattr(phantom, "NOISE_STD", noise_std)
        lost[noise_std] = 1 - attainable_skill(image_size=16, patients=3, draws=8).value
    assert 0 < lost[5.0] < 0.01
    assert lost[10.0] / lost[5.0] == pytest.approx(4, rel=0.05)


def test_attainable_skill_lies_above_that_of_mean_drift(samples: Samples):
    attainable = attainable_skill(image_size=16, patients=PATIENTS, draws=8)
    # Fitted to the very slices it is asked for, so no mean drift map can do better.
    residual = samples.drift - samples.drift.mean(axis=0)
    mean_drift_skill = 1 - np.mean(residual**2) / np.mean(samples.drift**2)
    assert 0 < mean_drift_skill < attainable.value - 4 * attainable.standard_error
    assert attainable.value < 1


def test_standard_error_covers_another_set_of_draws():
    first, second = (attainable_skill(image_size=16, patients=3, draws=16, draw_seed=s) for s in (0, 1))
    error = np.hypot(first.standard_error, second.standard_error)
    assert 0 < abs(first.value - second.value) < 4 * error


def test_one_patient_is_refused():
    with pytest.raises(UsageError, match="1 patients make no cohort; use 2 or more"):
        make_cohort(1)


def test_more_folds_than_patients_are_refused():
    with pytest.raises(DataError, match="3 patients cannot be dealt to 5 folds"):
        phantom_samples(image_size=8, patients=3)


def test_too_few_draws_are_refused():
    with pytest.raises(UsageError, match="7 draws: 8 or more are needed"):
        attainable_skill(draws=7)


def test_scoring_nobody_is_refused():
    with pytest.raises(UsageError, match="none of the 2 patients is among those to score"):
        attainable_skill(patients=2, draws=8, among=["phantom002"])


def test_attainable_skill_of_a_part_ignores_the_rest():
    part = attainable_skill(image_size=16, patients=4, draws=8, among=["phantom001"])
    assert part == attainable_skill(image_size=16, patients=2, draws=8, among=["phantom001"])
    assert part != attainable_skill(image_size=16, patients=2, draws=8)


@pytest.fixture(scope="module")
def many() -> list[Patient]:
    """400 patients, of whom number 146 first drew lesions for which one brain has no room."""
    return make_cohort(400, seed=4)


def test_patient_k_is_the_same_whatever_their_number(many):
    few = make_cohort(150, seed=4)
    for one, same in zip(few, many, strict=False):
        assert one.gain == same.gain
        for lesion, other in zip(one.lesions, same.lesions, strict=True):
            np.testing.assert_array_equal(lesion.center_mm, other.center_mm)
            assert (lesion.radius_mm, lesion.core) == (other.radius_mm, other.core)


def test_every_lesion_of_many_patients_lies_apart_in_the_brain(many):
    assert len(many) == 400
    for patient in many:
        assert (len(patient.lesions) > 1) == (patient.number % 3 == 2)
        for number, lesion in enumerate(patient.lesions):
            reach = 0.82 * HEAD_SEMI_AXES_MM - 1.6 * lesion.radius_mm
            assert np.linalg.norm(lesion.center_mm / reach) < 1
            for other in patient.lesions[:number]:
                distance_mm = np.linalg.norm(lesion.center_mm - other.center_mm)
                assert distance_mm > 2 * (lesion.radius_mm + other.radius_mm) + 4


def test_the_interval_between_the_two_mris_is_known(samples: Samples):
    assert set(samples.condition("interval_days")) == {21.0}
    assert samples.orientations() == ["axial"]


def test_the_phantom_is_the_one_that_models_were_trained_on():
    """The fingerprint in the facts of the runs behind saved_models and docs/results.md."""
    assert phantom_samples().fingerprint() == "2529b16cc629a35d89b3d94789389c52c6e6043609c1452767c6479253faf480"
