"""All scores of some answers: images, drift, volumes, response, and how honest the spread of the outcomes is.

A method's answer is the mean of its outcomes, which is what a careful user of several samples would show; the score of
a single outcome stands beside it.
"""

from typing import Any

import numpy as np

from tfdrift.evaluation import baselines, conformal
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.intervals import Estimate, bootstrap_interval, mean_interval, ratio_interval
from tfdrift.evaluation.metrics import (
    absolute_errors,
    drift_correlation,
    psnr,
    sign_agreement,
    skill_interval,
    squared_errors,
    ssim,
)
from tfdrift.evaluation.response import area_ratios, auc, lesions_of
from tfdrift.evaluation.uncertainty import (
    crps,
    error_by_spread,
    interval,
    rank_correlation,
    spread,
    spread_error_correlation,
)
from tfdrift.evaluation.volumes import predicted_mask
from tfdrift.training.losses import IMAGE_RANGE

NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Columns = dict[str, np.ndarray]


def gtv(answers: Answers) -> np.ndarray:
    """Return where either session has its GTV, bool [n, S, S, 1]: both images are zero elsewhere, whatever happens."""
    return answers.held_out.pre_mask | answers.held_out.post_mask


def slice_columns(answers: Answers, post: np.ndarray, drift: np.ndarray) -> Columns:
    """Return the scores of each slice of one prediction, float64 [n] by name.

    Args:
        answers: give the truth.
        post: float [n, S, S, 1].
        drift: float [n, S, S, 1].
    """
    held_out, inside = answers.held_out, gtv(answers)
    columns = {
        "mse": squared_errors(post, held_out.post),
        "mae": absolute_errors(post, held_out.post),
        "ssim": ssim(post, held_out.post, data_range=IMAGE_RANGE),
        "gtv_mse": squared_errors(post, held_out.post, inside),
        "gtv_mae": absolute_errors(post, held_out.post, inside),
        "gtv_ssim": ssim(post, held_out.post, data_range=IMAGE_RANGE, inside=inside),
        "drift_mse": squared_errors(drift, held_out.drift),
        "drift_correlation": drift_correlation(drift, held_out.drift, inside),
        "sign_agreement": sign_agreement(drift, held_out.drift, inside),
    }
    return {
        **columns,
        "psnr": psnr(columns["mse"], data_range=IMAGE_RANGE),
        "gtv_psnr": psnr(columns["gtv_mse"], data_range=IMAGE_RANGE),
    }


def predictions(answers: Answers) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (post, drift), each [n, S, S, 1], of the baselines, of one outcome and of the outcomes' mean, by name."""
    pre = answers.held_out.pre
    found = {
        "copy": (baselines.copy(answers.held_out), np.zeros_like(pre)),
        "mean drift": (answers.mean_drift, answers.mean_drift - pre),
        "one outcome": (answers.post[0], answers.drift[0]),
    }
    if len(answers.post) > 1:
        found["mean outcome"] = (answers.post.mean(axis=0), answers.drift.mean(axis=0))
    return found


def image_scores(columns: Columns, copy_mse: np.ndarray, patient: np.ndarray) -> dict[str, Estimate]:
    """Return the scores over all slices with their intervals over patients.

    Args:
        columns: of `slice_columns`.
        copy_mse: float [n], squared errors of post = pre.
        patient: str [n].
    """
    return {
        "skill": skill_interval(columns["mse"], copy_mse, patient),
        "drift_skill": skill_interval(columns["drift_mse"], copy_mse, patient),
        **{name: mean_interval(values, patient) for name, values in columns.items()},
    }


def ratio_outcomes(answers: Answers, post: np.ndarray) -> np.ndarray:
    """Return the volume ratio of each lesion in each outcome, float64 [N, m].

    Args:
        answers: give the lesions, and the exponent that the training patients teach.
        post: float [N, n, S, S, 1].
    """
    scale = np.ones(len(answers.held_out))
    masks = np.stack([predicted_mask(outcome[..., 0], scale)[..., None] for outcome in post])
    return area_ratios(masks, answers.held_out) ** _of_lesions(answers, answers.exponent)


