"""Score recipes on a cohort of few real patients, each left out once, and print the tables of `docs/real.md`.

    TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python benchmarks/real_pairs.py COHORT RUNS [--only TEXT]

COHORT is what `tfdrift cohort import --folds N` wrote, N its number of patients. RUNS takes a run folder for each
recipe and fold; what is trained already is not trained again. Prints a row as soon as a recipe is done, and the
baselines at the end.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfdrift.cohort.samples import Samples
from tfdrift.cohort.store import read_cohort
from tfdrift.config import TrainConfig, read_config, train_config
from tfdrift.evaluation.answers import ask, join
from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.document import MethodScores, Metrics
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.methods import METHODS
from tfdrift.training.run_folder import is_trained
from tfdrift.training.train import train

SIZE, OUTCOMES = 32, 8
SMALL: dict[str, Any] = {
    "image_size": SIZE, "base_filters": 8, "checkpoint_every": 1000, "log_every": 1000, "validate_every": 1000
}  # fmt: skip
MSE: dict[str, Any] = {"recon_ssim": 0.0}
EIGHT: dict[str, Any] = {"augment": "symmetries", "symmetries": 8}
ZERO: dict[str, Any] = {**MSE, **EIGHT, "output": "correction", "agree": "averaged"}
INNER: dict[str, Any] = {"inner_folds": 2, "validate_every": 25}
RECIPES: list[tuple[str, str, dict[str, Any]]] = [
    ("default", "direct", {"steps": 100}),
    ("default", "direct", {"steps": 300}),
    ("default", "method1", {"steps": 100}),
    ("default", "method2", {"steps": 100}),
    ("MSE and symmetries", "direct", {"steps": 100, **MSE, **EIGHT}),
    ("MSE and symmetries", "method1", {"steps": 100, **MSE, **EIGHT}),
    ("correction and averages", "direct", {"steps": 100, **ZERO}),
    ("correction and averages", "direct", {"steps": 300, **ZERO}),
    ("correction and averages", "method1", {"steps": 100, **ZERO}),
    ("inner stop and shrinkage", "direct", {"steps": 100, **ZERO, **INNER}),
    ("field", "direct", {"steps": 100, **ZERO, "drift_form": "field"}),
    ("field", "method1", {"steps": 100, **ZERO, "drift_form": "field"}),
    ("default, seed 1", "method1", {"steps": 100, "seed": 1}),
    ("default, seed 2", "method1", {"steps": 100, "seed": 2}),
    ("symmetries", "method1", {"steps": 100, **EIGHT}),
    ("dressed", "method1", {"steps": 100, **INNER, "inner_folds": 3, "dressing": "learned"}),
    (
        "dressed field",
        "direct",
        {"steps": 100, **ZERO, "drift_form": "field", **INNER, "inner_folds": 3, "dressing": "learned"},
    ),
    ("default", "distribution", {"steps": 100}),
    ("default", "palette", {"steps": 100}),
]
BASELINES = ("copy", "mean drift", "nearest lesion", "mean ratio", "ridge, shape and signal", "true second MRI")
COLUMNS = ["recipe", "method", "steps", "chosen steps; shrinkage", "skill", "better than copy", "drift skill", "Dice",
           "volume error", "CRPS", "covers drift", "covers volume", "spread and error"]  # fmt: skip


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--only", default="", help="Recipes whose name, method and steps hold this text.")
    arguments = parser.parse_args()
    samples = read_cohort(arguments.cohort, SIZE)
    print(f"{_line(*COLUMNS)}\n|{'---|' * len(COLUMNS)}", flush=True)
    metrics: Metrics | None = None
    for name, method, settings in RECIPES:
        if arguments.only in f"{name} {method} {settings['steps']}":
            config = train_config(method, data=str(arguments.cohort), **{**SMALL, **settings})
            metrics, row = score(name, config, samples, arguments.runs)
            print(row, flush=True)
    for name in BASELINES:
        if metrics is not None and (found := metrics.methods.get(name)) is not None:
            print(_line(name, "", "", "", *_scores(found), "", ""))


def score(name: str, config: TrainConfig, samples: Samples, runs: Path) -> tuple[Metrics, str]:
    """Return the scores of a recipe, and its row.

    Args:
        name: of the recipe.
        config: its settings; `fold` is replaced.
        samples: one patient a fold.
        runs: takes the run folders.
    """
    parts, chosen = [], []
    for fold in sorted(set(samples.fold.tolist())):
        of_fold = dataclasses.replace(config, fold=fold)
        folder = runs / f"{name.replace(' ', '-')}-{config.method}-{config.steps}-fold{fold}"
        if not is_trained(of_fold, folder, samples):
            train(of_fold, folder, echo=lambda _line: None, samples=samples)
        parts.append(ask(folder, samples, count=OUTCOMES))
        chosen.append(read_config(folder / "config.json")[1].get("chosen"))
        keras.backend.clear_session()
    answers = join(parts)
    metrics = assess(answers).metrics
    errors, patient = squared_errors(answers.post.mean(axis=0), answers.held_out.post), answers.held_out.patient
    better = [errors[patient == one].sum() < answers.copy_mse[patient == one].sum() for one in np.unique(patient)]
    told = "; ".join(f"{one['steps']}, {one['shrinkage']:.2f}" for one in chosen if one)
    drift: Any = metrics.ours.uncertainty and metrics.ours.uncertainty.drift
    draws = METHODS[config.method].draws or answers.has_drawn_errors
    volume: Any = metrics.ours.uncertainty and metrics.ours.uncertainty.volume
    covers = [one.coverage["raw"].words() if draws else "" for one in (drift, volume)]
    spread = drift.spread_error.words() if draws else ""
    scores = _scores(metrics.ours)
    scores[1] = f"{sum(better)} of {len(better)}"
    return metrics, _line(name, config.method, config.steps, told, *scores, f"{drift.crps.value:.3f}", *covers, spread)


def _scores(found: MethodScores) -> list[str]:
    """Return skill, a place for the patients that are better, drift skill, Dice and volume error."""
    images, clinic = found.scores or {}, found.clinic or {}
    words = [images[name].words() if name in images else "" for name in ("skill", "drift_skill", "dice")]
    return [words[0], "", words[1], words[2], clinic["volume_error"].words()]


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
