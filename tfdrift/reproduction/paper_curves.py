"""The paper's curves, volumes over time and losses over steps, and ours, skill over the levels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfdrift.cohort.response import POOR_RESPONSE
from tfdrift.cohort.samples import Samples
from tfdrift.evaluation.response import lesions_of
from tfdrift.reproduction.regions import Difference

POOR_COLOUR, GOOD_COLOUR = "#c0392b", "#2a6f97"
COLOURS = ("#2a6f97", "#e08e0b", "#3f7d3f", "#8e44ad", "#c0392b", "#555555")
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
    figure, (grows, shrinks, every) = _figure(1, 3, size=(10.5, 3.2))
    for axes, row, letter, word, colour in (
        (grows, growing, "A", "grows", POOR_COLOUR),
        (shrinks, shrinking, "B", "shrinks", GOOD_COLOUR),
    ):
        axes.plot(TIMES, volumes[row], "o-", color=colour)
        for place, volume in enumerate(volumes[row]):
            axes.annotate(
                f"{volume:,.0f}", (place, volume), (0, 7), textcoords="offset points", ha="center", fontsize=8
            )
        axes.set_title(f"{letter}: a lesion that {word}", fontsize=10)
        axes.set(ylabel="GTV (mm³)", ylim=(0, 1.25 * volumes[row].max()))
        axes.margins(x=0.15)
    lesions = lesions_of(samples)
    _, first = np.unique(samples.lesion, return_index=True)
    for label, group, colour in (
        ("poor response", first[lesions.poor == 1], POOR_COLOUR),
        ("good response", first[lesions.poor == 0], GOOD_COLOUR),
    ):
        lines = every.plot(
            TIMES, 100 * (volumes[group] / volumes[group, :1]).T, color=colour, alpha=0.35, linewidth=0.8
        )
        if lines:
            lines[0].set_label(f"{label} ({len(group)})")
    every.axhline(100 * POOR_RESPONSE, color="0.3", linewidth=1, linestyle="--")
    every.set_title(f"C: all {np.isfinite(lesions.poor).sum()} lesions", fontsize=10)
    every.set(ylabel="volume (% of the first MRI's)", ylim=(0, None))
    every.legend(fontsize=8, frameon=False, loc="upper left")
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
    figure, axes = _figure(2, 2, size=(9, 5), title=title)
    for column, (name, label, colour) in enumerate(
        (("recon_loss", f"{recon_name} loss", COLOURS[0]), ("drift_loss", "drift loss", COLOURS[1]))
    ):
        values = np.array([line[name] for line in lines])
        for row, (inside, words) in enumerate(
            ((step <= first, f"first {first:,} steps"), (step > steps - last, f"last {last:,} of {steps:,} steps"))
        ):
            panel = axes[row, column]
            panel.plot(step[inside], values[inside], "." if inside.sum() < 3 else "-", color=colour, linewidth=1.2)
            panel.set_title(words, fontsize=10)
            panel.set_ylabel(label)
            panel.grid(alpha=0.25)
            if row == 1:
                panel.set_xlabel("step")
    return figure


def draw_levels(scores: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Draw skill and SSIM of post image and drift over the levels, one colour a run.

    Args:
        scores: of `tfdrift.reproduction.paper_scores.score_outcome`, of runs with levels.
        title: of the figure.
    """
    figure, axes = _figure(2, 2, size=(10, 6), title=title)
    for column, (name, words) in enumerate((("post", "post image"), ("drift", "drift"))):
        skill_axes, ssim_axes = axes[0, column], axes[1, column]
        for score, colour in zip(scores, COLOURS, strict=False):
            levels = [entry["level"] for entry in score["levels"]]
            skills = [entry[name]["skill"] for entry in score["levels"]]
            low, high = ([skill[end] for skill in skills] for end in ("low", "high"))
            skill_axes.plot(levels, [skill["value"] for skill in skills], color=colour, label=score["label"])
            skill_axes.fill_between(levels, low, high, color=colour, alpha=0.12, linewidth=0)
            ssim_axes.plot(levels, [entry[name]["ssim"] for entry in score["levels"]], color=colour)
        ssim_axes.axhline(scores[0]["copy"][name]["ssim"], color="0.3", linewidth=1, linestyle="--", label="no change")
        skill_axes.axhline(0, color="0.3", linewidth=1, linestyle="--", label="no change")
        shown = [entry[name]["skill"] for score in scores for entry in score["levels"]]
        low, high = min(skill["low"] for skill in shown), max(max(skill["high"] for skill in shown), 0.0)
        cut = low < LOWEST_SKILL < max(skill["value"] for skill in shown)  # never a run alone, never an empty panel
        bottom = LOWEST_SKILL if cut else low
        skill_axes.set_ylim(bottom - 0.05 * (high - bottom), high + 0.05 * (high - bottom))
        skill_axes.set_title(words, fontsize=10)
        skill_axes.set_ylabel(f"skill over no change{f' (above {LOWEST_SKILL:g})' if cut else ''}")
        ssim_axes.set(xlabel="level (noisy left, clean right)", ylabel="SSIM")
        for panel in (skill_axes, ssim_axes):
            panel.set_xlim(max(score["levels"][0]["level"] for score in scores) + 0.5, -0.5)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.grid(alpha=0.25)
    axes[0, 1].legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def draw_ranking(scores: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Draw the skill of many runs with their intervals, a row a run, one colour a method.

    Args:
        scores: of `tfdrift.reproduction.paper_scores.score_outcome`.
        compared: of `tfdrift.reproduction.paper_scores.compare_outcomes`; a run that can be told apart from the one it
            is compared with gets a filled mark.
        title: of the figure.
    """
    figure, axes = _figure(1, 2, size=(10, 1.2 + 0.24 * len(scores)), title=title)
    methods = list(dict.fromkeys(score["method"] for score in scores))
    differs = {(one["run"], name) for one in compared for name in ("post", "drift") if one[name]["p_holm"] < 0.05}
    for panel, name in zip(axes, ("post", "drift"), strict=True):
        for place, score in enumerate(scores):
            skill = score["final"][name]["skill"]
            colour = COLOURS[methods.index(score["method"])]
            panel.plot([skill["low"], skill["high"]], [place, place], color=colour, linewidth=1.5, alpha=0.6)
            inside = colour if (score["label"], name) in differs else "white"
            panel.plot(skill["value"], place, "o", color=colour, markerfacecolor=inside, markersize=5)
            if skill["value"] < LOWEST_SKILL:
                words = f"◂ {skill['value']:.2f}"
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
                panel.text(LOWEST_SKILL, place, words, fontsize=7, va="center", color=colour, bbox=box)
        panel.axvline(0, color="0.3", linewidth=1, linestyle="--")
        mean_drift = scores[0]["mean_drift"][name]["skill"]["value"]
        panel.axvline(mean_drift, color="0.3", linewidth=1, linestyle=":")
        panel.set_title("post image" if name == "post" else "drift", fontsize=10)
        panel.set_xlabel(
            "skill (0: no change; dotted: mean drift)\nfilled: differs from the method's first row, Holm p < 0.05",
            fontsize=8,
        )
        skills = [score["final"][name]["skill"] for score in scores]
        low, high = min(skill["low"] for skill in skills), max(*(skill["high"] for skill in skills), mean_drift, 0.0)
        panel.set_xlim(max(low - 0.05, LOWEST_SKILL), high + 0.05)
        panel.set_ylim(len(scores) - 0.5, -0.5)
        panel.grid(alpha=0.25, axis="x")
        panel.set_yticks(range(len(scores)), [score["label"] for score in scores] if name == "post" else [])
    return figure


def draw_groups(means: Mapping[str, np.ndarray], poor: np.ndarray, tests: Mapping[str, Difference]) -> Figure:
    """Draw the mean drift of each lesion in core and rim, true and predicted, by response group.

    Args:
        means: float [m] by name, such as "true drift, core"; a panel each.
        poor: bool [m], the lesions of group A.
        tests: for each name how group A differs from group B.
    """
    figure, axes = _figure(1, len(means), size=(2.7 * len(means), 3.6))
    spread = np.random.default_rng(0).uniform(-0.16, 0.16, len(poor))  # so that dots of one height can be told apart
    for panel, (name, values) in zip(axes, means.items(), strict=True):
        for place, (group, colour) in enumerate(((poor, POOR_COLOUR), (~poor, GOOD_COLOUR))):
            panel.scatter(place + spread[group], values[group], s=12, color=colour, alpha=0.6, linewidths=0)
            panel.hlines(np.nanmean(values[group]), place - 0.3, place + 0.3, color=colour, linewidth=2)
        panel.axhline(0, color="0.3", linewidth=0.8, linestyle="--")
        test = tests[name]
        panel.set_title(name, fontsize=10)
        panel.set_xlabel(f"{test.value:+.3f} [{test.low:+.3f}, {test.high:+.3f}]\np = {test.p_value:.2g}", fontsize=8)
        panel.set_xticks([0, 1], [f"poor ({poor.sum()})", f"good ({(~poor).sum()})"])
        panel.set(xlim=(-0.6, 1.6))
    lowest, highest = (limit(panel.get_ylim()[end] for panel in axes) for end, limit in ((0, min), (1, max)))
    for panel in axes:
        panel.set_ylim(lowest, highest)
    axes[0].set_ylabel("mean drift of a lesion\n(of the pre image's largest signal)", fontsize=8)
    figure.suptitle("Drift by response: difference poor - good, 95% interval and p over patients", fontsize=10)
    return figure


def _figure(rows: int, columns: int, *, size: tuple[float, float], title: str | None = None) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns)
    for panel in np.ravel(axes):
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure, axes
