"""A visit foreseen from two visits and from one, on new patients: what is it worth to know the change so far?

One network is asked in several ways, and one that has never been told the earlier change is asked beside it. Volumes
are ratios to the volume at the MRI that is predicted from.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tfdrift.cohort.earlier import EARLIER_COLUMNS, RATIO
from tfdrift.cohort.response import POOR_RESPONSE
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig
from tfdrift.drawing.charts import draw_estimate, draw_reference, name_rows, new_chart
from tfdrift.drawing.colours import SERIES
from tfdrift.evaluation.document import as_document
from tfdrift.evaluation.metrics import skill_interval, squared_errors
from tfdrift.evaluation.outcomes import draw_outcomes
from tfdrift.evaluation.response import auc, fit_exponent, lesions_of, ratio_outcomes
from tfdrift.methods.method import Predictor
from tfdrift.reproduction.experiment import Run
from tfdrift.statistics.intervals import bootstrap_interval, interval_words, mean_interval, ratio_interval
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.oracle import foreseen_volumes, foreseen_volumes_told

CONTOUR_ERROR = 0.1
"""By which the contours' volumes are off in one of the ways to ask, as the standard deviation of their logarithms."""
CHANGE, DAYS_ALONE, NOTHING = "the earlier change", "its days alone", "nothing of it"
ROUGH = f"it, contours off by {CONTOUR_ERROR:.0%}"
COLUMNS = {"skill": "skill over copy", "volume_error": "volume error", "volume_bias": "bias", "poor_auc": "AUC of 80%"}
"""The scores of an answer by name, and how a table calls them."""
GAINS = {"skill": "skill gained", "volume_error": "volume error saved"}

RIVALS = {"over_nothing": "told nothing", "over_days": "told days alone", "over_never": "never told"}
"""What the gains are over: the same network told less, and one that was never told."""


class Asked(NamedTuple):
    """An answer about every lesion on every day.

    Args:
        label: how which network was asked.
        errors: float64 [n], the mean squared error of each slice.
        ratios: float64 [m], volume foreseen of each lesion.
    """

    label: str
    errors: np.ndarray
    ratios: np.ndarray


def ask_third_visit(
    run: Run, config: TrainConfig, trained: Predictor, training: Samples, new: NewPatients
) -> dict[str, Any]:
    """Return what a run foresees of the new patients' lesions, asked in every way that it can be.

    Args:
        run: the definition.
        config: its settings.
        trained: its predictor.
        training: the slices that it was trained on.
        new: who is drawn, with a first MRI after treatment has begun.

    Returns:
        `row`, what a reader must know of the run; `samples`, the new patients; `asked`, the answers; `new`.
    """
    samples = _draw(new, config.image_size)
    exponent = np.full(len(samples), fit_exponent(training))
    knows = set(EARLIER_COLUMNS) & set(trained.inputs.conditions.names)
    asked = []
    for words, shown in _ways(samples).items() if knows else [("", samples)]:
        post = draw_outcomes(trained, shown, count=1, seed=config.seed)["post"]
        label = f"told {words}" if words else run.label
        asked.append(Asked(label, squared_errors(post[0], samples.post), ratio_outcomes(post, samples, exponent)[0]))
    row = {"label": run.label, "settings": dict(run.settings), "steps": config.steps, "law": config.law}
    return {"row": row, "samples": samples, "asked": asked, "new": new}