def clinical_scores(answers: Answers, ratio: np.ndarray) -> dict[str, Estimate]:
    """Return how well predicted volumes and the response groups they stand for are.

    Args:
        answers: give the truth, and the cut that the training patients teach.
        ratio: float [m], predicted volume at the second MRI over that at the first.

    Returns:
        `volume_error` and `volume_bias` in units of the volume at the first MRI; `response_accuracy` and `response_auc`
        of group A, NaN where no follow-up or only one group is known.
    """
    lesions = lesions_of(answers.held_out)
    known = ~np.isnan(lesions.poor)
    cut = _of_lesions(answers, answers.cut)
    right = np.where(known & ~np.isnan(cut), (ratio >= cut) == (lesions.poor == 1), np.nan)
    score, poor = ratio[known], lesions.poor[known] == 1
    return {
        "volume_error": mean_interval(np.abs(ratio - lesions.ratio), lesions.patient),
        "volume_bias": mean_interval(ratio - lesions.ratio, lesions.patient),
        "response_accuracy": mean_interval(right, lesions.patient),
        "response_auc": bootstrap_interval(lambda rows: auc(score[rows], poor[rows]), lesions.patient[known])
        if known.any()
        else Estimate(*[float("nan")] * 3),
    }


def response_table(answers: Answers) -> dict[str, dict[str, Estimate]]:
    """Return `clinical_scores` of the baselines, of the outcomes' mean, and of the true second MRI by its slices.

    The last one is what remains if the prediction is perfect: three slices do not give a volume exactly, and the second
    MRI does not decide the follow-up.
    """
    true_ratio = area_ratios(answers.held_out.post_mask, answers.held_out) ** _of_lesions(answers, answers.exponent)
    return {
        "copy": clinical_scores(answers, np.ones_like(true_ratio)),
        "mean drift": clinical_scores(answers, ratio_outcomes(answers, answers.mean_drift[None])[0]),
        "one outcome": clinical_scores(answers, ratio_outcomes(answers, answers.post[:1])[0]),
        "mean outcome": clinical_scores(answers, ratio_outcomes(answers, answers.post).mean(axis=0)),
        "true second MRI": clinical_scores(answers, true_ratio),
    }


def drift_uncertainty(answers: Answers) -> dict[str, Any]:
    """Return what the outcomes' spread says about the drift's error in the pixels of the GTV."""
    held_out, inside = answers.held_out, gtv(answers)
    outcomes, truth = answers.drift[:, inside], held_out.drift[inside].astype(np.float64)
    row = np.nonzero(inside)[0]
    spreads, errors = spread(answers.drift), np.abs(answers.drift.mean(axis=0) - held_out.drift)
    pixels = inside.sum(axis=(1, 2, 3))
    between = [np.sqrt(squared_errors(values, np.zeros_like(values), inside)) for values in (spreads, errors)]
    return {
        "crps": ratio_interval(
            np.bincount(row, crps(outcomes, truth), minlength=len(pixels)) / pixels,
            np.ones(len(pixels)),
            held_out.patient,
        ),
        "copy_crps": mean_interval(absolute_errors(held_out.pre, held_out.post, inside), held_out.patient),
        "spread_error": mean_interval(spread_error_correlation(spreads, errors, inside), held_out.patient),
        "spread_error_between": bootstrap_interval(
            lambda rows: rank_correlation(between[0][rows], between[1][rows]), held_out.patient
        ),
        "error_by_spread": error_by_spread(spreads[inside], errors[inside]),
        **interval_coverage(outcomes, truth, patient=held_out.patient[row], group=answers.group[row]),
    }


def volume_uncertainty(answers: Answers) -> dict[str, Any]:
    """Return what the outcomes' spread says about the error of the volume ratio of the lesions."""
    lesions = lesions_of(answers.held_out)
    outcomes = ratio_outcomes(answers, answers.post)
    spreads, errors = spread(outcomes), np.abs(outcomes.mean(axis=0) - lesions.ratio)
    group = _of_lesions(answers, answers.group)
    return {
        "crps": mean_interval(crps(outcomes, lesions.ratio), lesions.patient),
        "copy_crps": mean_interval(np.abs(1 - lesions.ratio), lesions.patient),
        "spread_error_between": bootstrap_interval(
            lambda rows: rank_correlation(spreads[rows], errors[rows]), lesions.patient
        ),
        **interval_coverage(outcomes, lesions.ratio, patient=lesions.patient, group=group),
    }


