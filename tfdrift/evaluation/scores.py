"""Scores of predictions, one pipeline for every method: each slice, all slices with their intervals, and each level.

A method's answer is the mean of its outcomes, which is what a careful user of several outcomes would show; the score of
a single outcome stands beside it.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from tfdrift.cohort.samples import Samples
from tfdrift.evaluation import baselines
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.metrics import METRICS, skill, skill_interval
from tfdrift.evaluation.response import area_ratios, of_lesions, ratio_outcomes, response_scores
from tfdrift.statistics.intervals import Estimate, mean_interval

COPY, MEAN_DRIFT, NEAREST = "copy", "mean drift", "nearest lesion"
PERFECT, ONE = "true second MRI", ", one outcome"

Columns = dict[str, np.ndarray]


def slice_scores(held_out: Samples, post: np.ndarray, drift: np.ndarray, *, names: Iterable[str] = METRICS) -> Columns:
    """Return the scores of each slice of one prediction.

    Args:
        held_out: the truth about n slices.
        post: float [n, ..., S, S, 1], predicted.
        drift: float [n, ..., S, S, 1], predicted.
        names: which of `METRICS`.

    Returns:
        float64 [n] by name.
    """
    predicted, true = {"post": post, "drift": drift}, {"post": held_out.post, "drift": held_out.drift}
    gtv = held_out.pre_mask | held_out.post_mask
    metrics = {name: METRICS[name] for name in names}
    return {name: metric.function(predicted[metric.of], true[metric.of], gtv) for name, metric in metrics.items()}


def image_scores(columns: Columns, copy_mse: np.ndarray, patient: np.ndarray) -> dict[str, Estimate]:
    """Return the scores over all slices with their intervals over patients, the skills first.

    Args:
        columns: of `slice_scores`, float64 [n] by name.
        copy_mse: float64 [n], squared errors of no change.
        patient: str [n].
    """
    skills = {
        named: skill_interval(values, copy_mse, patient)
        for name, values in columns.items()
        if (named := METRICS[name].skill)
    }
    return {**skills, **{name: mean_interval(values, patient) for name, values in columns.items()}}


def predictions(answers: Answers) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (post, drift), each float [n, ..., S, S, 1], by name: the baselines, one outcome, the outcomes' mean."""
    pre = baselines.copy(answers.held_out)
    posts = {COPY: pre, MEAN_DRIFT: answers.mean_drift, NEAREST: answers.nearest_lesion}
    found = {name: (post, post - pre) for name, post in posts.items()}
    if len(answers.post) > 1:
        found[answers.label + ONE] = (answers.post[0], answers.drift[0])
    return {**found, answers.label: (answers.post.mean(axis=0), answers.drift.mean(axis=0))}


def clinic_scores(answers: Answers) -> dict[str, dict[str, Estimate]]:
    """Return `response_scores` of what `predictions` names, of baselines of volumes, and of the true second MRI.

    The last one is what remains if the prediction is perfect: three slices do not give a volume exactly, and the second
    MRI does not decide the follow-up.
    """
    held_out, exponent = answers.held_out, answers.exponent
    true_ratio = area_ratios(held_out.post_mask, held_out) ** of_lesions(exponent, held_out)
    ratios = {
        COPY: np.ones_like(true_ratio),
        MEAN_DRIFT: ratio_outcomes(answers.mean_drift[None], held_out, exponent)[0],
        NEAREST: ratio_outcomes(answers.nearest_lesion[None], held_out, exponent)[0],
        **({answers.label + ONE: answers.ratios[0]} if len(answers.post) > 1 else {}),
        answers.label: answers.ratios.mean(axis=0),
        **{name: of_lesions(ratio, held_out) for name, ratio in answers.volume_baselines.items()},
        PERFECT: true_ratio,
    }
    return {name: response_scores(ratio, held_out, answers.cut) for name, ratio in ratios.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelScore:
    """Skill over no change at one level.

    Args:
        level: None without noise.
        skill: of the post image.
        drift_skill: of the drift map.
        skill_interval: the former with its interval over patients.
        drift_interval: the latter.
    """

    level: int | None
    skill: float
    drift_skill: float
    skill_interval: Estimate
    drift_interval: Estimate


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChosenLevel:
    """The skill of choosing a level on other patients than those it is scored on."""

    skill: Estimate


def level_scores(answers: Answers) -> list[LevelScore]:
    """Return the skill at each level, in the order of `answers.levels`."""
    copy_mse, patient = answers.copy_mse, answers.held_out.patient
    return [
        LevelScore(
            level=level,
            skill=skill(post_errors, copy_mse),
            drift_skill=skill(drift_errors, copy_mse),
            skill_interval=skill_interval(post_errors, copy_mse, patient),
            drift_interval=skill_interval(drift_errors, copy_mse, patient),
        )
        for level, post_errors, drift_errors in zip(
            answers.levels, answers.level_post_errors, answers.level_drift_errors, strict=True
        )
    ]


def choose_level(answers: Answers) -> ChosenLevel | None:
    """Return the skill when each group's level is chosen on the patients of the others; None if there is one group."""
    groups = np.unique(answers.group)
    if len(groups) < 2:
        return None
    chosen = np.empty_like(answers.copy_mse)
    for number in groups:
        others = answers.group != number
        best = int(np.argmin(answers.level_post_errors[:, others].sum(axis=1)))
        chosen[~others] = answers.level_post_errors[best, ~others]
    return ChosenLevel(skill=skill_interval(chosen, answers.copy_mse, answers.held_out.patient))
