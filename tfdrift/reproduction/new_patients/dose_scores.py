"""What a model says of other doses, against what the law would have done to that very lesion: the counterfactual."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfdrift.cohort.dose import mean_dose_gy
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig
from tfdrift.drawing.charts import draw_curve, draw_legend, draw_reference, draw_title, new_chart
from tfdrift.drawing.colours import INK, QUIET, SERIES
from tfdrift.evaluation.document import as_document
from tfdrift.evaluation.outcomes import draw_outcomes
from tfdrift.evaluation.response import fit_exponent, lesions_of, of_lesions, ratio_outcomes
from tfdrift.methods.method import Predictor
from tfdrift.reproduction.experiment import Run
from tfdrift.statistics.intervals import bootstrap_interval, interval_words, mean_interval, ratio_interval
from tfdrift.synthetic.new_patients import NewPatients

OUTCOMES = 4
"""Of each lesion and dose, by a method that draws."""
ASKED = (0.8, 1.2)
"""Times the dose that was given: what is scored."""
CURVE = (0.8, 0.9, 1.0, 1.1, 1.2)
"""Times the dose that was given: what is drawn."""
SHOWN = 4
"""Lesions whose volume is drawn against the dose, from the smallest true effect to the largest."""
COLUMNS = {
    "right_sign": "right sign",
    "slope": "slope of predicted on true effect",
    "median_ratio": "median of predicted / true",
    "effect_error": "error of the effect",
    "true_effect": "true effect",
}
"""The scores of a factor by name, and how a table calls them."""


def score_doses(
    run: Run, config: TrainConfig, trained: Predictor, training: Samples, new: NewPatients
) -> dict[str, Any]:
    """Return how a run's answers at other doses agree with the law's, ready for JSON.

    An effect is the change of a lesion's volume ratio from the dose that it was given to another one. The true effect
    is that of the very same lesion, its own chance kept.

    Args:
        run: the definition.
        config: its settings.
        trained: its predictor.
        training: the slices that it was trained on.
        new: who is drawn; by the law `dose`.

    Returns:
        `factors`, the `COLUMNS` of each of `ASKED`; `both`, the same of all of them together; `seen`, the same where
        the scaled dose is one that training has seen, and `unseen`, where it is not; `volume_error` and `between`, the
        correlation of predicted and true ratios, at the dose that was given; `lesions`, the effects of each; `curves`,
        volumes of some at more doses.
    """
    samples = new.draw(config.image_size)
    lesions = lesions_of(samples)
    drawn = ratios_at_doses(
        trained,
        samples,
        CURVE,
        exponent=fit_exponent(training),
        count=OUTCOMES if trained.draws else 1,
        seed=config.seed,
    )
    ratios = dict(zip(CURVE, drawn.mean(axis=1), strict=True))
    true = {factor: new.ratios_at_dose(factor) for factor in CURVE}
    given_gy = of_lesions(mean_dose_gy(samples.pre, samples.pre_mask, samples.channels), samples)
    trained_gy = mean_dose_gy(training.pre, training.pre_mask, training.channels)
    effects = {factor: (ratios[factor] - ratios[1.0], true[factor] - true[1.0]) for factor in ASKED}
    predicted, law = (np.concatenate([effects[factor][part] for factor in ASKED]) for part in (0, 1))
    patient = np.concatenate([lesions.patient] * len(ASKED))
    asked_gy = np.concatenate([factor * given_gy for factor in ASKED])
    seen = (trained_gy.min() <= asked_gy) & (asked_gy <= trained_gy.max())
    order = np.argsort(np.abs(effects[1.2][1]))[np.linspace(0, len(given_gy) - 1, SHOWN).astype(int)]
    return {
        "label": run.label,
        "settings": dict(run.settings),
        "steps": config.steps,
        "law": config.law,
        "trained_on_gy": [float(trained_gy.min()), float(trained_gy.max())],
        "factors": [{"factor": factor, **score_effects(*effects[factor], lesions.patient)} for factor in ASKED],
        "both": score_effects(predicted, law, patient),
        "seen": score_effects(predicted[seen], law[seen], patient[seen]),
        "unseen": score_effects(predicted[~seen], law[~seen], patient[~seen]),
        "volume_error": as_document(mean_interval(np.abs(ratios[1.0] - true[1.0]), lesions.patient)),
        "between": as_document(
            bootstrap_interval(lambda rows: _correlation(ratios[1.0][rows], true[1.0][rows]), lesions.patient)
        ),
        "lesions": [
            {
                "lesion": str(lesions.name[place]),
                "given_gy": float(given_gy[place]),
                **{
                    f"times_{factor}": {"predicted": float(said[place]), "true": float(truly[place])}
                    for factor, (said, truly) in effects.items()
                },
            }
            for place in range(len(given_gy))
        ],
        "curves": [
            {
                "given_gy": float(given_gy[place]),
                "predicted": [float(ratios[factor][place]) for factor in CURVE],
                "true": [float(true[factor][place]) for factor in CURVE],
            }
            for place in order
        ],
    }


def ratios_at_doses(
    trained: Predictor,
    samples: Samples,
    factors: Sequence[float],
    *,
    exponent: float,
    count: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """Return the volume that a model leaves of each lesion at each dose, over that at the first MRI.

    It is the model's association of dose and outcome, which is no advice. All doses have the same draws, so that no
    chance is in their difference.

    Args:
        trained: a method with its network, which takes the channel `dose`.
        samples: of m lesions.
        factors: F, of the dose that each lesion was given.
        exponent: of `fit_exponent` of the training slices.
        count: N, outcomes of each lesion.
        seed: of the noise.

    Returns:
        float64 [F, N, m], in the order of `tfdrift.evaluation.response.lesions_of`.

    Raises:
        DataError: the samples show no dose.
    """
    exponents = np.full(len(samples), exponent)
    return np.stack(
        [
            ratio_outcomes(
                draw_outcomes(trained, samples.at_dose(factor), count=count, seed=seed)["post"], samples, exponents
            )
            for factor in factors
        ]
    )


def score_effects(predicted: np.ndarray, true: np.ndarray, patient: np.ndarray) -> dict[str, Any]:
    """Return how predicted effects agree with true ones, ready for JSON, with intervals over patients.

    Args:
        predicted: float [m].
        true: float [m], none of them 0.
        patient: str [m].

    Returns:
        `count` and the `COLUMNS`. The slope is that of the line through 0 that fits best: 1 where the size is right.
        The error is the mean of |predicted - true|.

    Example:
        >>> found = score_effects(np.array([-0.1, 0.2]), np.array([-0.2, 0.1]), np.array(["a", "a"]))
        >>> found["right_sign"]["value"], round(found["slope"]["value"], 3), round(found["median_ratio"]["value"], 3)
        (1.0, 0.8, 1.25)
    """
    if not len(true):
        return {"count": 0}
    right = np.sign(predicted) == np.sign(true)
    estimates = {
        "right_sign": mean_interval(right.astype(float), patient),
        "slope": ratio_interval(predicted * true, true**2, patient),
        "median_ratio": bootstrap_interval(lambda rows: float(np.median(predicted[rows] / true[rows])), patient),
        "effect_error": mean_interval(np.abs(predicted - true), patient),
        "true_effect": mean_interval(np.abs(true), patient),
    }
    return {"count": len(true), **{name: as_document(found) for name, found in estimates.items()}}


def as_dose_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the scores of runs as a Markdown table.

    Args:
        rows: of `score_doses`.
    """
    lines = [f"| run | dose | effects | {' | '.join(COLUMNS.values())} |", f"|{'---|' * (len(COLUMNS) + 3)}"]
    for row in rows:
        low, high = row["trained_on_gy"]
        parts = {
            **{f"x {one['factor']:g}": one for one in row["factors"]},
            "both": row["both"],
            f"both, within the {low:.1f} to {high:.1f} Gy of training": row["seen"],
            "both, beyond them": row["unseen"],
        }
        for words, scores in parts.items():
            cells = [interval_words(scores[name]) if scores["count"] else "–" for name in COLUMNS]
            lines.append(f"| {row['label']} | {words} | {scores['count']} | {' | '.join(cells)} |")
    lines += [
        "",
        "| run | volume error at the dose given | correlation of predicted and true volume ratios |",
        "|---|---|---|",
        *(
            f"| {row['label']} | {interval_words(row['volume_error'])} | {interval_words(row['between'])} |"
            for row in rows
        ),
        "",
    ]
    return "\n".join(lines)


