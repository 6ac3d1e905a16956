"""Margins that adapt: wide where an answer is unsure or a region is hard, narrow elsewhere, and one promise for all.

Both ends of a value's raw interval move out by margin x scale, where

    scale = weight of the value's region x max(spread of its outcomes, floor)

Floor and weights are learned on some patients, the one margin is calibrated on others, by
`tfdrift.statistics.conformal` on scores divided by the scale.

**Why the promise stays exact.** A new patient's scale is a function of what is known before the truth is (outcomes and
region) and of the learning patients. Given those, the shares of values left out at a margin, one for each calibration
patient and one for the new patient, are exchangeable if the patients are; they do not rise with the margin, since every
scale is above zero, and are at most 1. That is all that conformal risk control asks for (Angelopoulos et al. 2024,
theorem 1), so on average over patients at most 1 - coverage of a new patient's values are left out, whatever the scale
is. Were the scale learned on the patients who calibrate, it would fit them better than a new one and the promise would
be broken; cross-fitting would use all patients for both, and keep only a promise of about twice the share left out
(Barber et al. 2021). The price is a margin from fewer patients, and that is why a third of them learns: floor and
weights are few numbers. Who learns follows from the order of the names alone, never from a value.

Where a third would leave too few for a finite margin, fewer learn; where then fewer than four would, nothing adapts.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from tfdrift.statistics import conformal

FEWEST_TO_LEARN = 4
SHARE_TO_LEARN = 1 / 3
LARGEST_WEIGHT = 4.0
LEAST_GAIN = 0.03
_STRENGTHS = (0.0, 0.5, 1.0)
_FLOORS = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1)


class Values(NamedTuple):
    """The m values that intervals are about, pixels or lesions of several patients.

    Args:
        score: float64 [m], `tfdrift.statistics.conformal.scores`.
        spread: float64 [m], standard deviation of each value's outcomes, in the unit of the score; 0 for one outcome.
        region: int [m], from 0 to regions - 1.
        patient: str or int [m], whose they are.
        regions: how many there are; of volumes one.
    """

    score: np.ndarray
    spread: np.ndarray
    region: np.ndarray
    patient: np.ndarray
    regions: int

    def take(self, rows: np.ndarray) -> "Values":
        """Return some of the values; rows are bool [m] or int."""
        return Values(self.score[rows], self.spread[rows], self.region[rows], self.patient[rows], self.regions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """By how much more the interval of one value moves out than that of another.

    Args:
        floor: smallest spread that counts, in the unit of the values; above 0.
        weights: of each region, above 0, in one over that unit, so that a scale is a pure number, on average 1 over the
            values that it was learned on.
    """

    floor: float
    weights: list[float]

    def of(self, spread: np.ndarray, region: np.ndarray) -> np.ndarray:
        """Return the scale of each value, float64 [...].

        Args:
            spread: float [...], standard deviation of the value's outcomes.
            region: int [...], number of its region.

        Example:
            >>> scale = Scale(floor=0.1, weights=[5.0, 10.0])
            >>> scale.of(np.array([0.0, 0.2, 0.2]), np.array([0, 0, 1])).tolist()
            [0.5, 1.0, 2.0]
        """
        return np.asarray(self.weights)[region] * np.maximum(spread, self.floor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveMargin(Scale):
    """A scale with the margin that was calibrated for it.

    Args:
        margin: by which both ends of an interval move out where the scale is 1, in the unit of the values.
        learned_on: patients who taught the scale.
        calibrated_on: other patients, who ask for the margin.
    """

    margin: float
    learned_on: int
    calibrated_on: int

    def at(self, spread: np.ndarray, region: np.ndarray) -> np.ndarray:
        """Return by how much both ends of each value's interval move out, float64 [...], in the unit of the values.

        Args:
            spread: see `Scale.of`.
            region: see there.
        """
        return self.margin * self.of(spread, region)


def learners(patients: int, coverage: float) -> int:
    """Return how many of so many patients learn the scale; 0 where too few are left to calibrate it or to learn.

    Args:
        patients: who are neither trained on nor tested.
        coverage: in (0, 1).

    Example:
        >>> [learners(patients, 0.9) for patients in (12, 13, 31, 38)]
        [0, 4, 10, 12]
    """
    chosen = min(int(patients * SHARE_TO_LEARN), patients - conformal.fewest_patients(coverage))
    return chosen if chosen >= FEWEST_TO_LEARN else 0


def learn(values: Values, coverage: float) -> Scale:
    """Return the scale whose intervals fit these patients best, and are no wider than those of a constant one.

    Tried are floors at quantiles of the spread, the largest of which leaves nothing of it, and weights of the regions
    from none to what each region asks for alone. Each is given the margin that covers the same share of these patients'
    values. Of those whose mean width is at most that of a constant scale the one with the smallest interval score is
    taken: it charges the width, and how far the truth lies outside, so that values that are hard must be given more. A
    constant scale stays where none is better by `LEAST_GAIN`: of few patients something always looks better.

    Args:
        values: of the learning patients.
        coverage: in (0, 1).

    Source: Lei et al. (2018), section 5.2, for scores divided by a spread; Gneiting and Raftery (2007), eq. 43, for the
        interval score.
    """
    _, owner = np.unique(values.patient, return_inverse=True)
    values = values._replace(patient=owner)
    found = []
    for floor in _floors(values.spread):
        spread = np.maximum(values.spread, floor)
        asked = _relative_weights(values, spread, coverage)
        for strength in _STRENGTHS if values.regions > 1 else (0.0,):
            weights = asked**strength
            weights = weights / np.mean(weights[values.region] * spread)
            scale = weights[values.region] * spread
            margin = conformal.quantile(values.score / scale, values.patient, coverage)
            loss = float(np.mean(interval_scores(values.score, 2 * margin * scale, margin * scale, coverage)))
            found.append((margin, loss, Scale(floor=floor, weights=weights.tolist())))
    width, loss, constant = found[0]
    _, least, best = min((one for one in found if one[0] <= width), key=lambda one: one[1])
    return best if least < loss - LEAST_GAIN * abs(loss) else constant


def interval_scores(score: np.ndarray, width: np.ndarray, out: np.ndarray, coverage: float) -> np.ndarray:
    """Return the interval score of each value: width, and 2 / (1 - coverage) times how far the truth lies outside.

    Args:
        score: float [m], `tfdrift.statistics.conformal.scores` of the raw interval.
        width: float [m], of the widened interval.
        out: float [m], how far both ends were moved out.
        coverage: in (0, 1).

    Returns:
        float64 [m], in the unit of the values; small is good. Its mean is smallest for the true quantiles.

    Source: Winkler (1972); Gneiting and Raftery (2007), eq. 43.

    Example:
        >>> interval_scores(np.array([-1.0, 2.0]), np.array([3.0, 3.0]), np.array([1.0, 1.0]), 0.9).round(9).tolist()
        [3.0, 23.0]
    """
    return width + 2 / (1 - coverage) * np.maximum(score - out, 0)


def calibrate(values: Values, coverage: float) -> AdaptiveMargin | None:
    """Return the margin for a new patient, None where the patients are too few to adapt.

    Args:
        values: of all patients who were neither trained on nor tested.
        coverage: in (0, 1).

    Source: see the module.
    """
    names = np.unique(values.patient)
    count = learners(len(names), coverage)
    if not count:
        return None
    learning = np.isin(values.patient, names[((np.arange(count) + 0.5) * len(names) / count).astype(int)])
    scale, others = learn(values.take(learning), coverage), values.take(~learning)
    margin = conformal.margin(others.score / scale.of(others.spread, others.region), others.patient, coverage)
    return AdaptiveMargin(
        floor=scale.floor,
        weights=scale.weights,
        margin=margin,
        learned_on=count,
        calibrated_on=len(names) - count,
    )


class Widening(NamedTuple):
    """What both ends of each value's interval move out by.

    Args:
        margin: float64 [m], for a scale of 1.
        scale: float64 [m].
        learned_on: the fewest patients who taught any scale.
        calibrated_on: the fewest who asked for any margin.
    """

    margin: np.ndarray
    scale: np.ndarray
    learned_on: int
    calibrated_on: int

    @property
    def out(self) -> np.ndarray:
        """How far both ends move out, float64 [m]."""
        return self.margin * self.scale


def widen(values: Values, group: np.ndarray, coverage: float) -> Widening | None:
    """Return for each value what the patients of all other groups ask for; None where they are too few in any group.

    Args:
        values: of all patients.
        group: int [m], the same for every value of a patient, see `tfdrift.statistics.conformal.margins`.
        coverage: in (0, 1).
    """
    _, owner = np.unique(values.patient, return_inverse=True)
    values = values._replace(patient=owner)
    margin, scale, every = np.empty(len(owner)), np.empty(len(owner)), []
    for number in np.unique(group):
        here = group == number
        found = calibrate(values.take(~here), coverage)
        if found is None:
            return None
        margin[here], scale[here] = found.margin, found.of(values.spread[here], values.region[here])
        every.append(found)
    return Widening(
        margin, scale, min(found.learned_on for found in every), min(found.calibrated_on for found in every)
    )


def _floors(spread: np.ndarray) -> list[float]:
    """Return floors to try, the one that leaves nothing of the spread first."""
    found = np.unique(np.quantile(spread, _FLOORS))
    return [float(floor) for floor in found[::-1] if floor > 0] or [1.0]


def _relative_weights(values: Values, spread: np.ndarray, coverage: float) -> np.ndarray:
    """Return what each region asks for alone over what all ask for together, 1 where too few patients have it."""
    score, weights = values.score / spread, np.ones(values.regions)
    together = conformal.quantile(score, values.patient, coverage)
    for number in range(values.regions):
        here = values.region == number
        if together > 0 and len(np.unique(values.patient[here])) >= FEWEST_TO_LEARN:
            weights[number] = conformal.quantile(score[here], values.patient[here], coverage) / together
    return np.clip(weights, 1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
