"""Which of two methods predicts the same patients better, in numbers and in a sentence."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import permutation_test

from tfdrift.statistics.intervals import Estimate, ratio_interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two methods on the same patients.

    Args:
        first: label.
        second: label.
        difference: skill over copy of the first minus that of the second, with its interval over patients.
        patients: how many.
        better_for: patients whose summed error is smaller with the first method.
        p_value: two-sided, of a test that swaps the methods' names in whole patients; not corrected for other tests.
        sentence: what this says, in words that claim no more than the interval.
    """

    first: str
    second: str
    difference: Estimate
    patients: int
    better_for: int
    p_value: float
    sentence: str


def compare(
    first: str,
    second: str,
    first_mse: np.ndarray,
    second_mse: np.ndarray,
    copy_mse: np.ndarray,
    patient: np.ndarray,
    *,
    seed: int = 0,
) -> Comparison:
    """Return the paired comparison of two methods: both are scored on the same resampled patients.

    Of a single patient there is no interval, and the p value is 1.

    Args:
        first: label.
        second: label.
        first_mse: float [n], squared errors of each slice.
        second_mse: float [n].
        copy_mse: float [n], those of post = pre.
        patient: str [n].
        seed: of the resampling and of the test.

    Source: Efron and Tibshirani (1993), ch. 13; the difference of two skills over the same reference is
        (sum of second_mse - sum of first_mse) / sum of copy_mse. The test flips the sign of a patient's difference
        (Fisher 1935), in all ways up to 13 patients and in 9,999 beyond (Phipson and Smyth 2010).
    """
    _, row = np.unique(patient, return_inverse=True)
    gains = np.bincount(row, second_mse) - np.bincount(row, first_mse)
    difference = ratio_interval(second_mse - first_mse, copy_mse, patient, seed=seed)
    patients, better_for = len(gains), int((gains > 0).sum())
    if patients == 1:
        difference, p_value = Estimate(difference.value, np.nan, np.nan), 1.0
    else:
        p_value = permutation_test(
            (gains,), lambda drawn, axis: drawn.sum(axis), permutation_type="samples", vectorized=True, rng=seed
        ).pvalue
    return Comparison(
        first=first,
        second=second,
        difference=difference,
        patients=patients,
        better_for=better_for,
        p_value=float(p_value),
        sentence=sentence(first, second, difference, patients=patients, better_for=better_for),
    )


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p values corrected for their number: the chance of any false finding among them is at most each one's.

    Args:
        p_values: of m tests, dependent or not.

    Returns:
        float64 [m], in the same order.

    Source: Holm (1979).

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    weighted = np.sort(p_values) * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(weighted), 1.0)
    return corrected


def sentence(first: str, second: str, difference: Estimate, *, patients: int, better_for: int) -> str:
    """Return what a comparison says, in words that claim no more than its interval.

    Args:
        first: label.
        second: label.
        difference: skill over copy of the first minus that of the second.
        patients: how many.
        better_for: how many of them the first predicts better.

    Example:
        >>> sentence("Method 1", "direct", Estimate(0.05, 0.01, 0.09), patients=39, better_for=27)
        'Method 1 beats direct by 0.050 [0.010, 0.090] in skill over copy (39 patients; better for 27 of them).'
    """
    who = f"({patients} patient{'s' if patients > 1 else ''}; better for {better_for} of them)"
    if difference.low > 0 or difference.high < 0:
        words = "beats" if difference.low > 0 else "is beaten by"
        low, high = sorted((abs(difference.low), abs(difference.high)))
        by = Estimate(abs(difference.value), low, high).words()
        return f"{first} {words} {second} by {by} in skill over copy {who}."
    return f"{first} and {second} cannot be told apart: {difference.words(signed=True)} in skill over copy {who}."
