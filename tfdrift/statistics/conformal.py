"""Intervals widened until they cover what they promise, whatever the model: calibrated on patients, not on pixels.

The raw interval of a patient's values (pixels of drift, or volumes of lesions) runs between two quantiles of the
outcomes. Its score at a value is how far the truth lies outside, negative inside; widening both ends by a margin covers
exactly the values whose score is at most the margin. The margin is the smallest one for which

    (sum over the n calibration patients of the share of a patient's values left out + 1) / (n + 1) <= 1 - coverage

If a new patient is exchangeable with the n, the expected share of that patient's values left out is at most
1 - coverage: conformal risk control. Where each patient has one value this is split conformal prediction, the margin
being the ceil((n + 1) coverage)-th smallest score. With fewer than coverage / (1 - coverage) patients no finite margin
keeps the promise, and it is infinite.
"""

import math

import numpy as np

COVERAGE = 0.9


def scores(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return how far the truth lies outside an interval, negative inside.

    Args:
        truth: float [...].
        low: float [...], lower ends in the same unit.
        high: float [...], upper ends.

    Returns:
        float64 [...], in the same unit.

    Source: Romano, Patterson and Candès (2019).

    Example:
        >>> scores(np.array([5.0, 1.5]), np.array([1.0, 1.0]), np.array([4.0, 4.0]))
        array([ 1. , -0.5])
    """
    return np.maximum(low - truth, truth - high)


def fewest_patients(coverage: float) -> int:
    """Return the number of calibration patients from which on a finite margin can keep the promise.

    Example:
        >>> fewest_patients(0.9)
        9
    """
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def margin(values: np.ndarray, patient: np.ndarray, coverage: float) -> float:
    """Return the margin that calibration patients ask for, infinite where they are too few.

    Args:
        values: float [m], `scores` of the calibration patients.
        patient: str or int [m], whose they are; every patient counts the same, however many values it has.
        coverage: in (0, 1).

    Source: Angelopoulos, Bates, Fisch, Lei and Schuster (2024), theorem 1 with B = 1; for one value a patient
        Lei et al. (2018), algorithm 2.

    Example:
        >>> margin(np.arange(9.0), np.arange(9), coverage=0.8), margin(np.arange(3.0), np.arange(3), coverage=0.8)
        (7.0, inf)
    """
    patients = len(np.unique(patient))
    allowed = (1 - coverage) * (patients + 1) - 1
    return math.inf if allowed < -1e-9 else _smallest(values, patient, allowed)


def quantile(values: np.ndarray, patient: np.ndarray, coverage: float) -> float:
    """Return the smallest margin that covers these very patients' values, on average over patients; no promise.

    Args:
        values: float [m], `scores`, at least one.
        patient: str or int [m], whose they are; every patient counts the same.
        coverage: in (0, 1).

    Example:
        >>> quantile(np.arange(10.0), np.arange(10), coverage=0.9)
        8.0
    """
    return _smallest(values, patient, (1 - coverage) * len(np.unique(patient)))


def _smallest(values: np.ndarray, patient: np.ndarray, allowed: float) -> float:
    """Return the smallest value that leaves out at most so many patients, shares of patients added up."""
    _, owner, counts = np.unique(patient, return_inverse=True, return_counts=True)
    order = np.argsort(values)
    # Shares in whole numbers would overflow for many patients; 1e-9 forgives the rounding of the sum.
    left_out = len(counts) - np.cumsum(1 / counts[owner[order]])
    enough = np.flatnonzero(left_out <= allowed + 1e-9)
    return float(values[order[enough[0]]]) if len(enough) else math.inf


def margins(values: np.ndarray, patient: np.ndarray, group: np.ndarray, coverage: float) -> np.ndarray:
    """Return for each value the margin that the patients of all other groups ask for, so that none calibrates itself.

    Args:
        values: float [m], `scores`.
        patient: str or int [m].
        group: int [m], the same for every value of a patient.
        coverage: in (0, 1).

    Returns:
        float64 [m], the same within a group; infinite where the others are too few.
    """
    found = np.empty(len(values))
    for number in np.unique(group):
        others = group != number
        found[~others] = margin(values[others], patient[others], coverage)
    return found


def patient_groups(patient: np.ndarray, *, groups: int = 20) -> np.ndarray:
    """Return a group number for each row: each patient alone, or patients dealt to `groups` where there are more.

    Args:
        patient: str [n].
        groups: at most so many; more would calibrate a little better and take longer.

    Returns:
        int64 [n].
    """
    return np.unique(patient, return_inverse=True)[1] % groups


def coverage_by_patient(values: np.ndarray, patient: np.ndarray, margin: np.ndarray | float) -> np.ndarray:
    """Return the share of each patient's values that the widened interval covers, float64, in the order of the names.

    Args:
        values: float [m], `scores`.
        patient: str or int [m].
        margin: float [m] or one for all; 0 for the raw interval.
    """
    _, owner, counts = np.unique(patient, return_inverse=True, return_counts=True)
    return np.bincount(owner, (values <= margin).astype(float)) / counts
