"""A prepared cohort in a few lines of text: its folds with their response groups, and what was left out."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfdrift.cohort.prepared import Description
from tfdrift.errors import DataError

LESION_COLUMNS = ("patient", "lesion", "fold", "response_group", "slices")
EXCLUSION_COLUMNS = ("patient", "reason")


def read_table(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of `lesions.csv` or `exclusions.csv`.

    Args:
        file: CSV in UTF-8.
        columns: those it must have; it may have more.

    Raises:
        DataError: the file is missing, no such table, or a row has too few or too many cells.
    """
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            missing = sorted(set(columns) - set(reader.fieldnames or ()))
            if missing:
                raise DataError(f"{file} has no column {missing[0]}; import the cohort again")
            rows = list(reader)
    except FileNotFoundError:
        raise DataError(f"{file} is missing; copy the whole cohort, or import it again") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({error}); import the cohort again") from None
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise DataError(f"{file} is damaged at row {number}; import the cohort again")
    return rows


def describe_folds(
    description: Description, lesions: Sequence[Mapping[str, str]], exclusions: Sequence[Mapping[str, str]]
) -> str:
    """Return the overview of a cohort, several lines.

    Args:
        description: what `import.json` says.
        lesions: rows of `lesions.csv`.
        exclusions: rows of `exclusions.csv`.

    Raises:
        DataError: the lesions have not as many slices as `import.json` says.
    """
    slices = sum(int(row["slices"]) for row in lesions if row["slices"].isdecimal())
    if slices != description.slices:
        raise DataError(
            f"lesions.csv accounts for {slices} slices, import.json for {description.slices}; import the cohort again"
        )
    size = description.image_size
    by_fold = {str(fold): [row for row in lesions if row["fold"] == str(fold)] for fold in range(description.folds)}
    lines = [
        f"{description.slices} slices of {size} x {size} pixels; train with --image-size {size}",
        f"fingerprint {description.fingerprint}",
        "",
        f"{'fold':>4}  {'patients':>8}  {'lesions':>7}  {'A poor':>6}  {'B good':>6}  {'unknown':>7}",
        *(_fold_line(name, rows) for name, rows in by_fold.items()),
        _fold_line("all", lesions),
        "",
    ]
    reasons = Counter(row["reason"] for row in exclusions)
    lines.append(f"left out: {len(exclusions)}" + (", see exclusions.csv" if exclusions else ""))
    lines += [f"{count:>4}  {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item))]
    return "\n".join(lines)


def _fold_line(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    groups = Counter(row["response_group"] or "unknown" for row in rows)
    patients = len({row["patient"] for row in rows})
    return f"{name:>4}  {patients:>8}  {len(rows):>7}  {groups['A']:>6}  {groups['B']:>6}  {groups['unknown']:>7}"
