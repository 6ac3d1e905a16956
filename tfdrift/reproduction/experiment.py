"""What an experiment is: which training runs it needs, how they are asked, what it shows and what to expect of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfdrift.config import train_config
from tfdrift.synthetic.new_patients import NewPatients

MINUTES = {"shared": 15, "decoupled": 27, "independent": 30}
"""What 5,000 steps take at most with each kind of heads, on 4 cores: 32 pixels, 16 filters, batch 64."""

RECIPE: dict[str, Any] = {
    "output": "correction", "agree": "averaged", "augment": "affine", "symmetries": 8, "recon_ssim": 0.0,
    "decay": "cosine",
}  # fmt: skip
"""Settings of a run that does not overfit, see `docs/results.md`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A training run and how its predictor is asked.

    Args:
        label: what a figure calls it.
        method: a name in `tfdrift.methods.METHODS`.
        settings: fields of `TrainConfig` that differ from the preset's.
        asked: fields of the method that differ from the run's own; such runs share their weights.
        preset: see `tfdrift.config.train_config`.
        seeds: how many runs of consecutive seeds are one ensemble; more than one on new patients alone.
        pretrained: the run whose weights are the first ones; on new patients alone.
    """

    label: str
    method: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    asked: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preset: str = "paper"
    seeds: int = 1
    pretrained: "Run | None" = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One figure or table.

    Args:
        name: what `tfdrift reproduce` calls it.
        kind: how it is drawn, a key of `tfdrift.reproduction.drawings.DRAWINGS`, or of `NEW_PATIENTS` there.
        title: one line.
        purpose: what the paper shows there, or what is asked.
        expect: what ours should look like, so that a reader can tell a failure.
        runs: what has to be trained; the last one is the one that is drawn where a figure draws only one.
        data: `lesions` (`--data`) or `digits` (MNIST's zeros).
        every_fold: train each run once for every fold, so that every patient is held out once.
        group: `poor` or `good` where the lesions of one response group are drawn.
        new_patients: who is scored where nobody of the data is held out; each run's own law says how they respond.
    """

    name: str
    kind: str
    title: str
    purpose: str
    expect: str
    runs: tuple[Run, ...] = ()
    data: str = "lesions"
    every_fold: bool = False
    group: str | None = None
    new_patients: NewPatients | None = None

    @property
    def command(self) -> str:
        """The command that makes it."""
        return f"tfdrift reproduce {self.name}"

    def minutes(self, folds: int = 5) -> int:
        """Return about how many minutes its runs take on 4 cores if none is there yet; see `MINUTES`.

        Args:
            folds: number of folds of the data; counts where every fold is held out.
        """
        first = [run.pretrained for run in self.runs if run.pretrained is not None]
        needed = {
            (run.method, run.preset, tuple(sorted(run.settings.items()))): run.seeds for run in (*first, *self.runs)
        }
        once = 0.0
        for (method, preset, settings), seeds in needed.items():
            config = train_config(method, preset=preset, **dict(settings))
            once += seeds * MINUTES[config.heads] * config.steps / 5000
        return round(once * (folds if self.every_fold else 1))
