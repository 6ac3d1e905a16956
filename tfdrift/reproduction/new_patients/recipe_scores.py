"""Runs scored on new patients: numbers beside those of one who knows the law, a table, and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfdrift.config import TrainConfig
from tfdrift.drawing.charts import draw_curve, draw_legend, draw_reference, draw_title, new_chart
from tfdrift.drawing.colours import INK, SERIES
from tfdrift.evaluation.answers import ORACLE
from tfdrift.evaluation.document import MethodScores, as_document
from tfdrift.evaluation.results import Results, compare_results
from tfdrift.reproduction.experiment import Run
from tfdrift.statistics.intervals import Estimate, interval_words

NOMINAL = 0.9
MARKS = "osD^vP"
"""Of methods, in the order in which they appear."""
COLUMNS = {
    "skill": "skill",
    "drift_skill": "drift skill",
    "crps": "CRPS",
    "drift_coverage": "covers drift",
    "volume_coverage": "covers volume",
    "volume_width": "width, volume",
    "volume_error": "volume error",
    "rank_volume": "spread and error",
    "movement_error": "end-point error, mm",
    "decided": "decided",
    "wrong": "of these wrong",
}
"""The scores of a row by name, and how a table calls them."""
SHARED = ("drift_skill", "crps", "drift_coverage", "volume_coverage", "volume_width", "volume_error", "decided")
"""Those that a table gives as a share of the oracle's too; of a rank correlation a share means nothing."""


def score_rows(scored: Sequence[tuple[Run, TrainConfig, Results]]) -> list[dict[str, Any]]:
    """Return what runs score beside one who knows the law and beside the first run of their law, ready for JSON.

    Args:
        scored: the definition of each run, the settings of its first seed, and its results on the new patients, which
            are the same for all of a law.
    """
    rows, first = [], {}
    for run, config, results in scored:
        metrics = results.metrics
        labelled = results._replace(label=run.label)
        rival = first.setdefault(config.law, labelled)
        against = None if rival is labelled else compare_results([labelled, rival])[0]
        rows.append(
            {
                "label": run.label,
                "law": config.law,
                "method": config.method,
                "settings": dict(run.settings),
                "seeds": run.seeds,
                "steps": config.steps,
                "trained_on": config.patients - config.patients // 5,
                "attainable": as_document(metrics.attainable),
                "scores": {name: as_document(value) for name, value in _scores(metrics.ours).items()},
                "oracle": {name: as_document(value) for name, value in _scores(metrics.methods[ORACLE]).items()},
                "against_first": as_document(against),
            }
        )
    return rows


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table, one who knows the law after the rows of each law.

    In brackets stands the share of the oracle's score.

    Args:
        rows: of `score_rows`.
    """
    lines = [
        f"| law | recipe | share of the attainable skill | {' | '.join(COLUMNS.values())} | skill over the first row |",
        f"|{'---|' * (len(COLUMNS) + 4)}",
    ]
    for law in dict.fromkeys(row["law"] for row in rows):
        of_law = [row for row in rows if row["law"] == law]
        for row in of_law:
            share = row["scores"]["skill"]["value"] / row["attainable"]["skill"]
            against = row["against_first"]
            over = "" if against is None else interval_words(against["difference"], signed=True)
            lines.append(f"| {law} | {row['label']} | {share:.2f} | {_cells(row['scores'], row['oracle'])} | {over} |")
        lines.append(f"| {law} | *oracle* | 1 | {_cells(of_law[-1]['oracle'])} | |")
    return "\n".join([*lines, ""])


def draw_trade(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return how much raw intervals of the volume cover against how wide they are, a panel for each law.

    Args:
        rows: of `score_rows`.
        title: of the figure.
    """
    laws = list(dict.fromkeys(row["law"] for row in rows))
    labels = {row["label"]: row["method"] for row in rows}
    methods = list(dict.fromkeys(labels.values()))
    figure, panels = new_chart(1, len(laws), size_inch=(2.9 * len(laws) + 2.6, 3.8), title=title, share_y=True)
    for axes, law in zip(panels[0], laws, strict=True):
        of_law = [row for row in rows if row["law"] == law]
        for row in of_law:
            place = list(labels).index(row["label"])
            mark = {"marker": MARKS[methods.index(row["method"]) % len(MARKS)], "color": SERIES[place % len(SERIES)]}
            _draw_point(axes, row["scores"], label=row["label"], **mark)
        _draw_point(axes, of_law[-1]["oracle"], label="oracle", marker="*", color=INK, markersize=11)
        draw_reference(axes, NOMINAL, across="y")
        axes.set(xlabel="width of the interval", ylim=(0, 1.02), xlim=(0, None))
        draw_title(axes, law)
    panels[0, 0].set_ylabel("volume ratios inside")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", fontsize=8, frameon=False)
    return figure


