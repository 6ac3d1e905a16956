"""What the page asks for, as the arguments of a command of tfdrift that anybody could type."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfdrift.app.folders import Folders
from tfdrift.app.jobs import TFDRIFT
from tfdrift.errors import DataError


def scan(folders: Folders, request: Mapping[str, Any]) -> list[str]:
    """Return `tfdrift cohort scan`.

    Args:
        folders: what the page may see.
        request: `folder`.
    """
    return [*TFDRIFT, "cohort", "scan", str(folders.path(request.get("folder"))), "--json"]


def import_cohort(folders: Folders, request: Mapping[str, Any]) -> tuple[list[str], Path]:
    """Return `tfdrift cohort import` and the folder that it makes.

    Args:
        folders: what the page may see.
        request: `folder`, `out`, and where wanted `roi`, `folds`, `image_size`, `key`, `exclude`.
    """
    out = new_folder(folders, request.get("out"))
    arguments = [*TFDRIFT, "cohort", "import", str(folders.path(request.get("folder"))), str(out)]
    arguments += _number(request, "folds", 2, 100) + _number(request, "image_size", 8, 512)
    if request.get("roi"):
        arguments.append(f"--roi={_text(request, 'roi')}")
    for name in ("key", "exclude"):
        if request.get(name):
            arguments += [f"--{name}", str(folders.path(request[name]))]
    return arguments, out


def train(folders: Folders, runs: Path, request: Mapping[str, Any], methods: tuple[str, ...]) -> tuple[list[str], str]:
    """Return `tfdrift train` and the name of its run.

    Args:
        folders: what the page may see.
        runs: folder of run folders.
        request: `method`, `name`, and where wanted `cohort`, `steps`, `image_size`, `base_filters`, `fold`, `seed`.
        methods: that there are.
    """
    method, name = request.get("method"), request.get("name")
    if method not in methods:
        raise DataError("choose a method")
    name = folder_name(name)
    arguments = [*TFDRIFT, "train", str(method), "--out", str(runs / name)]
    if request.get("cohort") is not None:
        arguments += ["--data", str(folders.path(request["cohort"]))]
    arguments += _number(request, "steps", 1, 10**7) + _number(request, "image_size", 8, 512)
    arguments += _number(request, "base_filters", 1, 1024) + _number(request, "fold", 0, 1000)
    arguments += _number(request, "seed", 0, 2**31 - 1)
    return arguments, name


def go_on(run: Path) -> list[str]:
    """Return the `tfdrift train` that goes on with a run: the same command, which its `config.json` tells.

    Args:
        run: its folder.
    """
    settings = json.loads((run / "config.json").read_text(encoding="utf-8"))["train"]
    data = settings["data"]
    if data not in ("phantom", "mnist"):
        settings["data"] = str((run / data).resolve())
    arguments = [*TFDRIFT, "train", settings.pop("method"), "--out", str(run)]
    for name, value in settings.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments.append(option if value else option.replace("--", "--no-", 1))
        elif value is not None and value != "":
            arguments += [option, str(value)]
    return arguments


def predict(folders: Folders, model: Path, request: Mapping[str, Any], out: Path) -> list[str]:
    """Return `tfdrift predict`.

    Args:
        folders: what the page may see.
        model: that is asked.
        request: the files as in `files_of`, and where wanted `outcomes`, `seed`, `guidance` and `given`, texts by name
            of the condition.
        out: folder to write.
    """
    files = files_of(folders, request)
    arguments = [*TFDRIFT, "predict", "--model", str(model), "--out", str(out)]
    if "series" in files:
        arguments += ["--series", files["series"], "--structures", files["structures"]]
        arguments += ["--by-place"] if files["by_place"] else []
    else:
        arguments += ["--image", files["image"]]
        arguments += [part for mask in files["masks"] for part in ("--mask", mask)]
        arguments += ["--components"] if files["components"] else []
    if files.get("roi"):
        arguments.append(f"--roi={files['roi']}")
    arguments += _number(request, "outcomes", 2, 1000) + _number(request, "seed", 0, 2**31 - 1)
    given = request.get("given") or {}
    if not isinstance(given, dict):
        raise DataError("what is given must be named")
    for name, value in given.items():
        if str(value).strip():
            arguments.append(f"--given={name}={str(value).strip()}")
    if request.get("guidance") not in (None, "", 1):
        arguments.append(f"--guidance={request['guidance']}")
    return arguments


def files_of(folders: Folders, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the files of a patient, with paths of this machine.

    Args:
        folders: what the page may see.
        request: `series` and `structures`, where wanted with `by_place`; or `image` and `masks`, with `components`; and
            where wanted `roi`.
    """
    roi = _text(request, "roi") if request.get("roi") else None
    if request.get("series") is not None and request.get("structures"):
        return {
            "series": str(folders.path(request["series"])),
            "structures": str(folders.path(request["structures"])),
            "by_place": bool(request.get("by_place")),
            "roi": roi,
        }
    masks = request.get("masks")
    if request.get("image") and isinstance(masks, list) and masks:
        return {
            "image": str(folders.path(request["image"])),
            "masks": [str(folders.path(mask)) for mask in masks],
            "components": bool(request.get("components")),
            "roi": roi,
        }
    raise DataError("choose an MRI and what is drawn on it")


def new_folder(folders: Folders, name: object) -> Path:
    """Return a folder to make, whose parent is there.

    Args:
        folders: what the page may see.
        name: as the page sent it.

    Raises:
        DataError: it is there already, or its parent is not.
    """
    out = folders.new(name)
    if out == folders.root or out.name.startswith("."):
        raise DataError("give the new folder a name that does not begin with a dot")
    if out.exists():
        raise DataError(f"{out.name} is there already; give the new folder another name")
    if not out.parent.is_dir():
        raise DataError("the folder to save in is not there any more; choose again")
    return out


def folder_name(name: object) -> str:
    """Return a name that a folder may have in another one.

    Raises:
        DataError: it may not.
    """
    if not isinstance(name, str) or not name.strip() or name.startswith(".") or set(name) & set('/\\:*?"<>|\0'):
        raise DataError('a name must not be empty, begin with a dot, or hold any of / \\ : * ? " < > |')
    return name.strip()


def _number(request: Mapping[str, Any], name: str, low: int, high: int) -> list[str]:
    value = request.get(name)
    if value in (None, ""):
        return []
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise DataError(f"{name.replace('_', ' ')} must be a whole number") from None
    if not low <= number <= high:
        raise DataError(f"{name.replace('_', ' ')} must be from {low} to {high}")
    return [f"--{name.replace('_', '-')}", str(number)]


def _text(request: Mapping[str, Any], name: str) -> str:
    if not isinstance(request[name], str) or "\0" in request[name]:
        raise DataError(f"{name} must be text")
    return request[name]
