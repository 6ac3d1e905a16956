"""The paper's grids of images: examples, rotations, noise, and predictions over the levels."""

import string
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from tfdrift.axes import image_axes, picture
from tfdrift.cohort.samples import Samples
from tfdrift.diffusion.noise import example_seeds, unit_normal
from tfdrift.diffusion.process import add_noise
from tfdrift.diffusion.schedule import Schedule
from tfdrift.drawing.colours import BEFORE
from tfdrift.drawing.panels import Panel, draw_panels, robust_limit
from tfdrift.evaluation.outcomes import lesion_seeds
from tfdrift.evaluation.pictures import outlines
from tfdrift.methods.symmetries import rotate
from tfdrift.reproduction.predictions import Predictions

SNAPSHOTS = 6
"""Levels that a figure shows of all."""


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
    area = samples.pre_mask.sum(axis=image_axes(samples.pre_mask))
    rows_of = [np.flatnonzero(samples.lesion == name) for name in chosen]
    return [int(rows[np.argmax(area[rows])]) for rows in rows_of]


def volume_change(samples: Samples) -> np.ndarray:
    """Return post volume / pre volume - 1 of each slice's lesion, float64 [n]."""
    return samples.post_mm3.astype(np.float64) / samples.pre_mm3 - 1


def draw_examples(samples: Samples, rows: Sequence[int]) -> Figure:
    """Draw pre, post and drift of lesions, one a column (Fig. 2A).

    Args:
        samples: slices.
        rows: which ones.
    """
    change = volume_change(samples)
    grid = [
        [Panel(picture(samples.pre[row]), f"volume {100 * change[row]:+.0f}%") for row in rows],
        [Panel(picture(samples.post[row])) for row in rows],
        [Panel(picture(samples.drift[row]), "", "drift", outlines(samples, row)) for row in rows],
    ]
    title = f"{len(rows)} lesions before and after; on the drift the GTV before ({BEFORE}) and after (blue)"
    return draw_panels(grid, row_titles=["pre", "post", "drift = post - pre"], title=title)


def draw_rotations(samples: Samples, row: int) -> Figure:
    """Draw the four rotations in which training shows a lesion (Fig. 4A).

    Args:
        samples: slices.
        row: which one.
    """
    turns = tf.range(4)
    images = {"pre": samples.pre, "post": samples.post, "drift": samples.drift}
    turned = {name: rotate(tf.repeat(image[row : row + 1], 4, axis=0), turns).numpy() for name, image in images.items()}
    grid = [
        [
            Panel(
                picture(turned[name][k]), f"{90 * k}°" if name == "pre" else "", "drift" if name == "drift" else "image"
            )
            for k in range(4)
        ]
        for name in images
    ]
    return draw_panels(grid, row_titles=list(images), title="Every slice is trained on in four rotations")


def draw_forward(
    samples: Samples, rows: Sequence[int], schedule: Schedule, *, seed: int = 0, columns: int = 8
) -> Figure:
    """Draw lesions noised to every level, with the images before and after treatment (Fig. 4B).

    Args:
        samples: slices.
        rows: which ones.
        schedule: noise at each level.
        seed: of the noise.
        columns: of panels, after which the levels go on in the next row.
    """
    grid, titles = [], []
    for letter, row in zip(string.ascii_uppercase, rows, strict=False):
        clean = tf.repeat(samples.pre[row : row + 1], schedule.levels, axis=0)
        eps = tf.repeat(unit_normal(example_seeds(1, seed), clean[:1]), schedule.levels, axis=0)
        noised = add_noise(clean, eps, tf.range(schedule.levels), schedule).numpy()
        panels = [
            Panel(picture(samples.pre[row]), "X0 (pre)"),
            *(Panel(picture(image), f"level {level}") for level, image in enumerate(noised)),
            Panel(picture(samples.post[row]), "post"),
        ]
        parts = [panels[start : start + columns] for start in range(0, len(panels), columns)]
        grid += parts
        titles += [f"lesion {letter}", *[""] * (len(parts) - 1)]
    title = f"The forward process on two lesions, noise level {schedule.noise_level:g}"
    return draw_panels(grid, row_titles=titles, title=title)


