import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.synthetic.test_law import POLES, make_ball
from tfdrift.cohort.dose import mean_dose_gy
from tfdrift.config import PHANTOM_LAWS
from tfdrift.errors import UsageError
from tfdrift.evaluation.response import of_lesions
from tfdrift.synthetic.dose_plan import DosePlan
from tfdrift.synthetic.law import Chance, Lesion
from tfdrift.synthetic.laws import LAWS, LEARNABLE, NAMES, dose_effect, draw_law, law_of
from tfdrift.synthetic.phantom import make_cohort
from tfdrift.synthetic.phantom_samples import phantom_samples


def mean_log_ratio(law: str) -> float:
    """Return the mean log ratio of the second to the first volume over the lesions of 39 patients."""
    lesions = [lesion for patient in make_cohort(law=law) for lesion in patient.lesions]
    return float(np.mean([np.log(lesion.volume_mm3("post") / lesion.volume_mm3("pre")) for lesion in lesions]))


def test_the_command_line_knows_every_law():
    assert PHANTOM_LAWS == NAMES


@pytest.mark.parametrize("law", [name for name in NAMES if name != "response"])
def test_patients_are_the_same_under_every_law_until_they_are_treated(law: str):
    for one, same in zip(make_cohort(6), make_cohort(6, law=law), strict=True):
        for lesion, other in zip(one.lesions, same.lesions, strict=True):
            points = lesion.center_mm + np.linspace(0.1, 1.5, 20)[:, None] * lesion.radius_mm * POLES[0]
            np.testing.assert_array_equal(lesion.signal(points, "pre"), other.signal(points, "pre"))
            np.testing.assert_array_equal(lesion.depth(points, "pre"), other.depth(points, "pre"))
            assert not np.array_equal(lesion.signal(points, "post"), other.signal(points, "post")) or law == "mixed"


def test_most_lesions_grow_under_growth_and_none_changes_its_surface_under_necrosis():
    lesions = [lesion for patient in make_cohort(law="growth") for lesion in patient.lesions]
    grown = [lesion.volume_mm3("post") > lesion.volume_mm3("pre") for lesion in lesions]
    assert np.mean(grown) > 0.75
    for patient in make_cohort(6, law="necrosis"):
        for lesion in patient.lesions:
            assert lesion.volume_mm3("post") == lesion.volume_mm3("pre")


def test_under_chance_the_mean_change_is_none_and_what_is_seen_tells_nothing():
    # log V changes by 3 times a number of standard deviation 0.11; 69 lesions.
    assert abs(mean_log_ratio("chance")) < 4 * 3 * np.hypot(0.10, 0.05) / np.sqrt(69)
    one = Chance.draw(np.random.default_rng(1))
    kept = {
        make_ball(rim=rim, core=core, chance=one, law="chance").volume_mm3("post")
        for rim in (-1.0, 1.0)
        for core in (0.1, 0.6)
    }
    assert len(kept) == 1


def test_new_tissue_is_a_bright_rim_around_what_was_there():
    ball = make_ball(radius_mm=8.0, rim=0.7, law="growth")
    grown = ball.surface_mm(POLES, "post")
    np.testing.assert_allclose(np.log(grown / 8.0), 0.12 + 0.10 * np.tanh(0.7), rtol=1e-12)
    old, new = ball.center_mm + 4.0 * POLES, ball.center_mm + (grown[:, None] - 0.01) * POLES
    np.testing.assert_allclose(ball.signal(old, "post"), 0.75 * ball.signal(old, "pre"), rtol=1e-4)
    np.testing.assert_allclose(ball.signal(new, "post"), 1000.0, rtol=0.01)


def test_a_necrotic_core_is_larger_and_darker_and_the_rim_is_as_it_was():
    ball = make_ball(radius_mm=8.0, rim=0.7, core=0.3, law="necrosis")
    rim = ball.center_mm + 7.9 * POLES
    large = make_ball(radius_mm=8.0, rim=0.7, core=0.6, law="necrosis")  # whose middle lies deep in the core
    assert large.signal(large.center_mm + 1e-9, "post") == pytest.approx(200.0, rel=0.01)
    np.testing.assert_allclose(ball.signal(rim, "post"), ball.signal(rim, "pre"), rtol=0.01)
    # Halfway between core and rim lies the core's surface: at q before, at q' after.
    axis = np.linspace(0.05, 1, 2000)[:, None] * 8.0 * POLES[0] + ball.center_mm
    signal = ball.signal(axis, "post")
    halfway = np.linspace(0.05, 1, 2000)[np.argmax(signal > (200.0 + 800 * (1 + 0.4 * np.tanh(0.7))) / 2)]
    assert halfway == pytest.approx(0.3 * np.exp(0.45 - 0.35 * np.tanh(0.7)), abs=0.005)


