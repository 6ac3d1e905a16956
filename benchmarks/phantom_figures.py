"""Draw the pictures of docs/phantom.md and print its figures.

    python -m benchmarks.phantom_figures [FOLDER]

Writes head.png, lesions.png and volumes.png to FOLDER (default docs/figures/phantom).
"""

import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfdrift.cohort.phantom import (
    POOR_RESPONSE,
    SESSION_DAYS,
    SESSIONS,
    Patient,
    attainable_skill,
    gtv,
    make_cohort,
    phantom_samples,
    rician,
    tissue_signal,
)
from tfdrift.cohort.samples import Samples, split
from tfdrift.imaging.drawing import Panel, draw_panels, write_png

SEEDS = (0, 1, 2)
DRAWS = 32


def head_figure(cohort: list[Patient]) -> Figure:
    """Return a noisy slice of three heads at each time point: the largest lesion, one that shrinks, one that grows."""

    def kept(patient: Patient) -> float:
        largest = max(patient.lesions, key=lambda lesion: lesion.radius_mm)
        return largest.volume_mm3("follow_up") / largest.volume_mm3("pre")

    rows, titles = [], []
    for patient in (cohort[0], min(cohort, key=kept), max(cohort, key=kept)):
        largest = max(patient.lesions, key=lambda lesion: lesion.radius_mm)
        x, y = np.meshgrid(np.arange(-80.0, 81.0), np.arange(-98.0, 99.0))
        points = np.stack([x, y, np.full_like(x, largest.center_mm[2])], axis=-1)
        row = []
        for session in SESSIONS:
            rng = np.random.default_rng([patient.number, SESSIONS.index(session)])
            image = rician(tissue_signal(patient, session, points), rng)
            mask = np.any([gtv(lesion, session, points) for lesion in patient.lesions], axis=0)
            title = f"day {SESSION_DAYS[session]}: {largest.volume_mm3(session):,.0f} mm³"
            row.append(Panel(image, title, contours=((mask, "red"),)))
        rows.append(row)
        titles.append(patient.name)
    return draw_panels(rows, titles, image_range=(0, 1200), unit="scanner units")


def lesions_figure(samples: Samples) -> Figure:
    """Return pre, post and drift of the largest slice of lesions from the smallest volume to the largest."""
    largest_slice = {}
    for row, (lesion, mask) in enumerate(zip(samples.lesion.tolist(), samples.pre_mask, strict=True)):
        if lesion not in largest_slice or mask.sum() > samples.pre_mask[largest_slice[lesion]].sum():
            largest_slice[lesion] = row
    by_volume = sorted(largest_slice.values(), key=lambda row: samples.pre_mm3[row])
    chosen = [by_volume[place] for place in np.linspace(0, len(by_volume) - 1, 12).round().astype(int)]
    rows = []
    for first in range(0, 12, 3):
        row = []
        for n in chosen[first : first + 3]:
            pre, post, drift = (image[n, ..., 0] for image in (samples.pre, samples.post, samples.drift))
            before, after = (samples.pre_mask[n, ..., 0], "red"), (samples.post_mask[n, ..., 0], "cyan")
            change = samples.post_mm3[n] / samples.pre_mm3[n] - 1
            row.append(
                Panel(
                    pre, f"pre, {samples.pre_mm3[n]:,.{1 if samples.pre_mm3[n] < 100 else 0}f} mm³", contours=(before,)
                )
            )
            row.append(Panel(post, f"post, {change:+.0%}", contours=(after,)))
            row.append(Panel(drift, "drift", "drift", contours=((before[0], "black"),)))
        rows.append(row)
    return draw_panels(rows)


def volumes_figure(cohort: list[Patient]) -> Figure:
    """Return the distributions of the first volumes and of what is left of them at the two later time points."""
    lesions = [lesion for patient in cohort for lesion in patient.lesions]
    volumes = np.array([[lesion.volume_mm3(session) for session in SESSIONS] for lesion in lesions])
    figure = Figure(figsize=(10, 3.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    left.hist(volumes[:, 0], bins=np.geomspace(14, 40_000, 16).tolist(), color="0.5", edgecolor="white")
    left.set(xscale="log", xlabel="GTV at day 0 [mm³]", ylabel="lesions")
    shares = volumes[:, 1:] / volumes[:, :1]
    bins = np.linspace(0, shares.max() * 1.01, 24).tolist()
    for share, session, colour in zip(shares.T, SESSIONS[1:], ("tab:blue", "tab:orange"), strict=True):
        label = f"day {SESSION_DAYS[session]}"
        middle.hist(share, bins=bins, histtype="step", linewidth=1.8, color=colour, label=label)
    middle.axvline(POOR_RESPONSE, color="black", linestyle=":", label="poor response from here")
    middle.set(xlabel="volume / volume at day 0", ylabel="lesions")
    middle.set_ylim(top=1.4 * middle.get_ylim()[1])
    middle.legend(fontsize=7, frameon=False)
    right.scatter(volumes[:, 0], shares[:, 1], s=12, color="tab:orange")
    right.axhline(POOR_RESPONSE, color="black", linestyle=":")
    right.set(xscale="log", xlabel="GTV at day 0 [mm³]", ylabel="volume at day 90 / at day 0")
    return figure


def mean_drift_skill(samples: Samples) -> float:
    """Return the skill over copy of the training patients' mean drift map, summed over all held-out folds."""
    error = change = 0.0
    for fold in sorted(set(samples.fold.tolist())):
        training, held_out = split(samples, fold)
        error += float(np.sum((held_out.drift - training.drift.mean(axis=0)) ** 2, dtype=np.float64))
        change += float(np.sum(held_out.drift**2, dtype=np.float64))
    return 1 - error / change


def main(folder: Path) -> None:
    """Write the pictures, print the table."""
    cohort = make_cohort()
    write_png(head_figure(cohort), folder / "head.png")
    write_png(lesions_figure(phantom_samples()), folder / "lesions.png")
    write_png(volumes_figure(cohort), folder / "volumes.png")
    print("| seed | slices | smallest, median, largest GTV [mm³] | poor response | mean drift | attainable |")
    print("|---|---|---|---|---|---|")
    for seed in SEEDS:
        samples = phantom_samples(seed=seed)
        _, first = np.unique(samples.lesion, return_index=True)
        volumes = samples.pre_mm3[first]
        poor = np.mean(samples.follow_up_mm3[first] >= POOR_RESPONSE * volumes)
        best = attainable_skill(draws=DRAWS, seed=seed)
        sizes = f"{volumes.min():.1f}, {np.median(volumes):.1f}, {volumes.max():,.1f}"
        skills = f"{mean_drift_skill(samples):.2f} | {best.value:.3f} ± {best.standard_error:.3f}"
        print(f"| {seed} | {len(samples)} | {sizes} | {poor:.0%} | {skills} |", flush=True)


if __name__ == "__main__":
    started = time.perf_counter()
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/figures/phantom"))
    print(f"{time.perf_counter() - started:.0f} s")
