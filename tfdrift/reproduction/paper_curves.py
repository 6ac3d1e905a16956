"""The paper's curves, volumes over time and losses over steps, and ours, skill over the levels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfdrift.cohort.response import POOR_RESPONSE
from tfdrift.cohort.samples import Samples
from tfdrift.drawing.charts import (
    draw_curve,
    draw_estimate,
    draw_legend,
    draw_reference,
    draw_title,
    level_axis,
    name_rows,
    new_chart,
)
from tfdrift.drawing.colours import GOOD, POOR, SERIES
from tfdrift.evaluation.response import lesions_of, of_lesions
from tfdrift.reproduction.regions import Difference
from tfdrift.statistics.intervals import Estimate

TIMES = ("first MRI", "second MRI", "follow-up")
LOWEST_SKILL = -1.0
"""Skills below it are cut off where there are others: a run that failed would flatten them."""

FIRST_SHARE, LAST_SHARE = 1600 / 5000, 800 / 5000
"""The parts of a training that Fig. 4C shows."""


def draw_volumes(samples: Samples, growing: int, shrinking: int) -> Figure:
    """Draw the volumes of two lesions over the three time points, and of all lesions relative to the first (Fig. 1B).

    Args:
        samples: with follow-up volumes.
        growing: a slice of the first lesion.
        shrinking: a slice of the second one.
    """
    volumes = np.stack([samples.pre_mm3, samples.post_mm3, samples.follow_up_mm3], axis=1).astype(np.float64)
    figure, ((grows, shrinks, every),) = new_chart(1, 3, size_inch=(10.5, 3.2))
    for axes, row, letter, word, colour in (
        (grows, growing, "A", "grows", POOR),
        (shrinks, shrinking, "B", "shrinks", GOOD),
    ):
        draw_curve(axes, TIMES, volumes[row], colour=colour, marker="o")
        for place, volume in enumerate(volumes[row]):
            axes.annotate(
                f"{volume:,.0f}", (place, volume), (0, 7), textcoords="offset points", ha="center", fontsize=8
            )
        draw_title(axes, f"{letter}: a lesion that {word}")
        axes.set(ylabel="GTV (mm³)", ylim=(0, 1.25 * volumes[row].max()))
        axes.margins(x=0.15)
    lesions, relative = lesions_of(samples), 100 * of_lesions(volumes / volumes[:, :1], samples)
    for label, group, colour in (
        ("poor response", relative[lesions.poor == 1], POOR),
        ("good response", relative[lesions.poor == 0], GOOD),
    ):
        lines = every.plot(TIMES, group.T, color=colour, alpha=0.35, linewidth=0.8) if len(group) else []
        if lines:
            lines[0].set_label(f"{label} ({len(group)})")
    draw_reference(every, 100 * POOR_RESPONSE, across="y")
    draw_title(every, f"C: all {np.isfinite(lesions.poor).sum()} lesions")
    every.set(ylabel="volume (% of the first MRI's)", ylim=(0, None))
    draw_legend(every, loc="upper left")
    return figure


def draw_losses(history: Sequence[Mapping[str, Any]], *, steps: int, recon_name: str, title: str) -> Figure:
    """Draw the reconstruction and the drift loss of a training, its first third and its end (Figs. 4C, S2).

    The paper shows the first 1,600 and the last 800 of 5,000 iterations; a shorter training the same shares.

    Args:
        history: lines of the run's `history.jsonl`, each a mean over the steps since the line before.
        steps: of the whole training.
        recon_name: what the reconstruction is of.
        title: of the figure.
    """
    lines = [line for line in history if line["part"] == "train"]
    step = np.array([line["step"] for line in lines])
    first, last = max(round(FIRST_SHARE * steps), 1), max(round(LAST_SHARE * steps), 1)
    figure, axes = new_chart(2, 2, size_inch=(9, 5), title=title, grid="both")
    for column, (name, label, colour) in enumerate(
        (("recon_loss", f"{recon_name} loss", SERIES[0]), ("drift_loss", "drift loss", SERIES[1]))
    ):
        values = np.array([line[name] for line in lines])
        for row, (inside, words) in enumerate(
            ((step <= first, f"first {first:,} steps"), (step > steps - last, f"last {last:,} of {steps:,} steps"))
        ):
            panel = axes[row, column]
            panel.plot(step[inside], values[inside], "." if inside.sum() < 3 else "-", color=colour, linewidth=1.2)
            draw_title(panel, words)
            panel.set_ylabel(label)
            if row == 1:
                panel.set_xlabel("step")
    return figure


def draw_levels(scores: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Draw skill and SSIM of post image and drift over the levels, one colour a run.

    Args:
        scores: of `tfdrift.reproduction.paper_scores.score_run`, of runs with levels.
        title: of the figure.
    """
    figure, axes = new_chart(2, 2, size_inch=(10, 6), title=title, grid="both")
    for column, (name, words) in enumerate((("post", "post image"), ("drift", "drift"))):
        skill_axes, ssim_axes = axes[:, column]
        for score, colour in zip(scores, SERIES, strict=False):
            levels = [entry["level"] for entry in score["levels"]]
            skills = [entry[name]["skill"] for entry in score["levels"]]
            band = [skill["low"] for skill in skills], [skill["high"] for skill in skills]
            draw_curve(
                skill_axes, levels, [skill["value"] for skill in skills], band, colour=colour, label=score["label"]
            )
            draw_curve(ssim_axes, levels, [entry[name]["ssim"] for entry in score["levels"]], colour=colour)
        draw_reference(ssim_axes, scores[0]["copy"][name]["ssim"], across="y")
        draw_reference(skill_axes, 0, across="y", label="no change")
        shown = [entry[name]["skill"] for score in scores for entry in score["levels"]]
        low, high = min(skill["low"] for skill in shown), max(max(skill["high"] for skill in shown), 0.0)
        cut = low < LOWEST_SKILL < max(skill["value"] for skill in shown)  # never a run alone, never an empty panel
        bottom = LOWEST_SKILL if cut else low
        skill_axes.set_ylim(bottom - 0.05 * (high - bottom), high + 0.05 * (high - bottom))
        draw_title(skill_axes, words)
        skill_axes.set_ylabel(f"skill over no change{f' (above {LOWEST_SKILL:g})' if cut else ''}")
        ssim_axes.set_ylabel("SSIM")
        for panel in (skill_axes, ssim_axes):
            panel.set_xlim(-0.5, max(score["levels"][0]["level"] for score in scores) + 0.5)
            level_axis(panel, "level (noisy left, clean right)" if panel is ssim_axes else "", noisy_first=True)
    draw_legend(axes[0, 1], loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def draw_ranking(scores: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Draw the skill of many runs with their intervals, a row a run, one colour a method.

    Args:
        scores: of `tfdrift.reproduction.paper_scores.score_run`.
        compared: of `tfdrift.reproduction.paper_scores.compare_runs`; a run that can be told apart from the one it
            is compared with gets a filled mark.
        title: of the figure.
    """
    figure, (axes,) = new_chart(1, 2, size_inch=(10, 1.2 + 0.24 * len(scores)), title=title, grid="x")
    methods = list(dict.fromkeys(score["method"] for score in scores))
    differs = {(one["run"], name) for one in compared for name in ("post", "drift") if one[name]["p_holm"] < 0.05}
    for panel, name in zip(axes, ("post", "drift"), strict=True):
        for place, score in enumerate(scores):
            skill = Estimate(**score["final"][name]["skill"])
            colour = SERIES[methods.index(score["method"]) % len(SERIES)]
            draw_estimate(panel, place, skill, colour=colour, filled=(score["label"], name) in differs, markersize=5)
            if skill.value < LOWEST_SKILL:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
                words = f"◂ {skill.value:.2f}"
                panel.text(LOWEST_SKILL, place, words, fontsize=7, va="center", color=colour, bbox=box)
        draw_reference(panel, 0)
        mean_drift = scores[0]["mean_drift"][name]["skill"]["value"]
        draw_reference(panel, mean_drift, style=":")
        draw_title(panel, "post image" if name == "post" else "drift")
        panel.set_xlabel(
            "skill (0: no change; dotted: mean drift)\nfilled: differs from the method's first row, Holm p < 0.05",
            fontsize=8,
        )
        skills = [score["final"][name]["skill"] for score in scores]
        low, high = min(skill["low"] for skill in skills), max(*(skill["high"] for skill in skills), mean_drift, 0.0)
        panel.set_xlim(max(low - 0.05, LOWEST_SKILL), high + 0.05)
        name_rows(panel, [score["label"] if name == "post" else "" for score in scores])
    return figure


def draw_groups(means: Mapping[str, np.ndarray], poor: np.ndarray, tests: Mapping[str, Difference]) -> Figure:
    """Draw the mean drift of each lesion in core and rim, true and predicted, by response group.

    Args:
        means: float [m] by name, such as "true drift, core"; a panel each.
        poor: bool [m], the lesions of group A.
        tests: for each name how group A differs from group B.
    """
    figure, (axes,) = new_chart(1, len(means), size_inch=(2.7 * len(means), 3.6))
    spread = np.random.default_rng(0).uniform(-0.16, 0.16, len(poor))  # so that dots of one height can be told apart
    for panel, (name, values) in zip(axes, means.items(), strict=True):
        for place, (group, colour) in enumerate(((poor, POOR), (~poor, GOOD))):
            panel.scatter(place + spread[group], values[group], s=12, color=colour, alpha=0.6, linewidths=0)
            panel.hlines(np.nanmean(values[group]), place - 0.3, place + 0.3, color=colour, linewidth=2)
        draw_reference(panel, 0, across="y")
        test = tests[name]
        draw_title(panel, name)
        words = Estimate(test.value, test.low, test.high).words(signed=True)
        panel.set_xlabel(f"{words}\np = {test.p_value:.2g}", fontsize=8)
        panel.set_xticks([0, 1], [f"poor ({poor.sum()})", f"good ({(~poor).sum()})"])
        panel.set(xlim=(-0.6, 1.6))
    lowest, highest = (limit(panel.get_ylim()[end] for panel in axes) for end, limit in ((0, min), (1, max)))
    for panel in axes:
        panel.set_ylim(lowest, highest)
    axes[0].set_ylabel("mean drift of a lesion\n(of the pre image's largest signal)", fontsize=8)
    figure.suptitle("Drift by response: difference poor - good, 95% interval and p over patients", fontsize=10)
    return figure
