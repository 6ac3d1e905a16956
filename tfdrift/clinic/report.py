"""A prediction as one HTML page that needs nothing else: no script, no file beside it, no network."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any

from matplotlib.figure import Figure

from tfdrift.clinic.lesion import LesionPrediction
from tfdrift.clinic.pictures import draw_outcomes, draw_slices, draw_volumes
from tfdrift.drawing.figure import png_bytes


def build_report(
    document: Mapping[str, Any],
    predictions: Sequence[LesionPrediction],
    *,
    direction: Sequence[float],
    card: str | None,
) -> str:
    """Return the page.

    Args:
        document: the content of `prediction.json`.
        predictions: of its lesions, in its order.
        direction: of the series' grid, 3 x 3 row by row.
        card: the model card, Markdown; None where there is none.

    Returns:
        HTML in which every text of the document and the card is escaped.
    """
    model, series = document["model"], document["series"]
    lesions = document["lesions"]
    return _PAGE.substitute(
        style=_STYLE,
        title="Predicted second MRI",
        interval=f"90% interval<br>{'calibrated' if document['calibration'] else 'raw'},",
        note=escape(_note(document["calibration"], document["samples"])),
        number=f"{len(lesions)} lesion{'s' if len(lesions) != 1 else ''}",
        facts=_facts(model, series, document),
        rows="".join(_row(lesion) for lesion in lesions),
        skipped=_warnings([f"not predicted: {sentence}" for sentence in document["skipped"]]),
        lesions="".join(
            _lesion(lesion, one, direction, document["calibration"])
            for lesion, one in zip(lesions, predictions, strict=True)
        ),
        card=f"<pre>{escape(card)}</pre>" if card else f"<p>{_NO_CARD}</p>",
        version=escape(document["tfdrift"]),
    )


def _facts(model: Mapping[str, Any], series: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    columns, rows, slices = series["columns_rows_slices"]
    spacing = " × ".join(f"{mm:.2f}" for mm in series["spacing_mm"])
    version = "" if model["version"] is None else f", version {model['version']}"
    trained = [f"{key} {model[key]}" for key in ("method", "data", "step") if model[key] is not None]
    facts = {
        "Model": f"{model['name']}{version}",
        "Trained": ", ".join(trained) or "not told by the server",
        "SHA-256": model["sha256"] or "not told by the server",
        "MRI": f"{series['orientation']}, {columns} × {rows} × {slices} voxels of {spacing} mm",
        "Outcomes": f"{document['samples']}, seed {document['seed']}",
    }
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())


def _row(lesion: Mapping[str, Any]) -> str:
    predicted, now = lesion["volume_predicted_mm3"], lesion["volume_now_mm3"]
    cells = [
        f"<a href='#lesion-{lesion['structure']}'>{escape(lesion['name'])}</a>",
        f"{now:,.0f}",
        f"<b>{predicted['mean']:,.0f}</b>",
        f"{predicted['low']:,.0f} – {predicted['high']:,.0f}",
        f"{100 * (predicted['mean'] / now - 1):+.0f}%".replace("-", "−"),
        _below(lesion),
        str(len(lesion["warnings"]) or "–"),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _below(lesion: Mapping[str, Any]) -> str:
    outcomes = f"{lesion['share_of_samples_below_80_percent']:.0%} of outcomes"
    return outcomes if lesion["below_80_percent"] is None else f"<b>{lesion['below_80_percent']}</b><br>{outcomes}"


def _note(calibration: Mapping[str, Any] | None, outcomes: int) -> str:
    if calibration is None:
        return (
            "The interval is raw, the spread of the outcomes: no calibration came with the model, and a server never "
            "sends it. It holds the noise of the method alone and nothing of what the model does not know, so the "
            "truth lies outside far more often than in 10% of cases, and a share of outcomes near 0% or 100% does not "
            "mean that it is certain."
        )
    here = "" if outcomes == calibration["outcomes"] else f", not {outcomes} as here"
    return (
        f"The interval is calibrated on {calibration['patients']} patients, each predicted by a run with the model's "
        "settings that had not seen that patient: the raw interval of the outcomes is widened at both ends by "
        f"{calibration['volume_margin']:.1%} of the volume now, which was measured with {calibration['outcomes']} "
        f"outcomes{here}. So it should hold the truth in nine of ten cases, on average over patients like those. This "
        "is not exact: it was measured on volumes told from three slices of a lesion, and here the voxels of all its "
        "slices are counted. Undecided means that 80% of the volume now lies inside the interval, whatever the "
        "outcomes say."
    )


def _of_the_volume(lesion: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> str:
    predicted, share = lesion["volume_predicted_mm3"], f"{lesion['share_of_samples_below_80_percent']:.0%}"
    start = f"{lesion['volume_now_mm3']:,.0f} mm³ now; {predicted['mean']:,.0f} mm³ predicted, "
    raw = f"{predicted['raw_low']:,.0f} and {predicted['raw_high']:,.0f}"
    if calibration is None:
        return start + f"90% of the outcomes between {raw} mm³, and {share} of them below 80% of the volume now."
    return start + (
        f"90% interval {predicted['low']:,.0f} to {predicted['high']:,.0f} mm³, calibrated on "
        f"{calibration['patients']} patients (outcomes alone: between {raw}). {_DECIDED[lesion['below_80_percent']]}; "
        f"{share} of the outcomes are below it."
    )


def _of_the_drift(lesion: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> str:
    drift = lesion["drift_in_gtv_scanner_units"]
    raw = f"±{drift['raw_interval_half_width']:,.0f}"
    calibrated = f"±{drift['interval_half_width']:,.0f} on average, calibrated (raw {raw})"
    return (
        f"Inside the contour the mean drift is {drift['mean']:+,.0f} scanner units ({drift['lowest']:+,.0f} to "
        f"{drift['highest']:+,.0f}); the 90% interval of a pixel's drift is "
        f"{f'{raw} on average, raw' if calibration is None else calibrated}."
    )


_DECIDED = {
    "yes": "The whole interval is below 80% of the volume now",
    "no": "The whole interval is at 80% of the volume now or above",
    "undecided": "Undecided: the interval holds 80% of the volume now",
}


def _lesion(
    lesion: Mapping[str, Any],
    prediction: LesionPrediction,
    direction: Sequence[float],
    calibration: Mapping[str, Any] | None,
) -> str:
    predicted = lesion["volume_predicted_mm3"]
    calibrated_mm3 = None if calibration is None else (predicted["low"], predicted["high"])
    summary = (
        f"{_of_the_volume(lesion, calibration)} {_of_the_drift(lesion, calibration)} The crops are "
        f"{lesion['crop_mm']:.1f} mm wide."
    ).replace("-", "−")
    return _LESION.substitute(
        number=lesion["structure"],
        name=escape(lesion["name"]),
        summary=escape(summary),
        warnings=_warnings(lesion["warnings"]),
        volumes=_picture(draw_volumes(prediction, calibrated_mm3), "Volumes of the outcomes beside the volume now"),
        slices=_picture(
            draw_slices(prediction, direction), "MRI, predicted MRI, drift and its spread on up to three slices"
        ),
        outcomes=_picture(draw_outcomes(prediction), "Outcomes of the largest slice"),
    )


def _warnings(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul class='doubts'>{items}</ul>"


def _picture(figure: Figure, text: str) -> str:
    data = base64.b64encode(png_bytes(figure)).decode()
    return f"<img alt='{escape(text)}' src='data:image/png;base64,{data}'>"


_NO_CARD = "No model card came with the model. A server does not send one; look beside the exported version."

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tfdrift: $title</title>
<style>$style</style>
</head>
<body>
<p class="banner"><b>Research use, not a medical device.</b> A model's guess: no decision about a patient may rest on
it.</p>
<main>
<header>
<p class="maker">tfdrift</p>
<h1>$title of $number</h1>
<dl>$facts</dl>
</header>
<section>
<h2>Volumes</h2>
<table>
<thead><tr><th>Lesion</th><th>Now<br>mm³</th><th>Predicted<br>mm³</th><th>$interval mm³</th><th>Change</th>
<th>Volume below<br>80% of now</th><th>Doubts</th></tr></thead>
<tbody>$rows</tbody>
</table>
$skipped
<p class="note">The second MRI is predicted, not the follow-up. <i>Volume below 80% of now</i> is about the
second MRI; the response group of the literature compares the follow-up instead. $note</p>
</section>
$lesions
<section>
<h2>How to read this page</h2>
<ul>
<li><b>Drift</b> is the second MRI minus this one, in scanner units: red brightens, blue darkens, white stays.</li>
<li><b>Contours</b>: <span class="now">gold</span> the GTV as it was drawn, <span class="then">blue</span> the predicted
GTV, where at least half of the outcomes show signal.</li>
<li>The model sees and answers only slices that the GTV is on, one by one. Growth beyond the first and last slice is
not seen.</li>
<li>An outcome's lesion is where its signal is above half of its own median; holes are filled. Volumes count voxels of
the MRI.</li>
</ul>
</section>
<section>
<h2>Model card</h2>
$card
</section>
<footer>Written by tfdrift $version. The numbers are in prediction.json, the images in nifti/ and dicom/.</footer>
</main>
</body>
</html>
""")

