"""How sure one may be of a score: bootstrap intervals over patients, never over slices."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A score with its 95% bootstrap interval over patients; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def words(self, *, signed: bool = False) -> str:
        """Return `value [low, high]`; an interval that is not defined is left out.

        Args:
            signed: write the plus of positive numbers.

        Example:
            >>> Estimate(0.5, 0.25, 0.75).words(), Estimate(0.5, float("nan"), 1.0).words(signed=True)
            ('0.500 [0.250, 0.750]', '+0.500')
        """
        # z: no minus before a rounded zero. Of two patients an AUC may have a value and no interval.
        value, low, high = (f"{number:{'+' if signed else ''}z.3f}" for number in self)
        if np.isnan(self.value):
            return "–"
        return value if np.isnan([self.low, self.high]).any() else f"{value} [{low}, {high}]"


def interval_words(document: Mapping[str, float | None], *, signed: bool = False) -> str:
    """Return the words of an estimate as it stands in a JSON document.

    Args:
        document: `value`, `low` and `high`, None where not defined.
        signed: write the plus of positive numbers.

    Example:
        >>> interval_words({"value": 0.5, "low": 0.25, "high": 0.75})
        '0.500 [0.250, 0.750]'
    """
    ends = [document[end] for end in Estimate._fields]
    return Estimate(*(np.nan if end is None else end for end in ends)).words(signed=signed)


def draw_patients(count: int, *, seed: int, draws: int) -> np.ndarray:
    """Return which patients each resample holds, drawn with replacement.

    Args:
        count: number of patients.
        seed: of the draws.
        draws: number of resamples.

    Returns:
        int64 [draws, count].
    """
    return np.random.default_rng(seed).integers(count, size=(draws, count))


def ratio_interval(
    numerator: np.ndarray, denominator: np.ndarray, patient: np.ndarray, *, seed: int = 0, draws: int = 2000
) -> Estimate:
    """Return sum(numerator) / sum(denominator) with its 95% percentile bootstrap interval over patients.

    Args:
        numerator: float [n], of each slice or lesion.
        denominator: float [n]; ones give the mean.
        patient: str [n]; the rows of a patient are drawn together.
        seed: of the draws.
        draws: number of resamples.

    Source: Efron and Tibshirani (1993), ch. 13, with the patient as unit.

    Example:
        >>> ratio_interval(np.array([1.0, 2.0, 3.0]), np.ones(3), np.array(["a", "a", "a"]))
        Estimate(value=2.0, low=2.0, high=2.0)
    """
    names, row = np.unique(patient, return_inverse=True)
    above, below = np.bincount(row, numerator), np.bincount(row, denominator)
    chosen = draw_patients(len(names), seed=seed, draws=draws)
    drawn_above, drawn_below = above[chosen].sum(axis=1), below[chosen].sum(axis=1)
    ratios = np.divide(drawn_above, drawn_below, out=np.full(draws, np.nan), where=drawn_below > 0)
    value = float(above.sum() / below.sum()) if below.sum() > 0 else float("nan")
    return Estimate(value, *_middle(ratios))


def mean_interval(values: np.ndarray, patient: np.ndarray, *, seed: int = 0, draws: int = 2000) -> Estimate:
    """Return the mean over the rows whose value is finite, with its interval over patients (see `ratio_interval`).

    Args:
        values: float [n]; NaN where a row has no such score.
        patient: str [n].
        seed: of the draws.
        draws: number of resamples.
    """
    finite = np.isfinite(values)
    return ratio_interval(np.where(finite, values, 0.0), finite.astype(float), patient, seed=seed, draws=draws)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float], patient: np.ndarray, *, seed: int = 0, draws: int = 1000
) -> Estimate:
    """Return any statistic with its 95% percentile bootstrap interval over patients.

    Args:
        statistic: rows, int [m] with repetitions, to a number, or NaN where those rows do not define it. Such
            resamples are left out of the interval.
        patient: str [n].
        seed: of the draws.
        draws: number of resamples.

    Source: Efron and Tibshirani (1993), ch. 13, with the patient as unit.
    """
    names, row = np.unique(patient, return_inverse=True)
    rows_of = [np.flatnonzero(row == number) for number in range(len(names))]
    values = [
        statistic(np.concatenate([rows_of[number] for number in chosen]))
        for chosen in draw_patients(len(names), seed=seed, draws=draws)
    ]
    return Estimate(float(statistic(np.arange(len(patient)))), *_middle(np.array(values)))


def _middle(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5% and the 97.5% quantile of the values that are defined."""
    defined = values[~np.isnan(values)]
    if len(defined) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)