def score_third_visit(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of all answers and what one gains over another, ready for JSON.

    Args:
        answers: of `ask_third_visit`, the run that is told the earlier change first; all of the same new patients.

    Returns:
        `runs`; `since`, the day of the MRI that is predicted from; and `days`, of each day of the third visit the
        `rows`, each with `COLUMNS` and its `GAINS` over the same network told nothing, or the days alone, and over the
        network never told, and the volume error of the `oracle`, told the earlier change and not.
    """
    samples, new = answers[0]["samples"], answers[0]["new"]
    asked = [one for of_run in answers for one in of_run["asked"]]
    interval = samples.condition("interval_days")
    lesions = lesions_of(samples)
    of_lesion = interval[np.unique(samples.lesion, return_index=True)[1]]
    days = []
    for day in new.days:
        rows, whole = interval == day - new.since, of_lesion == day - new.since
        here = samples.take(rows)
        copy = squared_errors(np.zeros_like(here.drift), here.drift)
        true, patient = lesions.ratio[whole], lesions.patient[whole]
        answered = [one._replace(errors=one.errors[rows], ratios=one.ratios[whole]) for one in asked]
        rivals = {
            "over_nothing": next(one for one in answered if one.label == f"told {NOTHING}"),
            "over_days": next(one for one in answered if one.label == f"told {DAYS_ALONE}"),
            "over_never": answered[-1],
        }
        scored = []
        for one in answered:
            gains = {
                name: {
                    "skill": as_document(ratio_interval(rival.errors - one.errors, copy, here.patient)),
                    "volume_error": as_document(
                        mean_interval(np.abs(rival.ratios - true) - np.abs(one.ratios - true), patient)
                    ),
                }
                for name, rival in rivals.items()
                if rival is not one
            }
            skill = as_document(skill_interval(one.errors, copy, here.patient))
            scored.append({"label": one.label, "skill": skill, **_of_volumes(one.ratios, true, patient), **gains})
        oracle = {
            "told": _of_volumes(foreseen_volumes_told(new, day).mean(axis=0), true, patient),
            "not_told": _of_volumes(foreseen_volumes(new, day).mean(axis=0), true, patient),
        }
        days.append({"day": day, "lesions": len(true), "rows": scored, "oracle": oracle})
    return {"runs": [of_run["row"] for of_run in answers], "since": new.since, "days": days}


def as_visit_table(days: Sequence[Mapping[str, Any]]) -> str:
    """Return the scores as a Markdown table.

    Args:
        days: of `score_third_visit`.
    """
    over = [f"{words} over {rival}" for rival in RIVALS.values() for words in GAINS.values()]
    lines = [
        f"| day | asked | {' | '.join([*COLUMNS.values(), *over])} |",
        f"|{'---|' * (2 + len(COLUMNS) + len(over))}",
    ]
    for day in days:
        for row in day["rows"]:
            cells = [interval_words(row[name], signed=name == "volume_bias") for name in COLUMNS]
            for rival in RIVALS:
                cells += [interval_words(row[rival][name], signed=True) if rival in row else "–" for name in GAINS]
            lines.append(f"| {day['day']} | {row['label']} | {' | '.join(cells)} |")
        for name, found in day["oracle"].items():
            cells = [interval_words(found[score], signed=score == "volume_bias") for score in list(COLUMNS)[1:]]
            words = f"*oracle, {name.replace('_', ' ')}*"
            lines.append(f"| {day['day']} | {words} | – | {' | '.join([*cells, *['–'] * len(over)])} |")
    return "\n".join([*lines, ""])


def draw_visits(days: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return skill and volume error of every way to ask, a mark a day, beside the oracle's volume error.

    Args:
        days: of `score_third_visit`.
        title: of the figure.
    """
    figure, panels = new_chart(1, 2, size_inch=(10.5, 3.4), title=title, grid="x")
    names = [row["label"] for row in days[0]["rows"]]
    for axes, score in zip(panels[0], ("skill", "volume_error"), strict=True):
        for place, day in enumerate(days):
            shift = 0.24 * (place - (len(days) - 1) / 2)
            for height, row in enumerate(day["rows"]):
                estimate = [row[score][end] for end in ("value", "low", "high")]
                named: dict[str, Any] = {"label": f"day {day['day']}"} if height == 0 else {}
                draw_estimate(axes, height + shift, estimate, colour=SERIES[place % len(SERIES)], **named)
            if score == "volume_error":
                for told, style in (("told", ":"), ("not_told", "--")):
                    draw_reference(
                        axes, day["oracle"][told][score]["value"], style=style, color=SERIES[place % len(SERIES)],
                        label=f"oracle, {told.replace('_', ' ')}, day {day['day']}",
                    )  # fmt: skip
        name_rows(axes, names if axes is panels[0, 0] else [""] * len(names))
        axes.set_xlabel(COLUMNS[score])
    handles, words = panels[0, 1].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside right center", fontsize=8, frameon=False)
    return figure


@functools.lru_cache(maxsize=1)
def _draw(new: NewPatients, image_size: int) -> Samples:
    """Return the new patients, whom every run is asked about."""
    return new.draw(image_size)


def _ways(samples: Samples) -> dict[str, Samples]:
    """Return the samples as they are shown to a network that knows the earlier change, by what it is told."""
    _, lesion = np.unique(samples.lesion, return_inverse=True)
    # Both volumes are off, and a ratio's logarithm is the difference of two.
    off = np.random.default_rng(0).normal(0, np.sqrt(2) * CONTOUR_ERROR, lesion.max() + 1)[lesion]
    unknown = np.full(len(samples), np.nan, np.float32)
    changed = {
        CHANGE: {},
        ROUGH: {RATIO: (samples.condition(RATIO) * np.exp(off)).astype(np.float32)},
        DAYS_ALONE: {RATIO: unknown},
        NOTHING: dict.fromkeys(EARLIER_COLUMNS, unknown),
    }
    return {
        words: dataclasses.replace(samples, conditions={**samples.conditions, **columns})
        for words, columns in changed.items()
    }


def _of_volumes(ratios: np.ndarray, true: np.ndarray, patient: np.ndarray) -> dict[str, Any]:
    poor = true >= POOR_RESPONSE
    return {
        "volume_error": as_document(mean_interval(np.abs(ratios - true), patient)),
        "volume_bias": as_document(mean_interval(ratios - true, patient)),
        "poor_auc": as_document(bootstrap_interval(lambda rows: auc(ratios[rows], poor[rows]), patient)),
    }
