"""The models that a patient can be asked with, and what each may be told."""

from pathlib import Path
from typing import Any

from tfdrift.errors import DataError
from tfdrift.export.model_folder import Version, newest_version
from tfdrift.model.columns import column_of
from tfdrift.model.conditions import Conditions
from tfdrift.model.inputs import read_inputs


def list_models(folder: Path) -> list[dict[str, Any]]:
    """Return the newest version of every model of ours in a folder such as `saved_models`, by name.

    Args:
        folder: of models, each a folder of its versions.
    """
    if not folder.is_dir():
        return []
    found = []
    for target in sorted(folder.iterdir()):
        version = newest_version(target) if target.is_dir() and not target.name.startswith(".") else None
        if version is not None and version.config is not None:
            found.append(_describe(version, version.config))
    return found


def find_model(folder: Path, name: object) -> Path:
    """Return the folder of a model of `list_models`.

    Args:
        folder: see there.
        name: as the page sent it.

    Raises:
        DataError: there is none of that name.
    """
    if name not in {one["name"] for one in list_models(folder)}:
        raise DataError("this model is not there any more; choose another one")
    return folder / str(name)


def _describe(version: Version, config: dict[str, Any]) -> dict[str, Any]:
    metrics, train = config.get("metrics") or {}, config.get("train", {})
    return {
        "name": version.model,
        "version": str(version.number),
        "method": train.get("method"),
        "data": "the synthetic phantom" if train.get("data") == "phantom" else "a cohort of patients",
        "patients": config.get("data", {}).get("patients"),
        "skill": metrics.get("skill"),
        "held_out": metrics.get("patients"),
        "members": max(1, len(config.get("members", []))),
        "calibrated": config.get("calibration") is not None,
        "blessed": bool((version.blessing or {}).get("blessed")),
        "conditions": _conditions(config),
    }


def _conditions(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a person may tell a model; what it measures itself, or takes as several numbers, is left out."""
    try:
        conditions: Conditions = read_inputs(config.get("data", {}).get("inputs", {})).conditions
    except (TypeError, AttributeError, ValueError):
        return []
    found = []
    for name, places in conditions.places().items():
        column = column_of(name)
        if column.measured or len(places) > 1:
            continue
        classes = list(conditions.classes_of(name))
        found.append(
            {
                "name": name,
                "meaning": column.meaning,
                "afterwards": column.afterwards,
                "classes": [{"value": one, "words": column.words.get(one, one)} for one in classes],
                "low": None if classes else conditions.low[places.start],
                "high": None if classes else conditions.high[places.start],
            }
        )
    return found
