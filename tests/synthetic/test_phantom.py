import dataclasses

import numpy as np
import pytest

from tfdrift.errors import UsageError
from tfdrift.synthetic.law import SESSIONS, Lesion
from tfdrift.synthetic.phantom import (
    HEAD_SEMI_AXES_MM,
    NOISE_STD,
    VOLUME_RANGE_MM3,
    Patient,
    gtv,
    make_cohort,
    rician,
    tissue_signal,
)
from tfdrift.synthetic.phantom_samples import is_poor


@pytest.fixture(scope="module")
def cohort() -> list[Patient]:
    return make_cohort()


def lesions_of(cohort: list[Patient]) -> list[Lesion]:
    return [lesion for patient in cohort for lesion in patient.lesions]


def grid_around(lesion: Lesion, *, half_mm: float, spacing_mm: float) -> np.ndarray:
    """Return points float64 [n, n, n, 3] around a lesion's centre."""
    axis = np.arange(-half_mm, half_mm + spacing_mm / 2, spacing_mm)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) + lesion.center_mm


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


def test_one_patient_is_refused():
    with pytest.raises(UsageError, match="1 patients make no cohort; use 2 or more"):
        make_cohort(1)


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
