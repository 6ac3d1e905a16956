"""Which of two methods predicts the same patients better, in numbers and in a sentence."""

import csv
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import permutation_test

from tfdrift.errors import DataError
from tfdrift.evaluation.intervals import Estimate, ratio_interval


class Comparison(NamedTuple):
    """Two methods on the same patients.

    Args:
        first: label.
        second: label.
        difference: skill over copy of the first minus that of the second, with its interval over patients.
        patients: how many.
        better_for: patients whose summed error is smaller with the first method.
        p_value: two-sided, of a test that swaps the methods' names in whole patients; not corrected for other tests.
    """

    first: str
    second: str
    difference: Estimate
    patients: int
    better_for: int
    p_value: float


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
    test = permutation_test(
        (gains,), lambda drawn, axis: drawn.sum(axis), permutation_type="samples", vectorized=True, rng=seed
    )
    return Comparison(
        first=first,
        second=second,
        difference=ratio_interval(second_mse - first_mse, copy_mse, patient, seed=seed),
        patients=len(gains),
        better_for=int((gains > 0).sum()),
        p_value=float(test.pvalue),
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


def sentence(comparison: Comparison) -> str:
    """Return what a comparison says, in words that claim no more than its interval.

    Example:
        >>> sentence(Comparison("Method 1", "direct", Estimate(0.05, 0.01, 0.09), 39, 27, 0.004))
        'Method 1 beats direct by 0.050 [0.010, 0.090] in skill over copy (39 patients; better for 27 of them).'
    """
    first, second, difference, patients, better_for, _ = comparison
    who = f"({patients} patients; better for {better_for} of them)"
    if difference.low > 0 or difference.high < 0:
        words = "beats" if difference.low > 0 else "is beaten by"
        low, high = sorted((abs(difference.low), abs(difference.high)))
        return (
            f"{first} {words} {second} by {abs(difference.value):.3f} [{low:.3f}, {high:.3f}] in skill over copy {who}."
        )
    numbers = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    return f"{first} and {second} cannot be told apart: {numbers} in skill over copy {who}."


class Results(NamedTuple):
    """What an evaluation wrote into its folder.

    Args:
        label: of its method.
        metrics: the document `metrics.json`.
        patient: str [n], of each slice.
        lesion: str [n].
        mse: float64 [n], squared errors of the method.
        copy_mse: float64 [n], those of post = pre.
    """

    label: str
    metrics: dict[str, Any]
    patient: np.ndarray
    lesion: np.ndarray
    mse: np.ndarray
    copy_mse: np.ndarray


def read_results(folder: Path) -> Results:
    """Read `metrics.json` and `metrics.csv` of an evaluation.

    Raises:
        DataError: they are missing, damaged, or not of one evaluation.
    """
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        with (folder / "metrics.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        label, slices = metrics["label"], metrics["slices"]
        mse, copy_mse = (
            np.array([float(row["mse"]) for row in rows if row["method"] == name]) for name in (label, "copy")
        )
        of_copy = [row for row in rows if row["method"] == "copy"]
        patient, lesion = (np.array([row[name] for row in of_copy]) for name in ("patient", "lesion"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} holds no evaluation that can be read ({error!r}); evaluate it again") from None
    if not len(mse) == len(copy_mse) == slices:
        raise DataError(f"{folder}: metrics.csv and metrics.json are not of one evaluation; evaluate it again")
    return Results(label, metrics, patient, lesion, mse, copy_mse)


def compare_results(results: list[Results]) -> list[Comparison]:
    """Return the comparison of every evaluation with each later one.

    Args:
        results: evaluations of different methods on the same slices.

    Raises:
        DataError: they do not score the same slices.
    """
    found = []
    for first, second in itertools.combinations(results, 2):
        same = np.array_equal(first.lesion, second.lesion) and np.array_equal(first.copy_mse, second.copy_mse)
        if not same:
            raise DataError(f"the evaluations of {first.label} and {second.label} do not score the same slices")
        found.append(compare(first.label, second.label, first.mse, second.mse, first.copy_mse, first.patient))
    return found
