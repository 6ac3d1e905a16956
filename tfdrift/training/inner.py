"""How long to train and how far to trust the answer, learned inside the training patients.

The training patients are dealt to groups. Each group is held out once by a run of its own, which looks at it every
`validate_every` steps. Over all groups together, the best step and the best shrinkage towards "no change" are chosen;
the run itself is then trained on all training patients for that many steps, and its answers are shrunk so. The patients
that the run holds out take no part in it.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdrift.cohort.folds import assign_folds
from tfdrift.cohort.samples import Samples
from tfdrift.methods.dressing import Dressing

FOLDER = "inner"
"""The folder of a run that holds those of its groups."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the groups have chosen; it stands in a run's `config.json`.

    Args:
        steps: of the run that is trained on all training patients.
        shrinkage: factor of its predicted change, in [0, 1].
        skill: of the shrunk answers over copy, over all groups together. It is optimistic, as the best of several.
        groups: how many there were.
        dressing: how far the shrunk answers of that step err, with `--dressing learned`.
    """

    steps: int
    shrinkage: float
    skill: float
    groups: int
    dressing: Dressing | None = None


def deal(training: Samples, *, groups: int, seed: int) -> Samples:
    """Return the training samples with their patients dealt to groups, as `fold`.

    Args:
        training: samples.
        groups: how many, at most as many as there are patients.
        seed: of the shuffle.

    Raises:
        DataError: more groups than patients.
    """
    patients = sorted(set(training.patient.tolist()))
    group = assign_folds(patients, [0.5] * len(patients), num_folds=groups, seed=seed)
    return dataclasses.replace(training, fold=np.array([group[name] for name in training.patient.tolist()], np.int32))


def choose(folders: Sequence[Path], *, every: int, steps: int) -> Chosen:
    """Return the step and the shrinkage whose answers are the best over all groups.

    Args:
        folders: the run folder of each group, trained.
        every: steps between two looks at the held-out group; only multiples count, so that a run that goes on later
            has the same steps to choose from, and more.
        steps: the last one that may be chosen.
    """
    histories = [_looks(folder / "history.jsonl") for folder in folders]
    found = []
    for step in range(every, steps + 1, every):
        looks = [history[step] for history in histories]
        predicted, product, true = (
            np.array([look[f"change_{name}"] for look in looks]) for name in ("predicted", "product", "true")
        )
        factor = shrinkage(predicted, product)
        gained = 2 * factor * product.sum() - factor**2 * predicted.sum()
        skill = float(gained / true.sum()) if true.sum() > 0 else 0.0
        found.append(Chosen(steps=step, shrinkage=factor, skill=skill, groups=len(folders)))
    return max(found, key=lambda one: one.skill)  # the earliest of equals


def shrinkage(predicted: np.ndarray, product: np.ndarray) -> float:
    """Return what to multiply a predicted change by, in [0, 1]: one standard error below the best in hindsight.

    The best factor minimises the squared error of all groups, sum of product / sum of predicted. On few patients it is
    itself a matter of luck, and too large a factor costs where nothing can be learned, while a factor that is too small
    by d costs only d squared. The standard error is the jackknife's, over groups.

    Args:
        predicted: float [G], sum over a group's pixels of the predicted change squared.
        product: float [G], sum of predicted times true change.

    Source: Copas (1983), shrinkage of predictions by their slope on new data; Efron and Stein (1981) for the jackknife.

    Example:
        >>> shrinkage(np.array([2.0, 2.0]), np.array([1.0, 1.0]))
        0.5
        >>> shrinkage(np.array([2.0, 2.0]), np.array([1.0, -1.0]))
        0.0
    """
    if not predicted.sum() > 0:
        return 0.0
    best = product.sum() / predicted.sum()
    others = predicted.sum() - predicted
    without = np.divide(product.sum() - product, others, out=np.full(len(others), best), where=others > 0)
    groups = len(predicted)
    error = np.sqrt((groups - 1) / groups * np.sum((without - without.mean()) ** 2))
    return float(np.clip(best - error, 0, 1))


def read_chosen(facts: dict[str, Any]) -> Chosen | None:
    """Return what a run's `config.json` says was chosen, None for a run without inner groups.

    Args:
        facts: what stands beside the settings.
    """
    if "chosen" not in facts:
        return None
    told = facts["chosen"]
    learned = told.get("dressing")
    return Chosen(**{**told, "dressing": None if learned is None else Dressing(**learned)})


def _looks(history: Path) -> dict[int, dict[str, float]]:
    lines = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    return {line["step"]: line for line in lines if line["part"] == "validation"}
