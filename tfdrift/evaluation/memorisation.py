"""Whether a method answers with images that it was trained on.

A generative model that has seen few patients may return one of their second MRIs instead of a prediction. So for each
answer the nearest second MRI of the training lesions is looked for, and its distance is held against that of the truth,
which nobody can have copied.

The distance is the mean squared difference over the whole crop, not inside GTVs: a crop is zero outside its lesion, so
size and shape count as they do to the eye, and it needs no mask, which a predicted image does not have. Inside the GTVs
of the patient alone, the middle of any larger lesion would pass for a copy.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from tfdrift.cohort.neighbours import nearest
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.scores import ONE, predictions
from tfdrift.on_disk import joined
from tfdrift.statistics.intervals import Estimate, mean_interval, ratio_interval

NEARLY = 0.1
"""An answer is nearly a copy below this share of the truth's distance: its differences are less than a third of those
that separate a new patient from the training patients."""

AUDITED = 2000
"""The most slices that are held against the training images, each against all of them; of more every k-th."""

SHOWN = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resemblance:
    """An answer about a slice and the training slice that it is nearest to; patients and lesions by pseudonym.

    Args:
        patient: who was asked about.
        lesion: of that patient.
        training_patient: who is nearest.
        training_lesion: of that patient.
        ratio: distance of the answer over that of the truth, each to its own nearest training slice; infinite where the
            truth itself is one.
    """

    patient: str
    lesion: str
    training_patient: str
    training_lesion: str
    ratio: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memorisation:
    """How much nearer answers are to the second MRIs of training lesions than the truth is.

    Args:
        ratio: sum of the answers' distances over the sum of the truths', each to its own nearest: 0 for copies, 1 where
            answers are as far as what really happens. The mean of outcomes is nearer to every image than they are, by
            their variance.
        outcome_ratio: the same of each outcome alone; None for baselines and where there is one outcome.
        nearly_copies: share of slices where the answer, or an outcome, is nearer than `NEARLY` of the truth's distance.
        nearest: the answers or outcomes with the smallest ratios, each of another lesion.
    """

    ratio: Estimate
    outcome_ratio: Estimate | None
    nearly_copies: Estimate
    nearest: list[Resemblance]


def audit(answers: Answers) -> dict[str, Memorisation]:
    """Return what the baselines, the answers of a method and its outcomes have of the training images, by name.

    Of more than `AUDITED` slices so many are looked at, evenly spaced.

    Args:
        answers: each slice is held against the patients that its own run was trained on.
    """
    count = len(answers.held_out)
    if count > AUDITED:
        answers = answers.take(np.linspace(0, count - 1, AUDITED).astype(int))
    truth = _nearest(answers, answers.held_out.post[None])
    found = {}
    for name, (post, _) in predictions(answers).items():
        if name == answers.label and len(answers.post) > 1:
            near = _nearest(answers, joined([post[None], answers.post]))
            found[name] = _memorisation(answers, near, truth.distance[0], outcomes=True)
        elif name != answers.label + ONE:  # which is among the outcomes
            found[name] = _memorisation(answers, _nearest(answers, post[None]), truth.distance[0], outcomes=False)
    return found


class _Nearest(NamedTuple):
    """Distance of each image to its nearest training slice, float64 [K, n], and whose that is, str [K, n]."""

    distance: np.ndarray
    patient: np.ndarray
    lesion: np.ndarray


def _nearest(answers: Answers, posts: np.ndarray) -> _Nearest:
    shape = posts.shape[:2]
    data = answers.data
    found = _Nearest(np.empty(shape), np.empty(shape, data.patient.dtype), np.empty(shape, data.lesion.dtype))
    for rows, training in answers.by_training():
        asked = joined([post[None, rows] for post in posts])
        near = nearest(asked.reshape(-1, *posts.shape[2:]), training.post)
        for column, values in zip(
            found, (near.distance, training.patient[near.row], training.lesion[near.row]), strict=True
        ):
            column[:, rows] = values.reshape(asked.shape[:2])
    return found


def _memorisation(answers: Answers, near: _Nearest, of_truth: np.ndarray, *, outcomes: bool) -> Memorisation:
    """Return the scores of an answer, the first of the images, and of outcomes, the others."""
    patient, lesion = answers.held_out.patient, answers.held_out.lesion
    ratios = np.divide(near.distance, of_truth, out=np.full(near.distance.shape, np.inf), where=of_truth > 0)
    image, closest = ratios.argmin(axis=0), ratios.min(axis=0)
    order = np.argsort(closest, kind="stable")
    _, first = np.unique(lesion[order], return_index=True)  # each lesion once, by its closest slice
    return Memorisation(
        ratio=ratio_interval(near.distance[0], of_truth, patient),
        outcome_ratio=ratio_interval(near.distance[1:].mean(axis=0), of_truth, patient) if outcomes else None,
        nearly_copies=mean_interval((closest < NEARLY).astype(float), patient),
        nearest=[
            Resemblance(
                patient=str(patient[row]),
                lesion=str(lesion[row]),
                training_patient=str(near.patient[image[row], row]),
                training_lesion=str(near.lesion[image[row], row]),
                ratio=float(closest[row]),
            )
            for row in order[np.sort(first)][:SHOWN]
        ],
    )
