"""An evaluation as files: numbers for programs, a page for people.

metrics.json    every score
metrics.csv     a row for each slice and method
lesions.csv     a row for each lesion and method: volumes and response
report.md       the page, with its pictures as .png beside it
report.html     the same page in one file
"""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tfdrift.cohort.samples import Samples
from tfdrift.drawing.panels import png_bytes
from tfdrift.evaluation import plots
from tfdrift.evaluation.answers import Answers, answer, load_shared_samples
from tfdrift.evaluation.assessment import Assessment, assess, attainable_score
from tfdrift.evaluation.figures import draw_lesions
from tfdrift.evaluation.html_page import as_html
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.evaluation.page import compose
from tfdrift.evaluation.uncertainty import spread
from tfdrift.training.checkpoint import writing


def evaluate(
    folders: Sequence[Path],
    out: Path,
    *,
    against: Sequence[Path] = (),
    count: int = 16,
    samples: Samples | None = None,
) -> dict[str, Any]:
    """Score a run, or an ensemble of runs, on its held-out patients, and write the report.

    Args:
        folders: run folders; several are one ensemble.
        out: folder of the report.
        against: run folders of other methods on the same data and fold, to be compared with.
        count: outcomes of each slice.
        samples: the runs' data, if they are at hand; what can be attained is then not known.

    Returns:
        What stands in `metrics.json`.

    Raises:
        DataError: no run, no checkpoint, other data, or a run was trained on patients that are tested here.
        UsageError: an ensemble of different methods, or of the same run twice.
        ResourceError: the folder cannot be written.
    """
    shared = load_shared_samples([*folders, *against], samples)
    ours = answer(folders, shared, count=count)
    others: list[Answers] = []
    for folder in against:
        found = answer([folder], shared, count=count)
        taken = {ours.label, *(other.label for other in others)}
        label = f"{found.label} ({folder.name})" if found.label in taken else found.label
        others.append(dataclasses.replace(found, label=label))
    attainable = attainable_score(ours.config, set(ours.held_out.patient.tolist())) if samples is None else None
    assessment = assess(ours, others, attainable=attainable)
    write_report(out, assessment, ours)
    return assessment.metrics


def write_report(folder: Path, assessment: Assessment, answers: Answers) -> None:
    """Write all files of an evaluation; `metrics.json` comes last, so that where it stands the others are complete.

    Args:
        folder: made when it is missing.
        assessment: what was found.
        answers: what was assessed, for the pictures of lesions.

    Raises:
        ResourceError: the folder cannot be written.
    """
    metrics = assessment.metrics
    pictures = {name: png_bytes(figure) for name, figure in draw_pictures(metrics, answers).items()}
    page = compose(metrics, pictures)
    files = {
        **{f"{name}.png": data for name, data in pictures.items()},
        "metrics.csv": _as_csv(assessment.slices),
        "lesions.csv": _as_csv(assessment.lesions),
        "report.md": page.encode(),
        "report.html": as_html(page, pictures).encode(),
        "metrics.json": (json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode(),
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            partial = folder / f".{name}.partial"
            try:
                partial.write_bytes(data)
                partial.replace(folder / name)
            finally:
                partial.unlink(missing_ok=True)


def draw_pictures(metrics: dict[str, Any], answers: Answers) -> dict[str, Figure]:
    """Return the pictures of the page by name; those that a method has nothing to show in are left out."""
    held_out = answers.held_out
    mean = {"post": answers.post.mean(axis=0), "drift": answers.drift.mean(axis=0)}
    pictures = {"skills": plots.draw_skills(metrics), "reliability": plots.draw_reliability(metrics)}
    errors = squared_errors(mean["post"], held_out.post)
    spreads = spread(answers.drift) if len(answers.drift) > 1 else None
    pictures["lesions"] = draw_lesions(held_out, mean, errors, spreads)
    if len(answers.levels) > 1:
        pictures["levels"] = plots.draw_levels(metrics)
        truth = held_out.drift[answers.shown_row, ..., 0]
        pictures["snapshots"] = plots.draw_snapshots(truth, answers.shown, answers.levels)
    if len(answers.post) > 1:
        pictures["spread"] = plots.draw_error_by_spread(metrics)
    return pictures


def _as_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
