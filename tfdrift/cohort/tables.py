"""`lesions.csv` and `exclusions.csv`: what is in a cohort, and everything that is not, with the reason."""

import csv
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tfdrift.importing.lesions import LesionRow
from tfdrift.importing.visits import Exclusion


def write_lesions(path: Path, lesions: Iterable[tuple[str, LesionRow]], folds: Mapping[str, int]) -> None:
    """Write a row for each lesion: patient, lesion, fold, then the other fields of `LesionRow`.

    Args:
        path: CSV file in UTF-8.
        lesions: each with its patient's pseudonym.
        folds: fold of each pseudonym.
    """
    names = [field.name for field in dataclasses.fields(LesionRow) if field.name != "lesion"]
    rows = [
        [patient, row.lesion, folds[patient], *(_cell(getattr(row, name)) for name in names)]
        for patient, row in lesions
    ]
    _write(path, ["patient", "lesion", "fold", *names], rows)


def write_exclusions(path: Path, exclusions: Iterable[tuple[str, Exclusion]]) -> None:
    """Write a row for each exclusion: patient, visit, structure (its ROINumber), reason.

    Args:
        path: CSV file in UTF-8.
        exclusions: each with its patient's pseudonym, empty where a file belongs to none.
    """
    rows = [[patient, one.visit, one.structure, one.reason] for patient, one in exclusions]
    _write(path, ["patient", "visit", "structure", "reason"], rows)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