def _draw_point(axes: Axes, scores: Mapping[str, Any], **given: Any) -> None:
    axes.plot(scores["volume_width"], scores["volume_coverage"]["value"], linestyle="none", **given)


def draw_learning_curve(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return skill and CRPS of each method against the number of training patients, with those of the oracle.

    Args:
        rows: of `score_rows`.
        title: of the figure.
    """
    figure, panels = new_chart(1, 2, size_inch=(8.4, 3.6), title=title)
    counts = sorted({row["trained_on"] for row in rows})
    for axes, name, words in zip(
        panels[0], ("skill", "crps"), ("skill over copy", "CRPS of the drift in the GTV"), strict=True
    ):
        for colour, method in zip(SERIES, dict.fromkeys(row["method"] for row in rows), strict=False):
            curve = sorted((row for row in rows if row["method"] == method), key=lambda row: row["trained_on"])
            found = [row["scores"][name] for row in curve]
            draw_curve(
                axes,
                [row["trained_on"] for row in curve],
                [one["value"] for one in found],
                ([one["low"] for one in found], [one["high"] for one in found]),
                colour=colour,
                label=method,
                marker="o",
            )
        draw_reference(axes, rows[0]["oracle"][name]["value"], across="y", label="oracle")
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(xlabel="training patients", ylabel=words)
    draw_legend(panels[0, 0], loc="best")
    return figure


def _scores(found: MethodScores) -> dict[str, Estimate | float | None]:
    assert found.scores is not None
    assert found.clinic is not None
    assert found.uncertainty is not None
    assert found.decisions is not None
    drift, volume, decided = found.uncertainty.drift, found.uncertainty.volume, found.decisions.by_outcomes
    return {
        "skill": found.scores["skill"],
        "drift_skill": found.scores["drift_skill"],
        "crps": drift.crps,
        "drift_coverage": drift.coverage["raw"],
        "volume_coverage": volume.coverage["raw"],
        "volume_width": volume.width["raw"],
        "volume_error": found.clinic["volume_error"],
        "rank_volume": volume.spread_error_between,
        "movement_error": None if found.movement is None else found.movement.error_mm,
        "decided": decided.share,
        "wrong": decided.wrong,
    }


def _cells(scores: Mapping[str, Any], oracle: Mapping[str, Any] | None = None) -> str:
    cells = []
    for name in COLUMNS:
        words = _words(scores.get(name), full=name in ("skill", "rank_volume"))
        if oracle is not None and name in SHARED and (of_oracle := _value(oracle.get(name))):
            words += f" ({_value(scores.get(name)) / of_oracle:.2f})"
        cells.append(words)
    return " | ".join(cells)


def _value(score: Any) -> float:
    """Return the number of a score, 0 where there is none."""
    found = score["value"] if isinstance(score, Mapping) else score
    return found or 0.0


def _words(score: Any, *, full: bool) -> str:
    if isinstance(score, Mapping):
        value, low = score["value"], score["low"]
        if value is None:
            return "–"
        return f"{value:.3f} [{low:.2f}, {score['high']:.2f}]" if full and low is not None else f"{value:.3f}"
    return "–" if score is None else f"{score:.3f}"
