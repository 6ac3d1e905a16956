"""A trained run as a version of a served model: `saved_models/<name>/<version>/`.

saved_model.pb  variables/        signatures and weights
assets/config.json                settings, schedule, data fingerprint, step, versions
"""

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import tensorflow as tf

from tfdrift.config import TrainConfig, write_config
from tfdrift.errors import DataError, ResourceError
from tfdrift.model.predictor import Predictor
from tfdrift.serving.signatures import ServingModule, check_ops
from tfdrift.training.run import load_predictor

EMBEDDED_DATA = ("phantom", "mnist")


def export_run(run_folder: Path, to: Path | None = None) -> Path:
    """Write the newest weights of a run as a new version of a served model.

    Args:
        run_folder: what `tfdrift train` wrote.
        to: folder of the model's versions; None is `saved_models/<name of the run folder>`.

    Returns:
        The version's folder.

    Raises:
        DataError: the folder is no run, holds no checkpoint, or its graph is not one that a server may run.
        ResourceError: the target cannot be written, or another export writes to it.
    """
    if not run_folder.is_dir():
        raise DataError(f"{run_folder} is no folder; give a run folder that `tfdrift train` wrote")
    config, facts, predictor = load_predictor(run_folder)
    target = Path("saved_models") / run_folder.resolve().name if to is None else to
    return publish(target, lambda staging: write_model(staging, config, facts, predictor))


def write_model(folder: Path, config: TrainConfig, facts: dict[str, Any], predictor: Predictor) -> None:
    """Write the SavedModel of a predictor and what it says of itself.

    Args:
        folder: takes the SavedModel.
        config: the settings of the run; paths on the user's machine are left out of the copy beside the model.
        facts: what stands beside the settings in the run folder, and the `step` of the weights.
        predictor: around the trained network.

    Raises:
        DataError: the graph holds what a server must not run.
    """
    module = ServingModule(predictor, config.image_size)
    tf.saved_model.save(module, str(folder), signatures=module.signatures())
    check_ops(folder / "saved_model.pb")
    data = config.data if config.data in EMBEDDED_DATA else "cohort"
    schedule = predictor.schedule
    write_config(
        folder / "assets" / "config.json",
        dataclasses.replace(config, mnist_file=None, data=data),
        trained_with=facts["tfdrift"],
        data=facts["data"],
        step=facts["step"],
        schedule={"signal_rate": schedule.signal_rate.tolist(), "noise_rate": schedule.noise_rate.tolist()},
    )


def publish(target: Path, write: Callable[[Path], None]) -> Path:
    """Make a new version that is there as a whole or not at all.

    It is written into a folder that no server takes for a version, which is then renamed. What a killed export left
    behind is removed first.

    Args:
        target: folder of the model's versions; made when it is missing.
        write: fills the folder it is given.

    Returns:
        The version's folder: the unix time in seconds, or one more than the newest version if that is not older.

    Raises:
        ResourceError: the target cannot be written, or another export writes to it.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target / ".lock", blocking=False):
            for leftover in target.glob(".staging-*"):
                shutil.rmtree(leftover)
            version = max([int(time.time()), *(number + 1 for number in versions(target))])
            staging = target / f".staging-{version}"
            try:
                staging.mkdir()
                write(staging)
                return staging.rename(target / str(version))
            finally:
                if staging.exists():
                    shutil.rmtree(staging)
    except filelock.Timeout:
        raise ResourceError(f"another export writes to {target}; wait for it or choose another --to") from None
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message.splitlines()[0]
        raise ResourceError(f"cannot write to {target} ({reason or error}); choose another --to") from None


def versions(target: Path) -> list[int]:
    """Return the versions of a model, oldest first: the folders that a server would take for one."""
    return sorted(int(folder.name) for folder in target.iterdir() if folder.name.isdecimal() and folder.is_dir())
