"""Calls of the page about a patient: what is in a folder, the MRI, a prediction, and saving it."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tfdrift.app import commands, volumes
from tfdrift.app.desk import Desk
from tfdrift.app.jobs import Job
from tfdrift.app.models import find_model, list_models
from tfdrift.files import staged, writing
from tfdrift.importing.target_names import is_target

_PREDICTION = "prediction"
MAPS = ("post_mean", "drift_mean", "drift_std", "lesion_probability", "log_jacobian", "log_gain", "residual")
"""Maps of a prediction that the page shows as they are; of the displacement it shows the length."""

_LENGTH = "displacement_length"


async def models(desk: Desk, _request: dict[str, Any]) -> dict[str, Any]:
    """Return the models that can be asked."""
    return {"folder": desk.models.name, "models": await asyncio.to_thread(list_models, desk.models)}


async def scan(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Start to list the DICOM files below a folder.

    Args:
        desk: what the page works on.
        request: what the page sends: `folder`.
    """
    return desk.start(
        "scan", commands.scan(desk.folders, request), shows_output=False, told={"folder": request["folder"]}
    )


async def scanned(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Return what was found below a folder, and which structures have the name of a lesion.

    Args:
        desk: what the page works on.
        request: what the page sends: `job`.
    """
    job = desk.job(request.get("job"), kind="scan", done=True)
    return await asyncio.to_thread(_read_scan, job)


async def patient(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Start to read a patient's MRI and contours.

    Args:
        desk: what the page works on.
        request: what the page sends, see `tfdrift.app.commands`.
    """
    files = commands.files_of(desk.folders, request)
    out = desk.new_folder()
    (out / "request.json").write_text(json.dumps({**files, "out": str(out)}), encoding="utf-8")
    arguments = [sys.executable, "-m", "tfdrift.app.volumes", str(out / "request.json")]
    shown = {name: out / name for name in (volumes.MRI, volumes.CONTOURS)}
    return desk.start("patient", arguments, files=shown, shows_output=False)


async def predict(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Start a prediction.

    Args:
        desk: what the page works on.
        request: what the page sends: `model`.
    """
    model = await asyncio.to_thread(find_model, desk.models, request.get("model"))
    out = desk.new_folder() / _PREDICTION
    arguments = commands.predict(desk.folders, model, request, out)
    files = {f"{name}.nii.gz": out / "nifti" / f"{name}.nii.gz" for name in MAPS}
    files[f"{_LENGTH}.nii.gz"] = out.parent / f"{_LENGTH}.nii.gz"
    files["report.html"] = out / "report.html"

    def measure() -> None:
        vectors = out / "nifti/displacement_mm.nii.gz"
        if vectors.is_file():
            volumes.write_lengths(vectors, files[f"{_LENGTH}.nii.gz"])

    return desk.start("predict", arguments, files=files, then=measure, out=out, told={"model": request["model"]})


async def prediction(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a prediction, and which maps there are.

    Args:
        desk: what the page works on.
        request: what the page sends: `job`.
    """
    job = desk.job(request.get("job"), kind="predict", done=True)
    assert job.out is not None
    document = json.loads((job.out / "prediction.json").read_text(encoding="utf-8"))
    maps = [name.removesuffix(".nii.gz") for name in desk.file_names(job.id) if name.endswith(".nii.gz")]
    return {"document": document, "maps": maps}


async def save(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Copy the folder that `tfdrift predict` wrote, byte for byte, to where the user wants it.

    Args:
        desk: what the page works on.
        request: what the page sends: `job`, `out`.
    """
    job = desk.job(request.get("job"), kind="predict", done=True)
    assert job.out is not None
    target = commands.new_folder(desk.folders, request.get("out"))
    await asyncio.to_thread(_copy, job.out, target)
    return {"saved": desk.folders.name(target), "files": sum(path.is_file() for path in target.rglob("*"))}


def _copy(source: Path, target: Path) -> None:
    with staged(target) as (whole, _), writing(target.name):
        shutil.copytree(source, whole, dirs_exist_ok=True)


def _read_scan(job: Job) -> dict[str, Any]:
    document = json.loads(job.output)
    for one in document["patients"]:
        for study in one["studies"]:
            for structures in study["structure_sets"]:
                for roi in structures["rois"]:
                    roi["lesion"] = is_target(roi["name"])
    return document


async def read(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Return what a reading command said: of a patient's files, or of a pair.

    Args:
        desk: what the page works on.
        request: what the page sends: `job`.
    """
    return json.loads(desk.job(request.get("job"), done=True).output)


CALLS = {
    "models": models,
    "scan": scan,
    "scanned": scanned,
    "patient": patient,
    "read": read,
    "predict": predict,
    "prediction": prediction,
    "save": save,
}
