"""`metrics.json`: everything that an evaluation says in numbers, as one schema that is written and read.

`tfdrift train` writes it into a run folder, of one outcome of each slice; `tfdrift evaluate` and `tfdrift crossval`
into the folder of their report. A number that is not defined is null there and NaN here.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdrift.errors import DataError
from tfdrift.evaluation.calibration import AdaptiveMargins, Calibration
from tfdrift.evaluation.decisions import Decisions
from tfdrift.evaluation.memorisation import Memorisation
from tfdrift.evaluation.movement import Movement
from tfdrift.evaluation.scores import ChosenLevel, LevelScore
from tfdrift.evaluation.strata import Strata
from tfdrift.evaluation.uncertainty import SpreadScores
from tfdrift.statistics.comparison import Comparison
from tfdrift.statistics.intervals import Estimate
from tfdrift.synthetic.new_patients import NewPatients

FILE = "metrics.json"
_LEFT_OUT_IF_NONE = "left_out_if_none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopyScore:
    """No change, against which skill is measured."""

    skill: float
    ssim: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanDriftScore:
    """The mean drift of the training patients."""

    skill: Estimate
    ssim: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attainable:
    """Skill of the best predictor there can be, where the data's law is known."""

    skill: float
    standard_error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """How sure a method is of the drift of pixels and the volume of lesions, by so many outcomes."""

    outcomes: int
    drift: SpreadScores
    volume: SpreadScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodScores:
    """The scores of a row of the report.

    Args:
        scores: of images and drift, by the names of `METRICS` and of their skills; None for the true second MRI.
        clinic: of volumes and response.
        uncertainty: None for baselines and single outcomes.
        decisions: which side of the 80% rule lesions will be on; None, and no key of the file, as for `strata`.
        strata: scores by the lesions' size and change; None, and no key of the file, where there is no uncertainty.
        memorisation: how near answers are to training images; None, and no key of the file, where it was not looked at.
        adaptive: adaptive margins beside constant ones; None, and no key of the file, where the patients are too few.
        movement: of the displacements; None, and no key of the file, where there are none or the true ones are unknown.
    """

    scores: dict[str, Estimate] | None = None
    clinic: dict[str, Estimate] | None = None
    uncertainty: Uncertainty | None = None
    decisions: Decisions | None = dataclasses.field(default=None, metadata={_LEFT_OUT_IF_NONE: True})
    strata: Strata | None = dataclasses.field(default=None, metadata={_LEFT_OUT_IF_NONE: True})
    memorisation: Memorisation | None = dataclasses.field(default=None, metadata={_LEFT_OUT_IF_NONE: True})
    adaptive: AdaptiveMargins | None = dataclasses.field(default=None, metadata={_LEFT_OUT_IF_NONE: True})
    movement: Movement | None = dataclasses.field(default=None, metadata={_LEFT_OUT_IF_NONE: True})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metrics:
    """What an evaluation found.

    Args:
        tfdrift: version that wrote it.
        label: of the method.
        step: that its runs were trained for.
        method: name of the method.
        data: kind of the data; never a folder.
        fingerprint: of the whole data set; of the new patients where there are any.
        fold: that is held out by the first run.
        folds: all that are held out; of new patients [0].
        patients: held out.
        lesions: of them.
        slices: of them.
        outcomes: of each slice.
        skill: over copy of a single outcome, as a request gets it.
        drift_skill: the same of the drift map.
        ssim: the same outcome's.
        copy: scores of no change.
        mean_drift: scores of the mean drift.
        levels: scores at each level, the noisiest first.
        best_level: the best of them, chosen on these very patients, so that it flatters.
        chosen_level: chosen on other patients than those it is scored on; None where there are no others.
        attainable: None where the law of the data is unknown, and in run folders.
        methods: the rows of the report by name; `label` is the mean of the outcomes.
        comparisons: of two methods each.
        calibration: for a new patient.
        new_patients: who was drawn to be scored; None, and no key of the file, where a fold was held out.
    """

    tfdrift: str
    label: str
    step: int
    method: str
    data: str
    fingerprint: str
    fold: int
    folds: list[int]
    patients: int
    lesions: int
    slices: int
    outcomes: int
    skill: Estimate
    drift_skill: Estimate
    ssim: float
    copy: CopyScore
    mean_drift: MeanDriftScore
    levels: list[LevelScore]
    best_level: LevelScore
    chosen_level: ChosenLevel | None
    attainable: Attainable | None
    methods: dict[str, MethodScores]
    comparisons: list[Comparison]
    calibration: Calibration
    new_patients: NewPatients | None = dataclasses.field(default=None, metadata={_LEFT_OUT_IF_NONE: True})

    @property
    def ours(self) -> MethodScores:
        """The row of the method itself."""
        return self.methods[self.label]

    @property
    def scored(self) -> dict[str, dict[str, Estimate]]:
        """The scores of images by row, of the rows that have them."""
        return {name: entry.scores for name, entry in self.methods.items() if entry.scores is not None}


def as_document(value: Any) -> Any:
    """Return JSON values: dataclasses and estimates as objects, numbers that are not finite as None.

    Example:
        >>> as_document({"skill": Estimate(0.5, float("nan"), 1.0)})
        {'skill': {'value': 0.5, 'low': None, 'high': 1.0}}
    """
    if isinstance(value, Estimate):
        return as_document(value._asdict())
    if dataclasses.is_dataclass(value):
        told = {field: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {
            field.name: as_document(entry)
            for field, entry in told.items()
            if entry is not None or _LEFT_OUT_IF_NONE not in field.metadata
        }
    if isinstance(value, Mapping):
        return {key: as_document(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_document(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def as_json(metrics: Metrics) -> str:
    """Return the text of `metrics.json`."""
    return json.dumps(as_document(metrics), indent=2, allow_nan=False) + "\n"


def read_metrics(folder: Path) -> Metrics:
    """Return what `metrics.json` in a folder says.

    Raises:
        DataError: there is none, or it is damaged or of another version's schema.
    """
    try:
        return _from_document(Metrics, json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder} holds no evaluation that can be read ({error!r}); evaluate it again") from None


def _from_document(kind: Any, value: Any) -> Any:
    """Return the value of a type that a document describes, the way back from `as_document`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (kind,) = (argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else _from_document(kind, value)
    if origin in (list, tuple):
        return origin(_from_document(arguments[0], entry) for entry in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _from_document(arguments[1], entry) for key, entry in value.items()}
    if kind is Estimate or (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _from_document(hints[name], entry) for name, entry in value.items()})
    if kind is float:
        return math.nan if value is None else float(value)
    if kind is not Any and type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
