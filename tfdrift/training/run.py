"""A training run from its configuration to its folder, and back from the folder to a predictor.

    runs/<name>/config.json            settings, version, data fingerprint
    runs/<name>/checkpoints/           the newest two
    runs/<name>/tensorboard/           train and validation event files
    runs/<name>/history.jsonl          the same numbers, a line each

What a resumed run does, in this order: take the folder's lock; refuse another configuration or other data; sweep what
a killed process left half written; restore the newest checkpoint; go on at its step. Batch and noise of a step depend
on (seed, step) alone, so the weights are those of a run that never stopped.
"""

import contextlib
import dataclasses
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import keras
import numpy as np
import tensorflow as tf

from tfdrift.cohort.samples import Samples, split
from tfdrift.config import TrainConfig, differences, read_config, write_config
from tfdrift.diffusion.noise import example_seeds
from tfdrift.diffusion.schedule import make_schedule
from tfdrift.errors import DataError, DivergedError, ResourceError, StoppedError, UsageError
from tfdrift.methods.predictor import Predictor
from tfdrift.model.unet import build_unet
from tfdrift.training.batches import make_batches
from tfdrift.training.checkpoint import Checkpoints, newest_step, writing
from tfdrift.training.data import load_samples
from tfdrift.training.loop import compile_steps, run_steps
from tfdrift.training.losses import DRIFT_RANGE, IMAGE_RANGE, mse, ssim
from tfdrift.training.progress import Progress
from tfdrift.training.step import Metrics, make_loss, make_optimizer, make_train_step, metric_names
from tfdrift.training.summaries import Summaries, draw_strips

VALIDATION_SLICES = 256  # enough for a curve; the final scores are made on every held-out slice


def train(config: TrainConfig, folder: Path, *, echo: Callable[[str], None], samples: Samples | None = None) -> None:
    """Train until `config.steps` steps are done, or go on with what the folder holds.

    TensorFlow's ops are made deterministic for the whole process, which cannot be undone.

    Args:
        config: the settings.
        folder: the run folder; made when it is missing.
        echo: takes lines of progress where there is no terminal.
        samples: the data, if they are at hand; otherwise `config.data` is loaded.

    Raises:
        UsageError: the folder holds a run with other settings or data (the message names them).
        DataError: the data cannot be had or split, or the checkpoint cannot be read.
        ResourceError: another process trains in this folder, or it cannot be written.
        DivergedError: a loss or gradient was not finite; the last checkpoint is from before.
        StoppedError: SIGINT or SIGTERM; a checkpoint was written.
    """
    tf.config.experimental.enable_op_determinism()
    _refuse_other_run(folder, config)
    if samples is None:
        samples = _load(config)
    training, held_out = split(samples, config.fold)
    data = _facts(samples, training)
    with _locked(folder):
        _refuse_other_run(folder, config, data)
        _train(config, folder, data, training, held_out, echo)


def is_trained(config: TrainConfig, folder: Path, samples: Samples) -> bool:
    """Return whether a folder holds a run of these settings and data with all of its steps.

    Raises:
        UsageError: it holds a run with other settings or data (the message names them).
        DataError: the data cannot be split, or the run's files cannot be read.
    """
    training, _ = split(samples, config.fold)
    _refuse_other_run(folder, config, _facts(samples, training))
    return newest_step(folder / "checkpoints") >= config.steps


def load_predictor(folder: Path) -> tuple[TrainConfig, dict, Predictor]:
    """Return a run's settings, the facts beside them and its predictor with the newest (averaged, if any) weights.

    Raises:
        DataError: the folder is no run folder or holds no checkpoint.
    """
    config, facts = read_config(folder / "config.json")
    network = build_network(config)
    averaged = build_network(config) if config.ema > 0 else None
    step = Checkpoints(folder / "checkpoints", network=network, averaged=averaged).restore()
    if step == 0:
        raise DataError(f"{folder} holds no checkpoint yet; train it first")
    return config.resolved_from(folder), {**facts, "step": step}, make_predictor(config, averaged or network)


