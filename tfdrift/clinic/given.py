"""What a user tells of a patient beside the MRI, `--given`: what the forecast is told, and what is only asked "if"."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from tfdrift.errors import UsageError
from tfdrift.methods.guidance import MAX_GUIDANCE, NO_CLASS
from tfdrift.model.columns import column_of
from tfdrift.model.conditions import Conditions

MAX_SCENARIOS = 12


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


NOTHING = Plan()


def make_plan(given: Sequence[str], conditions: Conditions, *, guidance: float = 1.0) -> Plan:
    """Return what a model is asked.

    One value of a column is told to the forecast. Several of a column are a scenario each, and so is every value that
    is known only afterwards, such as the response; of several such columns every combination is one.

    Args:
        given: texts such as `interval_days=42` and `response=good,poor`.
        conditions: of the model.
        guidance: W, 0 to `MAX_GUIDANCE`; 1 is plain.

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
            one for one in (_read(name, part.strip(), conditions) for part in said.split(",")) if one not in known
        ]
    told = tuple(ones[0] for name, ones in values.items() if len(ones) == 1 and not column_of(name).afterwards)
    varied = [ones for name, ones in values.items() if len(ones) > 1 or column_of(name).afterwards]
    scenarios = tuple(itertools.product(*varied)) if varied else ()
    if len(scenarios) > MAX_SCENARIOS:
        raise UsageError(f"--given: {len(scenarios)} combinations of values; at most {MAX_SCENARIOS} are drawn")
    if guidance != 1 and not any(conditions.classes_of(one.name) for ones in scenarios for one in ones):
        raise UsageError(
            f"--guidance {guidance:g}: no class is asked for that could lead; give one, such as --given response=good"
        )
    numbers = [ones[0].name for ones in varied if len(ones) > 1 and not conditions.classes_of(ones[0].name)]
    return Plan(told, scenarios, guidance, numbers[0] if numbers else None)


def _read(name: str, said: str, conditions: Conditions) -> Given:
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
