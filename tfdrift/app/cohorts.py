"""A cohort as the page shows it: a card for each lesion as on the contact sheet, and the table of wrong pairs."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from tfdrift.cohort.nifti_files import TABLE
from tfdrift.cohort.tables import EXCLUSION_COLUMNS, LESION_COLUMNS, WRONG_COLUMNS, read_table, read_wrong_pairs
from tfdrift.errors import DataError
from tfdrift.files import write_whole

_SLICE_FILES = ("pre", "post", "pre_mask", "post_mask")


def describe_cohort(cohort: Path, wrong_file: Path) -> dict[str, Any]:
    """Return the rows of a cohort's tables, and which lesions a person has called wrong.

    Args:
        cohort: its folder.
        wrong_file: table of wrong pairs, which need not exist.

    Raises:
        DataError: a table cannot be read.
    """
    return {
        "lesions": read_table(cohort / "lesions.csv", LESION_COLUMNS),
        "exclusions": read_table(cohort / "exclusions.csv", EXCLUSION_COLUMNS),
        "wrong": read_wrong_pairs(wrong_file) if wrong_file.is_file() else {},
    }


def read_cards(crops: Path) -> tuple[list[dict[str, Any]], bytes]:
    """Return for each lesion the slice on which its GTVs are largest.

    Args:
        crops: what `tfdrift cohort export` wrote.

    Returns:
        Lesion and side S of each card, and their pixels one after the other, uint8 [4, S, S]: pre and post of the
        slice's largest signal, from 0 to 255, and both masks, 0 and 1.

    Raises:
        DataError: the files cannot be read.
    """
    best: dict[str, tuple[int, np.ndarray]] = {}
    for row in read_table(crops / TABLE, ("lesion", *_SLICE_FILES)):
        pre, post, pre_mask, post_mask = (_read_slice(crops / row[name]) for name in _SLICE_FILES)
        area = int(((pre_mask > 0) | (post_mask > 0)).sum())
        if area <= best.get(row["lesion"], (-1, None))[0]:
            continue
        largest = max(float(pre.max()), float(post.max())) or 1.0
        images = [np.clip(image / largest * 255, 0, 255).astype(np.uint8) for image in (pre, post)]
        best[row["lesion"]] = (
            area,
            np.stack([*images, *((mask > 0).astype(np.uint8) for mask in (pre_mask, post_mask))]),
        )
    told = [{"lesion": lesion, "size": pixels.shape[-1]} for lesion, (_, pixels) in best.items()]
    return told, b"".join(pixels.tobytes() for _, pixels in best.values())


def mark(wrong_file: Path, row: Mapping[str, str], reason: str | None) -> None:
    """Write a lesion into the table of wrong pairs, or take it out.

    Args:
        wrong_file: is made where it does not exist.
        row: of `lesions.csv`.
        reason: in the words of who looked; None takes the lesion out.

    Raises:
        DataError: the table is there and is none.
    """
    rows = {} if not wrong_file.is_file() else read_wrong_pairs(wrong_file)
    rows.pop(row["lesion"], None)
    if reason is not None:
        words = " ".join("".join(char if char.isprintable() else " " for char in reason).split())
        rows[row["lesion"]] = {"patient": row["patient"], "reason": words[:200] or "wrong pair"}
    lines = [WRONG_COLUMNS, *([one["patient"], lesion, one["reason"]] for lesion, one in rows.items())]
    write_whole(wrong_file, _as_csv(lines))


def _as_csv(lines: list) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _read_slice(file: Path) -> np.ndarray:
    try:
        pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    except RuntimeError:
        raise DataError("the cohort's crops cannot be read; open the cohort again") from None
    return np.squeeze(pixels)
