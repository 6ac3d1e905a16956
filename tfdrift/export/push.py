"""From a run to a version that is served: blessed, written aside, tried out, and only then renamed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfdrift.errors import NotBlessedError, ResourceError, UsageError
from tfdrift.evaluation.calibration import read_calibration
from tfdrift.evaluation.report import evaluate_run
from tfdrift.export.blessing import TOLERANCE, Check, bless, write_blessing
from tfdrift.export.canary import try_out
from tfdrift.export.model_folder import default_target, newest_version
from tfdrift.export.saved_model import load_run, publish, read_metrics, write_model
from tfdrift.export.server_configs import read_models_config, write_server_configs
from tfdrift.export.signatures import DEFAULT_OUTCOMES
from tfdrift.export.warmup import synthetic_requests


class Pushed(NamedTuple):
    """A version that is served from now on, what it was blessed for, and how it was tried out."""

    version: Path
    checks: list[Check]
    tried: str


def push_run(
    run_folder: Path,
    to: Path | None = None,
    *,
    outcomes: int = DEFAULT_OUTCOMES,
    tolerance: float = TOLERANCE,
    force: bool = False,
    calibration: Path | None = None,
) -> Pushed:
    """Make the newest weights of a run the newest version of a served model, if they deserve it.

    In this order: score the run, unless it has been; bless it; write the version into a folder that no server looks
    into; try every signature, see `try_out`; rename the folder; list the model in `models.config`. A process
    that is killed before the renaming leaves no version behind.

    Args:
        run_folder: what `tfdrift train` wrote.
        to: folder of the model's versions; None is `saved_models/<name of the run folder>`.
        outcomes: number of outcomes of the signature `ensemble`.
        tolerance: skill that a version may lose to the one served now.
        force: push a version that is not blessed, and record that. The trial must be passed all the same.
        calibration: folder of an evaluation, see `read_calibration`; without it the model has none.

    Raises:
        NotBlessedError: a threshold is not reached, which the message names, or the trial failed.
        UsageError: `outcomes` is below 1 or `tolerance` below 0.
        DataError: the folder is no run, holds no checkpoint, its data cannot be had for scoring, the
            calibration is none of this run, or a file that is read on the way is damaged.
        ResourceError: the target cannot be written, another export writes to it, or the run is being trained.
    """
    if outcomes < 1:
        raise UsageError(f"--ensemble {outcomes}: must be 1 or more")
    if not tolerance >= 0:
        raise UsageError(f"--tolerance {tolerance}: must be 0 or more")
    config, facts, predictor = load_run(run_folder)
    found = None if calibration is None else read_calibration(calibration, config, facts)
    target = default_target(run_folder) if to is None else to
    read_models_config(target.resolve().parent)  # refused now rather than after the work
    metrics = _scores(run_folder, facts["step"])
    checks: list[Check] = []
    tried = []

    def write(folder: Path) -> None:
        checks.extend(bless(metrics, facts["data"]["fingerprint"], newest_version(target), tolerance=tolerance))
        failed = [check.said for check in checks if not check.passed]
        if failed and not force:
            raise NotBlessedError(f"NOT_BLESSED, not pushed: {'; '.join(failed)}; train better or push with --force")
        signatures = write_model(
            folder, config, facts, predictor, outcomes=outcomes, metrics=metrics, calibration=found
        )
        write_blessing(folder, checks, forced=bool(failed))
        requests = synthetic_requests(config.image_size, predictor.inputs)
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


def _answers(function: Callable[..., dict[str, tf.Tensor]], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}
