import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from tfdrift.statistics import conformal
from tfdrift.statistics.adaptive import (
    AdaptiveMargin,
    Scale,
    Values,
    Widening,
    calibrate,
    interval_scores,
    learn,
    learners,
    widen,
)

COVERAGE = 0.9
PIXELS = 40
DIFFICULTY = np.array([0.5, 1.0, 3.0])  # of core, rim and outside


def draw(rng, patients: int, *, hard: bool) -> Values:
    """Exchangeable patients: errors alike everywhere, or as large as a spread that is known times their region's.

    Patients differ as well, so that the values of one are not independent. The raw interval has no width.
    """
    patient = np.repeat(np.arange(patients), PIXELS)
    region = rng.integers(0, 3, len(patient))
    spread = rng.choice([0.1, 1.0], len(patient)) if hard else rng.uniform(0.9, 1.1, len(patient))
    size = spread * DIFFICULTY[region] if hard else np.ones(len(patient))
    of_patient = np.exp(rng.normal(0, 0.3, patients))[patient]
    return Values(np.abs(size * of_patient * rng.standard_normal(len(patient))), spread, region, patient, 3)


def found(values: Values) -> AdaptiveMargin:
    margin = calibrate(values, COVERAGE)
    assert margin is not None
    return margin


def widened(values: Values, group: np.ndarray) -> Widening:
    widening = widen(values, group, COVERAGE)
    assert widening is not None
    return widening


