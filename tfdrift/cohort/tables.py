"""`lesions.csv` and `exclusions.csv`: what is in a cohort, and everything that is not, with the reason."""

import csv
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tfdrift.cohort.earlier import EARLIER_COLUMNS
from tfdrift.errors import DataError

LESION_COLUMNS = ("patient", "lesion", "fold", "response_group", "slices")
EXCLUSION_COLUMNS = ("patient", "reason")
"""What a cohort's tables must have to be read; later versions write more."""

_WHERE_KNOWN = ("channels", "fractions", *EARLIER_COLUMNS)
"""Columns of `LesionRow` that are written where a row has something to say in them."""

WRONG_COLUMNS = ("patient", "lesion", "reason")
"""Of the table of pairs that a person has called wrong, see `read_wrong_pairs`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LesionRow:
    """A lesion of the cohort: a row of `lesions.csv` but for patient and fold.

    Args:
        lesion: pseudonym.
        interval_days: from the first MRI to the second.
        follow_up_days: from the first MRI to the follow-up; None where there is none.
        pre_mm3: volume at the first MRI, on its own grid.
        post_mm3: at the second, on its own grid.
        follow_up_mm3: at the follow-up, on its own grid; None where it is not contoured there.
        response_group: A or B; empty where `follow_up_mm3` is None.
        earlier_days: from an earlier visit to the first MRI, see `tfdrift.cohort.earlier`; None where there is none.
        earlier_ratio: volume at the first MRI over that at the earlier visit; None where there is none.
        slices: number of slices.
        spacing_mm: of slices, rows and columns of the first MRI, separated by spaces.
        orientation: of the first MRI's slices, see `tfdrift.cohort.orientation`.
        registration: kind, see `tfdrift.imaging.registration.Registration`.
        residual: of the registration, in per cent, see `tfdrift.imaging.residual`.
        gain: what the second MRI was multiplied with.
        background_drift: mean "drift" of healthy tissue around the lesion, in per cent; None where there is too little.
        pixel_mm: side of a crop pixel.
        outgrown: share of the second GTV that leaves the box.
        warnings: what a person should look at, separated by semicolons.
        channels: names of those that are known, separated by spaces; empty where there is one alone.
        fractions: in how many the dose is given; None where that is not known.
    """

    lesion: str
    interval_days: int
    follow_up_days: int | None
    pre_mm3: float
    post_mm3: float
    follow_up_mm3: float | None
    response_group: str
    slices: int
    spacing_mm: str
    orientation: str
    registration: str
    residual: float
    gain: float
    background_drift: float | None
    pixel_mm: float
    outgrown: float
    warnings: str
    channels: str = ""
    fractions: int | None = None
    earlier_days: int | None = None
    earlier_ratio: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exclusion:
    """Something that is not in the cohort: a row of `exclusions.csv` but for the patient.

    Args:
        visit: `pre`, `post`, `follow_up`, or `study` and a number; empty where all visits are meant.
        structure: its number, in DICOM the ROINumber; None where no single structure is meant.
        reason: why, without identity.
        broken: whether something is wrong with the data, which a new export may mend; not in the table.
    """

    visit: str
    structure: int | None
    reason: str
    broken: bool = False


def write_lesions(path: Path, lesions: Iterable[tuple[str, LesionRow]], folds: Mapping[str, int]) -> None:
    """Write a row for each lesion: patient, lesion, fold, then the other fields of `LesionRow` that are known of one.

    What earlier visits tell has its columns where it is known of a lesion.

    Args:
        path: CSV file in UTF-8.
        lesions: each with its patient's pseudonym.
        folds: fold of each pseudonym.
    """
    lesions = list(lesions)
    unsaid = {name for name in _WHERE_KNOWN if not any(getattr(row, name) for _, row in lesions)}
    names = [field.name for field in dataclasses.fields(LesionRow) if field.name not in {"lesion", *unsaid}]
    rows = [
        [patient, row.lesion, folds[patient], *(_cell(getattr(row, name)) for name in names)]
        for patient, row in lesions
    ]
    _write(path, ["patient", "lesion", "fold", *names], rows)


def write_exclusions(path: Path, exclusions: Iterable[tuple[str, Exclusion]]) -> None:
    """Write a row for each exclusion: patient, visit, structure, reason.

    Args:
        path: CSV file in UTF-8.
        exclusions: each with its patient's pseudonym, empty where a file belongs to none.
    """
    rows = [[patient, one.visit, one.structure, one.reason] for patient, one in exclusions]
    _write(path, ["patient", "visit", "structure", "reason"], rows)


def read_table(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of `lesions.csv` or `exclusions.csv`.

    Args:
        file: CSV in UTF-8.
        columns: those it must have, `LESION_COLUMNS` or `EXCLUSION_COLUMNS`; it may have more.

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


def read_wrong_pairs(file: Path) -> dict[str, dict[str, str]]:
    """Return patient and reason of each lesion that a person has called a wrong pair, by its pseudonym.

    Args:
        file: CSV in UTF-8 with the columns patient, lesion, reason; pseudonyms of `lesions.csv`.

    Raises:
        DataError: there is no such table, or a row names no lesion.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            if not set(WRONG_COLUMNS) <= set(reader.fieldnames or ()):
                raise DataError(f"the table of wrong pairs must have the columns {', '.join(WRONG_COLUMNS)}")
            rows = list(reader)
    except OSError as error:
        raise DataError(f"the table of wrong pairs cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError("the table of wrong pairs is not a CSV file in UTF-8; save it as one") from None
    found = {}
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values() or not row["lesion"].strip():
            raise DataError(f"row {number} of the table of wrong pairs must name patient, lesion and reason")
        found[row["lesion"].strip()] = {"patient": row["patient"].strip(), "reason": row["reason"].strip()}
    return found


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
