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
from tfdrift.training.checkpoint import Checkpoints, writing
from tfdrift.training.dressing import Answered, learn_dressing
from tfdrift.training.inner import FOLDER, Chosen, choose, deal
from tfdrift.training.loop import compile_steps, run_steps
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
from tfdrift.training.validation import looked_at, make_validation


def train(
    config: TrainConfig,
    folder: Path,
    *,
    echo: Callable[[str], None],
    samples: Samples | None = None,
    keep_answers: bool = False,
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

    Raises:
        UsageError: the folder holds a run with other settings or data (the message names them).
        DataError: the data cannot be had or split, or the checkpoint cannot be read.
        ResourceError: another process trains in this folder, or it cannot be written.
        DivergedError: a loss or gradient was not finite; the last checkpoint is from before.
        StoppedError: SIGINT or SIGTERM; a checkpoint was written.
    """
    tf.config.experimental.enable_op_determinism()
    refuse_other_run(folder, config)
    if samples is None:
        samples = load_config_samples(config)
    training, held_out = split(samples, config.fold)
    data = data_facts(config, samples, training)
    with locked(folder):
        refuse_other_run(folder, config, data)
        chosen = _choose(config, folder, data, training, echo) if config.inner_folds else None
        _train(config, folder, data, chosen, training, held_out, echo, keep_answers=keep_answers)


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
        make_run_loss(config, network),
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
    )
    checkpoints = Checkpoints(folder / "checkpoints", network=network, averaged=averaged, optimizer=optimizer)
    with writing(folder):
        checkpoints.sweep()
    saved = step = checkpoints.restore()
    if step >= steps_to_do:
        echo(f"{folder} is trained already: {step} steps; more --steps would go on")
        return
    with writing(folder):
        told = {} if chosen is None else {"chosen": dataclasses.asdict(chosen)}
        write_config(folder / "config.json", config.seen_from(folder), data=data, **told)
    validate = make_validation(make_run_loss(config, predictor.network), predictor, held_out, config.seed)
    steps = compile_steps(train_step, metric_names(predictor.method))
    progress = Progress(steps_to_do, start=step, echo=echo)
    with (
        Summaries(folder, start_step=step) as summaries,
        contextlib.closing(progress),
        stop_on_signals() as stopped_by,
    ):
        summaries.hyperparameters(dataclasses.asdict(config.without_paths()))
        while step < steps_to_do:
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
            rates = {"learning_rate": float(optimizer.learning_rate), "images_per_second": images_per_second}
            summaries.scalars("train", step, {**chunk.mean, **rates})
            if step % config.validate_every == 0 or step == steps_to_do:
                look = validate()
                summaries.scalars("validation", step, look.scores)
                summaries.picture(step, look.picture)
                progress.validated(look.scores["skill"])
                if keep_answers:
                    _keep(look.post, _kept(folder, step))
            progress.show(step, loss=chunk.mean["loss"], images_per_second=images_per_second)
            stopping = bool(stopped_by)  # asked once: a signal from here on waits until the next steps are saved
            if step % config.checkpoint_every == 0 or step == steps_to_do or stopping:
                checkpoints.save(step)
                saved = step
            if stopping:
                break
    if stopped_by:
        name = signal.Signals(stopped_by[0]).name
        raise StoppedError(
            f"stopped by {name} at step {step} of {steps_to_do}; the same command goes on from there", stopped_by[0]
        )