def build_network(config: TrainConfig) -> keras.Model:
    """Return the untrained network of a configuration."""
    return build_unet(
        config.image_size,
        base_filters=config.base_filters,
        depth=config.depth,
        heads=config.heads,
        precision=config.precision,
        seed=config.seed,
    )


def make_predictor(config: TrainConfig, network: keras.Model) -> Predictor:
    """Return the predictor of a configuration around a network."""
    return Predictor(
        network=network,
        method=config.method,
        schedule=make_schedule(config.schedule, levels=config.levels, noise_level=config.noise_level),
        prediction=config.prediction,
        estimate_level=config.estimate_level,
        start_level=config.start_level,
        sample_steps=config.sample_steps,
        eta=config.eta,
        drift_from=config.drift_from,
        clip_x0=config.clip_x0,
    )


def load_run_samples(config: TrainConfig, facts: dict, samples: Samples | None = None) -> Samples:
    """Return the data of a run again, or check that `samples` are.

    Raises:
        DataError: they are not the data the run was made with, or its cohort is no longer where it was.
    """
    if samples is None:
        if config.data_kind == "cohort" and not Path(config.data).exists():
            raise DataError(f"the cohort this run was trained on is no longer at {config.data}; put it back there")
        samples = _load(config)
    if samples.fingerprint() != facts["data"]["fingerprint"]:
        raise DataError(
            f"--data {config.data} no longer gives the data this run was trained on; restore or train again"
        )
    return samples


def _load(config: TrainConfig) -> Samples:
    return load_samples(
        config.data, image_size=config.image_size, mnist_file=config.mnist_file, mnist_change=config.mnist_change
    )


def _facts(samples: Samples, training: Samples) -> dict:
    """Return what a run's `config.json` says of its data."""
    return {
        "fingerprint": samples.fingerprint(),
        "slices": len(training),
        "patients": len(set(training.patient)),
        "ranges": training.ranges(),
    }


