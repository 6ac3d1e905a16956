"""The paper's grids of images: examples, rotations, noise, and predictions over the levels."""

import string
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from tfdrift.cohort.samples import Samples
from tfdrift.diffusion.noise import example_seeds, unit_normal
from tfdrift.diffusion.process import add_noise
from tfdrift.diffusion.schedule import Schedule
from tfdrift.drawing.panels import Panel, draw_panels, robust_limit
from tfdrift.reproduction.cached_runs import Outcome
from tfdrift.training.augmentation import rotate

SNAPSHOTS = 6
"""Levels that a figure shows of all."""

BEFORE, AFTER = "gold", "deepskyblue"
"""Colours of the GTV of the two sessions."""


def choose_rows(samples: Samples, count: int, *, by: np.ndarray) -> list[int]:
    """Return one slice of each of `count` lesions, chosen by the data alone: never by how well they are predicted.

    Lesions are ranked and taken at the middles of `count` equal parts of the ranking; of each the slice with the
    largest GTV is shown.

    Args:
        samples: n slices.
        count: number of lesions; all of them where there are fewer.
        by: float [n], the same for every slice of a lesion; ranks lesions from low to high.

    Returns:
        Rows of `samples`.
    """
    names, first = np.unique(samples.lesion, return_index=True)
    ranked = names[np.argsort(by[first], kind="stable")]
    count = min(count, len(ranked))
    chosen = ranked[((np.arange(count) + 0.5) * len(ranked) / count).astype(int)]
    area = samples.pre_mask.sum(axis=(1, 2, 3))
    rows_of = [np.flatnonzero(samples.lesion == name) for name in chosen]
    return [int(rows[np.argmax(area[rows])]) for rows in rows_of]


def volume_change(samples: Samples) -> np.ndarray:
    """Return post volume / pre volume - 1 of each slice's lesion, float64 [n]."""
    return samples.post_mm3.astype(np.float64) / samples.pre_mm3 - 1


def draw_examples(samples: Samples, rows: Sequence[int]) -> Figure:
    """Draw pre, post and drift of lesions, one a column (Fig. 2A)."""
    change = volume_change(samples)
    grid = [
        [Panel(samples.pre[row, ..., 0], f"volume {100 * change[row]:+.0f}%") for row in rows],
        [Panel(samples.post[row, ..., 0]) for row in rows],
        [Panel(samples.drift[row, ..., 0], "", "drift", _outlines(samples, row)) for row in rows],
    ]
    title = f"{len(rows)} lesions before and after; on the drift the GTV before ({BEFORE}) and after (blue)"
    return draw_panels(grid, row_titles=["pre", "post", "drift = post - pre"], title=title)


def draw_rotations(samples: Samples, row: int) -> Figure:
    """Draw the four rotations in which training shows a lesion (Fig. 4A)."""
    turns = tf.range(4)
    images = {"pre": samples.pre, "post": samples.post, "drift": samples.drift}
    turned = {name: rotate(tf.repeat(image[row : row + 1], 4, axis=0), turns).numpy() for name, image in images.items()}
    grid = [
        [
            Panel(
                turned[name][k, ..., 0], f"{90 * k}°" if name == "pre" else "", "drift" if name == "drift" else "image"
            )
            for k in range(4)
        ]
        for name in images
    ]
    return draw_panels(grid, row_titles=list(images), title="Every slice is trained on in four rotations")


def draw_forward(
    samples: Samples, rows: Sequence[int], schedule: Schedule, *, seed: int = 0, columns: int = 8
) -> Figure:
    """Draw lesions noised to every level, with the images before and after treatment (Fig. 4B)."""
    grid, titles = [], []
    for letter, row in zip(string.ascii_uppercase, rows, strict=False):
        clean = tf.repeat(samples.pre[row : row + 1], schedule.levels, axis=0)
        eps = tf.repeat(unit_normal(example_seeds(1, seed), clean[:1]), schedule.levels, axis=0)
        noised = add_noise(clean, eps, tf.range(schedule.levels), schedule).numpy()
        panels = [
            Panel(samples.pre[row, ..., 0], "X0 (pre)"),
            *(Panel(image[..., 0], f"level {level}") for level, image in enumerate(noised)),
            Panel(samples.post[row, ..., 0], "post"),
        ]
        parts = [panels[start : start + columns] for start in range(0, len(panels), columns)]
        grid += parts
        titles += [f"lesion {letter}", *[""] * (len(parts) - 1)]
    title = f"The forward process on two lesions, noise level {schedule.noise_level:g}"
    return draw_panels(grid, row_titles=titles, title=title)


