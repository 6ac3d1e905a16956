"""For which lesions a method is good: scores by the lesions' size, and by how much really changed.

Size is known beforehand, the change only afterwards. Groups by the change say where the errors are; no interval can
promise its coverage in them, since a truth far from what was expected is what makes a change large.
"""

import dataclasses

import numpy as np

from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.metrics import skill_interval, squared_errors
from tfdrift.evaluation.response import lesions_of, of_lesions
from tfdrift.evaluation.uncertainty import CalibratedInterval, calibrated_interval, slice_crps
from tfdrift.statistics import conformal
from tfdrift.statistics.intervals import Estimate, mean_interval

GROUPS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stratum:
    """Scores of the lesions whose size or change lies between two values.

    Args:
        low: smallest value of the lesions here.
        high: largest.
        patients: who have such a lesion.
        lesions: of them.
        skill: over copy, of the mean outcome.
        crps: of the drift in the GTV.
        drift_coverage: share of pixels in the 90% interval, mean over patients, `raw` and `calibrated`; as in
            `tfdrift.evaluation.uncertainty.Coverage` the margin is that of all lesions; only `raw` where the patients
            are too few.
        volume_coverage: the same of the lesions' volume ratio.
    """

    low: float
    high: float
    patients: int
    lesions: int
    skill: Estimate
    crps: Estimate
    drift_coverage: dict[str, Estimate]
    volume_coverage: dict[str, Estimate]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strata:
    """Scores of groups of lesions, as many lesions in each as quantiles make them.

    Args:
        size: by the volume at the first MRI in mm3.
        change: by the root mean square of the true drift in the GTV, in units of the first MRI's largest signal.
    """

    size: list[Stratum]
    change: list[Stratum]


def strata(answers: Answers) -> Strata:
    """Return the scores by size and by change.

    Source: Lerch, Thorarinsdottir, Ravazzolo and Gneiting (2017), why scores by what happened mislead a ranking.
    """
    held_out, inside = answers.held_out, answers.gtv
    lesions = lesions_of(held_out)
    changed = squared_errors(held_out.drift, np.zeros_like(held_out.drift), inside)
    change = np.sqrt(np.bincount(lesions.owner, changed) / np.bincount(lesions.owner))
    mse, crps = squared_errors(answers.post.mean(axis=0), held_out.post), slice_crps(answers)
    row = np.nonzero(inside)[0]
    drift_ends = calibrated_interval(
        answers.drift[:, inside],
        held_out.drift[inside].astype(np.float64),
        patient=held_out.patient[row],
        group=answers.group[row],
    )
    volume_ends = calibrated_interval(
        answers.ratios, lesions.ratio, patient=lesions.patient, group=of_lesions(answers.group, held_out)
    )

    def covered(ends: CalibratedInterval, patient: np.ndarray, here: np.ndarray) -> dict[str, Estimate]:
        return {
            kind: mean_interval(
                conformal.coverage_by_patient(ends.score[here], patient[here], margin[here]), np.unique(patient[here])
            )
            for kind, margin in ends.margins.items()
        }

    def stratum(values: np.ndarray, chosen: np.ndarray) -> Stratum:
        rows = chosen[lesions.owner]
        patient = held_out.patient[rows]
        return Stratum(
            low=float(values[chosen].min()),
            high=float(values[chosen].max()),
            patients=len(set(patient.tolist())),
            lesions=int(chosen.sum()),
            skill=skill_interval(mse[rows], answers.copy_mse[rows], patient),
            crps=mean_interval(crps[rows], patient),
            drift_coverage=covered(drift_ends, held_out.patient[row], rows[row]),
            volume_coverage=covered(volume_ends, lesions.patient, chosen),
        )

    return Strata(
        **{
            name: [stratum(values, chosen) for chosen in quantile_groups(values)]
            for name, values in (("size", lesions.pre_mm3), ("change", change))
        }
    )


def quantile_groups(values: np.ndarray, groups: int = GROUPS) -> list[np.ndarray]:
    """Return groups of equal size from the smallest values to the largest, each as bool [m].

    Args:
        values: float [m].
        groups: how many; fewer where equal values fill more than one.

    Example:
        >>> [group.tolist() for group in quantile_groups(np.array([3.0, 1.0, 2.0]))]
        [[False, True, False], [False, False, True], [True, False, False]]
    """
    edges = np.quantile(values, np.linspace(0, 1, groups + 1)[1:-1])
    number = np.searchsorted(edges, values, side="left")
    return [number == one for one in np.unique(number)]
