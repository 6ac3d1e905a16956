"""What runs answer about patients that they were not trained on, and what their training patients teach beside it."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfdrift.cohort.samples import Samples, join_samples, split
from tfdrift.config import TrainConfig, differences, read_config
from tfdrift.diffusion.noise import example_seeds
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation import baselines
from tfdrift.evaluation.conformal import patient_groups
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.evaluation.response import fit_cut, fit_exponent
from tfdrift.methods.method import Predictor
from tfdrift.training.run_folder import load_predictor, load_run_samples

BATCH = 64


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Predictions of held-out slices, of one fold or of several joined, with everything that scores need.

    Args:
        label: what reports call the method.
        config: of the run, the first one where there are several.
        step: steps that it was trained for.
        fingerprint: of the whole data set, so that only answers about the same data are compared.
        held_out: n slices.
        group: int [n], the patients that are left out together when an interval is calibrated.
        post: float32 [N, n, S, S, 1], outcomes; the first one is what a single request would be answered.
        drift: float32 [N, n, S, S, 1].
        levels: the L levels, the noisiest first; [None] without noise.
        level_post_errors: float64 [L, n], mean squared error of each slice; of an ensemble its members' mean.
        level_drift_errors: float64 [L, n].
        shown: float32 [L, S, S], drift at each level of the slice with the most change.
        shown_row: which slice that is.
        mean_drift: float32 [n, S, S, 1], post by the mean drift of the patients the run was trained on.
        exponent: float64 [n], `fit_exponent` of those patients.
        cut: float64 [n], `fit_cut` of those patients.
        members: runs that share the outcomes of a slice; more than 1 for an ensemble.
    """

    label: str
    config: TrainConfig
    step: int
    fingerprint: str
    held_out: Samples
    group: np.ndarray
    post: np.ndarray
    drift: np.ndarray
    levels: list[int | None]
    level_post_errors: np.ndarray
    level_drift_errors: np.ndarray
    shown: np.ndarray
    shown_row: int
    mean_drift: np.ndarray
    exponent: np.ndarray
    cut: np.ndarray
    members: int = 1


def load_shared_samples(folders: Sequence[Path], samples: Samples | None = None) -> Samples:
    """Return the data that runs were trained on, if it is the same for all and they hold out the same patients.

    Args:
        folders: run folders.
        samples: the data, if they are at hand.

    Raises:
        DataError: no run, other data than another one's or than there are now, or a run was trained on patients that
            another one holds out.
    """
    read = [read_config(folder / "config.json") for folder in folders]
    config, facts, _ = load_predictor(folders[0])
    for folder, (theirs, their_facts) in zip(folders[1:], read[1:], strict=True):
        if their_facts["data"]["fingerprint"] != facts["data"]["fingerprint"]:
            raise DataError(f"{folder} was trained on other data or with another --image-size than {folders[0]}")
        if theirs.fold != config.fold:
            raise DataError(
                f"{folder} holds out fold {theirs.fold} and was trained on patients of fold {config.fold}, which "
                f"{folders[0]} holds out; give runs of the same --fold"
            )
    return load_run_samples(config, facts, samples)


def answer(folders: Sequence[Path], samples: Samples, *, count: int) -> Answers:
    """Ask a run, or an ensemble of runs, about its held-out fold.

    The members of an ensemble share the outcomes evenly; each gives at least one. A method without noise gives one.

    Args:
        folders: the run folders; several make an ensemble.
        samples: of `load_shared_samples`.
        count: N, the outcomes of each slice, all seeds in one batch.

    Raises:
        DataError: no checkpoint.
        UsageError: members of different methods or levels, or the same run twice.
    """
    parts = [_ask(folder, samples, count=-(-count // len(folders))) for folder in folders]
    first = parts[0]
    for number, (folder, part) in enumerate(zip(folders, parts, strict=True)):
        if (part.config.method, part.levels) != (first.config.method, first.levels):
            raise UsageError(f"{folder} is of another method or levels; an ensemble's runs differ in their --seed")
        if any(not differences(part.config, other.config) for other in parts[:number]):
            raise UsageError(f"{folder} has the settings and the seed of another member; give runs of other --seed")
    if len(parts) == 1:
        return first

    def mean(name: str) -> np.ndarray:
        return np.mean([getattr(part, name) for part in parts], axis=0)

    return dataclasses.replace(
        first,
        label=f"{first.label}, {len(parts)} runs",
        members=len(parts),
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in ("post", "drift")},
        **{name: mean(name) for name in ("level_post_errors", "level_drift_errors", "shown")},
    )


def join(folds: Sequence[Answers]) -> Answers:
    """Return the answers about several folds as one, each fold a group of its own for calibration.

    Args:
        folds: of one method and one data set, each by runs that were not trained on it.
    """
    first = folds[0]
    together = [part.held_out for part in folds]

    def joined(name: str, axis: int) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in folds], axis=axis)

    return dataclasses.replace(
        first,
        held_out=join_samples(together),
        group=np.concatenate([np.full(len(part.held_out), number) for number, part in enumerate(folds)]),
        **{name: joined(name, 1) for name in ("post", "drift", "level_post_errors", "level_drift_errors")},
        **{name: joined(name, 0) for name in ("mean_drift", "exponent", "cut")},
    )


