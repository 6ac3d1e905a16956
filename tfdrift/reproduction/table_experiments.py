"""Our tables as experiments: every method, head and loss, and every way to read the paper."""

import dataclasses
from typing import Any

from tfdrift.config import train_config
from tfdrift.methods import METHODS
from tfdrift.model.heads import HEADS
from tfdrift.reproduction.experiment import RECIPE, Experiment, Run


def _of_table(method: str, ssim_share: str, heads: str, loss: str) -> Run:
    settings = {"heads": heads, ssim_share: 0.1 if loss == "MSE and SSIM" else 0.0}
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


def _heads(method: str) -> list[str]:
    """Return every kind of heads, the method's default first: rows are compared with their method's first row."""
    return sorted(HEADS, key=lambda heads: heads != train_config(method).heads)


_BOTH = ("method1", "method2")
_FIRST_READING = {"method2": {"clip_x0": False}}
"""Where the table of readings starts and the defaults do not any more, because of its outcome."""

TABLES = (
    Experiment(
        name="table",
        kind="table",
        title="Methods, heads and losses in cross-validation",
        purpose="Every method with every kind of heads, with SSIM in the loss and without, each patient held out once.",
        expect="Few rows are told apart: Method 2 loses with shared heads, direct gains with two networks, plain MSE.",
        runs=tuple(
            _of_table(name, method.ssim_share, heads, loss)
            for name, method in METHODS.items()
            if method.ssim_share is not None
            for heads in _heads(name)
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
    Experiment(
        name="group-maps",
        kind="group maps",
        title="Mean drift from the middle of a lesion to around it",
        purpose="Where lesions that shrink and lesions that stay differ, with intervals over patients; Figs. 7 and 8.",
        expect="Signal is lost below the surface where a lesion shrinks and gained around it where it grows.",
        runs=(
            Run(label="Method 1", method="method1", settings={"base_filters": 8}, preset="default"),
            Run(label="direct, recipe", method="direct", settings={"base_filters": 8, **RECIPE}, preset="default"),
        ),
        every_fold=True,
    ),
)
"""Each patient is held out once in all of them."""
