"""A prediction as one HTML page that needs nothing else: no script, no file beside it, no network."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import markdown
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from tfdrift.clinic.lesion import LesionPrediction
from tfdrift.clinic.pictures import (
    draw_course,
    draw_movement,
    draw_outcomes,
    draw_scenarios,
    draw_slices,
    draw_volumes,
)
from tfdrift.clinic.scenarios import Scenario, scenarios_are
from tfdrift.cohort.earlier import EARLIER_COLUMNS
from tfdrift.drawing.figure import png_bytes
from tfdrift.model.columns import DOSE_SCALE, column_of

AXIS_WORDS = {DOSE_SCALE: "times the planned dose (the model's association, no advice)"}

_TEMPLATES = Environment(
    loader=PackageLoader("tfdrift.clinic"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def build_report(
    document: Mapping[str, Any],
    predictions: Sequence[LesionPrediction],
    *,
    direction: Sequence[float],
    card: str | None,
    scenarios: Sequence[Sequence[Scenario]] = (),
    axis: str | None = None,
) -> str:
    """Return the page.

    Args:
        document: the content of `prediction.json`.
        predictions: of its lesions, in its order.
        direction: of the series' grid, 3 x 3 row by row.
        card: the model card, Markdown; None where there is none.
        scenarios: answers to "what if" about each lesion.
        axis: see `tfdrift.clinic.scenarios.Plan`.

    Returns:
        HTML in which every text of the document is escaped; the card can bring neither HTML nor a link.
    """
    lesions = zip(document["lesions"], predictions, strict=True)
    asked = scenarios or [()] * len(predictions)
    what_ifs = [_what_if(one, answers, axis) for one, answers in zip(predictions, asked, strict=True)]
    return _TEMPLATES.get_template("report.html").render(
        title="Predicted second MRI",
        facts=_facts(document),
        calibrated=document["calibration"] is not None,
        lesions=[_lesion(lesion, one, direction, document["calibration"]) for lesion, one in lesions],
        what_ifs=what_ifs,
        not_a_forecast=scenarios_are(one.given for answers in asked for one in answers),
        skipped=[f"not predicted: {sentence}" for sentence in document["skipped"]],
        note=_note(document["calibration"], document["samples"]),
        card=_card(card),
        version=document["tfdrift"],
    )


_DATA = {"phantom": "the synthetic phantom", "mnist": "MNIST digits", "cohort": "a cohort"}
_FROM_ELSEWHERE = (
    "html", "link", "image_link", "reference", "image_reference", "short_reference", "short_image_ref", "autolink",
    "automail",
)  # fmt: skip


def _card(card: str | None) -> Markup | None:
    """Return a model card as HTML below the page's own headings; it comes with the model, so it brings no HTML."""
    if card is None:
        return None
    shown = markdown.Markdown(extensions=["tables"], output_format="html")
    shown.preprocessors.deregister("html_block")
    for name in _FROM_ELSEWHERE:
        shown.inlinePatterns.deregister(name)
    text = re.sub(r"^##? ", "### ", card.removeprefix("# Model card\n"), flags=re.MULTILINE)
    return Markup(shown.convert(text))


def _facts(document: Mapping[str, Any]) -> dict[str, str]:
    model, series = document["model"], document["series"]
    columns, rows, slices = series["columns_rows_slices"]
    spacing = " × ".join(f"{mm:.2f}" for mm in series["spacing_mm"])
    version = "" if model["version"] is None else f", version {model['version']}"
    trained = [
        words.format(_DATA.get(model[key], model[key]))
        for key, words in {"method": "{}", "data": "on {}", "step": "{} steps"}.items()
        if model[key] is not None
    ]
    return {
        "Model": f"{model['name']}{version}",
        "Trained": ", ".join(trained) or "not told by the model",
        **({"SHA-256 of its files": model["sha256"]} if model["sha256"] else {}),
        "SHA-256 of its weights": model["weights_sha256"] or "not told by the model",
        "MRI": f"{series['orientation']}, {columns} × {rows} × {slices} voxels of {spacing} mm",
        "Outcomes": f"{document['samples']}, seed {document['seed']}",
        **_told(document),
    }


def _told(document: Mapping[str, Any]) -> dict[str, str]:
    columns, given = document.get("conditions", {}), document.get("given", {})
    if not columns:
        return {}
    measured = [name for name in columns if column_of(name).measured]
    before = document.get("earlier_visits", {}).get("days_before", [])
    of_visits = [name for name in columns if name in EARLIER_COLUMNS] if before else []
    parts = [
        *(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in given.items()),
        *([f"measured in each lesion: {', '.join(measured)}"] if measured else []),
        *([f"from {_visits_words(before)}: {', '.join(of_visits)}"] if of_visits else []),
    ]
    unknown = [name for name in columns if name not in {*given, *measured, *of_visits}]
    return {"Told beside the MRI": "; ".join(parts) or "nothing"} | (
        {"Not told": ", ".join(unknown)} if unknown else {}
    )


def _visits_words(days_before: Sequence[int]) -> str:
    words = " and ".join(str(days) for days in days_before)
    return f"the visit{'s' * (len(days_before) > 1)} {words} days before"


def _of_the_past(lesion: Mapping[str, Any]) -> str:
    if "earlier" not in lesion:
        return ""
    past = lesion["earlier"]
    return f"{past['volume_mm3']:,.0f} mm³ {past['days']:.0f} days before (now {past['ratio']:.0%} of that); "