def draw_outcomes(predictor: Predictor, pre: np.ndarray, *, count: int, seed: int) -> dict[str, np.ndarray]:
    """Return `count` outcomes of each image, as many as one seed each, in batches over images and seeds.

    Args:
        predictor: a trained one.
        pre: float32 [n, S, S, 1].
        count: N.
        seed: of the noise; outcome k of slice i is noised by (seed, k n + i), so the first one is that of `predict`.

    Returns:
        `post` and `drift` float32 [N, n, S, S, 1].
    """
    ask = _compile(predictor.__call__, pre.shape[1:])
    seeds = example_seeds(count * len(pre), seed)
    parts = []
    for start in range(0, len(seeds), BATCH):
        row = np.arange(start, min(start + BATCH, len(seeds)))
        parts.append(ask(tf.constant(pre[row % len(pre)]), seeds[row[0] : row[-1] + 1]))
    return {
        name: np.concatenate([part[name] for part in parts]).reshape(count, *pre.shape) for name in ("post", "drift")
    }


def draw_levels(predictor: Predictor, pre: np.ndarray, *, seed: int) -> dict[str, np.ndarray]:
    """Return the answer at each level, with the noise of the first outcome.

    Args:
        predictor: a trained one.
        pre: float32 [n, S, S, 1].
        seed: of the noise.

    Returns:
        `post` and `drift` float32 [L, n, S, S, 1].
    """
    ask = _compile(predictor.at_levels, pre.shape[1:])
    seeds = example_seeds(len(pre), seed)
    rows = [slice(start, start + BATCH) for start in range(0, len(pre), BATCH)]
    parts = [ask(tf.constant(pre[row]), seeds[row]) for row in rows]
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in ("post", "drift")}


def _compile(
    ask: Callable[..., dict[str, tf.Tensor]], image_shape: tuple[int, ...]
) -> Callable[..., dict[str, tf.Tensor]]:
    """Return a graph for any number of images; unlike a `tf.function` it does not warn when many runs make one each."""
    image = tf.TensorSpec([None, *image_shape], tf.float32)
    return tf.function(ask).get_concrete_function(image, tf.TensorSpec([None, 2], tf.int64))


def _ask(folder: Path, samples: Samples, *, count: int) -> Answers:
    config, facts, predictor = load_predictor(folder)
    load_run_samples(config, facts, samples)
    training, held_out = split(samples, config.fold)
    outcomes = draw_outcomes(predictor, held_out.pre, count=count if predictor.method.draws else 1, seed=config.seed)
    at_levels = draw_levels(predictor, held_out.pre, seed=config.seed)
    shown_row = int(np.argmax(np.mean(held_out.drift**2, axis=(1, 2, 3))))
    answers = Answers(
        label=predictor.method.label,
        config=config,
        step=facts["step"],
        fingerprint=facts["data"]["fingerprint"],
        held_out=held_out,
        group=patient_groups(held_out.patient),
        post=outcomes["post"],
        drift=outcomes["drift"],
        levels=predictor.levels(),
        level_post_errors=np.stack([squared_errors(post, held_out.post) for post in at_levels["post"]]),
        level_drift_errors=np.stack([squared_errors(drift, held_out.drift) for drift in at_levels["drift"]]),
        shown=at_levels["drift"][:, shown_row, ..., 0],
        shown_row=shown_row,
        mean_drift=baselines.mean_drift(training, held_out),
        exponent=np.full(len(held_out), fit_exponent(training)),
        cut=np.full(len(held_out), fit_cut(training)),
    )
    keras.backend.clear_session()  # the next run's graph would be added to this one's
    return answers
