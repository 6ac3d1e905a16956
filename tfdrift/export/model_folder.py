"""The folder of a served model, `saved_models/<name>/`: its versions and what they say of themselves."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tfdrift.errors import DataError
from tfdrift.statistics.intervals import interval_words

CONFIG_FILE = "assets/config.json"
BLESSING_FILE = "assets.extra/blessing.json"
HEAD = ("MODEL", "VERSION", "WRITTEN (UTC)", "BLESSING", "METHOD", "STEP", "SKILL [95%]", "PATIENTS")
YEAR_3000 = 32503680000


class Version(NamedTuple):
    """A version and what stands in its folder; what is missing or another program's is None.

    Args:
        model: name of the model.
        number: unix time in seconds, if tfdrift wrote it.
        config: `assets/config.json`.
        blessing: `assets.extra/blessing.json`.
    """

    model: str
    number: int
    config: dict[str, Any] | None
    blessing: dict[str, Any] | None


def default_target(run_folder: Path) -> Path:
    """Return where the versions of a run's model go unless told otherwise.

    Example:
        >>> default_target(Path("runs/first")).as_posix()
        'saved_models/first'
    """
    return Path("saved_models") / run_folder.resolve().name


def versions(target: Path) -> list[int]:
    """Return the versions of a model, oldest first: the folders that a server would take for one."""
    return sorted(int(folder.name) for folder in target.iterdir() if folder.name.isdecimal() and folder.is_dir())


def read_version(target: Path, number: int) -> Version:
    """Return what a version says of itself.

    Args:
        target: folder of the model's versions.
        number: of the version.
    """
    folder = target / str(number)
    config, blessing = _read(folder / CONFIG_FILE), _read(folder / BLESSING_FILE)
    ours = config is not None and "tfdrift" in config
    return Version(target.resolve().name, number, config if ours else None, blessing if ours else None)


def newest_version(target: Path) -> Version | None:
    """Return the version that TF Serving serves unless told otherwise, or None if there is none."""
    found = versions(target)
    return read_version(target, found[-1]) if found else None


def list_versions(target: Path) -> list[Version]:
    """Return the versions of a model, the newest first.

    Args:
        target: folder of the model's versions.

    Raises:
        DataError: there is no such folder.
    """
    if not target.is_dir():
        raise DataError(f"{target} is no folder; give the folder of a model's versions, or export a run first")
    return [read_version(target, number) for number in reversed(versions(target))]


def list_models(models_folder: Path) -> list[Version]:
    """Return the versions of every model in a folder such as `saved_models`, by name and the newest first.

    Raises:
        DataError: there is no such folder.
    """
    if not models_folder.is_dir():
        raise DataError(f"{models_folder} is no folder; export a run first")
    folders = sorted(folder for folder in models_folder.iterdir() if folder.is_dir())
    return [version for folder in folders for version in list_versions(folder)]


def as_table(listed: list[Version]) -> str:
    """Return versions as lines of text under a head."""
    rows = [HEAD, *(_row(version) for version in listed)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(version: Version) -> tuple[str, ...]:
    number = version.number
    written = datetime.fromtimestamp(number, UTC).strftime("%Y-%m-%d %H:%M") if number < YEAR_3000 else "-"
    method = step = skill = patients = blessing = "-"
    if version.config is not None:
        method, step = version.config["train"]["method"], version.config["step"]
        if version.config["metrics"] is not None:
            skill, patients = interval_words(version.config["metrics"]["skill"]), version.config["metrics"]["patients"]
    if version.blessing is not None:
        blessing = "BLESSED" if version.blessing["blessed"] else "FORCED"
    return (version.model, str(number), written, blessing, method, str(step), skill, str(patients))


def _read(file: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # TF Serving would serve the version all the same, so it is listed
    return document if isinstance(document, dict) else None
