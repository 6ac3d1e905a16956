"""Volumes that a model foresees on several days, on new patients: how far off, how sure, and does time run forward?"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfdrift.cohort.response import POOR_RESPONSE
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig
from tfdrift.drawing.charts import draw_curve, draw_legend, draw_reference, new_chart
from tfdrift.drawing.colours import INK, SERIES
from tfdrift.evaluation.document import as_document
from tfdrift.evaluation.metrics import skill_interval, squared_errors
from tfdrift.evaluation.outcomes import draw_outcomes
from tfdrift.evaluation.response import auc, fit_exponent, lesions_of, ratio_outcomes
from tfdrift.methods.method import Predictor
from tfdrift.reproduction.experiment import Run
from tfdrift.statistics.intervals import bootstrap_interval, interval_words, mean_interval
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.oracle import foreseen_volumes

OUTCOMES = 16
"""Of each lesion and day."""
COVERAGE = 0.9
SHOWN = 6
"""Lesions whose course is drawn, from the one that shrinks most to the one that grows most."""
DAY_COLUMNS = {
    "skill": "skill over copy",
    "volume_error": "volume error",
    "volume_bias": "bias",
    "covered": "90% interval covers",
    "width": "its width",
    "poor_auc": "AUC of 80% or more left",
    "poor_brier": "Brier score of its probability",
}
"""The scores of a day by name, and how a table calls them."""


def score_courses(
    run: Run, config: TrainConfig, trained: Predictor, training: Samples, new: NewPatients
) -> dict[str, Any]:
    """Return what a run foresees of each lesion on each day, ready for JSON.

    Volumes are ratios to the volume at the first MRI. All days have the same draws, as when `tfdrift predict` draws a
    course.

    Args:
        run: the definition.
        config: its settings.
        trained: its predictor.
        training: the slices that it was trained on.
        new: who is drawn, and on which days.

    Returns:
        `days`, the `DAY_COLUMNS` of each; `oracle`, the same but the skill of one who knows the law and not the chance;
        `forward`, the share of steps from day to day in which the predicted volume
        goes the way that the true one goes, and `forward_all`, of lesions in which all of them do; `courses`, some
        lesions.
    """
    true, drawn, days, names = [], [], [], np.array([])
    for day in new.days:
        samples = dataclasses.replace(new, days=(day,)).draw(config.image_size)
        lesions = lesions_of(samples)
        outcomes = draw_outcomes(trained, samples, count=OUTCOMES, seed=config.seed)
        ratios = ratio_outcomes(outcomes["post"], samples, np.full(len(samples), fit_exponent(training)))
        skill = skill_interval(
            squared_errors(outcomes["post"].mean(axis=0), samples.post),
            squared_errors(np.zeros_like(samples.drift), samples.drift),
            samples.patient,
        )
        days.append({"day": day, "skill": as_document(skill), **score_day(ratios, lesions.ratio, lesions.patient)})
        true.append(lesions.ratio)
        drawn.append(ratios)
        names = lesions.patient
    true_steps, steps = (np.sign(np.diff(courses, axis=0)) for courses in (true, np.mean(drawn, axis=1)))
    right = steps == true_steps
    order = np.argsort(true[-1])[np.linspace(0, len(true[-1]) - 1, SHOWN).astype(int)]
    return {
        "label": run.label,
        "settings": dict(run.settings),
        "steps": config.steps,
        "law": config.law,
        "oracle": [
            {"day": day, **score_day(foreseen_volumes(new, day), one, names)}
            for day, one in zip(new.days, true, strict=True)
        ],
        "trained_on_days": list(config.days_of_visits),
        "days": days,
        "forward": as_document(mean_interval(right.mean(axis=0), names)),
        "forward_all": as_document(mean_interval(right.all(axis=0).astype(float), names)),
        "courses": [
            {
                "true": [float(one[lesion]) for one in true],
                "mean": [float(one[:, lesion].mean()) for one in drawn],
                **{
                    name: [float(np.quantile(one[:, lesion], share)) for one in drawn]
                    for name, share in (("low", 0.5 - COVERAGE / 2), ("high", 0.5 + COVERAGE / 2))
                },
            }
            for lesion in order
        ],
    }


def score_day(ratios: np.ndarray, true: np.ndarray, patient: np.ndarray) -> dict[str, Any]:
    """Return the scores of volumes that are foreseen for one day, ready for JSON.

    Args:
        ratios: float [N, m], of N outcomes of m lesions.
        true: float [m].
        patient: str [m].

    Returns:
        `DAY_COLUMNS` without the skill. The interval is the middle `COVERAGE` of the outcomes, as they are; the
        probability of 80% or more is their share.

    Source: Brier (1950) for the score of a probability.

    Example:
        >>> found = score_day(np.array([[0.7], [0.9]]), np.array([0.9]), np.array(["a"]))
        >>> round(found["volume_error"]["value"], 3), found["poor_brier"]["value"]
        (0.1, 0.25)
    """
    low, high = np.quantile(ratios, [0.5 - COVERAGE / 2, 0.5 + COVERAGE / 2], axis=0)
    mean, poor = ratios.mean(axis=0), true >= POOR_RESPONSE
    probability = np.mean(ratios >= POOR_RESPONSE, axis=0)
    estimates = {
        "volume_error": mean_interval(np.abs(mean - true), patient),
        "volume_bias": mean_interval(mean - true, patient),
        "covered": mean_interval(((low <= true) & (true <= high)).astype(float), patient),
        "width": mean_interval(high - low, patient),
        "poor_auc": bootstrap_interval(lambda rows: auc(mean[rows], poor[rows]), patient),
        "poor_brier": mean_interval((probability - poor) ** 2, patient),
    }
    return {name: as_document(found) for name, found in estimates.items()}


def as_course_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the scores of runs and days as a Markdown table, and whether time runs forward below it.

    Args:
        rows: of `score_courses`.
    """
    lines = [f"| run | day | {' | '.join(DAY_COLUMNS.values())} |", f"|{'---|' * (len(DAY_COLUMNS) + 2)}"]
    for row in rows:
        for day in row["days"]:
            cells = [interval_words(day[name], signed=name == "volume_bias") for name in DAY_COLUMNS]
            lines.append(f"| {row['label']} | {day['day']} | {' | '.join(cells)} |")
    for day in rows[0]["oracle"]:
        cells = [interval_words(day[name], signed=name == "volume_bias") for name in list(DAY_COLUMNS)[1:]]
        lines.append(f"| *oracle* | {day['day']} | – | {' | '.join(cells)} |")
    lines += [
        "",
        "| run | steps from day to day that go the way of the truth | lesions in which all do |",
        "|---|---|---|",
        *(
            f"| {row['label']} | {interval_words(row['forward'])} | {interval_words(row['forward_all'])} |"
            for row in rows
        ),
        "",
    ]
    return "\n".join(lines)


def draw_courses(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return the courses of some lesions, true and foreseen, a row a run.

    Args:
        rows: of `score_courses`.
        title: of the figure.
    """
    figure, panels = new_chart(len(rows), SHOWN, size_inch=(13, 2.3 * len(rows) + 0.7), title=title, share_y=True)
    for place, (of_run, row) in enumerate(zip(panels, rows, strict=True)):
        days = [0, *(day["day"] for day in row["days"])]
        for axes, course in zip(of_run, row["courses"], strict=True):
            colour = SERIES[place % len(SERIES)]
            draw_curve(
                axes, days, [1, *course["mean"]], ([1, *course["low"]], [1, *course["high"]]), colour=colour,
                label="foreseen, 90% of outcomes",
            )  # fmt: skip
            axes.plot(days, [1, *course["true"]], color=INK, marker="o", markersize=3, linestyle="--", label="true")
            draw_reference(axes, POOR_RESPONSE, across="y")
        of_run[0].set_ylabel(f"{row['label']}\nvolume / first volume")
    for axes in panels[-1]:
        axes.set_xlabel("day")
    draw_legend(panels[0, 0], loc="lower left")
    return figure
