"""A trained run, or an ensemble of runs, as a version of a served model: `saved_models/<name>/<version>/`.

saved_model.pb  variables/                    signatures and weights
assets/config.json                            settings, schedule, scaling, data fingerprint, step, versions, scores,
                                              calibration
assets.extra/model_card.md                    the same for people
assets.extra/tf_serving_warmup_requests       what a server asks itself when it loads the version
"""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdrift.cohort.dose import DOSE, DOSE_UNIT_GY
from tfdrift.config import as_json
from tfdrift.errors import DataError
from tfdrift.evaluation.calibration import Calibration, read_calibration
from tfdrift.export.members import Member, describe_members, load_members
from tfdrift.export.model_card import model_card
from tfdrift.export.model_folder import CONFIG_FILE, default_target, versions
from tfdrift.export.signatures import DEFAULT_OUTCOMES, ServingModule, check_ops
from tfdrift.export.warmup import WARMUP_FILE, synthetic_requests, write_warmup
from tfdrift.files import staged, writing
from tfdrift.model.columns import column_of

CARD_FILE = "assets.extra/model_card.md"
EMBEDDED_DATA = ("phantom", "mnist")
# What is told of the scores; everything else in metrics.json is for whoever has the data.
SCORES = ("fold", "patients", "lesions", "slices", "skill", "drift_skill", "ssim", "copy", "mean_drift")


def export_run(
    run_folder: Path, to: Path | None = None, *, outcomes: int = DEFAULT_OUTCOMES, calibration: Path | None = None
) -> Path:
    """Write the newest weights of a run as a new version of a served model, good or not; see `tfdrift.export.push`.

    Args:
        run_folder: what `tfdrift train` wrote.
        to: folder of the model's versions; None is `saved_models/<name of the run folder>`.
        outcomes: number of outcomes of the signature `ensemble`.
        calibration: folder of an evaluation, see `read_calibration`; without it the model has none.

    Returns:
        The version's folder.

    Raises:
        DataError: the folder is no run, holds no checkpoint, its graph is not one that a server may run, or the
            calibration is none of this run.
        ResourceError: the target cannot be written, or another export writes to it.
    """
    members = load_members([run_folder])
    config, facts, _ = members[0]
    metrics = read_metrics(run_folder, facts["step"])
    found = None if calibration is None else read_calibration(calibration, config, facts)

    def write(folder: Path) -> None:
        write_model(folder, members, outcomes=outcomes, metrics=metrics, calibration=found)

    return publish(default_target(run_folder) if to is None else to, write)


def read_metrics(run_folder: Path, step: int) -> dict[str, Any] | None:
    """Return the scores in a run folder that a model tells, or None if there are none of the weights of `step`.

    Args:
        run_folder: what `tfdrift train` wrote.
        step: of the weights, in optimiser steps.

    Raises:
        DataError: `metrics.json` cannot be read.
    """
    file = run_folder / "metrics.json"
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        scores = {name: metrics[name] for name in SCORES}
        return scores if metrics["step"] == step else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is damaged ({error!r}); delete it to have the run scored again") from None


def write_model(
    folder: Path,
    members: Sequence[Member],
    *,
    outcomes: int = DEFAULT_OUTCOMES,
    metrics: dict[str, Any] | None = None,
    calibration: Calibration | None = None,
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Write the SavedModel of a run, or of an ensemble of runs, and what it says of itself.

    Args:
        folder: takes the SavedModel.
        members: the runs. The settings and facts told are those of the first, without paths on the user's machine, and
            of several `members` tells in what the others differ.
        outcomes: number of outcomes of the signature `ensemble`.
        metrics: `SCORES` of the whole model, if it was scored.
        calibration: what the intervals of a new patient are widened by, if it was measured.

    Returns:
        The functions that were saved, by signature; they answer as long as the predictor lives.

    Raises:
        DataError: the graph holds what a server must not run.
    """
    config, facts, predictor = members[0]
    module = ServingModule([member.predictor for member in members], config.image_size, outcomes)
    several = describe_members(members)
    data = config.data if config.data in EMBEDDED_DATA else "cohort"
    schedule = predictor.method.schedule
    meanings = {name: column_of(name).meaning for name in predictor.inputs.conditions.names}
    text = as_json(
        dataclasses.replace(config, mnist_file=None, data=data),
        trained_with=facts["tfdrift"],
        data=facts["data"],
        step=facts["step"],
        **{name: facts[name] for name in ("chosen",) if name in facts},
        schedule={"signal_rate": schedule.signal_rate.tolist(), "noise_rate": schedule.noise_rate.tolist()},
        **({"conditions": meanings} if meanings else {}),
        scaling=_scaling(predictor.inputs.names),
        samples=module.outcomes,
        **({"members": several} if several else {}),
        weights_sha256=module.weights_sha256(),
        metrics=metrics,
        calibration=None if calibration is None else dataclasses.asdict(calibration),
    )
    card = model_card(json.loads(text))
    signatures = module.signatures(config=text, card=card)
    tf.saved_model.save(module, str(folder), signatures=signatures)
    check_ops(folder / "saved_model.pb")
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    write_warmup(folder / WARMUP_FILE, synthetic_requests(config.image_size, predictor.inputs, signatures))
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    return signatures


def _scaling(names: Sequence[str]) -> str:
    """Return how a model scales what it is given, in words."""
    said = "each image is divided by its own largest signal, and the answer multiplied by it"
    if not names:
        return said
    dose = f", the dose by {DOSE_UNIT_GY:g} Gy" if DOSE in names else ""
    return f"each channel is divided by its own largest signal{dose}, and the answer multiplied by the first channel's"


def publish(target: Path, write: Callable[[Path], None]) -> Path:
    """Make a new version that is there as a whole or not at all.

    It is written below a hidden folder, which no server takes for a version, alone in its parent like the only version
    of a model, so that a server can be tried on it; and then renamed. What a killed export left is removed first.

    Args:
        target: folder of the model's versions; made when it is missing.
        write: fills the folder it is given.

    Returns:
        The version's folder: the unix time in seconds, or one more than the newest version if that is not older.

    Raises:
        ResourceError: the target cannot be written, or another export writes to it.
    """
    with writing(target, to_do="free space or choose another --to", also=(tf.errors.OpError,)):
        target.mkdir(parents=True, exist_ok=True)
        version = max([int(time.time()), *(number + 1 for number in versions(target))])
        with staged(target / str(version), area=target / ".staging") as (folder, _):
            write(folder)
    return target / str(version)
