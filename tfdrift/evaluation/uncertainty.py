"""Several outcomes of one prediction: how far they spread, and whether the spread says anything about the error.

The N outcomes are in the first dimension; what follows may be pixels of slices or volumes of lesions.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from tfdrift.axes import image_axes
from tfdrift.cohort.gtv_regions import REGIONS, gtv_regions
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.baselines import copy
from tfdrift.evaluation.metrics import absolute_errors, squared_errors
from tfdrift.evaluation.response import lesions_of, of_lesions
from tfdrift.on_disk import parts
from tfdrift.statistics import conformal
from tfdrift.statistics.adaptive import Values
from tfdrift.statistics.intervals import Estimate, bootstrap_interval, mean_interval

NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RAW, CALIBRATED = "raw", "calibrated"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reliability:
    """What intervals cover at one nominal coverage, as means over patients; None where they cannot be calibrated."""

    nominal: float
    raw: float
    calibrated: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpreadGroup:
    """Root mean squares of spread and error over values whose spread is alike."""

    spread: float
    error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of the truth intervals cover, `raw` and `calibrated` on the patients of other groups.

    Args:
        nominal: what the interval promises.
        coverage: observed, mean over patients; None where the calibration patients are too few.
        width: mean over all values.
        calibration_patients: the fewest that any group was calibrated on.
        patients_needed: the fewest that a finite margin takes.
        reliability: coverage at other promises.
    """

    nominal: float
    coverage: dict[str, Estimate | None]
    width: dict[str, float | None]
    calibration_patients: int
    patients_needed: int
    reliability: list[Reliability]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpreadScores(Coverage):
    """What the outcomes say about how sure a prediction is.

    Args:
        crps: continuous ranked probability score of the outcomes.
        copy_crps: that of no change, its absolute error.
        spread_error: rank correlation of spread and error over the pixels of a slice's GTV; None for volumes.
        spread_error_between: the same between slices, or between lesions for volumes.
        error_by_spread: error from where the outcomes agree most to where they agree least; None for volumes.
    """

    crps: Estimate
    copy_crps: Estimate
    spread_error: Estimate | None = None
    spread_error_between: Estimate
    error_by_spread: list[SpreadGroup] | None = None


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
    flat = outcomes.reshape(len(outcomes), -1)
    low, high = np.empty((2, flat.shape[1]))
    for here in parts(flat, 1):
        low[here], high[here] = np.quantile(flat[:, here].astype(np.float64), [outside, 1 - outside], axis=0)
    return low.reshape(outcomes.shape[1:]), high.reshape(outcomes.shape[1:])


