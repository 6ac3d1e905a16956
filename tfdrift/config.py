"""Every setting of a training run with its default, its range and what it means.

The names are those of the command line (`--noise-level` is `noise_level`). A `TrainConfig` is saved as `config.json`
beside every artefact; everything deeper than `training.train` takes plain keyword arguments.
"""

import dataclasses
import itertools
import json
import math
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tfdrift import __version__
from tfdrift.diffusion.predictions import PREDICTIONS
from tfdrift.diffusion.schedule import SCHEDULES
from tfdrift.errors import DataError, UsageError
from tfdrift.files import write_whole
from tfdrift.methods import METHODS
from tfdrift.methods.augmentation import AUGMENTATIONS
from tfdrift.methods.balances import BALANCES
from tfdrift.methods.dressing import DRESSINGS
from tfdrift.methods.method2 import DRIFT_FROM
from tfdrift.methods.outputs import AGREEMENTS, DRIFT_FORMS, OUTPUTS
from tfdrift.methods.symmetries import SYMMETRIES
from tfdrift.model.heads import HEADS
from tfdrift.model.limits import PRECISIONS, check_image_size

BUILT_IN_DATA = ("phantom", "mnist")
DECAYS = ("none", "cosine")
DIGIT_CHANGES = ("mix", "grow", "shrink")
LESIONS = ("slice", "context", "volume")
CONTEXT_CONDITIONS = ("size", "place", "peak")
"""What a network that sees the neighbours of a slice is told of the lesion, beside what `--condition` names."""
PHANTOM_LAWS = ("response", "chance", "growth", "necrosis", "dose", "mixed", "random")
PRESETS = ("default", "paper")
CONDITION_DROPOUT = 0.1
"""How often a condition is dropped in training unless it is said; runs of older versions dropped none."""
CHANNEL_DROPOUT = CONDITION_DROPOUT
"""How often a channel beyond the first is shown as unknown in training unless it is said."""
_PATHS = ("mnist_file", "folds_file", "pretrained")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. Make it with `train_config`, which knows what each method's defaults are.

    `data` is a name in `BUILT_IN_DATA` or the folder of a cohort, `mnist_file` a file, `folds_file` one that
    `tfdrift.cohort.groups` wrote, in place of the data's own folds, and `pretrained` the run folder whose weights are
    the first ones: paths on the user's machine, which nothing that leaves the run folder may hold (see
    `without_paths`).

    Raises:
        UsageError: a value is out of its range, or two values do not go together. The message names the option.
    """

    method: str
    data: str = "phantom"
    mnist_file: str | None = None
    mnist_change: str = "mix"
    law: str = "response"
    patients: int = 39
    visit_days: str = ""
    lesion: str = "slice"
    fold: int = 0
    folds_file: str | None = None
    pretrained: str | None = None

    image_size: int = 32
    base_filters: int = 16
    depth: int = 3
    heads: str = "shared"
    precision: str = "float32"
    condition: str = ""
    condition_dropout: float = 0.0
    channel_dropout: float = CHANNEL_DROPOUT

    output: str = "images"
    drift_form: str = "difference"
    agree: str = "apart"
    symmetries: int = 1
    augment: str = "rotations"
    inner_folds: int = 0
    dressing: str = "none"

    schedule: str = "linear"
    levels: int = 21
    noise_level: float = 0.2
    prediction: str = "eps"
    estimate_level: int = 10
    start_level: int = 20
    sample_steps: int = 21
    eta: float = 0.0
    drift_from: str = "mean"
    clip_x0: bool = False

    balance: str = "fixed"
    recon_weight: float = 1.0
    drift_weight: float = 3.0
    recon_ssim: float = 0.1
    drift_ssim: float = 0.0

    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 1e-3
    decay: str = "none"
    weight_decay: float = 1e-4
    ema: float = 0.0
    clip_norm: float = 0.0
    seed: int = 0

    log_every: int = 25
    validate_every: int = 250
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UsageError(f"--{_option(name)} {getattr(self, name)}: choose from {', '.join(map(str, choices))}")
        for name, (low, high, words) in _RANGES.items():
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise UsageError(f"--{_option(name)} {value}: must be {words}")
        for name in ("law", "patients", "visit_days", "lesion"):
            value = getattr(self, name)
            takes = self.data == "phantom" or (name == "lesion" and self.data_kind == "cohort")
            if value != getattr(TrainConfig, name) and not takes:
                raise UsageError(
                    f"--{_option(name)} {value} with --data {self.data}: only the phantom takes it; leave it out"
                )
        read_days(self.visit_days)
        check_image_size(self.image_size, self.depth)
        if self.recon_weight == 0 and self.drift_weight == 0:
            raise UsageError("--recon-weight 0 with --drift-weight 0: nothing would be trained; make one positive")
        if self.estimate_level >= self.levels:
            raise UsageError(f"--estimate-level {self.estimate_level}: must be below --levels {self.levels}")
        if self.start_level >= self.levels:
            raise UsageError(f"--start-level {self.start_level}: must be below --levels {self.levels}")
        if self.sample_steps > self.start_level + 1:
            raise UsageError(
                f"--sample-steps {self.sample_steps}: from --start-level {self.start_level} down to 0 there are "
                f"{self.start_level + 1} levels; use 1 to {self.start_level + 1}"
            )
        if self.condition_dropout and not self.conditions:
            raise UsageError(
                f"--condition-dropout {self.condition_dropout:g}: there is no --condition to drop; leave it out"
            )
        if self.inner_folds == 1:
            raise UsageError("--inner-folds 1: one group leaves nobody to train on; use 0 (off) or 2 or more")
        if self.inner_folds and self.validate_every > self.steps:
            raise UsageError(
                f"--validate-every {self.validate_every} with --inner-folds: there is no step to choose; use at most "
                f"--steps, {self.steps}"
            )
        if self.dressing != "none" and not self.inner_folds:
            raise UsageError(
                f"--dressing {self.dressing}: errors are learned on groups of training patients; add --inner-folds 3"
            )
        METHODS[self.method].check(dataclasses.asdict(self))

    @property
    def data_kind(self) -> str:
        """`phantom`, `mnist`, or `cohort` for any folder."""
        return self.data if self.data in BUILT_IN_DATA else "cohort"

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names in `condition`, which are separated by commas.

        Example:
            >>> train_config("direct", condition="interval_days, site").conditions
            ('interval_days', 'site')
        """
        return tuple(name.strip() for name in self.condition.split(",") if name.strip())

    @property
    def days_of_visits(self) -> tuple[int, ...]:
        """The days in `visit_days`, of the phantom's MRIs after the first; none where they are the paper's."""
        return read_days(self.visit_days)

    def without_paths(self) -> "TrainConfig":
        """Return the settings with the kind of data in place of their folder.

        Example:
            >>> train_config("direct", data="/home/someone/cohort").without_paths().data
            'cohort'
        """
        return dataclasses.replace(self, data=self.data_kind, **dict.fromkeys(_PATHS))

    def seen_from(self, folder: Path) -> "TrainConfig":
        """Return the settings with the paths of the data as seen from a folder: what a run folder holds of them.

        Both can then be moved together, and no more of the machine is told than needed.
        """
        return self._with_paths(lambda path: os.path.relpath(Path(path).resolve(), folder.resolve()))

    def resolved_from(self, folder: Path) -> "TrainConfig":
        """Return the inverse of `seen_from`: the settings with the absolute paths of the data."""

        def absolute(path: str) -> str:
            found = folder / path
            # Runs of version 0.1.0 hold the path of `--mnist-file` as it was typed.
            return str((found if found.exists() or not Path(path).exists() else Path(path)).resolve())

        return self._with_paths(absolute)

    def _with_paths(self, change: Callable[[str], str]) -> "TrainConfig":
        data = change(self.data) if self.data_kind == "cohort" else self.data
        paths = {name: getattr(self, name) for name in _PATHS}
        return dataclasses.replace(
            self, data=data, **{name: change(path) if path else None for name, path in paths.items()}
        )


