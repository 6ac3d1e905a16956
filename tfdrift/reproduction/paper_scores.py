"""The numbers behind a figure: scores of runs at each level on held-out patients, and the runs beside one another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfdrift.cohort.samples import Samples
from tfdrift.evaluation.baselines import copy
from tfdrift.evaluation.comparison import compare, holm
from tfdrift.evaluation.intervals import interval_words
from tfdrift.evaluation.metrics import skill_interval, squared_errors, ssim
from tfdrift.reproduction.cached_runs import Outcome
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


def compare_outcomes(pairs: Sequence[tuple[Outcome, Outcome]]) -> list[dict[str, Any]]:
    """Return how much more skill runs have than others on the same patients, who are resampled in pairs.

    Args:
        pairs: a reference and another run, each time; p values are corrected for all of them, post and drift alike.

    Returns:
        For each pair `run` and `than`, and for `post` and `drift` the difference with its 95% interval, the patients
        that are predicted better, `p_value`, `p_holm` (`comparison.holm`), and what may be said of it in a sentence.

    Raises:
        ValueError: the runs of a pair hold out other slices.
    """
    found = [
        {"run": other.run.label, "than": reference.run.label, **_gains(reference, other)} for reference, other in pairs
    ]
    tests = [one[name] for one in found for name in ("post", "drift")]
    for test, p_value in zip(tests, holm([test["p_value"] for test in tests]), strict=True):
        test["p_holm"] = float(p_value)
    return found


def as_table(scores: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]]) -> str:
    """Return scores as a Markdown table, a row a run, with the skill it gains over the run it is compared with.

    Args:
        scores: of `score_outcome`.
        compared: of `compare_outcomes`, for some of them.
    """
    gains = {one["run"]: one for one in compared}
    lines = [
        "| run | skill of post | SSIM | gain of post | p (Holm) | skill of drift | gain of drift | p (Holm) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        cells = [score["label"]]
        gain = gains.get(score["label"])
        for name in ("post", "drift"):
            final = score["final"][name]
            cells.append(interval_words(final["skill"]))
            cells += [f"{final['ssim']:.3f}"] if name == "post" else []
            cells += [interval_words(gain[name], signed=True), f"{gain[name]['p_holm']:.2g}"] if gain else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _gains(reference: Outcome, other: Outcome) -> dict[str, dict[str, Any]]:
    held_out = other.samples
    if reference.samples.lesion.tolist() != held_out.lesion.tolist():
        raise ValueError("the two runs hold out other slices; compare runs of the same data and folds")
    copy_errors = squared_errors(copy(held_out), held_out.post)
    gains = {}
    for name, truth in (("post", held_out.post), ("drift", held_out.drift)):
        comparison = compare(
            f"{other.run.label}, {name}",
            f"{reference.run.label}, {name}",
            squared_errors(other.final[name], truth),
            squared_errors(reference.final[name], truth),
            copy_errors,
            held_out.patient,
        )
        gains[name] = {
            **comparison.difference._asdict(),
            "better_for": comparison.better_for,
            "p_value": comparison.p_value,
            "sentence": comparison.sentence,
        }
    return gains


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
