"""What a run of an experiment says of the patients it has not seen."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfdrift.cohort.samples import Samples, join_samples
from tfdrift.config import TrainConfig
from tfdrift.methods.method import Predictor
from tfdrift.reproduction.experiment import Run


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a run says of the patients it has not seen; with every fold held out once, of all patients.

    Args:
        run: the definition.
        config: of the first fold.
        folders: of each fold.
        trained: method and network of the first fold.
        samples: n held-out slices, fold by fold.
        mean_drift: the baseline's prediction, float32 [n, ..., S, S, 1].
        final: `post` and `drift`, float32 [n, ..., S, S, 1].
        levels: of `by_level`, the noisiest first; [None] where there is no noise.
        by_level: `post` and `drift`, float32 [L, n, ..., S, S, 1].
    """

    run: Run
    config: TrainConfig
    folders: tuple[Path, ...]
    trained: Predictor
    samples: Samples
    mean_drift: np.ndarray
    final: dict[str, np.ndarray]
    levels: list[int | None]
    by_level: dict[str, np.ndarray]


def join_folds(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of runs that hold out one fold each as one."""

    def images(field: str, axis: int) -> dict[str, np.ndarray]:
        return {
            name: np.concatenate([getattr(part, field)[name] for part in parts], axis=axis)
            for name in ("post", "drift")
        }

    return dataclasses.replace(
        parts[0],
        folders=tuple(folder for part in parts for folder in part.folders),
        samples=join_samples([part.samples for part in parts]),
        mean_drift=np.concatenate([part.mean_drift for part in parts]),
        final=images("final", 0),
        by_level=images("by_level", 1),
    )
