"""Groups of patients, such as those of a hospital or a scanner, held out as a whole in place of the data's own folds.

A group's name may tell who its patients are, so it stays in the file that the user gave: groups are numbered in the
order of their names, and only the numbers go on, as folds.
"""

import csv
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError
from tfdrift.files import write_whole


class PatientGroups(NamedTuple):
    """Who belongs to which group.

    Args:
        fold: number of each patient's group, from 0.
        names: of the groups, by number, fit for a terminal.
    """

    fold: dict[str, int]
    names: list[str]


def read_groups(path: Path, patients: Collection[str]) -> PatientGroups:
    """Return the groups of patients that a CSV table with the columns patient and group gives.

    Args:
        path: CSV file in UTF-8.
        patients: pseudonyms of all patients of the data; others in the table, such as excluded ones, do not count.

    Raises:
        DataError: the file is none or not such a table, leaves a cell empty, lacks a patient, names one twice, or puts
            all into one group. Rows are told by their line, because a cell may be a person's name.
    """
    group = dict(_read_rows(path, ("patient", "group"), "the groups table"))
    missing = sorted(set(patients) - set(group))
    if missing:
        raise DataError(
            f"the groups table lacks patient {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + " of the data; write a row with the pseudonym of every patient"
        )
    names = sorted({group[patient] for patient in patients})
    if len(names) < 2:
        raise DataError("the groups table puts all patients of the data into one group; nobody would be trained on")
    fold = {patient: names.index(group[patient]) for patient in sorted(patients)}
    return PatientGroups(fold, ["".join(char if char.isprintable() else "?" for char in name) for name in names])


def write_folds(path: Path, fold: Mapping[str, int]) -> None:
    """Write which fold each patient is in, as a CSV table that `read_folds` reads.

    Args:
        path: the file; it is replaced as a whole.
        fold: by pseudonym.
    """
    write_whole(path, "".join(["patient,fold\n", *(f"{patient},{number}\n" for patient, number in fold.items())]))


def read_folds(path: Path) -> dict[str, int]:
    """Return the fold of each patient.

    Raises:
        DataError: the file is not what `write_folds` wrote.
    """
    rows = _read_rows(path, ("patient", "fold"), "the table of folds")
    try:
        return {patient: int(number) for patient, number in rows}
    except ValueError:
        raise DataError("the table of folds has a fold that is no number; make the cross-validation again") from None


def with_folds(samples: Samples, fold: Mapping[str, int]) -> Samples:
    """Return the samples in other folds.

    Args:
        samples: of all patients.
        fold: of each of them.

    Raises:
        DataError: a patient has none.
    """
    missing = sorted(set(samples.patient.tolist()) - set(fold))
    if missing:
        raise DataError(f"the table of folds lacks patient {missing[0]} of the data; the data have changed")
    return dataclasses.replace(samples, fold=np.array([fold[one] for one in samples.patient.tolist()], np.int32))


def _read_rows(path: Path, columns: Sequence[str], what: str) -> list[tuple[str, str]]:
    """Return the two cells of each row, with no first cell twice."""
    first, second = columns
    rows: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if sorted(reader.fieldnames or []) != sorted(columns):
                raise DataError(f"{what} must have the columns {first} and {second}, and no other")
            for row in reader:
                key, value = ((row.get(column) or "").strip() for column in columns)
                if None in row or not key or not value:
                    raise DataError(f"line {reader.line_num} of {what} must name a {first} and a {second}")
                if key in rows:
                    raise DataError(f"line {reader.line_num} of {what} names a {first} for the second time")
                rows[key] = value
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{what} is not a CSV file in UTF-8; save it as one") from error
    return list(rows.items())
