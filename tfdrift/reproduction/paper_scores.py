"""The numbers behind a figure: scores of runs at each level on held-out patients, and the runs beside one another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfdrift.cohort.samples import Samples
from tfdrift.evaluation.baselines import copy
from tfdrift.evaluation.metrics import skill_interval
from tfdrift.evaluation.scores import slice_scores
from tfdrift.reproduction.predictions import Predictions
from tfdrift.statistics.comparison import compare, holm
from tfdrift.statistics.intervals import interval_words

ERRORS = {"post": "mse", "drift": "drift_mse"}
SIMILARITIES = {"post": "ssim", "drift": "drift_ssim"}
"""The scores of `tfdrift.evaluation.metrics.METRICS` that figures and tables show."""


def score_run(predicted: Predictions) -> dict[str, Any]:
    """Return what a run scores, ready for JSON.

    Args:
        predicted: n held-out slices.

    Returns:
        What the run is; `copy`, `mean_drift` and `final`, each with `post` and `drift`; and `levels`, the same at each
        level. A score is `mse`, `ssim` and `skill` with its 95% interval over patients.
    """
    held_out = predicted.samples
    levels = zip(predicted.levels, predicted.by_level["post"], predicted.by_level["drift"], strict=True)
    return {
        "label": predicted.run.label,
        "method": predicted.run.method,
        "settings": {**predicted.run.settings, **predicted.run.asked},
        "preset": predicted.run.preset,
        "steps": predicted.config.steps,
        "folders": [folder.name for folder in predicted.folders],
        "patients": len(set(held_out.patient.tolist())),
        "lesions": len(set(held_out.lesion.tolist())),
        "slices": len(held_out),
        "copy": _score(held_out, copy(held_out), np.zeros_like(held_out.drift)),
        "mean_drift": _score(held_out, predicted.mean_drift, predicted.mean_drift - held_out.pre),
        "final": _score(held_out, predicted.final["post"], predicted.final["drift"]),
        "levels": [{"level": level, **_score(held_out, post, drift)} for level, post, drift in levels],
    }


def compare_runs(pairs: Sequence[tuple[Predictions, Predictions]]) -> list[dict[str, Any]]:
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
        scores: of `score_run`.
        compared: of `compare_runs`, for some of them.
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


def _gains(reference: Predictions, other: Predictions) -> dict[str, dict[str, Any]]:
    held_out = other.samples
    if reference.samples.lesion.tolist() != held_out.lesion.tolist():
        raise ValueError("the two runs hold out other slices; compare runs of the same data and folds")
    ours, theirs = (slice_scores(held_out, **one.final, names=ERRORS.values()) for one in (other, reference))
    copy_mse = _copy_mse(held_out)
    gains = {}
    for name, error in ERRORS.items():
        labels = f"{other.run.label}, {name}", f"{reference.run.label}, {name}"
        comparison = compare(*labels, ours[error], theirs[error], copy_mse, held_out.patient)
        gains[name] = {
            **comparison.difference._asdict(),
            "better_for": comparison.better_for,
            "p_value": comparison.p_value,
            "sentence": comparison.sentence,
        }
    return gains


def _score(held_out: Samples, post: np.ndarray, drift: np.ndarray) -> dict[str, dict[str, Any]]:
    columns = slice_scores(held_out, post, drift, names=[*ERRORS.values(), *SIMILARITIES.values()])
    copy_mse = _copy_mse(held_out)
    return {
        name: {
            "mse": float(columns[error].mean()),
            "ssim": float(columns[SIMILARITIES[name]].mean()),
            "skill": skill_interval(columns[error], copy_mse, held_out.patient)._asdict(),
        }
        for name, error in ERRORS.items()
    }


def _copy_mse(held_out: Samples) -> np.ndarray:
    return slice_scores(held_out, copy(held_out), np.zeros_like(held_out.drift), names=["mse"])["mse"]
