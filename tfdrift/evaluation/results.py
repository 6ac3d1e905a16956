"""The tables of an evaluation, `metrics.csv` and `lesions.csv`, and evaluations read back to be compared."""

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfdrift.errors import DataError
from tfdrift.evaluation.document import Metrics, read_metrics
from tfdrift.evaluation.metrics import METRICS
from tfdrift.evaluation.scores import COPY
from tfdrift.statistics.comparison import Comparison, compare

Row = dict[str, Any]

_WHOSE = {"method": str, "patient": str, "lesion": str, "fold": int}
LESIONS: dict[str, type] = {
    **_WHOSE,
    **dict.fromkeys(("pre_mm3", "post_ratio", "predicted_ratio", "predicted_low", "predicted_high"), float),
    "poor_response": bool,
}
"""Columns of `lesions.csv`, a row for each lesion and method; the response is empty without a follow-up."""


def slice_columns() -> dict[str, type]:
    """Return the columns of `metrics.csv`, a row for each slice and method: `row` counts the slices of a method."""
    return {**_WHOSE, "row": int, **dict.fromkeys(METRICS, float)}


class Results(NamedTuple):
    """What an evaluation found.

    Args:
        metrics: the document `metrics.json`.
        slices: rows of `metrics.csv`.
        lesions: rows of `lesions.csv`.
        label: what comparisons call the method; not `metrics.label` where another one has that name.
    """

    metrics: Metrics
    slices: list[Row]
    lesions: list[Row]
    label: str

    def column(self, method: str, name: str) -> np.ndarray:
        """Return a column of `metrics.csv` for one method, [n].

        Args:
            method: such as `copy`.
            name: of `slice_columns`.
        """
        return np.array([row[name] for row in self.slices if row["method"] == method])


def as_csv(rows: Sequence[Row], columns: Mapping[str, type]) -> str:
    """Return rows as a CSV table with its header.

    Args:
        rows: with every column; None is written as nothing.
        columns: those of `slice_columns` or `LESIONS`.
    """
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def read_csv(path: Path, columns: Mapping[str, type]) -> list[Row]:
    """Return what `as_csv` wrote, in this version or in one with fewer scores: those are NaN.

    Args:
        path: of the table.
        columns: those of `slice_columns` or `LESIONS`.

    Raises:
        DataError: it is missing or damaged, or has other columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = set(columns) - set(reader.fieldnames or []) - (set(METRICS) - {"mse"})
            if missing:
                raise ValueError(f"no column {', '.join(sorted(missing))}")
            return [{name: _parse(row.get(name, "nan"), kind) for name, kind in columns.items()} for row in reader]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path.parent} holds no evaluation that can be read ({path.name}: {error!r}); evaluate it again"
        ) from None


def read_results(folder: Path) -> Results:
    """Read `metrics.json` and the tables of an evaluation.

    Raises:
        DataError: they are missing, damaged, or not of one evaluation.
    """
    metrics = read_metrics(folder)
    slices, lesions = read_csv(folder / "metrics.csv", slice_columns()), read_csv(folder / "lesions.csv", LESIONS)
    results = Results(metrics, slices, lesions, metrics.label)
    if any(len(results.column(name, "row")) != metrics.slices for name in (metrics.label, COPY)):
        raise DataError(f"{folder}: metrics.csv and metrics.json are not of one evaluation; evaluate it again")
    return results


def compare_results(results: Sequence[Results]) -> list[Comparison]:
    """Return the comparison of every evaluation with each later one.

    Args:
        results: evaluations of different methods on the same slices.

    Raises:
        DataError: they do not score the same slices.
    """
    found = []
    for first, second in itertools.combinations(results, 2):
        for name in ("lesion", "mse"):
            if not np.array_equal(first.column(COPY, name), second.column(COPY, name)):
                raise DataError(f"the evaluations of {first.label} and {second.label} do not score the same slices")
        ours, theirs = (one.column(one.metrics.label, "mse") for one in (first, second))
        patient, copy_mse = first.column(COPY, "patient"), first.column(COPY, "mse")
        found.append(compare(first.label, second.label, ours, theirs, copy_mse, patient))
    return found


def _parse(text: str | None, kind: type) -> Any:
    if text is None:
        raise ValueError("a row is cut short")
    if kind is not bool:
        return kind(text)
    return {"": None, "True": True, "False": False}[text]