def draw_snapshots(predicted: Predictions, rows: Sequence[int], *, title: str) -> Figure:
    """Draw lesions with the predicted post image and drift at some levels, two rows a lesion (Figs. 3, 6, 7, 8).

    In the first two columns stands what is shown to the network and what is true.

    Args:
        predicted: the run.
        rows: slices of `predicted.samples`.
        title: of the figure.
    """
    samples, shown = predicted.samples, _snapshots(predicted)
    grid, titles = [], []
    for letter, row in zip(string.ascii_uppercase, rows, strict=False):
        first = letter == "A"
        names = [f"{'predicted, ' if first else ''}{level_name(predicted.levels[k])}" for k in shown]
        images, drifts = ([picture(predicted.by_level[name][k, row]) for k in shown] for name in ("post", "drift"))
        noised = noised_image(predicted, row, predicted.levels[0])
        grid.append(
            [
                Panel(picture(samples.pre[row]), "pre"),
                Panel(picture(samples.post[row]), "post"),
                *(Panel(image, name) for image, name in zip(images, names, strict=True)),
            ]
        )
        grid.append(
            [
                Panel(noised, f"pre, {level_name(predicted.levels[0])}"),
                Panel(picture(samples.drift[row]), "drift", "drift", outlines(samples, row)),
                *(Panel(drift, "", "drift") for drift in drifts),
            ]
        )
        titles += [f"{letter}: volume {100 * volume_change(samples)[row]:+.0f}%", f"{letter}: drift"]
    return draw_panels(grid, row_titles=titles, title=title, drift_limit=_true_limit(samples, rows))


def draw_variants(all_predicted: Sequence[Predictions], row: int, *, title: str) -> Figure:
    """Draw one lesion as several runs predict it at some levels, and below what is true (Fig. 5).

    Args:
        all_predicted: of the same data and fold.
        row: a slice of their samples.
        title: of the figure.
    """
    grid, titles = [], []
    for letter, predicted in zip(string.ascii_uppercase, all_predicted, strict=False):
        shown = _snapshots(predicted)
        levels = [level_name(predicted.levels[k]) for k in shown]
        images, drifts = ([picture(predicted.by_level[name][k, row]) for k in shown] for name in ("post", "drift"))
        grid.append([Panel(image, name) for image, name in zip(images, levels, strict=True)])
        grid.append([Panel(drift, "", "drift") for drift in drifts])
        titles += [f"{letter}: {predicted.run.label}", f"{letter}: drift"]
    samples = all_predicted[0].samples
    grid.append(
        [
            Panel(picture(samples.pre[row]), "pre"),
            Panel(picture(samples.post[row]), "post"),
            Panel(picture(samples.drift[row]), "drift", "drift", outlines(samples, row)),
        ]
    )
    titles.append(f"{string.ascii_uppercase[len(all_predicted)]}: truth")
    return draw_panels(grid, row_titles=titles, title=title, drift_limit=_true_limit(samples, [row]))


def level_name(level: int | None) -> str:
    """Return what a figure calls a level; None is the clean image."""
    return "no noise" if level is None else f"level {level}"


def noised_image(predicted: Predictions, row: int, level: int | None) -> np.ndarray:
    """Return what the network was shown of a slice at a level, float32 [S, S].

    Args:
        predicted: the run.
        row: a slice of `predicted.samples`.
        level: None gives the clean image.
    """
    if level is None:
        return picture(predicted.samples.pre[row])
    image = tf.constant(predicted.samples.pre[row : row + 1])
    noise = unit_normal(noise_seed(predicted, row), image)
    return picture(add_noise(image, noise, level, predicted.trained.method.schedule).numpy()[0])


def noise_seed(predicted: Predictions, row: int) -> tf.Tensor:
    """Return the seed that a slice was predicted with, int64 [1, 2].

    Args:
        predicted: of the run.
        row: a slice of `predicted.samples`.
    """
    rows = np.flatnonzero(predicted.samples.fold == predicted.samples.fold[row])  # lesions count within their fold
    place = int(np.flatnonzero(rows == row)[0])
    return lesion_seeds(predicted.samples.take(rows), 1, predicted.config.seed)[place : place + 1]


def _snapshots(predicted: Predictions) -> list[int]:
    last = len(predicted.levels) - 1
    return np.unique(np.linspace(0, last, SNAPSHOTS).round().astype(int)).tolist()


def _true_limit(samples: Samples, rows: Sequence[int]) -> float:
    """Scale drift by what is true, so that a bad prediction cannot make the truth look pale."""
    return robust_limit([samples.drift[row] for row in rows])