def _what_if(prediction: LesionPrediction, scenarios: Sequence[Scenario], axis: str | None) -> dict[str, Any] | None:
    if not scenarios:
        return None
    rows = []
    for one in scenarios:
        volumes, (low, high) = one.prediction.outcome_volumes_mm3, one.prediction.interval_mm3
        change = 100 * (volumes.mean() / prediction.volume_mm3 - 1)
        rows.append(
            {
                "words": one.words,
                "guidance": f"{one.guidance:g}",
                "mean": f"{volumes.mean():,.0f}",
                "raw": f"{low:,.0f} – {high:,.0f}",
                "change": f"{change:+.0f}%".replace("-", "−"),
                "share": f"{one.prediction.good_response_share:.0%}",
                "warnings": one.warnings,
            }
        )
    named = {one.words: one.prediction for one in scenarios}
    pictures = [_picture(draw_scenarios(prediction, named), "Outcomes of the largest slice in each case")]
    if axis is not None:
        course = [
            (next(given.number for given in one.given if given.name == axis), _others(one, axis), one.prediction)
            for one in scenarios
        ]
        said = AXIS_WORDS.get(axis, axis)
        pictures.insert(0, _picture(draw_course(prediction, course, said), f"Volume against {said}"))
    return {"rows": rows, "guided": any(one.guidance != 1 for one in scenarios), "pictures": pictures}


def _others(scenario: Scenario, axis: str) -> str:
    return ", ".join(given.words for given in scenario.given if given.name != axis)


def _note(calibration: Mapping[str, Any] | None, outcomes: int) -> str:
    if calibration is None:
        return (
            "The interval is raw, the spread of the outcomes: no calibration came with the model. "
            "It holds the noise of the method alone and nothing of what the model does not know, so the "
            "truth lies outside far more often than in 10% of cases, and a share of outcomes near 0% or 100% does not "
            "mean that it is certain."
        )
    adaptive = calibration.get("adaptive")
    here = "" if outcomes == calibration["outcomes"] else f", not {outcomes} as here"
    return (
        f"The interval is calibrated on {calibration['patients']} patients, each predicted by a run with the model's "
        "settings that had not seen that patient: the raw interval of the outcomes is widened at both ends by "
        f"{_margin_words(calibration, adaptive)}, which was measured with {calibration['outcomes']} "
        f"outcomes{here}. So it should hold the truth in nine of ten cases, on average over patients like those. This "
        "is not exact: it was measured on volumes told from three slices of a lesion, and here the voxels of all its "
        "slices are counted. Undecided means that 80% of the volume now lies inside the interval, whatever the "
        "outcomes say."
    )


def _margin_words(calibration: Mapping[str, Any], adaptive: Mapping[str, Any] | None) -> str:
    if adaptive is None:
        return f"{calibration['volume_margin']:.1%} of the volume now"
    found = adaptive["volume"]
    times = found["margin"] * found["weights"][0]
    return (
        f"{times:.2f} times the standard deviation of the outcomes' volumes, and by {times * found['floor']:.1%} of "
        f"the volume now at least (learned on {found['learned_on']} of them, calibrated on the other "
        f"{found['calibrated_on']})"
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


def _of_the_movement(lesion: Mapping[str, Any], *, whole: bool) -> str:
    if "movement_in_gtv" not in lesion:
        return ""
    told, where, grown = lesion["movement_in_gtv"], "" if whole else " in the plane", "volume" if whole else "area"
    return (
        f" On average the model moves what is inside the contour by {told['mean_displacement_mm']:.1f} mm{where} "
        f"(at most {told['largest_displacement_mm']:.1f} mm), changes its {grown} by "
        f"{math.expm1(told['mean_log_jacobian']):+.0%} and its signal by {math.expm1(told['mean_log_gain']):+.0%}."
    )


def _lesion(
    lesion: Mapping[str, Any],
    prediction: LesionPrediction,
    direction: Sequence[float],
    calibration: Mapping[str, Any] | None,
) -> dict[str, Any]:
    predicted, now = lesion["volume_predicted_mm3"], lesion["volume_now_mm3"]
    calibrated_mm3 = None if calibration is None else (predicted["low"], predicted["high"])
    moves = _of_the_movement(lesion, whole=prediction.crops.whole is not None)
    summary = (
        f"{_of_the_past(lesion)}{_of_the_volume(lesion, calibration)} {_of_the_drift(lesion, calibration)}{moves} "
        f"The crops are {lesion['crop_mm']:.1f} mm wide."
    )
    return {
        "number": lesion["structure"],
        "name": lesion["name"],
        "now": f"{now:,.0f}",
        "mean": f"{predicted['mean']:,.0f}",
        "interval": f"{predicted['low']:,.0f} – {predicted['high']:,.0f}",
        "change": f"{100 * (predicted['mean'] / now - 1):+.0f}%".replace("-", "−"),
        "below": lesion["below_80_percent"],
        "share": f"{lesion['share_of_samples_below_80_percent']:.0%}",
        "summary": summary.replace("-", "−"),
        "warnings": lesion["warnings"],
        "pictures": [
            _picture(draw_volumes(prediction, calibrated_mm3), "Volumes of the outcomes beside the volume now"),
            _picture(
                draw_slices(prediction, direction), "MRI, predicted MRI, drift and its spread on up to three slices"
            ),
            *_movement(prediction),
            _picture(draw_outcomes(prediction), "Outcomes of the largest slice", heading="Outcomes"),
        ],
    }


def _movement(prediction: LesionPrediction) -> list[dict[str, str]]:
    if prediction.field is None:
        return []
    text = "Where the lesion moves, how it grows and brightens, and what is new, on up to three slices"
    return [_picture(draw_movement(prediction, prediction.field), text, heading="Movement")]


def _picture(figure: Figure, text: str, heading: str = "") -> dict[str, str]:
    return {"heading": heading, "text": text, "data": base64.b64encode(png_bytes(figure)).decode()}