def test_mixed_patients_have_one_law_each_of_those_that_can_be_learned():
    found = [patient.lesions[0].law for patient in make_cohort(60, law="mixed")]
    counts = [sum(law is LAWS[name] for law in found) for name in LEARNABLE]
    assert sum(counts) == 60
    assert min(counts) >= 8  # of 60 with a third each, 20 with a standard deviation of 3.7
    for patient in make_cohort(9, law="mixed"):
        assert len({id(lesion.law) for lesion in patient.lesions}) == 1


def test_an_unknown_law_is_refused():
    with pytest.raises(UsageError, match="--law shrink: choose from response, chance, growth, necrosis, dose, mixed"):
        make_cohort(2, law="shrink")
    assert law_of("chance", np.random.default_rng(0)) is LAWS["chance"]


def test_under_random_each_lesion_has_coefficients_of_its_own_which_the_samples_tell():
    cohort = make_cohort(6, law="random")
    coefficients = {
        f"{patient.name}-{number + 1}": lesion.law.coefficients
        for patient in cohort
        for number, lesion in enumerate(patient.lesions)
    }
    assert len(set(coefficients.values())) == len(coefficients)
    samples = phantom_samples(image_size=16, patients=6, folds=2, law="random")
    for lesion, told in zip(samples.lesion.tolist(), samples.conditions["law"], strict=True):
        np.testing.assert_array_equal(told, np.asarray(coefficients[lesion], np.float32))


def test_a_law_of_random_with_the_coefficients_of_response_is_response():
    class Given:
        def normal(self, _mean, _std):
            return -0.06, -0.14, 0.05, -0.25, -0.25, 0.05

    given: Any = Given()
    drawn, (patient, _) = draw_law(given), make_cohort(2)
    (lesion,) = patient.lesions
    other = dataclasses.replace(lesion, law=drawn)
    points = lesion.center_mm + np.linspace(0.1, 1.5, 20)[:, None] * lesion.radius_mm * POLES[0]
    np.testing.assert_allclose(other.depth(points, "post"), lesion.depth(points, "post"))
    np.testing.assert_allclose(other.signal(points, "post"), lesion.signal(points, "post"))


def treated_ball(prescription_gy: float, **given: Any) -> Lesion:
    plan = DosePlan(prescription_gy=prescription_gy, hot_spot=0.25, tilt=np.zeros(3))  # mean 1.1 times as high
    return dataclasses.replace(make_ball(law="dose", **given), plan=plan)


def test_half_of_what_a_dose_can_do_is_done_at_20_gy_and_all_of_it_never():
    log_radii = [
        float(np.log(treated_ball(mean_gy / 1.1).surface_mm(POLES, "post") / 8.0).mean())
        for mean_gy in (0.0, 20.0, 2000.0)
    ]
    np.testing.assert_allclose(log_radii, [0.15, 0.15 - 0.20, 0.15 - 0.40], atol=1e-6)


def test_at_another_dose_a_lesion_keeps_its_chance_and_only_its_surface_differs():
    for patient in make_cohort(6, law="dose"):
        for lesion in patient.lesions:
            more = lesion.at_dose(1.2)
            assert more.chance is lesion.chance
            effect = 0.40 * (dose_effect(1.2 * lesion.mean_dose_gy) - dose_effect(lesion.mean_dose_gy))
            np.testing.assert_allclose(
                np.log(more.surface_mm(POLES, "post") / lesion.surface_mm(POLES, "post")), -effect
            )
            np.testing.assert_array_equal(more.surface_mm(POLES, "pre"), lesion.surface_mm(POLES, "pre"))
            assert lesion.at_dose(1.0).volume_mm3("post") == lesion.volume_mm3("post")


def test_under_dose_the_samples_show_it_beside_the_signal_inside_the_gtv():
    samples = phantom_samples(image_size=16, patients=3, folds=3, law="dose")
    assert samples.channels == ("T1", "dose")
    np.testing.assert_array_equal(samples.pre[..., 1:] > 0, samples.pre_mask)
    lesions = [lesion for patient in make_cohort(3, law="dose") for lesion in patient.lesions]
    shown = of_lesions(mean_dose_gy(samples.pre, samples.pre_mask, samples.channels), samples)
    np.testing.assert_allclose(shown, [lesion.mean_dose_gy for lesion in lesions], rtol=0.06)
