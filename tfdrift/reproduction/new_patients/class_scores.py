"""Classes that a model is told, on new patients: do what it draws for each differ as the true ones do?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfdrift.cohort.context import foreseen_columns
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig
from tfdrift.drawing.charts import draw_legend, draw_reference, draw_title, new_chart
from tfdrift.drawing.colours import GOOD, POOR
from tfdrift.evaluation.document import as_document
from tfdrift.evaluation.outcomes import draw_outcomes
from tfdrift.evaluation.response import auc, fit_cut, fit_exponent, lesions_of, ratio_outcomes
from tfdrift.methods.method import Predictor
from tfdrift.reproduction.experiment import Run
from tfdrift.statistics.intervals import Estimate, bootstrap_interval, interval_words, mean_interval
from tfdrift.synthetic.new_patients import NewPatients

CLASS = "response"
WEIGHTS = (1.0, 2.0, 3.0)
"""Of guidance."""
OUTCOMES = 4
"""Of each lesion and class."""
COLUMNS = {
    "auc": "AUC, generated good and poor",
    "ordered": "lesions in the right order",
    "difference": "poor - good, own class",
    "every_lesion": "poor - good, every lesion",
    "error": "volume error, told its class",
}
"""The scores of a row by name, and how a table calls them."""


def score_classes(
    run: Run, config: TrainConfig, trained: Predictor, training: Samples, patients: NewPatients
) -> dict[str, Any]:
    """Return what a run draws for each class of response, ready for JSON.

    Volumes are ratios to the volume at the first MRI. Every lesion is drawn as a good and as a poor responder, whatever
    it is; its own class is the one that its true follow-up shows.

    Args:
        run: the definition.
        config: its settings.
        trained: its predictor.
        training: the slices that it was trained on.
        patients: who is drawn, whom nobody was trained on.

    Returns:
        `true`, how the true classes differ; `told_nothing`, the volume error of the forecast; and `weights`, the
        `COLUMNS` for each weight of guidance.
    """
    new = patients.draw(config.image_size)
    lesions = lesions_of(new)
    exponent = np.full(len(new), fit_exponent(training))
    poor = lesions.poor == 1
    known = np.isfinite(lesions.poor)

    def ratios(told: str, guidance: float) -> np.ndarray:
        values = class_values(trained, new, told)
        post = draw_outcomes(trained, new, count=OUTCOMES, seed=config.seed, told=values, guidance=guidance)["post"]
        return ratio_outcomes(post, new, exponent)

    def difference(of_poor: np.ndarray, of_good: np.ndarray) -> Estimate:
        return bootstrap_interval(
            lambda rows: float(np.mean(of_poor[rows][poor[rows]]) - np.mean(of_good[rows][~poor[rows]])),
            lesions.patient,
        )

    def scores(good: np.ndarray, bad: np.ndarray) -> dict[str, Any]:
        means = {"good": good.mean(axis=0), "poor": bad.mean(axis=0)}
        own = np.where(poor, means["poor"], means["good"])
        return {
            "auc": as_document(
                bootstrap_interval(lambda rows: told_apart(good[:, rows], bad[:, rows]), lesions.patient)
            ),
            "ordered": as_document(mean_interval((means["poor"] > means["good"]).astype(float), lesions.patient)),
            "difference": as_document(difference(means["poor"], means["good"])),
            "every_lesion": as_document(mean_interval(means["poor"] - means["good"], lesions.patient)),
            "error": as_document(mean_interval(np.abs(own - lesions.ratio), lesions.patient)),
            "ratios": {"good": good[0].tolist(), "poor": bad[0].tolist()},
        }

    assert known.all()  # every lesion of the phantom has a follow-up
    forecast = ratios("", 1.0).mean(axis=0)
    return {
        "label": run.label,
        "settings": dict(run.settings),
        "steps": config.steps,
        "lesions": {"good": int((~poor).sum()), "poor": int(poor.sum())},
        "cut": fit_cut(training),
        "true": {
            "auc": auc(lesions.ratio, poor),
            "difference": as_document(difference(lesions.ratio, lesions.ratio)),
            "ratios": {"good": lesions.ratio[~poor].tolist(), "poor": lesions.ratio[poor].tolist()},
        },
        "told_nothing": as_document(mean_interval(np.abs(forecast - lesions.ratio), lesions.patient)),
        "weights": {f"{weight:g}": scores(*(ratios(told, weight) for told in ("good", "poor"))) for weight in WEIGHTS},
    }


def class_values(trained: Predictor, samples: Samples, told: str) -> np.ndarray:
    """Return what a network is told of slices whose class is given, float32 [n, numbers].

    Args:
        trained: around the network.
        samples: n slices.
        told: a class, or nothing for the forecast.
    """
    columns = {**foreseen_columns(samples), CLASS: np.full(len(samples), told)}
    return trained.inputs.conditions.values(columns, len(samples))


def told_apart(good: np.ndarray, poor: np.ndarray) -> float:
    """Return the probability that a lesion drawn as a poor responder is left larger than one drawn as a good one.

    Args:
        good: float [N, m], volume ratios of N outcomes of m lesions as good responders.
        poor: the same as poor responders.

    Example:
        >>> told_apart(np.array([[0.5, 0.7]]), np.array([[0.6, 0.9]]))
        0.75
    """
    drawn = np.concatenate([good.ravel(), poor.ravel()])
    return auc(drawn, np.arange(len(drawn)) >= good.size)


def as_class_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the scores of runs and weights as a Markdown table, the truth first.

    Args:
        rows: of `score_classes`.
    """
    true = rows[0]["true"]
    lines = [
        f"| run | guidance | {' | '.join(COLUMNS.values())} | volume error, told nothing |",
        f"|{'---|' * (len(COLUMNS) + 3)}",
        f"| *truth* | – | {true['auc']:.3f} | – | {interval_words(true['difference'], signed=True)} | – | 0 | – |",
    ]
    for row in rows:
        for weight, scores in row["weights"].items():
            cells = [interval_words(scores[name], signed=name in ("difference", "every_lesion")) for name in COLUMNS]
            lines.append(f"| {row['label']} | {weight} | {' | '.join(cells)} | {interval_words(row['told_nothing'])} |")
    return "\n".join([*lines, ""])


def draw_classes(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return how the volumes of the classes are spread: the true ones, and those drawn at each weight, a row a run.

    Args:
        rows: of `score_classes`.
        title: of the figure.
    """
    figure, panels = new_chart(
        len(rows), 1 + len(WEIGHTS), size_inch=(11, 2.4 * len(rows) + 0.5), title=title, share_y=True
    )
    bins = np.linspace(0, 2, 41)
    for axes, row in zip(panels, rows, strict=True):
        parts = {"true": row["true"]["ratios"]}
        parts |= {f"drawn, guidance {weight}": scores["ratios"] for weight, scores in row["weights"].items()}
        for panel, (words, ratios) in zip(axes, parts.items(), strict=True):
            for name, colour in (("good", GOOD), ("poor", POOR)):
                clipped = np.clip(ratios[name], bins[0], bins[-1])
                shares = np.full(len(clipped), 1 / len(clipped))
                panel.hist(clipped, bins=bins.tolist(), weights=shares, color=colour, alpha=0.6, label=name)
            draw_reference(panel, row["cut"])
            draw_title(panel, words)
            panel.set_xlabel("volume at the second MRI / at the first")
        axes[0].set_ylabel(f"{row['label']}\nshare of lesions")
    draw_legend(panels[0, 0], loc="upper right")
    return figure
