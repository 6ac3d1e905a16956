"""Whether a lesion can be put on one side of the 80% rule at the second MRI, and whether the probability of it is one.

A lesion is below where the second MRI shows less than 80% of its volume at the first. That is the paper's rule asked of
the second MRI, as `tfdrift predict` asks it; the response itself is defined by the follow-up.
"""

import dataclasses

import numpy as np

from tfdrift.cohort.response import POOR_RESPONSE, poor_responses
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.response import Lesions, lesions_of, of_lesions
from tfdrift.evaluation.uncertainty import CALIBRATED, calibrated_interval
from tfdrift.statistics.intervals import Estimate, mean_interval, ratio_interval

CERTAINTY = 0.9
BINS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decided:
    """How many lesions are put on one side, and how often that is wrong.

    Args:
        share: of all lesions.
        lesions: how many.
        wrong: share of those that are decided; NaN where none is.
        wrong_lesions: how many.
    """

    share: Estimate
    lesions: int
    wrong: Estimate
    wrong_lesions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbabilityGroup:
    """Lesions whose predicted probability is alike.

    Args:
        low: smallest probability that belongs here.
        high: largest; it belongs to the next group, but for the last one.
        lesions: how many.
        predicted: mean probability of theirs.
        observed: share of them that is below.
    """

    low: float
    high: float
    lesions: int
    predicted: float
    observed: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decisions:
    """What a method says of the side of 80% that a lesion's volume will be on.

    Args:
        by_outcomes: decided where 90% of the outcomes or more are on one side.
        by_interval: decided where the whole calibrated 90% interval is on one side; None for too few patients.
        brier: mean squared difference of the share of outcomes below and what happened, 0 or 1; small is good.
        brier_of_base_rate: that of the share of the training lesions that were below, for every lesion.
        reliability: from the smallest probabilities to the largest, groups without a lesion left out.
    """

    by_outcomes: Decided
    by_interval: Decided | None
    brier: Estimate
    brier_of_base_rate: Estimate
    reliability: list[ProbabilityGroup]


def decisions(answers: Answers) -> Decisions:
    """Return what the outcomes say of each held-out lesion's side, beside the base rate of the training lesions."""
    base_rate = np.empty(len(answers.held_out))
    for rows, training in answers.by_training():
        base_rate[rows] = below(lesions_of(training)).mean()
    group, base_rate = (of_lesions(values, answers.held_out) for values in (answers.group, base_rate))
    return decide(answers.ratios, lesions_of(answers.held_out), group=group, base_rate=base_rate)


def decide(ratios: np.ndarray, lesions: Lesions, *, group: np.ndarray, base_rate: np.ndarray) -> Decisions:
    """Return how many lesions are decided, how many of those wrongly, and how reliable the probability is.

    Args:
        ratios: float [N, m], volume at the second MRI over that at the first in each outcome.
        lesions: the truth about the m lesions.
        group: int [m], see `tfdrift.statistics.conformal.margins`.
        base_rate: float [m], probability of below that is said without looking.

    Source: Brier (1950), for one class; Murphy and Winkler (1977) for the reliability.
    """
    truth, patient, is_below = below(lesions), lesions.patient, ratios < POOR_RESPONSE
    probability = is_below.mean(axis=0)
    ends = calibrated_interval(ratios, lesions.ratio, patient=patient, group=group)
    by_interval = None
    if CALIBRATED in ends.margins:
        margin = np.maximum(ends.margin, 0)  # as in `tfdrift predict`, an interval is not made narrower
        by_interval = decide_by_interval(ends.low - margin, ends.high + margin, lesions)
    return Decisions(
        by_outcomes=_decided(probability >= CERTAINTY, (~is_below).mean(axis=0) >= CERTAINTY, truth, patient),
        by_interval=by_interval,
        brier=mean_interval((probability - truth) ** 2, patient),
        brier_of_base_rate=mean_interval((base_rate - truth) ** 2, patient),
        reliability=reliability(probability, truth),
    )


def decide_by_interval(low: np.ndarray, high: np.ndarray, lesions: Lesions) -> Decided:
    """Return how many lesions are decided because the whole interval is on one side, and how many of those wrongly.

    Args:
        low: float [m], lower ends of the intervals of the volume ratio.
        high: float [m], upper ends.
        lesions: the truth about the m lesions.
    """
    return _decided(high < POOR_RESPONSE, low >= POOR_RESPONSE, below(lesions), lesions.patient)


def below(lesions: Lesions) -> np.ndarray:
    """Return which lesions have less than 80% of their volume at the second MRI, bool [m]."""
    return poor_responses(lesions.pre_mm3, lesions.ratio * lesions.pre_mm3) == 0


def reliability(probability: np.ndarray, happened: np.ndarray, *, bins: int = BINS) -> list[ProbabilityGroup]:
    """Return the mean of predicted probabilities beside how often it happened, in bins of equal width.

    Args:
        probability: float [m] in [0, 1].
        happened: bool [m].
        bins: how many.

    Example:
        >>> low, high = reliability(np.array([0.1, 0.1, 1.0]), np.array([False, True, True]))
        >>> (low.lesions, low.predicted, low.observed), (high.low, high.predicted, high.observed)
        ((2, 0.1, 0.5), (0.8, 1.0, 1.0))
    """
    number = np.minimum((probability * bins).astype(int), bins - 1)
    return [
        ProbabilityGroup(
            low=int(one) / bins,
            high=(int(one) + 1) / bins,
            lesions=int(np.sum(number == one)),
            predicted=float(probability[number == one].mean()),
            observed=float(happened[number == one].mean()),
        )
        for one in np.unique(number)
    ]


def _decided(is_below: np.ndarray, is_above: np.ndarray, truth: np.ndarray, patient: np.ndarray) -> Decided:
    decided = is_below | is_above
    wrong = (is_below & ~truth) | (is_above & truth)
    return Decided(
        share=mean_interval(decided.astype(float), patient),
        lesions=int(decided.sum()),
        wrong=ratio_interval(wrong.astype(float), decided.astype(float), patient),
        wrong_lesions=int(wrong.sum()),
    )