def draw_snapshots(outcome: Outcome, rows: Sequence[int], *, title: str) -> Figure:
    """Draw lesions with the predicted post image and drift at some levels, two rows a lesion (Figs. 3, 6, 7, 8).

    In the first two columns stands what is shown to the network and what is true.

    Args:
        outcome: the run.
        rows: slices of `outcome.samples`.
        title: of the figure.
    """
    samples, shown = outcome.samples, _snapshots(outcome)
    grid, titles = [], []
    for letter, row in zip(string.ascii_uppercase, rows, strict=False):
        first = letter == "A"
        names = [f"{'predicted, ' if first else ''}{level_name(outcome.levels[k])}" for k in shown]
        images, drifts = ([outcome.by_level[name][k, row, ..., 0] for k in shown] for name in ("post", "drift"))
        noised = noised_image(outcome, row, outcome.levels[0])
        grid.append(
            [
                Panel(samples.pre[row, ..., 0], "pre"),
                Panel(samples.post[row, ..., 0], "post"),
                *(Panel(image, name) for image, name in zip(images, names, strict=True)),
            ]
        )
        grid.append(
            [
                Panel(noised, f"pre, {level_name(outcome.levels[0])}"),
                Panel(samples.drift[row, ..., 0], "drift", "drift", _outlines(samples, row)),
                *(Panel(drift, "", "drift") for drift in drifts),
            ]
        )
        titles += [f"{letter}: volume {100 * volume_change(samples)[row]:+.0f}%", f"{letter}: drift"]
    return draw_panels(grid, row_titles=titles, title=title, drift_limit=_true_limit(samples, rows))


def draw_variants(outcomes: Sequence[Outcome], row: int, *, title: str) -> Figure:
    """Draw one lesion as several runs predict it at some levels, and below what is true (Fig. 5).

    Args:
        outcomes: of the same data and fold.
        row: a slice of their samples.
        title: of the figure.
    """
    grid, titles = [], []
    for letter, outcome in zip(string.ascii_uppercase, outcomes, strict=False):
        shown = _snapshots(outcome)
        levels = [level_name(outcome.levels[k]) for k in shown]
        images, drifts = ([outcome.by_level[name][k, row, ..., 0] for k in shown] for name in ("post", "drift"))
        grid.append([Panel(image, name) for image, name in zip(images, levels, strict=True)])
        grid.append([Panel(drift, "", "drift") for drift in drifts])
        titles += [f"{letter}: {outcome.run.label}", f"{letter}: drift"]
    samples = outcomes[0].samples
    grid.append(
        [
            Panel(samples.pre[row, ..., 0], "pre"),
            Panel(samples.post[row, ..., 0], "post"),
            Panel(samples.drift[row, ..., 0], "drift", "drift", _outlines(samples, row)),
        ]
    )
    titles.append(f"{string.ascii_uppercase[len(outcomes)]}: truth")
    return draw_panels(grid, row_titles=titles, title=title, drift_limit=_true_limit(samples, [row]))


def level_name(level: int | None) -> str:
    """Return what a figure calls a level; None is the clean image."""
    return "no noise" if level is None else f"level {level}"


def noised_image(outcome: Outcome, row: int, level: int | None) -> np.ndarray:
    """Return what the network was shown of a slice at a level, float32 [S, S].

    Args:
        outcome: the run.
        row: a slice of `outcome.samples`.
        level: None gives the clean image.
    """
    if level is None:
        return outcome.samples.pre[row, ..., 0]
    image = tf.constant(outcome.samples.pre[row : row + 1])
    noise = unit_normal(noise_seed(outcome, row), image)
    return add_noise(image, noise, level, outcome.predictor.method.schedule).numpy()[0, ..., 0]


def noise_seed(outcome: Outcome, row: int) -> tf.Tensor:
    """Return the seed that a slice of `outcome.samples` was predicted with, int64 [1, 2]."""
    fold = outcome.samples.fold
    place = row - int(np.flatnonzero(fold == fold[row])[0])  # slices are counted within their fold
    return example_seeds(place + 1, outcome.config.seed)[place:]


def _snapshots(outcome: Outcome) -> list[int]:
    last = len(outcome.levels) - 1
    return np.unique(np.linspace(0, last, SNAPSHOTS).round().astype(int)).tolist()


def _outlines(samples: Samples, row: int) -> tuple[tuple[np.ndarray, str], ...]:
    return (samples.pre_mask[row, ..., 0], BEFORE), (samples.post_mask[row, ..., 0], AFTER)


def _true_limit(samples: Samples, rows: Sequence[int]) -> float:
    """Scale drift by what is true, so that a bad prediction cannot make the truth look pale."""
    return robust_limit([samples.drift[row] for row in rows])
