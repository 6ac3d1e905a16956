"""Several outcomes of one prediction: how far they spread, and whether the spread says anything about the error.

The N outcomes are in the first dimension; what follows may be pixels of slices or volumes of lesions.
"""

import numpy as np
from scipy.stats import rankdata


def interval(outcomes: np.ndarray, coverage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles between which the middle `coverage` of the outcomes lies.

    Args:
        outcomes: float [N, ...].
        coverage: in (0, 1), 0.9 for the 5% and the 95% quantile.

    Returns:
        Low and high, float64 [...], by linear interpolation; equal to one another for N = 1.

    Source: Hyndman and Fan (1996), definition 7.
    """
    outside = (1 - coverage) / 2
    low, high = np.quantile(outcomes.astype(np.float64), [outside, 1 - outside], axis=0)
    return low, high


def spread(outcomes: np.ndarray) -> np.ndarray:
    """Return the standard deviation over the outcomes (with N - 1), float64 [...]; 0 for N = 1."""
    if len(outcomes) == 1:
        return np.zeros(outcomes.shape[1:])
    return outcomes.std(axis=0, ddof=1, dtype=np.float64)


def crps(outcomes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of an ensemble, without the bias of a small one.

    mean |x_i - y| - sum_{i<j} |x_i - x_j| / (N (N - 1)); small is good. For one outcome this is the absolute error, so
    that `copy` and `direct` stand on the same scale.

    Args:
        outcomes: float [N, ...].
        truth: float [...].

    Returns:
        float64 [...], in the unit of the truth; its expectation is that of infinitely many outcomes.

    Source: Ferro (2014); Gneiting and Raftery (2007), eq. 21.

    Example:
        >>> crps(np.array([[1.0], [3.0]]), np.array([2.0]))
        array([0.])
    """
    count = len(outcomes)
    ordered = np.sort(outcomes.astype(np.float64), axis=0)
    error = np.abs(ordered - truth).mean(axis=0)
    if count == 1:
        return error
    # Of the sorted outcomes the i-th is added i times and subtracted N - 1 - i times over all pairs.
    weights = 2 * np.arange(count) - count + 1
    return error - np.tensordot(weights, ordered, axes=1) / (count * (count - 1))


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's correlation of two float [m] arrays, NaN where either is constant.

    Source: Spearman (1904); equal to `scipy.stats.spearmanr`, without its warning.
    """
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def spread_error_correlation(spreads: np.ndarray, errors: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return, for each slice, the rank correlation of spread and absolute error over the pixels of its GTV.

    Above 0 the outcomes disagree where the prediction is wrong, which is what makes agreement a sign of confidence.

    Args:
        spreads: float [n, S, S, 1], of `spread`.
        errors: float [n, S, S, 1], absolute.
        inside: bool [n, S, S, 1].

    Returns:
        float64 [n]; NaN where the spread is the same everywhere.
    """
    return np.array([rank_correlation(s[m], e[m]) for s, e, m in zip(spreads, errors, inside, strict=True)])


def error_by_spread(spreads: np.ndarray, errors: np.ndarray, *, bins: int = 10) -> list[dict[str, float]]:
    """Return the root mean square error where the outcomes agree most, a little less, and so on.

    Args:
        spreads: float [m], standard deviations.
        errors: float [m], absolute errors of the outcomes' mean.
        bins: number of groups of equal size; fewer where the spread takes fewer values.

    Returns:
        For each group `spread` and `error`, both root mean squares. An ensemble whose truth is one more draw has
        error^2 = (1 + 1/N) spread^2 over all values, and for large N in every group; with few outcomes the spread of
        the first groups is low by chance as well.

    Source: Leutbecher and Palmer (2008); Fortin et al. (2014) for the factor.
    """
    edges = np.quantile(spreads, np.linspace(0, 1, bins + 1)[1:-1])
    group = np.searchsorted(edges, spreads, side="left")
    return [
        {
            "spread": float(np.sqrt(np.mean(spreads[group == number] ** 2))),
            "error": float(np.sqrt(np.mean(errors[group == number] ** 2))),
        }
        for number in np.unique(group)
    ]
