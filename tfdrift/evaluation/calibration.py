"""By how much a new patient's 90% intervals must be widened, and which runs that was measured on.

Where `tfdrift.evaluation.uncertainty` asks how honest calibrated intervals are, and so calibrates each patient on
others, this is what those patients have to say about one who is none of them: all of them count.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdrift.config import NOT_DECIDING, TrainConfig, differences
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.response import lesions_of
from tfdrift.evaluation.uncertainty import interval
from tfdrift.statistics import conformal


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

    def volume_interval(self, raw_mm3: tuple[float, float], volume_mm3: float) -> tuple[float, float]:
        """Return the calibrated interval of a lesion's volume; no truth is lost by ending it at 0.

        Args:
            raw_mm3: 5% and 95% quantile of the outcomes.
            volume_mm3: of the lesion now.

        Example:
            >>> some = dict(drift_margin=0.1, patients=39, outcomes=16, runs=1, step=1, fingerprint="", settings={})
            >>> calibration = Calibration(coverage=0.9, volume_margin=0.25, **some)
            >>> calibration.volume_interval((100.0, 900.0), 1000.0)
            (0.0, 1150.0)
        """
        low, high = raw_mm3
        out = self.volume_margin * volume_mm3
        return max(low - out, 0.0), high + out


def calibrate(answers: Answers) -> Calibration:
    """Return the margins that all held-out patients together ask for.

    A margin is never below 0: outcomes that spread too far are not made narrower.

    Args:
        answers: of a run, an ensemble, or one of either for each of several folds.

    Source: see `tfdrift.statistics.conformal.margin`.
    """
    lesions, inside = lesions_of(answers.held_out), answers.gtv
    volume_margin = _margin(answers.ratios, lesions.ratio, lesions.patient)
    of_pixel = answers.held_out.patient[np.nonzero(inside)[0]]
    drift_margin = _margin(answers.drift[:, inside], answers.held_out.drift[inside].astype(np.float64), of_pixel)
    settings = dataclasses.asdict(answers.config.without_paths())
    return Calibration(
        coverage=conformal.COVERAGE,
        volume_margin=volume_margin,
        drift_margin=drift_margin,
        patients=len(set(answers.held_out.patient.tolist())),
        outcomes=len(answers.post),
        runs=answers.members,
        step=answers.step,
        fingerprint=answers.fingerprint,
        settings={name: value for name, value in settings.items() if name not in NOT_DECIDING | {"fold", "seed"}},
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
    counts = {"steps": (calibration.step, facts["step"]), "runs": (calibration.runs, runs)}
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
        calibration = Calibration(**document)
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
    except (TypeError, ValueError, ArithmeticError) as error:
        raise _unreadable(where, error) from None


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(f"{where} holds a calibration this version cannot read ({error!r}); make it again")


def _margin(outcomes: np.ndarray, truth: np.ndarray, patient: np.ndarray) -> float:
    low, high = interval(outcomes, conformal.COVERAGE)
    return max(conformal.margin(conformal.scores(truth, low, high), patient, conformal.COVERAGE), 0.0)
