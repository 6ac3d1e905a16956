"""The paper's figures as data: which training runs each one needs, what it shows, and what to expect of it.

`tfdrift.reproduction.reproduce` runs them. Two experiments that name the same run share it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfdrift.config import train_config
from tfdrift.errors import UsageError
from tfdrift.methods import METHODS

MINUTES = {"shared": 15, "decoupled": 27, "independent": 30}
"""What 5,000 steps take at most with each kind of heads, on 4 cores: 32 pixels, 16 filters, batch 64."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A training run and how its predictor is asked.

    Args:
        label: what a figure calls it.
        method: see `tfdrift.config.METHODS`.
        settings: fields of `TrainConfig` that differ from the preset's.
        asked: fields of `Predictor` that differ from the run's own; they share the run's weights.
        preset: see `tfdrift.config.train_config`.
    """

    label: str
    method: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    asked: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preset: str = "paper"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One figure or table.

    Args:
        name: what `tfdrift reproduce` calls it.
        kind: how it is drawn, a key of `reproduce.DRAWINGS`.
        title: one line.
        purpose: what the paper shows there, or what is asked.
        expect: what ours should look like, so that a reader can tell a failure.
        runs: what has to be trained; the last one is the one that is drawn where a figure draws only one.
        data: `lesions` (`--data`) or `digits` (MNIST's zeros).
        every_fold: train each run once for every fold, so that every patient is held out once.
        group: `poor` or `good` where the lesions of one response group are drawn.
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

    @property
    def command(self) -> str:
        """The command that makes it."""
        return f"tfdrift reproduce {self.name}"

    def minutes(self, folds: int = 5) -> int:
        """Return about how many minutes its runs take on 4 cores if none is there yet; see `MINUTES`.

        Args:
            folds: number of folds of the data; counts where every fold is held out.
        """
        needed = {(run.method, run.preset, tuple(sorted(run.settings.items()))) for run in self.runs}
        configs = [train_config(method, preset=preset, **dict(settings)) for method, preset, settings in needed]
        once = sum(MINUTES[config.heads] * config.steps / 5000 for config in configs)
        return round(once * (folds if self.every_fold else 1))


METHOD1 = Run(label="Method 1", method="method1")
METHOD2 = Run(label="Method 2", method="method2")
EQUAL = Run(label="weights 1:1", method="method1", settings={"drift_weight": 1.0})
HALF_MORE = Run(label="weights 1:1.5", method="method1", settings={"drift_weight": 1.5})
THREEFOLD = Run(label="weights 1:3", method="method1", settings={"drift_weight": 3.0})
INDEPENDENT = Run(label="Two networks", method="method1", settings={"heads": "independent"})

_FIGURES = (
    Experiment(
        name="fig1b",
        kind="volumes",
        title="Lesion volumes at three time points",
        purpose="Fig. 1B: a lesion that grows and one that shrinks, at the first MRI, the second and the follow-up.",
        expect="Some lesions grow and more shrink; the two groups part at 80% of the first volume at the follow-up.",
    ),
    Experiment(
        name="fig2",
        kind="methods",
        title="Six lesions with their drift, and the two methods",
        purpose="Fig. 2: six examples of pre, post and drift (A); Method 1 in one step (B), Method 2 in many (C).",
        expect="Drift is blue where signal is lost and red where it is gained; the outputs are of a held-out lesion.",
        runs=(THREEFOLD, METHOD2),
    ),
    Experiment(
        name="fig3",
        kind="digits",
        title="MNIST's zeros: Method 1, Method 2 and two networks",
        purpose="Fig. 3: the toy example, for Method 1 (A), Method 2 (B) and two fully decoupled networks (C).",
        expect="A growing and a shrinking zero are recovered by all three; A and C look alike, B is noisier.",
        runs=(METHOD1, METHOD2, INDEPENDENT),
        data="digits",
    ),
    Experiment(
        name="fig4",
        kind="training",
        title="Rotations, noise and loss curves",
        purpose="Fig. 4: four rotations (A), two lesions noised to every level (B), Method 1's losses (C).",
        expect="The lesion can still be seen at the noisiest level; both losses fall fast, then slowly.",
        runs=(THREEFOLD,),
    ),
    Experiment(
        name="fig5",
        kind="levels",
        title="Method 1 with three weights of the drift loss",
        purpose="Fig. 5: one lesion over the levels with reconstruction to drift weighted 1:1, 1:1.5 and 1:3.",
        expect="Coarse at the noisiest level and sharper midway. The paper prefers 1:3; the intervals tell.",
        runs=(EQUAL, HALF_MORE, THREEFOLD),
    ),
    Experiment(
        name="fig6",
        kind="lesions",
        title="Method 2 on five lesions",
        purpose="Fig. 6: decoupled heads and SSIM in the drift loss, five lesions over the reverse process.",
        expect="The image gets cleaner from left to right while the drift map changes little.",
        runs=(METHOD2,),
    ),
    Experiment(
        name="fig7",
        kind="groups",
        title="Method 2 on lesions that respond poorly",
        purpose="Fig. 7: lesions that keep at least 80% of their volume; drift of the groups in core and rim.",
        expect="Less blue than Fig. 8. The paper sees no difference between the groups; the phantom's law makes one.",
        runs=(METHOD2,),
        every_fold=True,
        group="poor",
    ),
    Experiment(
        name="fig8",
        kind="groups",
        title="Method 2 on lesions that respond well",
        purpose="Fig. 8: lesions that keep less than 80% of their volume; drift of the groups in core and rim.",
        expect="More blue than Fig. 7. The paper sees no difference between the groups; the phantom's law makes one.",
        runs=(METHOD2,),
        every_fold=True,
        group="good",
    ),
    Experiment(
        name="s1",
        kind="levels",
        title="Method 1 at noise level 0.5",
        purpose="Fig. S1: more noise in training and in use, beside the 0.2 of Fig. 5C.",
        expect="Finer structure is lost, above all at the noisiest levels.",
        runs=(
            dataclasses.replace(THREEFOLD, label="noise 0.2"),
            Run(label="noise 0.5", method="method1", settings={"drift_weight": 3.0, "noise_level": 0.5}),
        ),
    ),
    Experiment(
        name="s2",
        kind="loss",
        title="Method 2's losses",
        purpose="Fig. S2: losses of noise and of drift over the training.",
        expect="Both fall fast over the first 1,600 steps and little after them.",
        runs=(METHOD2,),
    ),
    Experiment(
        name="s3",
        kind="lesions",
        title="Method 2 at noise level 0.5",
        purpose="Fig. S3: the five lesions of Fig. 6 with more noise in training and in use.",
        expect="The reverse process finds no clear image; worse than Fig. 6 in every score.",
        runs=(METHOD2, Run(label="noise 0.5", method="method2", settings={"noise_level": 0.5})),
    ),
    Experiment(
        name="s4",
        kind="lesions",
        title="Method 2 with shared layers",
        purpose="Fig. S4: the five lesions of Fig. 6 with one decoder for noise and drift.",
        expect="Slightly worse by eye in the paper. On the phantom the image is better, the drift no different.",
        runs=(METHOD2, Run(label="shared layers", method="method2", settings={"heads": "shared"})),
    ),
    Experiment(
        name="s5",
        kind="lesions",
        title="Method 2 with MSE alone",
        purpose="Fig. S5: the five lesions of Fig. 6 without SSIM in the drift loss.",
        expect="Slightly worse by eye in the paper. On the phantom the image is better, the drift no different.",
        runs=(METHOD2, Run(label="MSE only", method="method2", settings={"drift_ssim": 0.0})),
    ),
)


def _of_table(method: str, heads: str, loss: str) -> Run:
    settings = {"heads": heads, METHODS[method].ssim_share: 0.1 if loss == "MSE and SSIM" else 0.0}
    return Run(label=f"{_label(method)}, {heads}, {loss}", method=method, settings=settings, preset="default")


def _reading(words: str, *methods: str, **settings: Any) -> list[Run]:
    return [
        Run(
            label=f"{_label(method)}, {words}",
            method=method,
            settings={**_FIRST_READING.get(method, {}), **settings},
            preset="default",
        )
        for method in methods
    ]


def _asked(words: str, method: str, **asked: Any) -> Run:
    (run,) = _reading(words, method)
    return dataclasses.replace(run, asked=asked)


def _label(method: str) -> str:
    label = METHODS[method].label
    return label[0].upper() + label[1:]


_BOTH = ("method1", "method2")
_HEADS = {
    "method1": ("shared", "decoupled", "independent"),
    "method2": ("decoupled", "shared", "independent"),
    "direct": ("shared", "decoupled", "independent"),
}
"""The default of each method first: rows of a table are compared with the first row of their method."""
_FIRST_READING = {"method2": {"clip_x0": False}}
"""Where the table of readings starts and the defaults do not any more, because of its outcome."""

_TABLES = (
    Experiment(
        name="table",
        kind="table",
        title="Methods, heads and losses in cross-validation",
        purpose="Every method with every kind of heads, with SSIM in the loss and without, each patient held out once.",
        expect="Few rows are told apart: Method 2 loses with shared heads, direct gains with two networks, plain MSE.",
        runs=tuple(
            _of_table(method, heads, loss)
            for method, all_heads in _HEADS.items()
            for heads in all_heads
            for loss in ("MSE and SSIM", "MSE only")
        ),
        every_fold=True,
    ),
    Experiment(
        name="readings",
        kind="table",
        title="Readings of the paper in cross-validation",
        purpose="Where the paper can be read in several ways, which way predicts best; one thing changed at a time.",
        expect="`linear-beta`, noise 0.5 and Method 2's level 20 are worse; most other rows differ as seeds do.",
        runs=(
            *_reading("first reading", *_BOTH),
            *_reading("predicts x0", "method2", prediction="x0"),
            *_reading("predicts v", "method2", prediction="v"),
            *_reading("schedule linear-beta", *_BOTH, schedule="linear-beta"),
            *_reading("schedule linear-rate", *_BOTH, schedule="linear-rate"),
            *_reading("schedule cosine", *_BOTH, schedule="cosine"),
            *_reading("noise level 0.1", *_BOTH, noise_level=0.1),
            *_reading("noise level 0.5", *_BOTH, noise_level=0.5),
            *_reading("another seed", *_BOTH, seed=1),
            *_reading("averaged weights", *_BOTH, ema=0.99),
            *_reading("weights 1:1", "method1", drift_weight=1.0),
            *_reading("weights 1:1.5", "method1", drift_weight=1.5),
            *_reading("weights 1:3", "method2", drift_weight=3.0),
            *_reading("balanced by uncertainty", *_BOTH, balance="uncertainty", drift_weight=1.0),
            _asked("asked at level 0", "method1", estimate_level=0),
            _asked("asked at level 5", "method1", estimate_level=5),
            _asked("asked at level 15", "method1", estimate_level=15),
            _asked("from level 20", "method2", start_level=20, sample_steps=21),
            _asked("from level 5", "method2", start_level=5, sample_steps=6),
            _asked("1 DDIM step", "method2", sample_steps=1),
            _asked("3 DDIM steps", "method2", sample_steps=3),
            _asked("5 DDIM steps", "method2", sample_steps=5),
            _asked("drift of the last level", "method2", drift_from="last"),
            _asked("x0 clipped", "method2", clip_x0=True),
        ),
        every_fold=True,
    ),
)

EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in (*_FIGURES, *_TABLES)}
"""Every experiment by its name, in the paper's order; the tables are ours."""

FIGURES = tuple(experiment.name for experiment in _FIGURES)
"""What `tfdrift reproduce all` makes."""


def chosen_experiments(names: Sequence[str]) -> list[Experiment]:
    """Return experiments by name, each once; `all` stands for every figure of the paper.

    Raises:
        UsageError: an unknown name.

    Example:
        >>> [experiment.name for experiment in chosen_experiments(["fig5", "fig4", "fig5"])]
        ['fig5', 'fig4']
    """
    spelt_out = [one for name in names for one in (FIGURES if name == "all" else (name,))]
    for name in spelt_out:
        if name not in EXPERIMENTS:
            raise UsageError(f"{name}: choose from all, {', '.join(EXPERIMENTS)}")
    return [EXPERIMENTS[name] for name in dict.fromkeys(spelt_out)]