def spread(outcomes: np.ndarray) -> np.ndarray:
    """Return the standard deviation over the outcomes (with N - 1), float64 [...]; 0 for N = 1."""
    if len(outcomes) == 1:
        return np.zeros(outcomes.shape[1:])
    flat = outcomes.reshape(len(outcomes), -1)
    found = np.empty(flat.shape[1])
    for here in parts(flat, 1):
        found[here] = flat[:, here].std(axis=0, ddof=1, dtype=np.float64)
    return found.reshape(outcomes.shape[1:])


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
    """Return Spearman's correlation, NaN where either is constant.

    Args:
        first: float [m].
        second: float [m].

    Source: Spearman (1904); equal to `scipy.stats.spearmanr`, without its warning.
    """
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def spread_error_correlation(spreads: np.ndarray, errors: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return, for each slice, the rank correlation of spread and absolute error over the pixels of its GTV.

    Above 0 the outcomes disagree where the prediction is wrong, which is what makes agreement a sign of confidence.

    Args:
        spreads: float [n, ..., S, S, 1], of `spread`.
        errors: float [n, ..., S, S, 1], absolute.
        inside: bool [n, ..., S, S, 1].

    Returns:
        float64 [n]; NaN where the spread is the same everywhere.
    """
    return np.array([rank_correlation(s[m], e[m]) for s, e, m in zip(spreads, errors, inside, strict=True)])


def error_by_spread(spreads: np.ndarray, errors: np.ndarray, *, bins: int = 10) -> list[SpreadGroup]:
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
        SpreadGroup(
            spread=float(np.sqrt(np.mean(spreads[group == number] ** 2))),
            error=float(np.sqrt(np.mean(errors[group == number] ** 2))),
        )
        for number in np.unique(group)
    ]


class CalibratedInterval(NamedTuple):
    """The interval of each value with what calibration adds to it.

    Args:
        low: float64 [m], quantile of the outcomes.
        high: float64 [m].
        score: float64 [m], how far the truth lies outside, negative inside.
        margin: float64 [m], by which both ends move out; infinite where the calibration patients are too few.
    """

    low: np.ndarray
    high: np.ndarray
    score: np.ndarray
    margin: np.ndarray

    @property
    def margins(self) -> dict[str, np.ndarray]:
        """What both ends of the interval move out by, float64 [m]; `calibrated` only where all are finite."""
        raw = {RAW: np.zeros_like(self.margin)}
        return {**raw, CALIBRATED: self.margin} if np.isfinite(self.margin).all() else raw


def calibrated_interval(
    outcomes: np.ndarray,
    truth: np.ndarray,
    *,
    patient: np.ndarray,
    group: np.ndarray,
    nominal: float = conformal.COVERAGE,
) -> CalibratedInterval:
    """Return the middle interval of the outcomes and its margin by the patients of the other groups.

    Args:
        outcomes: float [N, m].
        truth: float [m].
        patient: str [m].
        group: int [m], see `tfdrift.statistics.conformal.margins`.
        nominal: what the interval promises.
    """
    low, high = interval(outcomes, nominal)
    score = conformal.scores(truth, low, high)
    return CalibratedInterval(low, high, score, conformal.margins(score, patient, group, nominal))


def interval_coverage(outcomes: np.ndarray, truth: np.ndarray, *, patient: np.ndarray, group: np.ndarray) -> Coverage:
    """Return how much of the truth the intervals cover.

    Args:
        outcomes: float [N, m].
        truth: float [m].
        patient: str [m], whose they are; each patient's share of covered values counts the same.
        group: int [m], see `tfdrift.statistics.conformal.margins`.
    """
    reliability, coverage, width = [], {}, {}
    for nominal in NOMINAL:
        ends = calibrated_interval(outcomes, truth, patient=patient, group=group, nominal=nominal)
        margins = ends.margins
        shares = {kind: conformal.coverage_by_patient(ends.score, patient, margin) for kind, margin in margins.items()}
        widths = {kind: np.maximum(ends.high - ends.low + 2 * margin, 0) for kind, margin in margins.items()}
        found = {kind: float(np.mean(shares[kind])) if kind in shares else None for kind in (RAW, CALIBRATED)}
        reliability.append(Reliability(nominal=nominal, **found))  # pyright: ignore[reportArgumentType] - raw is there
        if nominal == conformal.COVERAGE:
            names = np.unique(patient)
            coverage = {
                kind: mean_interval(shares[kind], names) if kind in shares else None for kind in (RAW, CALIBRATED)
            }
            width = {kind: float(np.mean(widths[kind])) if kind in widths else None for kind in (RAW, CALIBRATED)}
    others = [len(set(patient[group != number].tolist())) for number in np.unique(group)]
    return Coverage(
        nominal=conformal.COVERAGE,
        coverage=coverage,
        width=width,
        calibration_patients=min(others),
        patients_needed=conformal.fewest_patients(conformal.COVERAGE),
        reliability=reliability,
    )


class SpreadValues(NamedTuple):
    """Values with their raw 90% interval and what a margin may adapt to.

    Args:
        values: scores, spreads and regions of m pixels or lesions.
        low: float64 [m], 5% quantile of the outcomes.
        high: float64 [m], 95% quantile.
        lesion: int64 [m], the place of each value's lesion in `lesions_of`.
        group: int64 [m], see `tfdrift.statistics.conformal.margins`.
    """

    values: Values
    low: np.ndarray
    high: np.ndarray
    lesion: np.ndarray
    group: np.ndarray


def drift_values(answers: Answers) -> SpreadValues:
    """Return the drift of all pixels of the GTV of either session, in units of the slice's largest signal.

    The regions are core, rim and outside of the GTV of the first MRI, see `tfdrift.cohort.gtv_regions`.
    """
    held_out, inside = answers.held_out, answers.gtv
    row = np.nonzero(inside)[0]
    return _spread_values(
        answers.drift[:, inside],
        held_out.drift[inside].astype(np.float64),
        region=gtv_regions(held_out.pre_mask)[inside],
        regions=len(REGIONS),
        patient=held_out.patient[row],
        lesion=lesions_of(held_out).owner[row],
        group=answers.group[row],
    )


def volume_values(answers: Answers) -> SpreadValues:
    """Return the volume ratios of all lesions, which are one region."""
    lesions = lesions_of(answers.held_out)
    each = np.arange(len(lesions.name))
    return _spread_values(
        answers.ratios,
        lesions.ratio,
        region=np.zeros_like(each),
        regions=1,
        patient=lesions.patient,
        lesion=each,
        group=of_lesions(answers.group, answers.held_out),
    )


def _spread_values(
    outcomes: np.ndarray,
    truth: np.ndarray,
    *,
    region: np.ndarray,
    regions: int,
    patient: np.ndarray,
    lesion: np.ndarray,
    group: np.ndarray,
) -> SpreadValues:
    low, high = interval(outcomes, conformal.COVERAGE)
    values = Values(conformal.scores(truth, low, high), spread(outcomes), region, patient, regions)
    return SpreadValues(values, low, high, lesion, group)


def slice_crps(answers: Answers) -> np.ndarray:
    """Return the mean CRPS of the drift over the pixels of each slice's GTV, float64 [n]."""
    inside = answers.gtv
    pixels, row = inside.sum(axis=image_axes(inside)), np.nonzero(inside)[0]
    found = crps(answers.drift[:, inside], answers.held_out.drift[inside].astype(np.float64))
    return np.bincount(row, found, minlength=len(pixels)) / pixels


def drift_uncertainty(answers: Answers) -> SpreadScores:
    """Return what the outcomes' spread says about the drift's error in the pixels of the GTV."""
    held_out, inside = answers.held_out, answers.gtv
    outcomes, truth = answers.drift[:, inside], held_out.drift[inside].astype(np.float64)
    row = np.nonzero(inside)[0]
    spreads, errors = spread(answers.drift), np.abs(answers.drift.mean(axis=0) - held_out.drift)
    between = [np.sqrt(squared_errors(values, np.zeros_like(values), inside)) for values in (spreads, errors)]
    found = interval_coverage(outcomes, truth, patient=held_out.patient[row], group=answers.group[row])
    return SpreadScores(
        **vars(found),
        crps=mean_interval(slice_crps(answers), held_out.patient),
        copy_crps=mean_interval(absolute_errors(copy(held_out), held_out.post, inside), held_out.patient),
        spread_error=mean_interval(spread_error_correlation(spreads, errors, inside), held_out.patient),
        spread_error_between=bootstrap_interval(
            lambda rows: rank_correlation(between[0][rows], between[1][rows]), held_out.patient
        ),
        error_by_spread=error_by_spread(spreads[inside], errors[inside]),
    )


def volume_uncertainty(answers: Answers) -> SpreadScores:
    """Return what the outcomes' spread says about the error of the volume ratio of the lesions."""
    lesions = lesions_of(answers.held_out)
    spreads, errors = spread(answers.ratios), np.abs(answers.ratios.mean(axis=0) - lesions.ratio)
    group = of_lesions(answers.group, answers.held_out)
    found = interval_coverage(answers.ratios, lesions.ratio, patient=lesions.patient, group=group)
    return SpreadScores(
        **vars(found),
        crps=mean_interval(crps(answers.ratios, lesions.ratio), lesions.patient),
        copy_crps=mean_interval(np.abs(1 - lesions.ratio), lesions.patient),
        spread_error_between=bootstrap_interval(
            lambda rows: rank_correlation(spreads[rows], errors[rows]), lesions.patient
        ),
    )
