"""What a model is told of each lesion, and its answers to "what if", side by side and never as a forecast."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfdrift.clinic.given import Given, Plan
from tfdrift.clinic.lesion import Crops, LesionPrediction, predict_lesion
from tfdrift.clinic.models import Model, Told
from tfdrift.cohort.context import lesion_context
from tfdrift.cohort.crop import slice_places
from tfdrift.model.columns import column_of
from tfdrift.model.conditions import Conditions

NOT_A_FORECAST = (
    "What the model draws when it is told what nobody knows yet. This is what went together in its training data: not "
    "a forecast, not a cause, and no advice."
)


class Scenario(NamedTuple):
    """An answer to "what if".

    Args:
        given: what was told beside what the forecast is told.
        guidance: W with which it was led; 1 is plain.
        prediction: of the lesion, from the same draws as the forecast.
        warnings: what is beyond the training data.
    """

    given: tuple[Given, ...]
    guidance: float
    prediction: LesionPrediction
    warnings: list[str]

    @property
    def words(self) -> str:
        """What it is called."""
        return ", ".join(one.words for one in self.given)


def measure(crops: Crops, gtv: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a lesion shows of itself, float32 [n] each, measured as in a cohort.

    Args:
        crops: of the lesion.
        gtv: bool [slices, rows, columns], the grid that it was cut from.
    """
    scale = crops.scale
    volume_mm3 = float(gtv.sum() * np.prod(crops.spacing_mm))
    normalised = crops.image / scale[:, None, None, None]
    context = lesion_context(normalised, crops.gtv[..., None], scale=scale, volume_mm3=volume_mm3)
    return {**context, "place": slice_places(gtv, crops.slices)}


def told_of(conditions: Conditions, measured: Mapping[str, np.ndarray], given: Sequence[Given]) -> np.ndarray:
    """Return what a model is told of each slice, float32 [n, numbers], NaN for what nobody knows.

    Args:
        conditions: of the model.
        measured: of `measure`.
        given: by the user.
    """
    values = conditions.values(measured, len(measured["place"]))
    places = conditions.places()
    for one in given:
        values[:, places[one.name].start] = one.number
    return values


def as_told(values: np.ndarray, guidance: float = 1.0) -> Told | None:
    """Return what a request holds beside crops and seeds; nothing where nothing is known.

    Args:
        values: of `told_of`.
        guidance: W.
    """
    return Told(values, guidance) if np.isfinite(values).any() else None


def ask_scenarios(
    model: Model, gtv: np.ndarray, crops: Crops, seeds: np.ndarray, plan: Plan, measured: Mapping[str, np.ndarray]
) -> tuple[Scenario, ...]:
    """Return the answers to every "if" of a plan about a lesion.

    Args:
        model: answers.
        gtv: see `predict_lesion`.
        crops: see there.
        seeds: see there; the same as those of the forecast, so that no chance is in their difference.
        plan: what is asked.
        measured: of `measure`.

    Raises:
        DataError: see `predict_lesion`.
        ResourceError: see there.
    """
    conditions, found = model.about.conditions, []
    known = told_of(conditions, measured, plan.told)
    for given in plan.scenarios:
        guidance = plan.guidance if any(conditions.classes_of(one.name) for one in given) else 1.0
        values = told_of(conditions, measured, (*plan.told, *given))
        prediction = predict_lesion(model, gtv, crops, seeds, as_told(values, guidance))
        said = [one for one in conditions.beyond_training(values) if one not in conditions.beyond_training(known)]
        found.append(Scenario(given, guidance, prediction, said))
    return tuple(found)


def describe_plan(plan: Plan, conditions: Conditions) -> dict[str, Any]:
    """Return what `prediction.json` says of what the model was told; nothing of a model without conditions.

    Args:
        plan: what was asked.
        conditions: of the model.
    """
    if not conditions.names:
        return {}
    return {
        "conditions": {name: column_of(name).meaning for name in conditions.names},
        "given": {one.name: _value(one, conditions) for one in plan.told},
        **({"scenarios_are": NOT_A_FORECAST} if plan.scenarios else {}),
    }


def describe_told(conditions: Conditions, values: np.ndarray) -> dict[str, Any]:
    """Return what a model was told of a lesion by column: a value, one for each slice where they differ, or null.

    Args:
        conditions: of the model.
        values: of `told_of`.
    """
    told: dict[str, Any] = {}
    for name, places in conditions.places().items():
        column = values[:, places.start]
        seen = conditions.classes_of(name)
        if np.isnan(column).all():
            told[name] = None
        elif seen:
            told[name] = seen[int(column[0])]
        else:
            told[name] = float(column[0]) if np.ptp(column) == 0 else column.tolist()
    return told


def describe_scenario(scenario: Scenario, conditions: Conditions) -> dict[str, Any]:
    """Return what `prediction.json` says of a scenario.

    Args:
        scenario: of a lesion.
        conditions: of the model.
    """
    prediction = scenario.prediction
    low, high = prediction.interval_mm3
    return {
        "given": {one.name: _value(one, conditions) for one in scenario.given},
        "words": scenario.words,
        "guidance": scenario.guidance,
        "volume_mm3": {
            "mean": float(prediction.outcome_volumes_mm3.mean()),
            "raw_low": low,
            "raw_high": high,
            "samples": prediction.outcome_volumes_mm3.tolist(),
        },
        "share_of_samples_below_80_percent": prediction.good_response_share,
        "warnings": scenario.warnings,
    }


def _value(given: Given, conditions: Conditions) -> float | str:
    return given.said if conditions.classes_of(given.name) else given.number
