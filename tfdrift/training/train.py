"""A training run from its configuration to its folder.

What a resumed run does, in this order: take the folder's lock; refuse another configuration or other data; sweep what
a killed process left half written; restore the newest checkpoint; go on at its step. Batch and noise of a step depend
on (seed, step) alone, so the weights are those of a run that never stopped.
"""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdrift.axes import first_channel
from tfdrift.cohort.folds import split
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig, write_config
from tfdrift.errors import DivergedError, StoppedError
from tfdrift.files import whole_file
from tfdrift.training.batches import make_batches
from tfdrift.training.checkpoint import Checkpoints, newest_step, writing
from tfdrift.training.dressing import Answered, learn_dressing
from tfdrift.training.inner import FOLDER, Chosen, choose, deal
from tfdrift.training.loop import compile_steps, run_steps
from tfdrift.training.machines import ALONE, Machines
from tfdrift.training.progress import Progress
from tfdrift.training.run_folder import (
    build_network,
    data_facts,
    inputs_of,
    is_trained,
    load_config_samples,
    locked,
    make_predictor,
    make_run_loss,
    refuse_other_run,
    start_from_pretrained,
)
from tfdrift.training.signals import stop_on_signals
from tfdrift.training.step import make_optimizer, make_train_step, metric_names
from tfdrift.training.summaries import Summaries
from tfdrift.training.validation import Look, looked_at, make_validation


def train(
    config: TrainConfig,
    folder: Path,
    *,
    echo: Callable[[str], None],
    samples: Samples | None = None,
    keep_answers: bool = False,
    machines: Machines = ALONE,
) -> None:
    """Train until `config.steps` steps are done, or go on with what the folder holds.

    With `config.inner_folds` their number is chosen first, at most `config.steps`; see `tfdrift.training.inner`.

    TensorFlow's ops are made deterministic for the whole process, which cannot be undone.

    Args:
        config: the settings.
        folder: the run folder; made when it is missing.
        echo: takes lines of progress where there is no terminal.
        samples: the data, if they are at hand; otherwise `config.data` is loaded.
        keep_answers: whether what is answered at each look at the held-out patients stays in the folder.
        machines: of `tfdrift.training.machines.join`, each of which calls this; all of them see the same folder.

    Raises:
        UsageError: the folder holds a run with other settings or data (the message names them), or another machine was
            given others.
        DataError: the data cannot be had or split, or the checkpoint cannot be read.
        ResourceError: another process trains in this folder, it cannot be written, or another machine is lost.
        DivergedError: a loss or gradient was not finite; the last checkpoint is from before.
        StoppedError: SIGINT or SIGTERM; a checkpoint was written.
    """
    tf.config.experimental.enable_op_determinism()
    refuse_other_run(folder, config)
    if samples is None:
        samples = load_config_samples(config)
    training, held_out = split(samples, config.fold)
    data = data_facts(config, samples, training)
    with machines.together(), locked(folder) if machines.is_chief else contextlib.nullcontext():
        refuse_other_run(folder, config, data)
        saved = newest_step(folder / "checkpoints")
        machines.agree({"settings": dataclasses.asdict(config.without_paths()), "data": data, "step": saved})
        chosen = _choose(config, folder, data, training, echo) if config.inner_folds else None
        _train(config, folder, data, chosen, training, held_out, echo, keep_answers=keep_answers, machines=machines)


def _choose(config: TrainConfig, folder: Path, data: dict, training: Samples, echo: Callable[[str], None]) -> Chosen:
    with writing(folder):
        if not (folder / "config.json").exists():  # so that nobody goes on here with other settings
            write_config(folder / "config.json", config.seen_from(folder), data=data)
    dealt = deal(training, groups=config.inner_folds, seed=config.seed)
    folders = [folder / FOLDER / f"group{number}" for number in range(config.inner_folds)]
    for number, inside in enumerate(folders):
        echo(f"training patients, group {number + 1} of {config.inner_folds} held out")
        of_group = dataclasses.replace(config, fold=number, inner_folds=0, dressing="none")
        if not is_trained(of_group, inside, dealt):
            train(of_group, inside, echo=echo, samples=dealt, keep_answers=config.dressing != "none")
        keras.backend.clear_session()  # or each run's graphs stay in memory until the last one
    chosen = choose(folders, every=config.validate_every, steps=config.steps)
    echo(f"chosen: {chosen.steps} steps, predicted change times {chosen.shrinkage:.2f}, inner skill {chosen.skill:.3f}")
    if config.dressing == "none":
        return chosen
    answered = []
    for number, inside in enumerate(folders):
        asked = looked_at(split(dealt, number)[1])
        first = first_channel(asked.pre)
        answered.append(Answered(first + chosen.shrinkage * (np.load(_kept(inside, chosen.steps)) - first), asked))
    learned = learn_dressing(answered, seed=config.seed)
    echo(
        f"learned errors: diameter {learned.growth:.1%}, place {learned.movement:.2f} pixels, brightness "
        f"{learned.gain:.1%}, its parts {learned.texture:.1%}"
    )
    return dataclasses.replace(chosen, dressing=learned)


def _kept(folder: Path, step: int) -> Path:
    return folder / "answers" / f"step-{step}.npy"


