"""From a run, or an ensemble, to a version that is served: blessed, written aside, tried out, and only then renamed."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfdrift.errors import NotBlessedError, ResourceError, UsageError
from tfdrift.evaluation.answers import answer, load_shared_samples
from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.calibration import read_calibration
from tfdrift.evaluation.document import as_document
from tfdrift.evaluation.report import evaluate_run, scored_outcomes
from tfdrift.export.blessing import TOLERANCE, Check, bless, write_blessing
from tfdrift.export.canary import try_out
from tfdrift.export.members import load_members
from tfdrift.export.model_folder import default_target, newest_version
from tfdrift.export.saved_model import SCORES, publish, read_metrics, write_model
from tfdrift.export.server_configs import read_models_config, write_server_configs
from tfdrift.export.signatures import DEFAULT_OUTCOMES
from tfdrift.export.warmup import synthetic_requests


class Pushed(NamedTuple):
    """A version that is served from now on, what it was blessed for, and how it was tried out."""

    version: Path
    checks: list[Check]
    tried: str


def push_runs(
    run_folders: Sequence[Path],
    to: Path | None = None,
    *,
    outcomes: int = DEFAULT_OUTCOMES,
    tolerance: float = TOLERANCE,
    force: bool = False,
    calibration: Path | None = None,
) -> Pushed:
    """Make the newest weights of a run, or of an ensemble, the newest version of a served model, if they deserve it.

    In this order: score the ensemble, or the run unless it has been; bless it; write the version into a folder that no
    server looks into; try every signature, see `try_out`; rename the folder; list the model in `models.config`. A
    process that is killed before the renaming leaves no version behind.

    Args:
        run_folders: what `tfdrift train` wrote; several make an ensemble, see `load_members`.
        to: folder of the model's versions; None is `saved_models/<name of the first run folder>`.
        outcomes: number of outcomes of the signature `ensemble`.
        tolerance: skill that a version may lose to the one served now.
        force: push a version that is not blessed, and record that. The trial must be passed all the same.
        calibration: folder of an evaluation, see `read_calibration`; without it the model has none.

    Raises:
        NotBlessedError: a threshold is not reached, which the message names, or the trial failed.
        UsageError: `outcomes` is below 1, `tolerance` below 0, or the runs are no ensemble.
        DataError: a folder is no run, holds no checkpoint, its data cannot be had for scoring, the
            calibration is none of this run or ensemble, or a file that is read on the way is damaged.
        ResourceError: the target cannot be written, another export writes to it, or the run is being trained.
    """
    if outcomes < 1:
        raise UsageError(f"--ensemble {outcomes}: must be 1 or more")
    if not tolerance >= 0:
        raise UsageError(f"--tolerance {tolerance}: must be 0 or more")
    members = load_members(run_folders)
    config, facts, predictor = members[0]
    found = None if calibration is None else read_calibration(calibration, config, facts, runs=len(members))
    target = default_target(run_folders[0]) if to is None else to
    read_models_config(target.resolve().parent)  # refused now rather than after the work
    metrics = _ensemble_scores(run_folders) if len(members) > 1 else _scores(run_folders[0], facts["step"])
    checks: list[Check] = []
    tried = []

    def write(folder: Path) -> None:
        checks.extend(bless(metrics, facts["data"]["fingerprint"], newest_version(target), tolerance=tolerance))
        failed = [check.said for check in checks if not check.passed]
        if failed and not force:
            raise NotBlessedError(f"NOT_BLESSED, not pushed: {'; '.join(failed)}; train better or push with --force")
        signatures = write_model(folder, members, outcomes=outcomes, metrics=metrics, calibration=found)
        write_blessing(folder, checks, forced=bool(failed))
        requests = synthetic_requests(config.image_size, predictor.inputs, signatures)
        expected = {name: _answers(signatures[name], inputs) for name, inputs in requests.items()}
        tried.append(try_out(folder.parent, requests, expected))

    version = publish(target, write)
    write_server_configs(target)
    return Pushed(version, checks, tried[0])


def _scores(run_folder: Path, step: int) -> dict[str, Any]:
    metrics = read_metrics(run_folder, step)
    if metrics is None:
        evaluate_run(run_folder)
        metrics = read_metrics(run_folder, step)
    if metrics is None:
        raise ResourceError(f"{run_folder} is being trained; export it when that is done")
    return metrics


def _ensemble_scores(run_folders: Sequence[Path]) -> dict[str, Any]:
    """Return the scores of the members' mean, of as many outcomes of each as its own scores are of."""
    count = len(run_folders) * scored_outcomes(run_folders[0])
    answers = answer(run_folders, load_shared_samples(run_folders), count=count)
    mean = {name: getattr(answers, name).mean(axis=0, keepdims=True) for name in ("post", "drift")}
    metrics = assess(dataclasses.replace(answers, **mean)).metrics
    return {name: as_document(getattr(metrics, name)) for name in SCORES}


def _answers(function: Callable[..., dict[str, tf.Tensor]], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}
