"""What a model is told of a lesion beside the MRI, and its answers to "what if", side by side and never as a forecast.

What a user gives (`--given`) is told to the forecast, or asked as an "if"; what a lesion shows of itself is measured.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfdrift.axes import per_image
from tfdrift.clinic.lesion import Crops, LesionPrediction, predict_lesion
from tfdrift.clinic.models import Model, Told
from tfdrift.clinic.plausibility import dose_beyond_training
from tfdrift.cohort.context import lesion_context
from tfdrift.cohort.crop import slice_places
from tfdrift.cohort.dose import has_dose
from tfdrift.cohort.earlier import EARLIER_COLUMNS
from tfdrift.cohort.samples import DEFAULT_CHANNELS
from tfdrift.errors import UsageError
from tfdrift.methods.guidance import MAX_GUIDANCE, NO_CLASS
from tfdrift.model.columns import DOSE_SCALE, column_of
from tfdrift.model.conditions import Conditions

MAX_SCENARIOS = 12
MAX_DOSE_SCALE = 10.0
NOT_A_FORECAST = (
    "What the model draws when it is told what nobody knows yet. This is what went together in its training data: not "
    "a forecast, not a cause, and no advice."
)


OF_THE_DOSE = (
    "At another dose: the model's association of dose and outcome, no advice. In its training data lesions that got "
    "more dose may have been others in more than that."
)


class Given(NamedTuple):
    """A value of a column.

    Args:
        name: of the column.
        said: as it was given, a number or a class.
        number: as the model takes it: the number itself, or the place of the class among those it has seen.
    """

    name: str
    said: str
    number: float

    @property
    def words(self) -> str:
        """How it reads after "predicted"."""
        if self.name == DOSE_SCALE:
            return f"at {self.said} times the dose"
        return column_of(self.name).words.get(self.said, f"{self.name} {self.said}")


class Plan(NamedTuple):
    """What a model is asked about each lesion.

    Args:
        told: what the forecast is told.
        scenarios: what is told beside it in each "if".
        guidance: W of the scenarios that hold a class.
        axis: the column of numbers of which there are several, so that the scenarios are a course of it; None where
            there is none.
    """

    told: tuple[Given, ...] = ()
    scenarios: tuple[tuple[Given, ...], ...] = ()
    guidance: float = 1.0
    axis: str | None = None

    @property
    def asks_dose(self) -> bool:
        """Whether a scenario has another dose than the one that is planned."""
        return any(one.name == DOSE_SCALE for given in self.scenarios for one in given)


NOTHING = Plan()


def make_plan(
    given: Sequence[str],
    conditions: Conditions,
    *,
    guidance: float = 1.0,
    channels: Sequence[str] = DEFAULT_CHANNELS,
) -> Plan:
    """Return what a model is asked.

    One value of a column is told to the forecast. Several of a column are a scenario each, and so is every value that
    is known only afterwards, such as the response, and every other dose; of several such columns every combination is
    one.

    Args:
        given: texts such as `interval_days=42` and `response=good,poor`.
        conditions: of the model.
        guidance: W, 0 to `MAX_GUIDANCE`; 1 is plain.
        channels: of the model's images.

    Raises:
        UsageError: a text that is none, a column or a class that the model does not have, a number that it cannot take,
            too many scenarios, or guidance where no class is given.

    Example:
        >>> import numpy as np
        >>> from tfdrift.model.conditions import fit_conditions
        >>> columns = {"interval_days": np.array([20.0, 90.0]), "response": np.array(["good", "poor"])}
        >>> plan = make_plan(["interval_days=42", "response=good,poor"], fit_conditions(list(columns), columns))
        >>> [one.words for one in plan.told], [[one.words for one in scenario] for scenario in plan.scenarios]
        (['interval_days 42'], [['if it responds well'], ['if it responds poorly']])
    """
    if not 0 <= guidance <= MAX_GUIDANCE:
        raise UsageError(f"--guidance {guidance:g}: must be between 0 and {MAX_GUIDANCE:g}")
    if guidance != 1 and not conditions.has_classes:
        raise UsageError(f"--guidance {guidance:g}: {NO_CLASS}")
    values: dict[str, list[Given]] = {}
    for text in given:
        name, separator, said = (part.strip() for part in text.partition("="))
        if not (name and separator and said):
            raise UsageError(f"--given {text}: say NAME=VALUE, such as interval_days=42")
        known = values.setdefault(name, [])
        known += [
            one
            for one in (_read(name, part.strip(), conditions, channels) for part in said.split(","))
            if one not in known
        ]
    told = tuple(ones[0] for name, ones in values.items() if len(ones) == 1 and not column_of(name).never_told)
    varied = [ones for name, ones in values.items() if len(ones) > 1 or column_of(name).never_told]
    scenarios = tuple(itertools.product(*varied)) if varied else ()
    if len(scenarios) > MAX_SCENARIOS:
        raise UsageError(f"--given: {len(scenarios)} combinations of values; at most {MAX_SCENARIOS} are drawn")
    if guidance != 1 and not any(_classes_of(one.name, conditions) for ones in scenarios for one in ones):
        raise UsageError(
            f"--guidance {guidance:g}: no class is asked for that could lead; give one, such as --given response=good"
        )
    numbers = [ones[0].name for ones in varied if len(ones) > 1 and not _classes_of(ones[0].name, conditions)]
    return Plan(told, scenarios, guidance, numbers[0] if numbers else None)


def check_earlier(visits: int, given: Sequence[str], conditions: Conditions) -> None:
    """Refuse earlier visits that a model cannot use, or that are given twice.

    Args:
        visits: how many earlier ones there are.
        given: see `tfdrift.clinic.scenarios.make_plan`.
        conditions: of the model.

    Raises:
        UsageError: the model takes no earlier change, or it is given as a number too.
    """
    if not visits:
        return
    taken = [name for name in EARLIER_COLUMNS if name in conditions.names]
    if not taken:
        theirs = ", ".join(conditions.names) or "none"
        raise UsageError(
            f"--series {visits + 1} times: the model was not trained with {' or '.join(EARLIER_COLUMNS)} (its "
            f"conditions: {theirs}); give the last visit alone"
        )
    for name in taken:
        if any(text.partition("=")[0].strip() == name for text in given):
            raise UsageError(f"--given {name}: it is measured from the earlier visit; leave one of the two out")


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
    """Return what a lesion shows of itself, float32 [m] each, measured as in a cohort.

    Args:
        crops: of the lesion.
        gtv: bool [slices, rows, columns], the grid that it was cut from.
    """
    scale = crops.shown_scale
    volume_mm3 = float(gtv.sum() * np.prod(crops.spacing_mm))
    normalised = crops.shown / per_image(scale, crops.shown)
    context = lesion_context(normalised, crops.shown_gtv, scale=scale, volume_mm3=volume_mm3)
    place = slice_places(gtv, crops.slices) if crops.whole is None else np.zeros(1, np.float32)
    return {**context, "place": place}


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
        if one.name != DOSE_SCALE:  # which changes what is shown, and not what is told
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
        guidance = plan.guidance if any(_classes_of(one.name, conditions) for one in given) else 1.0
        values = told_of(conditions, measured, (*plan.told, *given))
        shown = _shown(crops, given, model.about.channels)
        prediction = predict_lesion(model, gtv, shown, seeds, as_told(values, guidance))
        said = [one for one in conditions.beyond_training(values) if one not in conditions.beyond_training(known)]
        if shown is not crops:
            said += dose_beyond_training(shown, model.about.channels, model.about.facts)
        found.append(Scenario(given, guidance, prediction, said))
    return tuple(found)


def describe_plan(plan: Plan, conditions: Conditions) -> dict[str, Any]:
    """Return what `prediction.json` says of what the model was told; nothing of a model without conditions.

    Args:
        plan: what was asked.
        conditions: of the model.
    """
    if not conditions.names and not plan.scenarios:
        return {}
    return {
        "conditions": {name: column_of(name).meaning for name in conditions.names},
        "given": {one.name: _value(one, conditions) for one in plan.told},
        **({"scenarios_are": scenarios_are(plan.scenarios)} if plan.scenarios else {}),
    }


def scenarios_are(scenarios: Iterable[Iterable[Given]]) -> str:
    """Return what a reader must know of scenarios.

    Args:
        scenarios: what was told in each.
    """
    of_dose = any(one.name == DOSE_SCALE for given in scenarios for one in given)
    return f"{NOT_A_FORECAST} {OF_THE_DOSE}" if of_dose else NOT_A_FORECAST


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
    return given.said if _classes_of(given.name, conditions) else given.number


def _classes_of(name: str, conditions: Conditions) -> tuple[str, ...]:
    return conditions.classes_of(name) if name in conditions.names else ()


def _shown(crops: Crops, given: Sequence[Given], channels: Sequence[str]) -> Crops:
    for one in given:
        if one.name == DOSE_SCALE:
            crops = crops.at_dose(channels, one.number)
    return crops


def _read_scale(said: str, channels: Sequence[str]) -> Given:
    if not has_dose(channels):
        raise UsageError(f"--given {DOSE_SCALE}: the model sees {', '.join(channels)} and no dose")
    try:
        number = float(said)
    except ValueError:
        number = math.nan
    if not 0 < number <= MAX_DOSE_SCALE:
        raise UsageError(f"--given {DOSE_SCALE}={said}: must be a number above 0, at most {MAX_DOSE_SCALE:g}")
    return Given(DOSE_SCALE, f"{number:g}", number)


def _read(name: str, said: str, conditions: Conditions, channels: Sequence[str]) -> Given:
    if name == DOSE_SCALE:
        return _read_scale(said, channels)
    if name not in conditions.names:
        theirs = f"the model takes {', '.join(conditions.names)}" if conditions.names else "the model takes none"
        raise UsageError(f"--given {name}: {theirs}")
    column, seen = column_of(name), conditions.classes_of(name)
    if column.measured:
        raise UsageError(f"--given {name}: it is measured in the MRI and the contours; leave it out")
    if seen:
        if said not in seen:
            raise UsageError(f"--given {name}={said}: the model has seen {', '.join(seen)} alone")
        return Given(name, said, float(seen.index(said)))
    if len(conditions.places()[name]) > 1:
        raise UsageError(f"--given {name}: it is {len(conditions.places()[name])} numbers, which cannot be given here")
    try:
        number = float(said)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (name in conditions.logarithms and number <= 0):
        above = " above 0" if name in conditions.logarithms else ""
        raise UsageError(f"--given {name}={said}: must be a number{above}")
    return Given(name, f"{number:g}", number)