def train_config(method: str, *, preset: str = "default", **given: Any) -> TrainConfig:
    """Return the settings of a run: the method's defaults, then the preset's and the drift form's, then what is given.

    Args:
        method: a name in `tfdrift.methods.METHODS`.
        preset: `default`, or `paper` for every number the paper states.
        **given: fields of `TrainConfig`; None counts as not given.

    Raises:
        UsageError: unknown method, preset or field, or a value out of range.

    Source: paper, "AI model development and training" and Figs. 5, 6; `docs/paper.md` lists each number.

    Example:
        >>> train_config("method1", preset="paper").learning_rate
        0.0001
        >>> train_config("method2").heads
        'decoupled'
    """
    if method not in METHODS:
        raise UsageError(f"method {method}: choose from {', '.join(METHODS)}")
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset}: choose from {', '.join(PRESETS)}")
    given = {name: value for name, value in given.items() if value is not None}
    unknown = sorted(set(given) - {field.name for field in dataclasses.fields(TrainConfig)})
    if unknown:
        raise UsageError(f"unknown setting {unknown[0]}")
    form = DRIFT_FORMS.get(given.get("drift_form", TrainConfig.drift_form))
    settings = {
        **METHODS[method].defaults,
        **(_PAPER if preset == "paper" else {}),
        **(form.settings if form else {}),
    }
    levels = given.get("levels", TrainConfig.levels)
    start_level = given.get("start_level", levels - 1 if preset == "paper" else (levels - 1) // 2)
    if given.get("lesion") == "context":
        asked = [name.strip() for name in str(given.get("condition", "")).split(",") if name.strip()]
        given["condition"] = ",".join(dict.fromkeys([*CONTEXT_CONDITIONS, *asked]))
    if str(given.get("condition", "")).strip(" ,"):
        settings["condition_dropout"] = CONDITION_DROPOUT
    settings.update(estimate_level=(levels - 1) // 2, start_level=start_level, sample_steps=start_level + 1)
    return TrainConfig(method=method, **{**settings, **given})


def read_days(text: str) -> tuple[int, ...]:
    """Return the days that `--visit-days` names.

    Args:
        text: whole numbers above 0, ascending, separated by commas; none is fine.

    Raises:
        UsageError: something else.

    Example:
        >>> read_days("10,21,45")
        (10, 21, 45)
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    days = tuple(int(part) for part in parts if part.isdecimal())
    if len(days) < len(parts) or any(later <= earlier for earlier, later in itertools.pairwise((0, *days))):
        raise UsageError(f"--visit-days {text}: give the days of the MRIs after the first, ascending, such as 10,21,45")
    return days


def write_config(path: Path, config: TrainConfig, **facts: Any) -> None:
    """Write a configuration as JSON, with the version that wrote it and what else an artefact should say of itself.

    Args:
        path: the file; it is replaced as a whole.
        config: the settings.
        **facts: JSON values, such as the fingerprint of the data.
    """
    write_whole(path, as_json(config, **facts) + "\n")


def as_json(config: TrainConfig, **facts: Any) -> str:
    """Return the document that `write_config` writes.

    Args:
        config: the settings.
        **facts: see `write_config`.
    """
    return json.dumps({"tfdrift": __version__, **facts, "train": dataclasses.asdict(config)}, indent=2)


def read_config(path: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """Read what `write_config` wrote: the configuration and the facts beside it.

    Raises:
        DataError: the file is missing, is not a configuration, or was written by a version with other settings.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return TrainConfig(**facts.pop("train")), facts
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give a run folder that `tfdrift train` wrote") from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError, AttributeError, UsageError) as error:
        raise DataError(f"{path} is not a configuration this version can read ({error!r})") from None


def not_deciding(config: TrainConfig) -> frozenset[str]:
    """Return the settings that the weights at a given step do not depend on.

    Args:
        config: the settings.

    Example:
        >>> sorted(not_deciding(train_config("direct", inner_folds=2, decay="cosine")))
        ['checkpoint_every', 'log_every']
    """
    found = {"log_every", "checkpoint_every"}
    found |= {"validate_every"} if not config.inner_folds else set()  # of the steps that are looked at, one is chosen
    found |= {"steps"} if config.decay == "none" else set()  # how fast it falls
    return frozenset(found)


def differences(ours: TrainConfig, theirs: TrainConfig) -> list[str]:
    """Return `name: ours, not theirs` for each setting that decides the weights at a given step.

    Args:
        ours: some settings.
        theirs: others.

    How long a run goes on and how often it reports do not count, so that a run can be resumed with more steps; nor do
    paths: whether the data are the same is told by their fingerprint.
    """
    mine, other = dataclasses.asdict(ours.without_paths()), dataclasses.asdict(theirs.without_paths())
    left_out = not_deciding(ours)
    return [
        f"{name}: {mine[name]}, not {other[name]}"
        for name in mine
        if name not in left_out and mine[name] != other[name]
    ]


_PAPER: dict[str, Any] = {
    "steps": 5000, "batch_size": 64, "learning_rate": 1e-4, "weight_decay": 1e-4, "schedule": "linear", "levels": 21,
    "noise_level": 0.2, "prediction": "eps", "clip_x0": False, "ema": 0.0, "clip_norm": 0.0,
}  # fmt: skip
# The tables themselves, so that an entry added to one of them can be chosen.
_CHOICES: dict[str, Collection[Any]] = {
    "method": METHODS, "schedule": SCHEDULES, "heads": HEADS, "prediction": PREDICTIONS, "precision": PRECISIONS,
    "mnist_change": DIGIT_CHANGES, "law": PHANTOM_LAWS, "lesion": LESIONS, "decay": DECAYS,
    "drift_from": DRIFT_FROM, "balance": BALANCES,
    "output": OUTPUTS, "drift_form": DRIFT_FORMS, "agree": AGREEMENTS, "augment": AUGMENTATIONS,
    "symmetries": SYMMETRIES, "dressing": DRESSINGS,
}  # fmt: skip
_RANGES: dict[str, tuple[float, float, str]] = {
    "inner_folds": (0, math.inf, "0 (off) or 2 or more"),
    "patients": (2, 100_000, "between 2 and 100000"),
    "fold": (0, math.inf, "0 or more"),
    "image_size": (4, 1024, "between 4 and 1024"),
    "base_filters": (1, 1024, "between 1 and 1024"),
    "depth": (1, 6, "between 1 and 6"),
    "levels": (2, 1000, "between 2 and 1000"),
    "noise_level": (0, 10, "between 0 and 10"),
    "estimate_level": (0, math.inf, "0 or more"),
    "start_level": (0, math.inf, "0 or more"),
    "sample_steps": (1, math.inf, "1 or more"),
    "condition_dropout": (0, 0.9, "between 0 (never) and 0.9"),
    "channel_dropout": (0, 0.9, "between 0 (never) and 0.9"),
    "eta": (0, 1, "between 0 (DDIM) and 1 (DDPM)"),
    "recon_weight": (0, math.inf, "0 or more"),
    "drift_weight": (0, math.inf, "0 or more"),
    "recon_ssim": (0, 1, "between 0 (MSE only) and 1 (SSIM only)"),
    "drift_ssim": (0, 1, "between 0 (MSE only) and 1 (SSIM only)"),
    "steps": (1, math.inf, "1 or more"),
    "batch_size": (1, math.inf, "1 or more"),
    "learning_rate": (1e-12, 1, "above 0 and at most 1"),
    "weight_decay": (0, 1, "between 0 and 1"),
    "ema": (0, 0.999999, "0 (off) or below 1"),
    "clip_norm": (0, math.inf, "0 (off) or more"),
    "seed": (0, 2**31 - 1, "between 0 and 2147483647"),
    "log_every": (1, math.inf, "1 or more"),
    "validate_every": (1, math.inf, "1 or more"),
    "checkpoint_every": (1, math.inf, "1 or more"),
}


def _option(name: str) -> str:
    return name.replace("_", "-")
