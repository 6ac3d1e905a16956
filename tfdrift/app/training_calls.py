"""Calls of the page about training: runs, their curves, starting and stopping."""

import asyncio
import sys
from typing import Any

from tfdrift.app import commands
from tfdrift.app.desk import Desk
from tfdrift.app.runs import find_run, list_runs, read_curves
from tfdrift.config import train_config
from tfdrift.errors import DataError
from tfdrift.methods import METHODS

PATIENCE_SECONDS = 300.0
"""A training ends at a checkpoint, which may be some steps away."""


def methods() -> list[dict[str, Any]]:
    """Return the methods with the settings that the page offers."""
    shown = ("steps", "image_size", "base_filters", "seed")
    return [{"name": name, **{key: getattr(train_config(name), key) for key in shown}} for name in METHODS]


async def runs(desk: Desk, _request: dict[str, Any]) -> dict[str, Any]:
    """Return all runs, the newest first, and which of them a command of this server is at."""
    found = await asyncio.to_thread(list_runs, desk.runs)
    started = {job.told["run"]: job.document() for job in desk.jobs.list("train")}
    exported = {job.told["run"]: job.document() for job in desk.jobs.list("export")}
    known = {one["name"] for one in found}
    waiting = [{"name": name, "job": job} for name, job in started.items() if name not in known]
    return {
        "folder": desk.runs.name,
        "runs": [
            *waiting,
            *({**one, "job": started.get(one["name"]), "exported": exported.get(one["name"])} for one in found),
        ],
    }


async def curves(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Return the curves of a run.

    Args:
        desk: what the page works on.
        request: what the page sends: `run`.
    """
    return {"curves": await asyncio.to_thread(read_curves, desk.runs, request.get("run"))}


async def train(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Start a new run.

    Args:
        desk: what the page works on.
        request: what the page sends: `method`.
    """
    arguments, name = commands.train(desk.folders, desk.runs, request, tuple(METHODS))
    if (desk.runs / name).exists():
        raise DataError(f"there is a run {name} already; give the new one another name")
    return _start(desk, arguments, name, str(request["method"]))


async def resume(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Go on with a run that was stopped.

    Args:
        desk: what the page works on.
        request: what the page sends: `run`.
    """
    run = await asyncio.to_thread(find_run, desk.runs, request.get("run"))
    return _start(desk, await asyncio.to_thread(commands.go_on, run), run.name, "")


async def export(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Start to make a run a model that a patient can be asked with.

    Args:
        desk: what the page works on.
        request: what the page sends: `run`.
    """
    run = await asyncio.to_thread(find_run, desk.runs, request.get("run"))
    arguments = [*commands.TFDRIFT, "export", str(run), "--to", str(desk.models / run.name)]
    return desk.start("export", arguments, told={"run": run.name})


async def tensorboard(desk: Desk, _request: dict[str, Any]) -> dict[str, Any]:
    """Start TensorBoard, which says its address in its lines, or return the one that runs."""
    running = [job for job in desk.jobs.list("tensorboard") if job.state == "running"]
    if running:
        return running[-1].document()
    desk.runs.mkdir(parents=True, exist_ok=True)
    arguments = ["--logdir", str(desk.runs), "--host", "127.0.0.1", "--port", "0"]
    return desk.start("tensorboard", [sys.executable, "-m", "tensorboard.main", *arguments])


def _start(desk: Desk, arguments: list[str], name: str, method: str) -> dict[str, Any]:
    if any(job.told["run"] == name and job.state == "running" for job in desk.jobs.list("train")):
        raise DataError(f"the run {name} is being trained already")
    told = {"run": name, "method": method}
    return desk.start("train", arguments, told=told, patience_seconds=PATIENCE_SECONDS)


CALLS = {"runs": runs, "curves": curves, "train": train, "resume": resume, "export": export, "tensorboard": tensorboard}
