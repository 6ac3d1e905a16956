"""Draw the phantom, and print the scores that bound every method trained on it.

    python benchmarks/phantom_figures.py

Writes the pictures of `docs/phantom.md` into `docs/figures/phantom/` and the table between the markers of that page;
the same code gives the same bytes. Takes about two minutes, most of them for the attainable skill.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tfdrift.axes import image_axes, picture
from tfdrift.cohort.folds import split
from tfdrift.cohort.response import POOR_RESPONSE
from tfdrift.cohort.samples import Samples
from tfdrift.drawing.charts import draw_legend, draw_reference, new_chart
from tfdrift.drawing.colours import AFTER, BEFORE, GOOD, POOR
from tfdrift.drawing.figure import write_png
from tfdrift.drawing.panels import Panel, draw_panels
from tfdrift.evaluation.baselines import copy, mean_drift
from tfdrift.evaluation.metrics import skill, squared_errors
from tfdrift.evaluation.pictures import outlines
from tfdrift.synthetic.law import SESSIONS
from tfdrift.synthetic.oracle import ask_oracle
from tfdrift.synthetic.phantom import SESSION_DAYS, Patient, gtv, make_cohort, rician, tissue_signal
from tfdrift.synthetic.phantom_samples import is_poor, phantom_samples

DOCS = Path(__file__).resolve().parent.parent / "docs"
FIGURES = DOCS / "figures" / "phantom"
BEGIN, END = "<!-- begin: written by benchmarks/phantom_figures.py -->", "<!-- end -->"

HEAD_PATIENT = 23  # several lesions, the largest of which responds well
LESION_QUANTILES = (0.03, 0.2, 0.4, 0.6, 0.8, 0.97)
GROUPS = (("poor response", True, POOR), ("good response", False, GOOD))


def main() -> None:
    """Write the pictures and the table."""
    cohort, samples = make_cohort(), phantom_samples()
    write_png(draw_head(cohort[HEAD_PATIENT]), FIGURES / "head.png")
    write_png(draw_lesions(samples), FIGURES / "lesions.png")
    write_png(draw_volumes(cohort), FIGURES / "volumes.png")
    table = make_table(samples)
    print(table)
    page = DOCS / "phantom.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def draw_head(patient: Patient) -> Figure:
    """Return an axial slice through the patient's largest lesion in each session, and the lesion enlarged."""
    largest = max(patient.lesions, key=lambda lesion: lesion.volume_mm3("pre"))
    x, y, z = largest.center_mm
    reach = 1.25 * largest.reach_mm("pre")
    rows = [
        _session_panels(
            patient, columns_mm=1.2 * (np.arange(132) - 65.5), rows_mm=1.2 * (np.arange(162) - 80.5), z_mm=z
        ),
        _session_panels(
            patient,
            columns_mm=np.linspace(x - reach, x + reach, 66),
            rows_mm=np.linspace(y - 1.23 * reach, y + 1.23 * reach, 81),
            z_mm=z,
        ),
    ]
    return draw_panels(
        rows,
        row_titles=["whole head", f"the same, {2 * reach:.0f} mm wide"],
        title=f"{patient.name}: GTV before treatment (gold) and of the session (blue)",
        image_range=(0, 1200),
        unit="scanner units",
    )


def _session_panels(patient: Patient, *, columns_mm: np.ndarray, rows_mm: np.ndarray, z_mm: float) -> list[Panel]:
    x, y = np.meshgrid(columns_mm, rows_mm)
    points = np.stack([x, y, np.full_like(x, z_mm)], axis=-1)
    masks = {s: np.any([gtv(lesion, s, points) for lesion in patient.lesions], axis=0) for s in SESSIONS}
    rng, panels = np.random.default_rng(0), []
    for session in SESSIONS:
        own = () if session == "pre" else ((masks[session], AFTER),)
        image = rician(tissue_signal(patient, session, points), rng)
        title = f"{session.replace('_', '-')}, day {SESSION_DAYS[session]}"
        panels.append(Panel(image, title, contours=((masks["pre"], BEFORE), *own)))
    return panels


