"""Runs that see a lesion as slices, slices with their neighbours, or whole: scores beside the time of training.

Skill and CRPS are means over the pixels of what a run is shown, and cubes have others than slices: each kind of crop
has an oracle of its own. Volumes are of the same lesions for all.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tfdrift.config import TrainConfig
from tfdrift.drawing.charts import draw_curve, draw_legend, draw_reference, draw_title, new_chart
from tfdrift.drawing.colours import SERIES
from tfdrift.evaluation.results import Results
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.new_patients.recipe_scores import score_rows
from tfdrift.statistics.intervals import interval_words

LESION_COLUMNS = {"skill": "skill", "crps": "CRPS", "volume_error": "volume error", "decided": "decided"}
"""The scores of a row by name, and how a table calls them."""


def score_lesions(scored: Sequence[tuple[Run, TrainConfig, Results, Path]]) -> list[dict[str, Any]]:
    """Return what runs score, each kind of crop beside its own oracle, and how long they were trained; ready for JSON.

    Args:
        scored: as for `score_rows`, with the run folder of the first seed.
    """
    kinds: dict[tuple[str, str], list[tuple[Run, TrainConfig, Results, Path]]] = {}
    for one in scored:
        kinds.setdefault((one[1].law, one[1].lesion), []).append(one)
    rows = []
    for (_, lesion), of_kind in kinds.items():
        found = score_rows([(run, config, results) for run, config, results, _ in of_kind])
        for row, (_, config, _, folder) in zip(found, of_kind, strict=True):
            seconds = training_seconds(folder, config.batch_size)
            rows.append({**row, "lesion": lesion, "image_size": config.image_size, "seconds": seconds})
    return rows


def training_seconds(folder: Path, batch_size: int) -> float:
    """Return how long the steps of a run took, without what was looked at between them.

    Args:
        folder: of the run.
        batch_size: images a step.

    Returns:
        Seconds, of the rates in its `history.jsonl`.
    """
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    total, before = 0.0, 0
    for line in lines:
        if line["part"] == "train":
            total += (line["step"] - before) * batch_size / line["images_per_second"]
            before = line["step"]
    return total


def as_lesion_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table, one who knows the law after the rows of each kind of crop.

    Args:
        rows: of `score_lesions`.
    """
    lines = [
        f"| law | run | steps | seconds of training | {' | '.join(LESION_COLUMNS.values())} |",
        f"|{'---|' * (len(LESION_COLUMNS) + 4)}",
    ]
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        lines.append(
            f"| {row['law']} | {row['label']} | {row['steps']:,} | {row['seconds']:,.0f} | {_cells(row['scores'])} |"
        )
        kind = row["law"], row["lesion"]
        if following is None or (following["law"], following["lesion"]) != kind:
            lines.append(f"| {row['law']} | *oracle, {row['lesion']}* | | | {_cells(row['oracle'])} |")
    return "\n".join([*lines, ""])


def draw_lesions(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return skill and volume error against the seconds of training, a curve for each label.

    Args:
        rows: of `score_lesions`.
        title: of the figure.
    """
    figure, panels = new_chart(1, 2, size_inch=(8.4, 3.6), title=title)
    for axes, name, words in zip(
        panels[0], ("skill", "volume_error"), ("skill over copy", "volume error"), strict=True
    ):
        for colour, label in zip(SERIES, dict.fromkeys(row["label"] for row in rows), strict=False):
            curve = sorted((row for row in rows if row["label"] == label), key=lambda row: row["seconds"])
            found = [row["scores"][name] for row in curve]
            draw_curve(
                axes,
                [row["seconds"] for row in curve],
                [one["value"] for one in found],
                ([one["low"] for one in found], [one["high"] for one in found]),
                colour=colour,
                label=label,
                marker="o",
            )
            draw_reference(axes, curve[0]["oracle"][name]["value"], across="y", color=colour)
        axes.set_xlabel("seconds of training")
        draw_title(axes, f"{words}; dashed: one who knows the law")
    draw_legend(panels[0, 0], loc="best")
    return figure


def _cells(scores: Mapping[str, Any]) -> str:
    return " | ".join(interval_words(scores[name]) for name in LESION_COLUMNS)
