"""Score recipes on a cohort of few real patients, each left out once, and print the table of `docs/real.md`.

    TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python benchmarks/real_pairs.py COHORT RUNS [--only TEXT]

COHORT is what `tfdrift cohort import --folds N` wrote, N its number of patients. RUNS takes a run folder for each
recipe and fold; what is trained already is not trained again. Prints a row as soon as a recipe is done.
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
from tfdrift.evaluation.answers import Answers, ask, join
from tfdrift.evaluation.metrics import skill, squared_errors
from tfdrift.statistics.intervals import ratio_interval
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
    ("MSE and symmetries", "direct", {"steps": 100, **MSE, **EIGHT}),
    ("correction and averages", "direct", {"steps": 100, **ZERO}),
    ("correction and averages", "direct", {"steps": 300, **ZERO}),
    ("correction and averages", "method1", {"steps": 100, **ZERO}),
    ("inner stop and shrinkage", "direct", {"steps": 100, **ZERO, **INNER}),
]
HEADER = "| recipe | method | steps | chosen steps; shrinkage | skill | patients better than copy | drift skill |"


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--only", default="", help="Recipes whose name, method and steps hold this text.")
    arguments = parser.parse_args()
    samples = read_cohort(arguments.cohort, SIZE)
    print(f"{HEADER}\n|{'---|' * HEADER.count(' | ')}---|", flush=True)
    for name, method, settings in RECIPES:
        if arguments.only in f"{name} {method} {settings['steps']}":
            config = train_config(method, data=str(arguments.cohort), **{**SMALL, **settings})
            print(score(name, config, samples, arguments.runs), flush=True)


def score(name: str, config: TrainConfig, samples: Samples, runs: Path) -> str:
    """Return the row of a recipe.

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
    told = "; ".join(f"{one['steps']}, {one['shrinkage']:.2f}" for one in chosen if one)
    return f"| {name} | {config.method} | {config.steps} | {told} | {' | '.join(scores(answers))} |"


def scores(answers: Answers) -> list[str]:
    """Return the skill with its interval over patients, the patients that are better than copy, and the drift's skill.

    Args:
        answers: about all patients.
    """
    errors = squared_errors(answers.post.mean(axis=0), answers.held_out.post)
    drift_errors = squared_errors(answers.drift.mean(axis=0), answers.held_out.drift)
    patient, copy_mse = answers.held_out.patient, answers.copy_mse
    ratio = ratio_interval(errors, copy_mse, patient)
    better = [errors[patient == one].sum() < copy_mse[patient == one].sum() for one in np.unique(patient)]
    return [
        f"{1 - ratio.value:.3f} [{1 - ratio.high:.2f}, {1 - ratio.low:.2f}]",
        f"{sum(better)} of {len(better)}",
        f"{skill(drift_errors, copy_mse):.3f}",
    ]


if __name__ == "__main__":
    main()
