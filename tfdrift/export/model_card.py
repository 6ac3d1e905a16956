"""The model card: what a model was trained on, how well it does, and what it must not be used for."""

from typing import Any

from tfdrift.evaluation.intervals import interval_words as interval
from tfdrift.methods import METHODS

NOT_SCORED = "This version has not been scored on held-out patients: nothing is known of how well it does."
DATA = {
    "phantom": "tfdrift's synthetic cohort, drawn lesions that change by a known law",
    "mnist": "MNIST digits that grow and shrink, a toy",
    "cohort": "the lesions of one imported cohort",
}
NOT_CALIBRATED = (
    "It was not calibrated: the intervals that `tfdrift predict` gives are the raw spread of its outcomes, which is "
    "far too narrow. `tfdrift export --calibration` takes what a cross-validation has found."
)
NO_PATIENT = " No image of a patient was used, so its scores say nothing of patients."


def model_card(document: dict[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        document: what `assets/config.json` says of the model.
    """
    train, data = document["train"], document["data"]
    side = train["image_size"]
    return f"""# Model card

**Research use only. Not a medical device: do not decide on a patient's treatment by what it predicts.**

## What it does

{METHODS[train["method"]].summary}.

In: a crop of the first MRI, {side} x {side} pixels of one slice, zero outside the GTV. Out: the same crop in the
second MRI, and the drift, which is the second minus the first.

{_spread(train["method"], document["samples"])}

## What it was trained on

Trained on {DATA[train["data"]]}: {data["slices"]} slices of {data["patients"]} patients, each in four rotations, for
{document["step"]} optimiser steps.{"" if train["data"] == "cohort" else NO_PATIENT}

All settings are in `assets/config.json`. SHA-256 of the data: `{data["fingerprint"]}`.

## How well it does

{_scores(document["metrics"])}

## How sure it is

{_intervals(document["calibration"])}

## Limits

- Nothing is known of scanners, sequences, lesions and intervals between the MRIs that are unlike the training data.
- It sees one slice of one lesion: no neighbouring slice, no dose, no drug, no date.
- A lesion that outgrows the crop is cut at its border.
- Each image is divided by its own largest signal; a bright vessel or artefact inside the GTV changes that scale.

Made with tfdrift {document["tfdrift"]}, trained with tfdrift {document["trained_with"]}.
"""


def _spread(method: str, outcomes: int) -> str:
    if not METHODS[method].draws:
        return "It has no noise, so its `ensemble` has a spread of zero, which is no statement of certainty."
    return (
        f"`ensemble` answers mean, spread and 5% and 95% quantiles over {outcomes} outcomes. This spread is not a "
        "calibrated uncertainty."
    )


def _intervals(calibration: dict[str, Any] | None) -> str:
    if calibration is None:
        return NOT_CALIBRATED
    promise, volume, drift = (calibration[name] for name in ("coverage", "volume_margin", "drift_margin"))
    return f"""`tfdrift predict` moves both ends of its {promise:.0%} intervals out: those of a lesion's volume by
{volume:.3f} of the volume now, those of a pixel's drift by {drift:.3f} of the largest signal of its slice.

These margins are the smallest that promise {promise:.0%} of a new patient's values, on average over patients. They were
measured on {calibration["patients"]} patients, each predicted by a run with these settings that had not seen that
patient, with {calibration["outcomes"]} outcomes of each slice. The promise holds for patients like those, and not
exactly: their volumes were told from three slices of a lesion, and `tfdrift predict` counts the voxels of all."""


def _scores(metrics: dict[str, Any] | None) -> str:
    if metrics is None:
        return NOT_SCORED
    model, drift, copied = metrics, metrics["mean_drift"], metrics["copy"]
    return f"""On {metrics["patients"]} patients it has never seen ({metrics["lesions"]} lesions,
{metrics["slices"]} slices, fold {metrics["fold"]}):

| prediction | skill over copy [95% interval] | SSIM |
|---|---|---|
| this model | {interval(model["skill"])} | {model["ssim"]:.3f} |
| mean drift of the training lesions | {interval(drift["skill"])} | {drift["ssim"]:.3f} |
| copy: the second MRI looks like the first | 0 | {copied["ssim"]:.3f} |

Skill is 1 - MSE / MSE of copy: 1 is perfect, 0 no better than predicting no change. The interval is a bootstrap over
these patients; what another training or another hospital would change is not in it."""
