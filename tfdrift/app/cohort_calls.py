"""Calls of the page about a cohort: importing one, its cards, a lesion's two MRIs, and which pairs are wrong."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tfdrift.app import commands, pairs
from tfdrift.app.cohorts import describe_cohort, mark, read_cards
from tfdrift.app.desk import Desk
from tfdrift.app.jobs import TFDRIFT
from tfdrift.cohort.tables import LESION_COLUMNS, read_table
from tfdrift.errors import DataError
from tfdrift.importing.nifti_source import is_bids, is_table


async def kind(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Return what kind of folder one is: a cohort, a BIDS folder, a table of files, or another one.

    Args:
        desk: what the page works on.
        request: what the page sends: `folder`.
    """
    folder = desk.folders.path(request.get("folder"))
    if (folder / "import.json").is_file() and (folder / "lesion_slices").is_dir():
        return {"kind": "cohort", "image_size": await asyncio.to_thread(_image_size, folder)}
    return {"kind": "bids" if is_bids(folder) else "table" if is_table(folder) else "other"}


async def import_cohort(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Start an import.

    Args:
        desk: what the page works on.
        request: what the page sends: `exclude`, `folder`.
    """
    arguments, out = commands.import_cohort(desk.folders, request)
    wrong = desk.folders.path(request["exclude"]) if request.get("exclude") else None

    def carry_over() -> None:
        if wrong is not None and not wrong_file(out).exists():
            shutil.copyfile(wrong, wrong_file(out))

    told = {"folder": request["folder"], "cohort": desk.folders.name(out)}
    return desk.start("import", arguments, out=out, told=told, then=carry_over)


async def open_cohort(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Start to read the crops of a cohort.

    Args:
        desk: what the page works on.
        request: what the page sends: `cohort`.
    """
    cohort = desk.folders.path(request.get("cohort"))
    out = desk.new_folder() / "crops"
    return desk.start(
        "cohort", [*TFDRIFT, "cohort", "export", str(cohort), str(out)], out=out, told={"cohort": request["cohort"]}
    )


async def cohort(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of a cohort that was opened, and its cards; their pixels are the file `cards.bin`.

    Args:
        desk: what the page works on.
        request: what the page sends: `job`.
    """
    job = desk.job(request.get("job"), kind="cohort", done=True)
    folder, crops = desk.folders.path(job.told["cohort"]), job.out
    assert crops is not None
    cards, pixels = await asyncio.to_thread(read_cards, crops)
    desk.add_file(job.id, "cards.bin", crops.parent / "cards.bin")
    (crops.parent / "cards.bin").write_bytes(pixels)
    wrong = wrong_file(folder)
    return {
        **describe_cohort(folder, wrong),
        "cards": cards,
        "name": folder.name,
        "cohort": job.told["cohort"],
        "wrong_file": desk.folders.name(wrong),
        "key": desk.folders.name(folder.with_name(f"{folder.name}.key")),
    }


async def pair(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Start to read both MRIs of a lesion's patient from the export.

    Args:
        desk: what the page works on.
        request: what the page sends: `cohort`, `lesion`, `folder`.
    """
    out = desk.new_folder()
    folder = desk.folders.path(request.get("cohort"))
    row = _row(folder, request.get("lesion"))
    asked = {
        "export": str(desk.folders.path(request.get("folder"))),
        "cohort": str(folder),
        "keys": [str(key) for key in sorted(folder.parent.glob("*.key"))],
        "patient": row["patient"],
        "lesion": row["lesion"],
        "out": str(out),
    }
    (out / "request.json").write_text(json.dumps(asked), encoding="utf-8")
    arguments = [sys.executable, "-m", "tfdrift.app.pairs", str(out / "request.json")]
    return desk.start("pair", arguments, files={name: out / name for name in pairs.FILES}, shows_output=False)


async def wrong(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Write into the table of wrong pairs that a lesion is one, or that it is none.

    Args:
        desk: what the page works on.
        request: what the page sends: `cohort`, `reason`, `lesion`.
    """
    folder = desk.folders.path(request.get("cohort"))
    reason = request.get("reason")
    mark(wrong_file(folder), _row(folder, request.get("lesion")), None if reason is None else str(reason))
    return describe_cohort(folder, wrong_file(folder))


def wrong_file(cohort: Path) -> Path:
    """Return where the table of wrong pairs of a cohort lies: beside it, as its key does."""
    return cohort.with_name(f"{cohort.name}.wrong_pairs.csv")


def _image_size(cohort: Path) -> int | None:
    try:
        return int(json.loads((cohort / "import.json").read_text(encoding="utf-8"))["image_size"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _row(cohort: Path, lesion: object) -> dict[str, str]:
    found = [row for row in read_table(cohort / "lesions.csv", LESION_COLUMNS) if row["lesion"] == lesion]
    if not found:
        raise DataError("this lesion is not in the cohort any more; open it again")
    return found[0]


CALLS = {
    "kind": kind,
    "import": import_cohort,
    "open": open_cohort,
    "cohort": cohort,
    "pair": pair,
    "wrong": wrong,
}
