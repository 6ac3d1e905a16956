"""The document of an evaluation: every score of a method beside the baselines and beside other methods."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tfdrift import __version__
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig
from tfdrift.evaluation import scores
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.calibration import calibrate
from tfdrift.evaluation.comparison import Comparison, compare, sentence
from tfdrift.evaluation.intervals import Estimate
from tfdrift.evaluation.response import lesions_of
from tfdrift.evaluation.uncertainty import interval
from tfdrift.synthetic.phantom import attainable_skill

ONE = ", one outcome"


class Assessment(NamedTuple):
    """What an evaluation found.

    Args:
        metrics: the document of `metrics.json`, of JSON values alone.
        slices: rows of `metrics.csv`, one for each slice and method.
        lesions: rows of `lesions.csv`, one for each lesion and method.
    """

    metrics: dict[str, Any]
    slices: list[dict[str, Any]]
    lesions: list[dict[str, Any]]


def assess(ours: Answers, others: Sequence[Answers] = (), *, attainable: dict[str, float] | None = None) -> Assessment:
    """Score a method and compare it with others on the same held-out patients.

    Args:
        ours: the method.
        others: further methods, with other labels, about the same slices.
        attainable: of `attainable_score`, where the data's law is known.
    """
    patient = ours.held_out.patient
    tables = [_table(answers) for answers in (ours, *others)]
    columns = {name: table for tables_of_one in tables for name, table in tables_of_one.items()}
    copy_mse = columns["copy"]["mse"]
    methods: dict[str, Any] = {
        name: {"scores": scores.image_scores(table, copy_mse, patient)} for name, table in columns.items()
    }
    for answers in (ours, *others):
        of_response = scores.response_table(answers)
        for name, found in _named(answers, of_response).items():
            methods.setdefault(name, {})["clinic"] = found
        methods[answers.label]["uncertainty"] = {
            "outcomes": len(answers.post),
            "drift": scores.drift_uncertainty(answers),
            "volume": scores.volume_uncertainty(answers),
        }
    single = methods[ours.label + ONE if len(ours.post) > 1 else ours.label]["scores"]
    rivals = ["mean drift", *(answers.label for answers in others)]
    comparisons = [
        compare(ours.label, rival, columns[ours.label]["mse"], columns[rival]["mse"], copy_mse, patient)
        for rival in rivals
    ]
    metrics = {
        "tfdrift": __version__,
        "label": ours.label,
        "step": ours.step,
        "method": ours.config.method,
        "data": ours.config.data_kind,  # a folder of the machine stays out
        "fingerprint": ours.fingerprint,
        "fold": ours.config.fold,
        "folds": sorted(set(ours.held_out.fold.tolist())),
        "patients": len(set(patient.tolist())),
        "lesions": len(set(ours.held_out.lesion.tolist())),
        "slices": len(patient),
        "outcomes": len(ours.post),
        "skill": single["skill"],
        "drift_skill": single["drift_skill"],
        "ssim": single["ssim"].value,
        "copy": {"skill": 0.0, "ssim": methods["copy"]["scores"]["ssim"].value},
        "mean_drift": {
            "skill": methods["mean drift"]["scores"]["skill"],
            "ssim": methods["mean drift"]["scores"]["ssim"].value,
        },
        **scores.level_scores(ours, copy_mse),
        "attainable": attainable,
        "methods": methods,
        "comparisons": [as_document(comparison) for comparison in comparisons],
        "calibration": dataclasses.asdict(calibrate(ours)),
    }
    return Assessment(
        metrics=plain(metrics),
        slices=[row for name, table in columns.items() for row in _slice_rows(ours.held_out, name, table)],
        lesions=[row for answers in (ours, *others) for row in _lesion_rows(answers)],
    )


def attainable_score(config: TrainConfig, patients: set[str]) -> dict[str, float] | None:
    """Return the `skill` of the best predictor there can be and its `standard_error`, None where the law is unknown.

    Args:
        config: of a run; only the phantom's law is known.
        patients: who is scored.
    """
    if config.data != "phantom":
        return None
    found = attainable_skill(image_size=config.image_size, among=patients)
    return {"skill": found.value, "standard_error": found.standard_error}


def as_document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison with its sentence, as it stands in `metrics.json`."""
    return plain({**comparison._asdict(), "sentence": sentence(comparison)})


def plain(value: Any) -> Any:
    """Return a document of JSON values: estimates as objects, numbers that are not finite as None.

    Example:
        >>> plain({"skill": Estimate(0.5, float("nan"), 1.0)})
        {'skill': {'value': 0.5, 'low': None, 'high': 1.0}}
    """
    if isinstance(value, Estimate):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _named(answers: Answers, table: dict[str, Any]) -> dict[str, Any]:
    """Return what stands under the names of `scores` under those of the reports."""
    if len(answers.post) == 1:
        names = {"one outcome": answers.label}
        return {names.get(name, name): entry for name, entry in table.items() if name != "mean outcome"}
    names = {"one outcome": answers.label + ONE, "mean outcome": answers.label}
    return {names.get(name, name): entry for name, entry in table.items()}


def _table(answers: Answers) -> dict[str, scores.Columns]:
    predicted = _named(answers, scores.predictions(answers))
    return {name: scores.slice_columns(answers, post, drift) for name, (post, drift) in predicted.items()}


def _slice_rows(held_out: Samples, method: str, columns: scores.Columns) -> list[dict[str, Any]]:
    return [
        {
            "method": method,
            "patient": str(held_out.patient[row]),
            "lesion": str(held_out.lesion[row]),
            "fold": int(held_out.fold[row]),
            "row": row,
            **{name: values[row].item() for name, values in columns.items()},
        }
        for row in range(len(held_out))
    ]


def _lesion_rows(answers: Answers) -> list[dict[str, Any]]:
    lesions = lesions_of(answers.held_out)
    outcomes = scores.ratio_outcomes(answers, answers.post)
    low, high = interval(outcomes, 0.9)
    fold = answers.held_out.fold[np.unique(answers.held_out.lesion, return_index=True)[1]]
    return [
        {
            "method": answers.label,
            "patient": str(lesions.patient[place]),
            "lesion": str(name),
            "fold": int(fold[place]),
            "pre_mm3": float(lesions.pre_mm3[place]),
            "post_ratio": float(lesions.ratio[place]),
            "predicted_ratio": float(outcomes[:, place].mean()),
            "predicted_low": float(low[place]),
            "predicted_high": float(high[place]),
            "poor_response": None if np.isnan(lesions.poor[place]) else bool(lesions.poor[place]),
        }
        for place, name in enumerate(lesions.name)
    ]
