"""Several trainings at a time, each in a process of its own with one processor thread.

A network this small is far from four times as fast on four threads as on one, so that trainings side by side use the
machine better than one after another; docs/reproduce.md says by how much.
"""

import contextlib
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from tfdrift.cluster import run_anywhere
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig
from tfdrift.errors import ResourceError, StoppedError, TfdriftError
from tfdrift.processes import Outcome

# `tfdrift.training.train` is imported inside the functions: a new process finds `_train_alone` by importing this
# module, and TensorFlow greets before `run_each` has closed its standard error.


def train_all(
    jobs: Sequence[tuple[TrainConfig, Path, Samples]],
    *,
    workers: int,
    scheduler: str | None = None,
    echo: Callable[[str], None],
) -> None:
    """Train each run that lacks steps, `workers` at a time; the weights are those of one thread, whatever `workers` is.

    An error or a signal stops all: those that train write a checkpoint first, and the same call goes on from there.

    Args:
        jobs: settings, run folder and data of each run. The data only tell whether the run is there already; a process
            reads its own by `config.data`.
        workers: trainings at a time.
        scheduler: of a cluster whose workers train in place of this machine, see `tfdrift.cluster.run_anywhere`.
        echo: takes a line when a run ends.

    Raises:
        UsageError: a folder holds a run with other settings or data, before anything is trained, or nobody is the
            scheduler.
        ResourceError: the process of a run was killed or failed; or see `tfdrift.training.train.train`.
        DataError: see `tfdrift.training.train.train`.
        DivergedError: see `tfdrift.training.train.train`.
        StoppedError: SIGINT or SIGTERM.
    """
    from tfdrift.training.run_folder import is_trained
    from tfdrift.training.signals import stop_on_signals

    missing = [(config, folder) for config, folder, samples in jobs if not is_trained(config, folder, samples)]
    if not missing:
        return
    where = f"{workers} at a time" if scheduler is None else f"on the workers of {scheduler}"
    echo(f"{len(missing)} of {len(jobs)} runs to train, {where}")
    trained, failures = 0, []
    with (
        stop_on_signals() as stopped_by,
        contextlib.closing(
            run_anywhere(
                _train_alone,
                missing,
                workers=workers,
                scheduler=scheduler,
                stopping=lambda: bool(stopped_by or failures),
                echo=echo,
            )
        ) as outcomes,
    ):
        for outcome in outcomes:
            name = missing[outcome.task][1].name
            failure = _failure(outcome, name)
            if failure is None:
                trained += 1
                echo(f"{trained} of {len(missing)} trained: {name}")
            else:
                failures.append(failure)
    if stopped_by:
        raise StoppedError(
            f"stopped by {signal.Signals(stopped_by[0]).name} with {trained} of {len(missing)} trained; the same "
            "command goes on from there",
            stopped_by[0],
        )
    if failures:
        raise failures[0]  # the others are those that it stopped


def _train_alone(config: TrainConfig, folder: Path) -> tuple[TfdriftError] | None:
    """Train a run in this process, which must be new, and return its error, if any."""
    import tensorflow as tf

    from tfdrift.training.train import train

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        train(config, folder, echo=lambda _line: None)
    except TfdriftError as error:
        return (error,)  # one that is raised, or returned bare, has `run_each` kill the others
    return None


def _failure(outcome: Outcome, name: str) -> TfdriftError | None:
    if outcome.fault:
        return ResourceError(
            f"{name}: {outcome.fault}; the same command goes on from the last checkpoint: give it fewer --workers if "
            "memory is short, or --workers 1 to see all that is said"
        )
    if outcome.value is None:
        return None
    (error,) = outcome.value
    if name not in str(error):
        error.args = (f"{name}: {error}",)
    return error