_LESION = Template("""<section id="lesion-$number">
<h2>$name</h2>
<p>$summary</p>
$warnings
<figure>$volumes</figure>
<figure>$slices</figure>
<h3>Outcomes</h3>
<figure>$outcomes</figure>
</section>
""")

_STYLE = """
:root { --ink: #1d2733; --quiet: #66717d; --line: #dfe4e9; --gold: #c79a00; --blue: #0f8fc8; }
* { box-sizing: border-box; }
body { margin: 0; background: #eef1f4; color: var(--ink);
  font: 15px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
.banner { margin: 0; padding: .55rem 1rem; background: #3a2f12; color: #ffe9b0; text-align: center; font-size: 14px; }
main { max-width: 1080px; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
header, section { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 1.25rem 1.5rem;
  margin-bottom: 1.1rem; }
.maker { margin: 0; color: var(--quiet); letter-spacing: .08em; font-size: 13px; }
h1 { margin: .1rem 0 .8rem; font-size: 1.7rem; font-weight: 650; }
h2 { margin: 0 0 .6rem; font-size: 1.2rem; font-weight: 650; }
h3 { margin: 1.2rem 0 .3rem; font-size: 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { color: var(--quiet); font-weight: 500; font-size: 13px; vertical-align: bottom; line-height: 1.3; }
th, td { text-align: right; padding: .45rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
a { color: inherit; text-decoration-color: var(--line); }
.note { color: var(--quiet); font-size: 14px; margin-bottom: 0; }
.doubts { margin: .8rem 0; padding: .6rem .9rem .6rem 2rem; background: #fff7e0; border-left: 4px solid #e0b024;
  font-size: 14px; }
figure { margin: .8rem 0 0; }
img { width: 100%; height: auto; display: block; }
.now { color: var(--gold); font-weight: 600; }
.then { color: var(--blue); font-weight: 600; }
pre { white-space: pre-wrap; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; background: #f6f8fa;
  padding: 1rem; border-radius: 6px; margin: 0; }
footer { color: var(--quiet); font-size: 13px; text-align: center; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