def repeat(patients: int, times: int, *, hard: bool, seed: int) -> np.ndarray:
    """Return coverage of a new patient, adaptive and constant width, and both in hindsight, means over `times`."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(times):
        values = draw(rng, patients + 20, hard=hard)
        new = values.take(values.patient >= patients)
        known = values.take(values.patient < patients)
        margin, constant = found(known), conformal.margin(known.score, known.patient, COVERAGE)
        out, scale = margin.at(new.spread, new.region), margin.of(new.spread, new.region)
        hindsight = conformal.quantile(new.score / scale, new.patient, COVERAGE) * scale.mean()
        constantly = conformal.quantile(new.score, new.patient, COVERAGE)
        rows.append([np.mean(new.score <= out), out.mean(), constant, hindsight, constantly])
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("patients", [13, 31, 39])
def test_a_new_patient_is_covered_as_promised_and_little_more(patients, hard):
    covered, *_ = repeat(patients, 200, hard=hard, seed=patients)
    calibrating = patients - learners(patients, COVERAGE)
    # 4,000 new patients in 200 draws of calibration patients: the standard error is about 0.003.
    assert COVERAGE - 0.01 <= covered <= COVERAGE + 2 / calibrating


def quantile_of_normals(sizes: np.ndarray) -> float:
    """Return the half width that covers 90% of normal errors of several sizes, all alike frequent."""
    return brentq(lambda half: np.mean(2 * norm.cdf(half / sizes) - 1) - COVERAGE, 0, 100)


@pytest.mark.parametrize("patients", [31, 39, 100])
def test_where_errors_differ_it_is_as_much_narrower_than_a_constant_margin_as_theory_says(patients):
    of_patients = np.exp(norm.ppf((np.arange(200) + 0.5) / 200) * 0.3)
    sizes = np.outer([0.1, 1.0], DIFFICULTY).ravel()
    theory = sizes.mean() * quantile_of_normals(of_patients) / quantile_of_normals(np.outer(of_patients, sizes).ravel())
    assert theory < 0.8
    _, adaptive, constant, hindsight, constantly = repeat(patients, 60, hard=True, seed=1)
    assert hindsight / constantly == pytest.approx(theory, rel=0.05)
    assert adaptive < 0.8 * constant


def test_where_errors_are_alike_it_is_no_wider_than_a_few_per_cent():
    _, adaptive, constant, hindsight, constantly = repeat(150, 60, hard=False, seed=2)
    assert adaptive < 1.03 * constant
    assert hindsight < 1.01 * constantly
    # Of few patients the scale is as good; their margin is larger, since fewer calibrate.
    _, adaptive, constant, hindsight, constantly = repeat(39, 60, hard=False, seed=3)
    assert adaptive < 1.07 * constant
    assert hindsight < 1.02 * constantly


def test_hard_regions_are_covered_as_easy_ones_are():
    rng = np.random.default_rng(4)
    values = draw(rng, 400, hard=True)
    known, new = values.take(values.patient < 200), values.take(values.patient >= 200)
    margin, constant = found(known), conformal.margin(known.score, known.patient, COVERAGE)
    covered = new.score <= margin.at(new.spread, new.region)
    by_region = [covered[new.region == number].mean() for number in range(3)]
    constantly = [np.mean(new.score[new.region == number] <= constant) for number in range(3)]
    assert np.ptp(constantly) > 0.2
    assert np.ptp(by_region) < np.ptp(constantly) / 2


def test_the_weights_of_regions_are_those_of_the_errors():
    values = draw(np.random.default_rng(5), 300, hard=True)
    scale = learn(values, COVERAGE)
    assert scale.floor < 1
    weights = np.array(scale.weights)
    # On average over the values that it was learned on a scale is 1.
    assert scale.of(values.spread, values.region).mean() == pytest.approx(1)
    np.testing.assert_allclose(weights / weights[1], DIFFICULTY, rtol=0.15)


def test_the_margin_is_the_split_conformal_quantile_of_the_scaled_scores_of_those_who_did_not_learn():
    rng = np.random.default_rng(6)
    names = np.char.add("p", np.char.zfill(np.arange(30).astype(str), 2))
    values = Values(np.abs(rng.standard_normal(30)), np.ones(30), np.zeros(30, int), names, 1)
    margin = found(values)
    assert (margin.learned_on, margin.calibrated_on) == (10, 20)
    others = np.arange(30) % 3 != 1  # every third in the order of the names learns
    scaled = np.sort(values.score[others] / margin.of(values.spread, values.region)[others])
    assert margin.margin == scaled[19 - 1]  # ceil((20 + 1) 0.9) = 19


def test_who_calibrates_does_not_teach_and_who_learns_does_not_calibrate():
    values = draw(np.random.default_rng(7), 30, hard=True)
    learning = values.patient % 3 == 1
    before = found(values)
    other = found(values._replace(score=np.where(learning, values.score, 7 * values.score)))
    assert (other.floor, other.weights) == (before.floor, before.weights)
    assert other.margin == pytest.approx(7 * before.margin)
    # All learning patients have larger errors by one factor: the scale has no unit, and nothing changes.
    same = found(values._replace(score=np.where(learning, 7 * values.score, values.score)))
    assert same.margin == pytest.approx(before.margin)
    np.testing.assert_allclose(same.weights, before.weights)


def test_the_order_of_patients_and_values_does_not_matter():
    rng = np.random.default_rng(8)
    values = draw(rng, 30, hard=True)
    group = values.patient % 5
    order = rng.permutation(len(group))
    np.testing.assert_allclose(found(values.take(order)).margin, found(values).margin)
    shuffled, straight = widened(values.take(order), group[order]), widened(values, group)
    np.testing.assert_allclose(shuffled.out, straight.out[order])


def test_values_in_another_unit_are_widened_by_as_much_in_that_unit():
    values = draw(np.random.default_rng(9), 30, hard=True)
    larger = values._replace(score=100 * values.score, spread=100 * values.spread)
    expected = 100 * found(values).at(values.spread, values.region)
    np.testing.assert_allclose(found(larger).at(larger.spread, larger.region), expected)


def test_no_patient_takes_part_in_its_own_margin():
    values = draw(np.random.default_rng(10), 25, hard=True)
    group = conformal.patient_groups(values.patient.astype(str))
    mine = group == group[values.patient == 4][0]
    before = widened(values, group)
    after = widened(values._replace(score=np.where(mine, 100.0, values.score)), group)
    np.testing.assert_array_equal(after.out[mine], before.out[mine])
    assert (after.out[~mine] != before.out[~mine]).any()
    assert (before.learned_on, before.calibrated_on) == (7, 16)  # 23 others, where two share a group


def test_one_outcome_has_no_spread_and_adapts_to_regions_alone():
    values = draw(np.random.default_rng(11), 60, hard=True)
    values = values._replace(spread=np.zeros_like(values.spread))
    margin = found(values)
    weights = np.array(margin.weights)
    assert weights[0] < weights[1] < weights[2]
    assert np.isfinite(margin.at(values.spread, values.region)).all()


def test_intervals_that_are_too_wide_already_stay_as_they_are():
    rng = np.random.default_rng(12)
    values = draw(rng, 60, hard=False)
    margin = found(values._replace(score=values.score - 10))
    assert margin.margin < 0
    out = margin.at(values.spread, values.region)
    assert np.mean(values.score - 10 <= out) == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(("coverage", "fewest"), [(0.9, 13), (0.8, 12), (0.5, 12)])
def test_too_few_patients_adapt_nothing(coverage, fewest):
    assert learners(fewest - 1, coverage) == 0
    assert learners(fewest, coverage) == 4
    for patients in range(fewest, 200):
        assert patients - learners(patients, coverage) >= conformal.fewest_patients(coverage)
    values = draw(np.random.default_rng(13), fewest, hard=True)
    assert calibrate(values.take(values.patient > 0), coverage) is None
    enough = calibrate(values, coverage)
    assert enough is not None
    assert np.isfinite(enough.margin)
    assert widen(values, values.patient, coverage) is None


def test_a_region_that_few_learning_patients_have_counts_as_all_do():
    values = draw(np.random.default_rng(14), 90, hard=True)
    rare = values.take((values.region < 2) | (values.patient < 6))  # two of these six learn
    constant = found(rare._replace(spread=np.zeros_like(rare.spread)))
    without = rare.region < 2
    together = conformal.quantile(rare.score[without], rare.patient[without], COVERAGE)
    assert 0 < constant.margin * constant.weights[2] < 2 * together


def test_the_interval_score_is_least_for_the_true_quantiles():
    truth = np.random.default_rng(15).standard_normal(200_000)
    losses = {
        half: np.mean(interval_scores(np.abs(truth), np.full(len(truth), 2 * half), np.full(len(truth), half), 0.9))
        for half in (1.2, 1.4, 1.645, 1.9, 2.2)
    }
    assert min(losses, key=lambda half: losses[half]) == 1.645


def test_a_scale_is_the_weight_times_the_spread_and_never_below_the_floor():
    scale = Scale(floor=0.5, weights=[1.0, 2.0])
    np.testing.assert_array_equal(scale.of(np.array([0.0, 0.5, 3.0]), np.array([0, 1, 1])), [0.5, 1.0, 6.0])
    margin = AdaptiveMargin(floor=0.5, weights=[1.0, 2.0], margin=0.1, learned_on=10, calibrated_on=20)
    np.testing.assert_allclose(margin.at(np.array([0.0, 3.0]), np.array([0, 1])), [0.05, 0.6])
