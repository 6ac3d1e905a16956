"""By how much a new patient's 90% intervals must be widened, and which runs that was measured on.

Where `tfdrift.evaluation.uncertainty` asks how honest calibrated intervals are, and so calibrates each patient on
others, this is what those patients have to say about one who is none of them: all of them count.

A constant margin is the same for every value; an adaptive one is in proportion to a scale, see
`tfdrift.statistics.adaptive`. How either does on the held-out patients stands side by side.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdrift.cohort.gtv_regions import REGIONS
from tfdrift.config import TrainConfig, differences, not_deciding
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.decisions import Decided, decide_by_interval
from tfdrift.evaluation.response import Lesions, lesions_of
from tfdrift.evaluation.strata import quantile_groups
from tfdrift.evaluation.uncertainty import SpreadValues, drift_values, volume_values
from tfdrift.statistics import adaptive, conformal
from tfdrift.statistics.adaptive import AdaptiveMargin, Widening
from tfdrift.statistics.intervals import Estimate, mean_interval, ratio_interval

CONSTANT, ADAPTIVE = "constant", "adaptive"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveCalibration:
    """Margins for a new patient that adapt.

    Args:
        volume: of a lesion's volume, in units of its volume now; one region.
        drift: of a pixel's drift, in units of the largest signal of the slice's first MRI; regions as in `REGIONS`.
    """

    volume: AdaptiveMargin
    drift: AdaptiveMargin


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """Margins for a new patient, and what they belong to.

    Args:
        coverage: share of a new patient's values that the widened intervals hold, on average over patients.
        volume_margin: how far both ends of a lesion's interval of volumes move out, in units of its volume now;
            infinite where the patients are too few for the promise.
        drift_margin: the same of a pixel's drift, in units of the largest signal of the slice's first MRI.
        patients: who were held out, each predicted by a run that had not seen it.
        outcomes: N, of each slice, between whose quantiles the raw intervals run.
        runs: that share the outcomes; 1 if it is no ensemble.
        step: that the runs were trained for.
        fingerprint: of the data.
        settings: of the runs, those that decide the weights; which fold was held out and the seed left out.
        adaptive: margins that adapt; None where the patients are too few, and of evaluations before there were any.
    """

    coverage: float
    volume_margin: float
    drift_margin: float
    patients: int
    outcomes: int
    runs: int
    step: int
    fingerprint: str
    settings: Mapping[str, Any]
    adaptive: AdaptiveCalibration | None = None

    def volume_interval(
        self, raw_mm3: tuple[float, float], volume_mm3: float, spread_mm3: float
    ) -> tuple[float, float]:
        """Return the calibrated interval of a lesion's volume, adaptive where the calibration is.

        No truth is lost by ending it at 0.

        Args:
            raw_mm3: 5% and 95% quantile of the outcomes.
            volume_mm3: of the lesion now.
            spread_mm3: standard deviation of the outcomes' volumes.

        Example:
            >>> some = dict(drift_margin=0.1, patients=39, outcomes=16, runs=1, step=1, fingerprint="", settings={})
            >>> calibration = Calibration(coverage=0.9, volume_margin=0.25, **some)
            >>> calibration.volume_interval((100.0, 900.0), 1000.0, 250.0)
            (0.0, 1150.0)
        """
        low, high = raw_mm3
        margin = self.volume_margin
        if self.adaptive is not None:
            margin = float(self.adaptive.volume.at(np.array(spread_mm3 / volume_mm3), np.array(0)))
        return max(low - margin * volume_mm3, 0.0), high + margin * volume_mm3

    def drift_margins(self, spread: np.ndarray, region: np.ndarray) -> np.ndarray:
        """Return by how much both ends of each pixel's interval of drift move out, adaptive where the calibration is.

        Args:
            spread: float [...], standard deviation of the outcomes' drift, in units of the slice's largest signal.
            region: int [...], number in `REGIONS`.

        Returns:
            float64 [...], in the same unit.
        """
        if self.adaptive is None:
            return np.full(spread.shape, self.drift_margin)
        return self.adaptive.drift.at(spread, region)


def calibrate(answers: Answers) -> Calibration:
    """Return the margins that all held-out patients together ask for.

    A margin is never below 0: outcomes that spread too far are not made narrower.

    Args:
        answers: of a run, an ensemble, or one of either for each of several folds.

    Source: see `tfdrift.statistics.conformal.margin`.
    """
    volumes, drift = volume_values(answers).values, drift_values(answers).values
    settings = dataclasses.asdict(answers.config.without_paths())
    left_out = not_deciding(answers.config) | {"fold", "seed"}
    return Calibration(
        coverage=conformal.COVERAGE,
        volume_margin=_margin(volumes),
        drift_margin=_margin(drift),
        patients=len(set(answers.held_out.patient.tolist())),
        outcomes=len(answers.post),
        runs=answers.members,
        step=answers.step,
        fingerprint=answers.fingerprint,
        settings={name: value for name, value in settings.items() if name not in left_out},
        adaptive=_adaptive(volumes, drift),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoverageGroup:
    """Coverage and width of the values of some lesions, or of one region of them, by `constant` and `adaptive` margins.

    Args:
        low: smallest value of what the lesions are grouped by; None for a region.
        high: largest.
        lesions: that have such values.
        coverage: mean over their patients.
        width: mean over all values here.
    """

    low: float | None
    high: float | None
    lesions: int
    coverage: dict[str, Estimate]
    width: dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MarginComparison:
    """Intervals with `constant` and with `adaptive` margins on the same held-out patients, promised 90%.

    Args:
        coverage: observed, mean over patients.
        width: mean over all values.
        interval_score: mean over all values of `tfdrift.statistics.adaptive.interval_scores`; small is good.
        width_ratio: mean width of the adaptive intervals over that of the constant ones, either moved in hindsight so
            that it covers 90% of these patients' values.
        by_size: thirds of the lesions by volume at the first MRI in mm3.
        by_predicted_change: thirds of the lesions, of drift by the root mean square of the mean outcome in the GTV of
            the first MRI, of volumes by the mean outcome of the ratio minus 1.
        by_region: by the name of the region; empty for volumes.
        calibration_patients: the fewest that any group's adaptive margin was calibrated on.
        learning_patients: the fewest that any group's scale was learned on.
    """

    coverage: dict[str, Estimate]
    width: dict[str, float]
    interval_score: dict[str, float]
    width_ratio: Estimate
    by_size: list[CoverageGroup]
    by_predicted_change: list[CoverageGroup]
    by_region: dict[str, CoverageGroup]
    calibration_patients: int
    learning_patients: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveMargins:
    """What adaptive margins do for a method beside constant ones.

    Args:
        drift: of the pixels of the GTV.
        volume: of the lesions' volume ratio.
        decided: lesions put on one side of 80% of their volume by the whole interval, `constant` and `adaptive`.
    """

    drift: MarginComparison
    volume: MarginComparison
    decided: dict[str, Decided]


def adaptive_margins(answers: Answers) -> AdaptiveMargins | None:
    """Return constant and adaptive margins side by side, every patient's by other patients; None for too few of them.

    Args:
        answers: about the held-out patients.
    """
    held_out, lesions = answers.held_out, lesions_of(answers.held_out)
    volumes, drift = volume_values(answers), drift_values(answers)
    of_volumes, of_drift = _widenings(volumes), _widenings(drift)
    if of_volumes is None or of_drift is None:
        return None
    inside = held_out.pre_mask
    pixels = lesions.owner[np.nonzero(inside)[0]]
    squares = np.bincount(pixels, answers.drift.mean(axis=0)[inside] ** 2, minlength=len(lesions.name))
    change = np.sqrt(squares / np.bincount(pixels, minlength=len(lesions.name)))
    widened = {kind: np.maximum(found.out, 0) for kind, found in of_volumes.items()}  # as in `tfdrift predict`
    return AdaptiveMargins(
        drift=_compare(drift, of_drift, lesions, change, regions=REGIONS),
        volume=_compare(volumes, of_volumes, lesions, answers.ratios.mean(axis=0) - 1),
        decided={
            kind: decide_by_interval(volumes.low - out, volumes.high + out, lesions) for kind, out in widened.items()
        },
    )


def read_calibration(folder: Path, config: TrainConfig, facts: Mapping[str, Any], *, runs: int = 1) -> Calibration:
    """Return the calibration that an evaluation found, if it holds for a run, or for an ensemble of runs.

    Args:
        folder: of `tfdrift crossval` or `tfdrift evaluate`.
        config: of the run.
        facts: what stands beside its settings, and the `step` of its weights.
        runs: that share the outcomes; the settings and facts are those of the first.

    Raises:
        DataError: the folder holds no calibration, one of too few patients, or one of runs with other settings, other
            data or other steps than this one.
    """
    try:
        document = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["calibration"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} holds no calibration ({type(error).__name__}); give a folder that `tfdrift crossval` or "
            "`tfdrift evaluate` wrote; if it is an old one, give the same command again"
        ) from None
    calibration = as_calibration(document, str(folder))
    try:
        theirs = TrainConfig(**calibration.settings)
    except (TypeError, UsageError) as error:
        raise _unreadable(str(folder), error) from None
    if calibration.fingerprint != facts["data"]["fingerprint"]:
        raise DataError(
            f"{folder} was calibrated on other data than the run was trained on; cross-validate on its data"
        )
    found = differences(theirs, dataclasses.replace(config, fold=theirs.fold, seed=theirs.seed))
    counts = {"runs": (calibration.runs, runs)}
    if not config.inner_folds:  # where each fold chooses its own
        counts["steps"] = (calibration.step, facts["step"])
    found += [f"{name}: {measured}, not {ours}" for name, (measured, ours) in counts.items() if measured != ours]
    if found:
        raise DataError(
            f"{folder} was calibrated with other settings than the run's ({'; '.join(found)}); cross-validate with the "
            "run's settings"
        )
    return calibration


def as_calibration(document: Any, where: str) -> Calibration:
    """Return the calibration that a JSON document describes.

    Args:
        document: `dataclasses.asdict` of one, with None for a margin that is infinite.
        where: it comes from, for the message.

    Raises:
        DataError: it is no calibration that can be used.
    """
    try:
        calibration = Calibration(**{**document, "adaptive": _as_adaptive(document.get("adaptive"))})
        needed = conformal.fewest_patients(calibration.coverage)
        if calibration.patients < needed:
            raise DataError(
                f"{where} was calibrated on {calibration.patients} patients, and a promise of "
                f"{calibration.coverage:.0%} takes {needed} or more; `tfdrift crossval` has all of them"
            )
        margins = calibration.volume_margin, calibration.drift_margin
        if calibration.coverage != conformal.COVERAGE or not all(0 <= margin < math.inf for margin in margins):
            raise ValueError("margins")
        return calibration
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise _unreadable(where, error) from None


def _as_adaptive(document: Any) -> AdaptiveCalibration | None:
    """Return the adaptive margins of a document, None where it has none, as those of old evaluations."""
    if document is None:
        return None
    found = AdaptiveCalibration(**{name: AdaptiveMargin(**entry) for name, entry in document.items()})
    for one, regions in ((found.volume, 1), (found.drift, len(REGIONS))):
        above_zero = one.floor, *one.weights
        if len(one.weights) != regions or not all(0 < number < math.inf for number in above_zero):
            raise ValueError("scale")
        if not 0 <= one.margin < math.inf:
            raise ValueError("margins")
    return found


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(f"{where} holds a calibration this version cannot read ({error!r}); make it again")


def _margin(values: adaptive.Values) -> float:
    return max(conformal.margin(values.score, values.patient, conformal.COVERAGE), 0.0)


def _adaptive(volumes: adaptive.Values, drift: adaptive.Values) -> AdaptiveCalibration | None:
    volume, pixel = (adaptive.calibrate(values, conformal.COVERAGE) for values in (volumes, drift))
    if volume is None or pixel is None:
        return None
    return AdaptiveCalibration(volume=_not_below_zero(volume), drift=_not_below_zero(pixel))


def _not_below_zero(found: AdaptiveMargin) -> AdaptiveMargin:
    return dataclasses.replace(found, margin=max(found.margin, 0.0))


def _widenings(spread: SpreadValues) -> dict[str, Widening] | None:
    """Return what the patients of other groups ask for by kind of margin, None where they are too few for either."""
    values, group = spread.values, spread.group
    found = adaptive.widen(values, group, conformal.COVERAGE)
    if found is None:
        return None
    constant = conformal.margins(values.score, values.patient, group, conformal.COVERAGE)
    others = [len(np.unique(values.patient[group != number])) for number in np.unique(group)]
    return {CONSTANT: Widening(constant, np.ones_like(constant), 0, min(others)), ADAPTIVE: found}


def _compare(
    spread: SpreadValues,
    widenings: Mapping[str, Widening],
    lesions: Lesions,
    predicted_change: np.ndarray,
    *,
    regions: Sequence[str] = (),
) -> MarginComparison:
    values, raw_width = spread.values, spread.high - spread.low
    width = {kind: np.maximum(raw_width + 2 * found.out, 0) for kind, found in widenings.items()}

    def coverage_of(chosen: np.ndarray) -> dict[str, Estimate]:
        patient = values.patient[chosen]
        return {
            kind: mean_interval(
                conformal.coverage_by_patient(values.score[chosen], patient, found.out[chosen]), np.unique(patient)
            )
            for kind, found in widenings.items()
        }

    def group_of(chosen: np.ndarray, low: float | None = None, high: float | None = None) -> CoverageGroup:
        return CoverageGroup(
            low=low,
            high=high,
            lesions=len(np.unique(spread.lesion[chosen])),
            coverage=coverage_of(chosen),
            width={kind: float(np.mean(one[chosen])) for kind, one in width.items()},
        )

    def thirds(of_lesions: np.ndarray) -> list[CoverageGroup]:
        return [
            group_of(chosen[spread.lesion], float(of_lesions[chosen].min()), float(of_lesions[chosen].max()))
            for chosen in quantile_groups(of_lesions)
        ]

    hindsight = {}
    for kind, found in widenings.items():
        more = conformal.quantile(values.score / found.scale - found.margin, values.patient, conformal.COVERAGE)
        hindsight[kind] = np.maximum(raw_width + 2 * (found.margin + more) * found.scale, 0)
    every = np.ones(len(raw_width), bool)
    return MarginComparison(
        coverage=coverage_of(every),
        width={kind: float(np.mean(one)) for kind, one in width.items()},
        interval_score={
            kind: float(np.mean(adaptive.interval_scores(values.score, width[kind], found.out, conformal.COVERAGE)))
            for kind, found in widenings.items()
        },
        width_ratio=ratio_interval(hindsight[ADAPTIVE], hindsight[CONSTANT], values.patient),
        by_size=thirds(lesions.pre_mm3),
        by_predicted_change=thirds(predicted_change),
        by_region={
            name: group_of(values.region == number)
            for number, name in enumerate(regions)
            if (values.region == number).any()
        },
        calibration_patients=widenings[ADAPTIVE].calibrated_on,
        learning_patients=widenings[ADAPTIVE].learned_on,
    )
