"""A training run on disk: what it holds, whose it is, and back from it to a predictor.

runs/<name>/config.json            settings, version, data fingerprint, what inner groups chose
runs/<name>/inner/                 the runs of those groups, with --inner-folds; what they answered, with --dressing
runs/<name>/checkpoints/           the newest two
runs/<name>/tensorboard/           train and validation event files
runs/<name>/history.jsonl          the same numbers, a line each
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import keras

from tfdrift.cohort.context import columns_fingerprint, columns_of
from tfdrift.cohort.folds import split
from tfdrift.cohort.groups import read_folds, with_folds
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig, differences, read_config
from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.methods import METHODS, make_method
from tfdrift.methods.method import Predictor
from tfdrift.methods.outputs import DRIFT_FORMS, OUTPUTS
from tfdrift.model.conditions import fit_conditions
from tfdrift.model.inputs import ONE_IMAGE, Inputs, read_inputs
from tfdrift.model.unet import build_unet
from tfdrift.training.checkpoint import Checkpoints, newest_sha256, newest_step, writing
from tfdrift.training.data import load_samples
from tfdrift.training.inner import Chosen, read_chosen
from tfdrift.training.step import Loss, make_loss

_SHAPES = ("method", "base_filters", "depth", "heads", "condition", "output", "drift_form")
"""Settings in which a run and the one that it starts from are alike: the network, and what its numbers mean."""


def is_trained(config: TrainConfig, folder: Path, samples: Samples) -> bool:
    """Return whether a folder holds a run of these settings and data with all of its steps.

    Args:
        config: the settings.
        folder: the run folder.
        samples: the data.

    Raises:
        UsageError: it holds a run with other settings or data (the message names them).
        DataError: the data cannot be split, or the run's files cannot be read.
    """
    training, _ = split(samples, config.fold)
    refuse_other_run(folder, config, data_facts(config, samples, training))
    step = newest_step(folder / "checkpoints")
    if step == 0 or not config.inner_folds:
        return step >= config.steps
    theirs, facts = read_config(folder / "config.json")
    chosen = read_chosen(facts)
    return chosen is not None and theirs.steps >= config.steps and step >= chosen.steps


def load_predictor(folder: Path) -> tuple[TrainConfig, dict, Predictor]:
    """Return a run's settings, the facts beside them and its predictor with the newest (averaged, if any) weights.

    Raises:
        DataError: the folder is no run folder or holds no checkpoint.
    """
    config, facts = read_config(folder / "config.json")
    inputs = read_inputs(facts["data"].get("inputs", {}))
    network = build_network(config, inputs)
    averaged = build_network(config, inputs) if config.ema > 0 else None
    step = Checkpoints(folder / "checkpoints", network=network, averaged=averaged).restore()
    if step == 0:
        raise DataError(f"{folder} holds no checkpoint yet; train it first")
    predictor = make_predictor(config, averaged or network, inputs, read_chosen(facts))
    return config.resolved_from(folder), {**facts, "step": step}, predictor


def inputs_of(config: TrainConfig, training: Samples) -> Inputs:
    """Return what the network of a run is given.

    Args:
        config: the settings.
        training: the training samples, which set the scale of the conditions, unless the run starts from another one.

    Raises:
        DataError: the samples lack a condition that the settings ask for, or the run to start from cannot be read.
        UsageError: the run to start from has another network.
    """
    depth = training.pre.shape[1] if training.pre.ndim > 4 else None
    if config.pretrained is None:
        columns = columns_of(training) if config.conditions else {}
        conditions = fit_conditions(config.conditions, columns)
        names = training.channels if len(training.channels) > 1 else ()
        return Inputs(channels=len(training.channels), names=names, slices=depth, conditions=conditions)
    theirs, facts = read_config(Path(config.pretrained) / "config.json")
    inputs = read_inputs(facts["data"].get("inputs", {}))
    others = [
        f"--{name.replace('_', '-')} {getattr(theirs, name) or 'none'}, not {getattr(config, name) or 'none'}"
        for name in _SHAPES
        if getattr(theirs, name) != getattr(config, name)
    ]
    other_names = bool(inputs.names) and inputs.names != training.channels
    if (inputs.channels, inputs.slices) != (len(training.channels), depth) or other_names:
        others.append("images of other channels or slices")
    if others:
        raise UsageError(f"--pretrained {config.pretrained} has {', '.join(others)}; both must have the same")
    return inputs


def start_from_pretrained(config: TrainConfig, network: keras.Model) -> None:
    """Give a network the weights of the run that `config.pretrained` names, the averaged ones if it has such.

    Args:
        config: the settings.
        network: of `build_network`.

    Raises:
        DataError: that run has no checkpoint, or it cannot be read.

    Source: Goodfellow, Bengio and Courville (2016), sec. 8.7.4 (supervised pretraining) and 15.2 (transfer learning).
    """
    if config.pretrained is not None:
        network.set_weights(load_predictor(Path(config.pretrained))[2].network.get_weights())


def build_network(config: TrainConfig, inputs: Inputs = ONE_IMAGE) -> keras.Model:
    """Return the untrained network of a configuration.

    Args:
        config: the settings.
        inputs: what it is given.
    """
    return build_unet(
        config.image_size,
        channels=inputs.channels,
        slices=inputs.slices,
        conditions=inputs.conditions.inputs,
        outputs=DRIFT_FORMS[config.drift_form].channels(
            METHODS[config.method].output_channels(inputs.channels), 2 if inputs.slices is None else 3
        ),
        base_filters=config.base_filters,
        depth=config.depth,
        heads=config.heads,
        precision=config.precision,
        zero_outputs=OUTPUTS[config.output].starts_at_zero,
        latents=METHODS[config.method].latents,
        seed=config.seed,
    )


def make_predictor(
    config: TrainConfig, network: keras.Model, inputs: Inputs = ONE_IMAGE, chosen: Chosen | None = None
) -> Predictor:
    """Return the predictor of a configuration.

    Args:
        config: the settings.
        network: of `build_network`, trained or not.
        inputs: what it is given.
        chosen: what inner groups chose, None without any.
    """
    return Predictor(
        network=network,
        method=make_method(config.method, dataclasses.asdict(config)),
        inputs=inputs,
        symmetries=config.symmetries,
        agree=config.agree,
        shrinkage=1.0 if chosen is None else chosen.shrinkage,
        dressing=None if chosen is None else chosen.dressing,
    )


def make_run_loss(config: TrainConfig, network: keras.Model) -> Loss:
    """Return the training loss of a configuration.

    Args:
        config: the settings.
        network: of `build_network`.
    """
    return make_loss(
        network,
        make_method(config.method, dataclasses.asdict(config)),
        weights={"recon": config.recon_weight, "drift": config.drift_weight},
        ssim_shares={"recon": config.recon_ssim, "drift": config.drift_ssim},
        balance=config.balance,
    )


def load_run_samples(config: TrainConfig, facts: dict, samples: Samples | None = None) -> Samples:
    """Return the data of a run again, or check that `samples` are.

    Args:
        config: the settings of the run.
        facts: what its `config.json` says beside them.
        samples: the data, if they are at hand.

    Raises:
        DataError: they are not the data the run was made with, or its cohort is no longer where it was.
    """
    if samples is None:
        if config.data_kind == "cohort" and not Path(config.data).exists():
            raise DataError(f"the cohort this run was trained on is no longer at {config.data}; put it back there")
        samples = load_config_samples(config)
    if samples.fingerprint() != facts["data"]["fingerprint"]:
        raise DataError(
            f"--data {config.data} no longer gives the data this run was trained on; restore or train again"
        )
    return samples


def load_config_samples(config: TrainConfig) -> Samples:
    """Return the data that a configuration names, in the folds that it names.

    Raises:
        DataError: see `tfdrift.training.data.load_samples` and `tfdrift.cohort.groups.with_folds`.
        UsageError: the cohort has crops of another size.
    """
    samples = load_samples(
        config.data,
        image_size=config.image_size,
        mnist_file=config.mnist_file,
        mnist_change=config.mnist_change,
        law=config.law,
        patients=config.patients,
        visit_days=config.days_of_visits,
        lesion=config.lesion,
    )
    return with_folds(samples, read_folds(Path(config.folds_file))) if config.folds_file else samples


def data_facts(config: TrainConfig, samples: Samples, training: Samples) -> dict[str, Any]:
    """Return what a run's `config.json` says of its data.

    Args:
        config: the settings.
        samples: all of them.
        training: those that are not held out.
    """
    facts = {
        "fingerprint": samples.fingerprint(),
        "slices": len(training),
        "patients": len(set(training.patient)),
        "ranges": training.ranges(),
    }
    optional = {
        "orientations": training.orientations(),
        "inputs": inputs_of(config, training).as_document(),
        "conditions": columns_fingerprint(columns_of(samples), config.conditions, len(samples))
        if config.conditions
        else None,
        "pretrained": newest_sha256(Path(config.pretrained) / "checkpoints") if config.pretrained else None,
    }
    told = {**facts, **{name: value for name, value in optional.items() if value}}
    return json.loads(json.dumps(told))  # as it is read back, where tuples are lists


def refuse_other_run(folder: Path, config: TrainConfig, data: dict | None = None) -> None:
    """Refuse a folder that holds another run.

    Args:
        folder: the run folder, which need not exist.
        config: the settings of the run that is to go there.
        data: its `data_facts`; None to compare the settings alone.

    Raises:
        UsageError: settings or data differ; the message names them.
    """
    file = folder / "config.json"
    with writing(folder):
        if not file.exists():
            return
        theirs, facts = read_config(file)
    found = differences(config, theirs)
    theirs_of = facts.get("data", {})
    # A version that told less of its data is asked for no more.
    if data is not None and theirs_of != {name: data.get(name) for name in theirs_of}:
        found.append("the data have changed")
    if found:
        raise UsageError(f"{folder} holds another run ({'; '.join(found)}); choose another --out or the same settings")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
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
