"""Run folders as the page shows them: curves as they grow, and scores beside "no change"."""

import json
from pathlib import Path
from typing import Any

from tfdrift.errors import DataError

SHOWN = ("loss", "skill", "drift_skill", "ssim")
"""Columns of the history that the page draws."""

POINTS = 600
"""Of a curve; more are thinned out."""


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """Return every run in a folder such as `runs`, the one written last first.

    Args:
        folder: of run folders.
    """
    if not folder.is_dir():
        return []
    found = [one for one in folder.iterdir() if (one / "config.json").is_file() and not one.name.startswith(".")]
    return [_describe(one) for one in sorted(found, key=_written, reverse=True)]


def read_curves(folder: Path, name: object) -> dict[str, list[list[float]]]:
    """Return the curves of a run: pairs of step and value, by part and column such as `train loss`.

    Args:
        folder: of run folders.
        name: of the run, as the page sent it.

    Raises:
        DataError: there is no such run.
    """
    return {column: _thinned(points) for column, points in _history(find_run(folder, name)).items()}


def find_run(folder: Path, name: object) -> Path:
    """Return the folder of a run of `list_runs`.

    Args:
        folder: see there.
        name: as the page sent it.

    Raises:
        DataError: there is no such run.
    """
    if name not in {one["name"] for one in list_runs(folder)}:
        raise DataError("this run is not there any more; choose another one")
    return folder / str(name)


def _describe(run: Path) -> dict[str, Any]:
    train = _read(run / "config.json").get("train", {})
    metrics = _read(run / "metrics.json")
    points = _history(run)
    step = max((int(line[-1][0]) for line in points.values() if line), default=0)
    return {
        "name": run.name,
        "method": train.get("method"),
        "data": train.get("data") if train.get("data") in ("phantom", "mnist") else "a cohort",
        "steps": train.get("steps"),
        "step": step,
        "finished": bool(metrics),
        "fold": train.get("fold"),
        "scores": _scores(metrics),
        "best": max((value for _, value in points.get("validation skill", [])), default=None),
    }


def _scores(metrics: dict[str, Any]) -> dict[str, Any] | None:
    if "skill" not in metrics:
        return None
    return {
        "skill": metrics["skill"],
        "mean_drift": metrics.get("mean_drift", {}).get("skill"),
        "drift_skill": metrics.get("drift_skill"),
        "ssim": metrics.get("ssim"),
        "ssim_copy": metrics.get("copy", {}).get("ssim"),
        "patients": metrics.get("patients"),
        "lesions": metrics.get("lesions"),
    }


def _history(run: Path) -> dict[str, list[list[float]]]:
    curves: dict[str, list[list[float]]] = {}
    try:
        lines = (run / "history.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    for line in lines:
        try:
            row = json.loads(line)
            step, part = float(row["step"]), str(row["part"])
        except (ValueError, LookupError, TypeError):
            continue  # the last line may be half written
        for column in SHOWN:
            if isinstance(row.get(column), (int, float)):
                curves.setdefault(f"{part} {column}", []).append([step, float(row[column])])
    return curves


def _thinned(points: list[list[float]]) -> list[list[float]]:
    every = -(-len(points) // POINTS) or 1
    return points[::-1][::every][::-1]  # the last one is always there


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _written(run: Path) -> float:
    files = [run / name for name in ("history.jsonl", "config.json")]
    return max(file.stat().st_mtime for file in files if file.is_file())