def _keep(post: np.ndarray, file: Path) -> None:
    with writing(file.parent.parent):
        file.parent.mkdir(exist_ok=True)
        with whole_file(file) as part:
            np.save(part, post)


def _train(
    config: TrainConfig,
    folder: Path,
    data: dict,
    chosen: Chosen | None,
    training: Samples,
    held_out: Samples,
    echo: Callable[[str], None],
    *,
    keep_answers: bool,
    machines: Machines,
) -> None:
    steps_to_do = config.steps if chosen is None else chosen.steps
    inputs = inputs_of(config, training)
    network = build_network(config, inputs)
    start_from_pretrained(config, network)
    averaged = build_network(config, inputs) if config.ema > 0 else None
    if averaged is not None:
        averaged.set_weights(network.get_weights())
    optimizer = make_optimizer(
        learning_rate=config.learning_rate, weight_decay=config.weight_decay, decay=config.decay, steps=config.steps
    )
    # What it is looked at with is bare: a drawn error would only blur the curve.
    predictor = dataclasses.replace(make_predictor(config, averaged or network, inputs, chosen), dressing=None)

    train_step = make_train_step(
        network,
        optimizer,
        make_run_loss(config, network, machines),
        make_batches(
            training,
            batch_size=config.batch_size,
            seed=config.seed,
            conditions=inputs.conditions,
            dropout=config.condition_dropout,
            channel_dropout=config.channel_dropout,
            augment=config.augment,
        ),
        seed=config.seed,
        clip_norm=config.clip_norm,
        averaged=averaged,
        ema=config.ema,
        machines=machines,
    )
    checkpoints = Checkpoints(folder / "checkpoints", network=network, averaged=averaged, optimizer=optimizer)
    if machines.is_chief:
        with writing(folder):
            checkpoints.sweep()
    saved = step = checkpoints.restore()
    if step >= steps_to_do:
        echo(f"{folder} is trained already: {step} steps; more --steps would go on")
        return
    steps = compile_steps(train_step, metric_names(predictor.method))
    with contextlib.ExitStack() as stack:
        telling = None
        if machines.is_chief:
            with writing(folder):
                told = {} if chosen is None else {"chosen": dataclasses.asdict(chosen)}
                write_config(folder / "config.json", config.seen_from(folder), data=data, **told)
            validate = make_validation(make_run_loss(config, predictor.network), predictor, held_out, config.seed)
            telling = stack.enter_context(
                _Telling(config, folder, validate, start=step, steps=steps_to_do, echo=echo, keep_answers=keep_answers)
            )
            telling.settings()
        stopped_by = stack.enter_context(stop_on_signals())
        stopping = 0
        while step < steps_to_do and not stopping:
            boundaries = (config.log_every, config.validate_every, config.checkpoint_every)
            until = min(steps_to_do, *((step // every + 1) * every for every in boundaries))
            started = time.perf_counter()
            chunk = run_steps(steps, step, until - step)
            if not chunk.finite:
                parts = ", ".join(f"{name} {value:.4g}" for name, value in chunk.last.items())
                kept = f"the checkpoint of step {saved} is kept" if saved else "no checkpoint was saved before it"
                raise DivergedError(
                    f"step {step + chunk.steps_done + 1}: not a finite number ({parts}); {kept}; "
                    "try a smaller --learning-rate or --clip-norm 1 with another --out"
                )
            images_per_second = (until - step) * config.batch_size / (time.perf_counter() - started)
            step = until
            if telling is not None:
                rates = {"learning_rate": float(optimizer.learning_rate), "images_per_second": images_per_second}
                telling.steps(step, chunk.mean, rates)
            # Asked once: a signal from here on waits until the next steps are saved.
            stopping = max(machines.each(stopped_by[0] if stopped_by else 0))
            if step % config.checkpoint_every == 0 or step == steps_to_do or stopping:
                if machines.is_chief:
                    checkpoints.save(step)
                saved = step
    stopping = stopping or next(iter(stopped_by), 0)
    if stopping:
        name = signal.Signals(stopping).name
        raise StoppedError(
            f"stopped by {name} at step {step} of {steps_to_do}; the same command goes on from there", stopping
        )


class _Telling:
    """What a run tells while it goes on: numbers, looks at the held-out patients, progress."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        validate: Callable[[], Look],
        *,
        start: int,
        steps: int,
        echo: Callable[[str], None],
        keep_answers: bool,
    ) -> None:
        self._config, self._folder, self._validate = config, folder, validate
        self._last, self._keep_answers = steps, keep_answers
        self._summaries = Summaries(folder, start_step=start)
        self._progress = Progress(steps, start=start, echo=echo)

    def __enter__(self) -> "_Telling":
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.close()
        self._summaries.__exit__(*error)

    def settings(self) -> None:
        self._summaries.hyperparameters(dataclasses.asdict(self._config.without_paths()))

    def steps(self, step: int, mean: dict[str, float], rates: dict[str, float]) -> None:
        self._summaries.scalars("train", step, {**mean, **rates})
        if step % self._config.validate_every == 0 or step == self._last:
            look = self._validate()
            self._summaries.scalars("validation", step, look.scores)
            self._summaries.picture(step, look.picture)
            self._progress.validated(look.scores["skill"])
            if self._keep_answers:
                _keep(look.post, _kept(self._folder, step))
        self._progress.show(step, loss=mean["loss"], images_per_second=rates["images_per_second"])