def interval_coverage(
    outcomes: np.ndarray, truth: np.ndarray, *, patient: np.ndarray, group: np.ndarray
) -> dict[str, Any]:
    """Return how much of the truth the intervals cover, raw and calibrated on the patients of other groups.

    Args:
        outcomes: float [N, m].
        truth: float [m].
        patient: str [m], whose they are; each patient's share of covered values counts the same.
        group: int [m], see `tfdrift.evaluation.conformal.margins`.

    Returns:
        `coverage` and `width` of the 90% interval, `raw` and `calibrated`, the latter None where the calibration
        patients are too few; `calibration_patients`, the fewest that any group was calibrated on; and `reliability`,
        the same coverages without interval at each nominal level.
    """
    reliability, coverage, width = [], {}, {}
    for nominal in NOMINAL:
        low, high = interval(outcomes, nominal)
        scores = conformal.scores(truth, low, high)
        margins = conformal.margins(scores, patient, group, nominal)
        shares = {"raw": conformal.coverage_by_patient(scores, patient, 0.0)}
        widths = {"raw": high - low}
        if np.isfinite(margins).all():
            shares["calibrated"] = conformal.coverage_by_patient(scores, patient, margins)
            widths["calibrated"] = np.maximum(high - low + 2 * margins, 0)
        reliability.append(
            {"nominal": nominal, **{name: float(np.mean(shares[name])) if name in shares else None for name in _KINDS}}
        )
        if nominal == conformal.COVERAGE:
            names = np.unique(patient)
            coverage = {name: mean_interval(shares[name], names) if name in shares else None for name in _KINDS}
            width = {name: float(np.mean(widths[name])) if name in widths else None for name in _KINDS}
    others = [len(set(patient[group != number].tolist())) for number in np.unique(group)]
    return {
        "nominal": conformal.COVERAGE,
        "coverage": coverage,
        "width": width,
        "calibration_patients": min(others),
        "patients_needed": conformal.fewest_patients(conformal.COVERAGE),
        "reliability": reliability,
    }


def level_scores(answers: Answers, copy_mse: np.ndarray) -> dict[str, Any]:
    """Return the skill at each level, the best one, and the honest skill of choosing a level.

    Args:
        answers: of a run.
        copy_mse: float [n], squared errors of post = pre.

    Returns:
        `levels`, each with `skill` and `drift_skill`; `best_level`, chosen on these very patients, so that its skill
        flatters; `chosen_level`, the `skill` when each group's level is chosen on the patients of the others.
    """
    patient = answers.held_out.patient
    posts = [skill_interval(errors, copy_mse, patient) for errors in answers.level_post_errors]
    drifts = [skill_interval(errors, copy_mse, patient) for errors in answers.level_drift_errors]
    levels = [
        {
            "level": level,
            "skill": post.value,
            "drift_skill": drift.value,
            "skill_interval": post,
            "drift_interval": drift,
        }
        for level, post, drift in zip(answers.levels, posts, drifts, strict=True)
    ]
    chosen = np.empty_like(copy_mse)
    for number in np.unique(answers.group):
        others = answers.group != number
        best = int(np.argmin(answers.level_post_errors[:, others].sum(axis=1)))
        chosen[~others] = answers.level_post_errors[best, ~others]
    return {
        "levels": levels,
        "best_level": max(levels, key=lambda entry: entry["skill"]),
        "chosen_level": {"skill": skill_interval(chosen, copy_mse, patient)},
    }


_KINDS = ("raw", "calibrated")


def _of_lesions(answers: Answers, values: np.ndarray) -> np.ndarray:
    """Return one value a lesion of what is known for each slice."""
    return values[np.unique(answers.held_out.lesion, return_index=True)[1]]
