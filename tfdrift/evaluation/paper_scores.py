"""The numbers behind a figure: scores of runs at each level on held-out patients, and the runs beside one another."""

from typing import Any

import numpy as np

from tfdrift.cohort.samples import Samples
from tfdrift.evaluation.baselines import copy
from tfdrift.evaluation.cached_runs import Outcome
from tfdrift.evaluation.metrics import skill_interval, squared_errors, ssim
from tfdrift.training.losses import DRIFT_RANGE, IMAGE_RANGE


def score_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return what a run scores, ready for JSON.

    Args:
        outcome: n held-out slices.

    Returns:
        What the run is; `copy`, `mean_drift` and `final`, each with `post` and `drift`; and `levels`, the same at each
        level. A score is `mse`, `ssim` and `skill` with its 95% interval over patients.
    """
    held_out = outcome.samples
    levels = zip(outcome.levels, outcome.by_level["post"], outcome.by_level["drift"], strict=True)
    return {
        "label": outcome.run.label,
        "method": outcome.run.method,
        "settings": {**outcome.run.settings, **outcome.run.asked},
        "preset": outcome.run.preset,
        "steps": outcome.config.steps,
        "folders": [folder.name for folder in outcome.folders],
        "patients": len(set(held_out.patient.tolist())),
        "lesions": len(set(held_out.lesion.tolist())),
        "slices": len(held_out),
        "copy": _score(held_out, copy(held_out), np.zeros_like(held_out.drift)),
        "mean_drift": _score(held_out, outcome.mean_drift, outcome.mean_drift - held_out.pre),
        "final": _score(held_out, outcome.final["post"], outcome.final["drift"]),
        "levels": [{"level": level, **_score(held_out, post, drift)} for level, post, drift in levels],
    }


def compare_outcomes(first: Outcome, second: Outcome) -> dict[str, Any]:
    """Return how much more skill the second run has than the first, on the same patients.

    Returns:
        `post` and `drift`: the difference of the skills with its 95% interval, patients drawn in pairs; it is clear
        where the interval leaves out 0.

    Raises:
        ValueError: the two hold out other slices.
    """
    held_out = second.samples
    if first.samples.lesion.tolist() != held_out.lesion.tolist():
        raise ValueError("the two runs hold out other slices; compare runs of the same data and folds")
    copy_errors = squared_errors(copy(held_out), held_out.post)
    gains = {}
    for name, truth in (("post", held_out.post), ("drift", held_out.drift)):
        excess = squared_errors(second.final[name], truth) - squared_errors(first.final[name], truth)
        # skill = 1 - sum(errors) / sum(copy), so that the skill of `copy + excess` is the difference of the two.
        gains[name] = skill_interval(copy_errors + excess, copy_errors, held_out.patient)._asdict()
    return {"better": second.run.label, "than": first.run.label, **gains}


def _score(held_out: Samples, post: np.ndarray, drift: np.ndarray) -> dict[str, dict[str, Any]]:
    copy_errors = squared_errors(copy(held_out), held_out.post)
    scores = {}
    for name, predicted, truth, data_range in (
        ("post", post, held_out.post, IMAGE_RANGE),
        ("drift", drift, held_out.drift, DRIFT_RANGE),
    ):
        errors = squared_errors(predicted, truth)
        scores[name] = {
            "mse": float(errors.mean()),
            "ssim": float(ssim(predicted, truth, data_range=data_range).mean()),
            "skill": skill_interval(errors, copy_errors, held_out.patient)._asdict(),
        }
    return scores