def _refuse_other_run(folder: Path, config: TrainConfig, data: dict | None = None) -> None:
    file = folder / "config.json"
    with writing(folder):
        if not file.exists():
            return
        theirs, facts = read_config(file)
    found = differences(config, theirs)
    if data is not None and facts.get("data") != data:
        found.append("the data have changed")
    if found:
        raise UsageError(f"{folder} holds another run ({'; '.join(found)}); choose another --out or the same settings")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder and keep other trainers out of it."""
    lock = filelock.FileLock(folder / ".lock", blocking=False)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout:  # an OSError too, but not one of writing
            raise ResourceError(
                f"{folder} is in use by another training process; wait for it or choose another --out"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _train(
    config: TrainConfig,
    folder: Path,
    data: dict,
    training: Samples,
    held_out: Samples,
    echo: Callable[[str], None],
) -> None:
    network = build_network(config)
    averaged = build_network(config) if config.ema > 0 else None
    optimizer = make_optimizer(learning_rate=config.learning_rate, weight_decay=config.weight_decay)
    predictor = make_predictor(config, averaged or network)
    loss_of = functools.partial(
        make_loss,
        method=config.method,
        schedule=predictor.schedule,
        prediction=config.prediction,
        recon_weight=config.recon_weight,
        drift_weight=config.drift_weight,
        recon_ssim=config.recon_ssim,
        drift_ssim=config.drift_ssim,
        balance=config.balance,
    )
    train_step = make_train_step(
        network,
        optimizer,
        loss_of(network),
        make_batches(training, batch_size=config.batch_size, seed=config.seed),
        seed=config.seed,
        clip_norm=config.clip_norm,
        averaged=averaged,
        ema=config.ema,
    )
    checkpoints = Checkpoints(folder / "checkpoints", network=network, averaged=averaged, optimizer=optimizer)
    with writing(folder):
        checkpoints.sweep()
    saved = step = checkpoints.restore()
    if step >= config.steps:
        echo(f"{folder} is trained already: {step} steps; more --steps would go on")
        return
    with writing(folder):
        write_config(folder / "config.json", config.seen_from(folder), data=data)
    validate = _make_validation(loss_of(predictor.network), predictor, held_out, config.seed)
    steps = compile_steps(train_step, metric_names(config.method, config.prediction))
    progress = Progress(config.steps, start=step, echo=echo)
    with (
        Summaries(folder, start_step=step) as summaries,
        contextlib.closing(progress),
        stop_on_signals() as stopped_by,
    ):
        summaries.hyperparameters(dataclasses.asdict(config.without_paths()))
        while step < config.steps:
            boundaries = (config.log_every, config.validate_every, config.checkpoint_every)
            until = min(config.steps, *((step // every + 1) * every for every in boundaries))
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
            rates = {"learning_rate": config.learning_rate, "images_per_second": images_per_second}
            summaries.scalars("train", step, {**chunk.mean, **rates})
            if step % config.validate_every == 0 or step == config.steps:
                scores, picture = validate()
                summaries.scalars("validation", step, scores)
                summaries.picture(step, picture)
                progress.validated(scores["skill"])
            progress.show(step, loss=chunk.mean["loss"], images_per_second=images_per_second)
            stopping = bool(stopped_by)  # asked once: a signal from here on waits until the next steps are saved
            if step % config.checkpoint_every == 0 or step == config.steps or stopping:
                checkpoints.save(step)
                saved = step
            if stopping:
                break
    if stopped_by:
        name = signal.Signals(stopped_by[0]).name
        raise StoppedError(
            f"stopped by {name} at step {step} of {config.steps}; the same command goes on from there", stopped_by[0]
        )


def _make_validation(
    loss: Callable[..., Metrics], predictor: Predictor, held_out: Samples, seed: int
) -> Callable[[], tuple[dict[str, float], bytes]]:
    """Return a function that scores the held-out slices and draws one of them, always with the same noise."""
    chosen = held_out.take(np.unique(np.linspace(0, len(held_out) - 1, VALIDATION_SLICES).astype(int)))
    pre, post, seeds = tf.constant(chosen.pre), tf.constant(chosen.post), example_seeds(len(chosen), seed)
    shown = int(np.argmax(np.mean(chosen.drift**2, axis=(1, 2, 3))))

    @tf.function
    def scores() -> Metrics:
        predicted = predictor(pre, seeds)
        return {
            "loss": loss(pre, post, tf.constant([seed, -1], tf.int64))["loss"],
            "skill": 1 - mse(predicted["post"], post) / mse(pre, post),
            "ssim": tf.reduce_mean(ssim(predicted["post"], post, IMAGE_RANGE)),
            "drift_skill": 1 - mse(predicted["drift"], post - pre) / mse(pre, post),
            "drift_ssim": tf.reduce_mean(ssim(predicted["drift"], post - pre, DRIFT_RANGE)),
        }

    snapshots = tf.function(lambda: predictor.at_levels(pre[shown : shown + 1], seeds[shown : shown + 1]))

    def validate() -> tuple[dict[str, float], bytes]:
        numbers = {name: float(value) for name, value in scores().items()}
        seen = {name: images.numpy()[:, 0] for name, images in snapshots().items()}
        levels = predictor.levels()
        rows = np.unique(np.linspace(0, len(levels) - 1, 5).astype(int))
        picture = draw_strips(
            chosen.pre[shown],
            chosen.post[shown],
            seen["post"][rows],
            seen["drift"][rows],
            [levels[row] for row in rows],
        )
        return numbers, picture

    return validate


@contextlib.contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Give a list that SIGINT and SIGTERM are appended to instead of ending the process; main thread only."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {
        number: signal.signal(number, lambda got, _frame: received.append(got))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