def draw_lesions(samples: Samples) -> Figure:
    """Return pre, post and drift of lesions from the smallest to the largest, two to a row."""
    names, first = np.unique(samples.lesion, return_index=True)
    order = first[np.argsort(samples.pre_mm3[first])]
    triples = []
    for quantile in LESION_QUANTILES:
        name = samples.lesion[order[round(quantile * (len(names) - 1))]]
        rows = np.flatnonzero(samples.lesion == name)
        masks = samples.pre_mask[rows]
        row = rows[np.argmax(masks.sum(axis=image_axes(masks)))]
        pre_mm3, post_mm3 = samples.pre_mm3[row], samples.post_mm3[row]
        side_mm = samples.pixel_mm[row] * samples.image_size
        triples.append(
            [
                Panel(picture(samples.pre[row]), f"pre, {pre_mm3:,.0f} mm³, {side_mm:.0f} mm wide"),
                Panel(picture(samples.post[row]), f"post, volume {100 * (post_mm3 / pre_mm3 - 1):+.0f}%"),
                Panel(picture(samples.drift[row]), "drift = post - pre", "drift", outlines(samples, row)),
            ]
        )
    return draw_panels(
        [left + right for left, right in zip(triples[::2], triples[1::2], strict=True)],
        title="What the network sees: lesions of six sizes; GTV pre (gold) and post (blue) on the drift",
    )


def draw_volumes(cohort: list[Patient]) -> Figure:
    """Return the volumes before treatment, and the change until the follow-up against volume and second MRI."""
    lesions = [lesion for patient in cohort for lesion in patient.lesions]
    volume = {s: np.array([lesion.volume_mm3(s) for lesion in lesions]) for s in SESSIONS}
    poor = np.array([is_poor(lesion) for lesion in lesions])
    kept = {s: 100 * volume[s] / volume["pre"] for s in SESSIONS}

    figure, ((histogram, by_volume, by_post),) = new_chart(1, 3, size_inch=(10.5, 3.4))
    histogram.hist(volume["pre"], bins=np.geomspace(10, 50_000, 16), color="0.6", edgecolor="white")
    histogram.set(xscale="log", xlabel="GTV before treatment (mm³)", ylabel="lesions")
    for axes, across, name in (
        (by_volume, volume["pre"], "GTV before treatment (mm³)"),
        (by_post, kept["post"], "volume kept at the second MRI (%)"),
    ):
        for label, is_group, colour in GROUPS:
            group = poor == is_group
            axes.scatter(
                across[group],
                kept["follow_up"][group],
                s=16,
                color=colour,
                alpha=0.8,
                linewidths=0,
                label=f"{label} ({group.sum()})",
            )
        draw_reference(axes, 100 * POOR_RESPONSE, across="y")
        axes.set(xlabel=name, ylabel="volume kept at the follow-up (%)")
    by_volume.set(xscale="log")
    draw_legend(by_post, loc="upper left")
    by_volume.annotate(
        f"{100 * POOR_RESPONSE:.0f}%", (0.99, 100 * POOR_RESPONSE), xycoords=("axes fraction", "data"), fontsize=8,
        ha="right", va="bottom",
    )  # fmt: skip
    return figure


def make_table(samples: Samples) -> str:
    """Return the skill of mean drift and the attainable skill of each fold, in Markdown."""
    lines = ["| held-out fold | patients | slices | mean drift | attainable |", "|---|---|---|---|---|"]
    for fold in sorted(set(samples.fold.tolist())):
        training, held_out = split(samples, fold)
        names = set(held_out.patient.tolist())
        copy_errors = squared_errors(copy(held_out), held_out.post)
        mean = skill(squared_errors(mean_drift(training, held_out), held_out.post), copy_errors)
        best = ask_oracle(among=names).attainable
        score = f"{best.value:.3f} ± {best.standard_error:.3f}"
        lines.append(f"| {fold} | {len(names)} | {len(held_out)} | {mean:.3f} | {score} |")
    best = ask_oracle().attainable
    score = f"{best.value:.3f} ± {best.standard_error:.3f}"
    patients = len(set(samples.patient.tolist()))
    return "\n".join([*lines, f"| all | {patients} | {len(samples)} | | {score} |"])


if __name__ == "__main__":
    main()