def draw_doses(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return predicted effects against true ones, and volumes against the dose of some lesions, a row a run.

    Args:
        rows: of `score_doses`.
        title: of the figure.
    """
    figure, panels = new_chart(
        len(rows), SHOWN + 1, size_inch=(2.6 * (SHOWN + 1), 2.7 * len(rows) + 0.7), title=title, grid="both"
    )
    for of_run, row in zip(panels, rows, strict=True):
        _draw_effects(of_run[0], row)
        for axes, curve in zip(of_run[1:], row["curves"], strict=True):
            dose_gy = np.array(CURVE) * curve["given_gy"]
            draw_curve(axes, dose_gy.tolist(), curve["predicted"], colour=SERIES[2], marker="o", label="predicted")
            draw_curve(axes, dose_gy.tolist(), curve["true"], colour=INK, marker="o", linestyle="--", label="true")
            draw_reference(axes, curve["given_gy"], label="given")
            axes.set_ylim(0, 1.15 * max(1, *curve["predicted"], *curve["true"]))
        of_run[1].set_ylabel("volume / first volume")
    for axes in panels[-1, 1:]:
        axes.set_xlabel("mean dose in the GTV, Gy")
    panels[-1, 0].set_xlabel("true effect")
    draw_legend(panels[0, 1], loc="lower left")
    return figure


def _draw_effects(axes: Any, row: Mapping[str, Any]) -> None:
    for colour, factor in zip(SERIES, ASKED, strict=False):
        of_factor = [one[f"times_{factor}"] for one in row["lesions"]]
        axes.plot(
            [one["true"] for one in of_factor],
            [one["predicted"] for one in of_factor],
            ".",
            color=colour,
            markersize=4,
            label=f"dose x {factor:g}",
        )
    reach = max(abs(one[f"times_{factor}"]["true"]) for one in row["lesions"] for factor in ASKED)
    axes.plot([-reach, reach], [-reach, reach], color=QUIET, linewidth=1, linestyle="--", zorder=0)
    draw_reference(axes, 0.0, style="-")
    draw_reference(axes, 0.0, across="y", style="-")
    axes.set_ylabel(f"{row['label']}\npredicted effect")
    draw_title(axes, f"slope {row['both']['slope']['value']:.2f}")
    draw_legend(axes, loc="upper left")


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float("nan") if min(np.ptp(one), np.ptp(other)) == 0 else float(np.corrcoef(one, other)[0, 1])
