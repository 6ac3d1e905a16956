"""The user's own table of which lesion is which."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tfdrift.errors import DataError

PAIR_COLUMNS = ("patient", "pre_roi", "post_roi")
FOLLOW_UP_COLUMN = "follow_up_roi"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamedPair:
    """One row of the table of pairs: ROI names at each visit; `line` is where it stands in the file."""

    pre_roi: str
    post_roi: str
    follow_up_roi: str | None
    line: int


def read_pairs(file: Path) -> dict[str, list[NamedPair]]:
    """Read a table of pairs: CSV with the columns patient, pre_roi, post_roi and, if wanted, follow_up_roi.

    Args:
        file: comma-separated UTF-8 with a header line.

    Returns:
        The pairs of each patient, in the order of the file.

    Raises:
        DataError: the file cannot be read or is not UTF-8, a column is missing or unknown, a row has too many cells or
            an empty one (follow_up_roi may be empty), an ROI of a visit stands in two rows, or there is no row.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = tuple(reader.fieldnames or ())
            _check_columns(columns)
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise DataError(f"--pairs cannot be read: {error.strerror}; give a CSV file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"--pairs is not comma-separated UTF-8 text ({type(error).__name__}); save it as such"
        ) from None
    pairs: dict[str, list[NamedPair]] = {}
    seen: set[tuple[str, str, str]] = set()
    for line, row in rows:
        cells = {column: (row[column] or "").strip() for column in columns}
        if None in row or any(not cells[column] for column in PAIR_COLUMNS):
            raise DataError(f"--pairs, line {line}: needs a value for each of {', '.join(PAIR_COLUMNS)} and no more")
        for column in (*PAIR_COLUMNS[1:], FOLLOW_UP_COLUMN):
            place = (cells["patient"], column, cells.get(column, ""))
            if place[2] and place in seen:
                raise DataError(f"--pairs, line {line}: its {column} already stands in another row of the patient")
            seen.add(place)
        pair = NamedPair(
            pre_roi=cells["pre_roi"],
            post_roi=cells["post_roi"],
            follow_up_roi=cells.get(FOLLOW_UP_COLUMN) or None,
            line=line,
        )
        pairs.setdefault(cells["patient"], []).append(pair)
    if not pairs:
        raise DataError(f"--pairs has no row below its header {', '.join(columns)}")
    return pairs


def _check_columns(columns: Sequence[str]) -> None:
    known = (*PAIR_COLUMNS, FOLLOW_UP_COLUMN)
    missing = [column for column in PAIR_COLUMNS if column not in columns]
    if missing or len(set(columns)) < len(columns) or not set(columns) <= set(known):
        what = f"lacks the column {missing[0]}" if missing else "has a column that is unknown or stands twice"
        raise DataError(
            f"--pairs {what}; its header must be {', '.join(PAIR_COLUMNS)} and, if wanted, {FOLLOW_UP_COLUMN}"
        )
