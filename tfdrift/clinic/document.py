"""The numbers of a prediction, `prediction.json`, which names no patient and no UID."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tfdrift import __version__
from tfdrift.clinic.models import About
from tfdrift.clinic.output import Lesion
from tfdrift.clinic.scenarios import NOTHING, Plan, describe_plan, describe_scenario
from tfdrift.cohort.gtv_regions import REGIONS, gtv_regions
from tfdrift.cohort.response import response_group
from tfdrift.evaluation.calibration import Calibration
from tfdrift.imaging.series import Series

DISCLAIMER = "research use, not a medical device"


def describe(
    lesions: list[Lesion],
    skipped: list[str],
    series: Series,
    about: About,
    calibration: Calibration | None,
    *,
    outcomes: int,
    seed: int,
    plan: Plan = NOTHING,
    days_before: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the content of `prediction.json`, which names no patient and no UID.

    Args:
        lesions: those that were predicted.
        skipped: a sentence for each that was not.
        series: the MRI.
        about: the model.
        calibration: of its intervals; None where it has none.
        outcomes: K, number of outcomes of each lesion.
        seed: of the run.
        plan: what the model was told and asked.
        days_before: of each earlier visit, days until the MRI.
    """
    trained = about.facts.get("train", {})
    return {
        "for": DISCLAIMER,
        "tfdrift": __version__,
        "model": {
            "name": about.name,
            "version": about.version,
            "sha256": about.sha256,
            "weights_sha256": about.facts.get("weights_sha256"),
            "image_size": about.image_size,
            "members": about.members,
            "method": trained.get("method"),
            "data": trained.get("data"),
            "step": about.facts.get("step"),
        },
        "series": {
            "modality": series.modality,
            "orientation": series.grid.orientation,
            "columns_rows_slices": list(series.grid.size),
            "spacing_mm": list(series.grid.spacing_mm),
        },
        "samples": outcomes,
        "seed": seed,
        "seeds": "numpy.random.SeedSequence([seed, structure, outcome]).generate_state(2), on every slice",
        "raw_interval": "5% and 95% quantile of the outcomes, which is far too narrow",
        "interval": _interval_words(calibration),
        "calibration": None if calibration is None else _describe_calibration(calibration),
        "share_of_samples_below_80_percent": "of those whose volume at the second MRI is below 80% of the volume now",
        "below_80_percent": "is all of the calibrated interval: yes, no (all of it at 80% or above) or undecided",
        "skipped": skipped,
        **describe_plan(plan, about.conditions),
        **({"earlier_visits": {"days_before": list(days_before)}} if days_before else {}),
        "lesions": [_describe_lesion(lesion, calibration, about) for lesion in lesions],
    }


_RAW = "as raw_interval: the model came without calibration"
_CALIBRATED = "raw_interval, moved out at both ends by the margin of the calibration, and not below 0"
_TOLD = ("coverage", "volume_margin", "drift_margin", "patients", "outcomes")


_ADAPTIVE = (
    "raw_interval, moved out at both ends by the adaptive margin of the calibration times the weight of the region "
    "times the standard deviation of the outcomes or the floor, whichever is larger, and not below 0"
)


def _interval_words(calibration: Calibration | None) -> str:
    if calibration is None:
        return _RAW
    return _CALIBRATED if calibration.adaptive is None else _ADAPTIVE


def _describe_calibration(calibration: Calibration) -> dict[str, Any]:
    told = {name: getattr(calibration, name) for name in _TOLD}
    if calibration.adaptive is None:
        return told
    return {**told, "adaptive": {**dataclasses.asdict(calibration.adaptive), "regions": list(REGIONS)}}


def _describe_lesion(lesion: Lesion, calibration: Calibration | None, about: About) -> dict[str, Any]:
    prediction = lesion.prediction
    raw = low, high = prediction.interval_mm3
    half_width = raw_half_width = prediction.drift_half_width()
    below = None
    if calibration is not None:
        low, high = calibration.volume_interval(raw, prediction.volume_mm3, prediction.volume_spread_mm3)
        regions = gtv_regions(prediction.crops.gtv[..., None]).squeeze(axis=-1)
        margins = calibration.drift_margins(prediction.relative_drift_spread, regions)
        half_width = prediction.drift_half_width(margins)
        below = decide_below(prediction.volume_mm3, low, high)
    return {
        "structure": lesion.roi.number,
        "name": lesion.label,
        "slices": [k + 1 for k in prediction.crops.slices],
        "volume_now_mm3": prediction.volume_mm3,
        "volume_predicted_mm3": {
            "mean": float(prediction.outcome_volumes_mm3.mean()),
            "low": low,
            "high": high,
            "raw_low": raw[0],
            "raw_high": raw[1],
            "samples": prediction.outcome_volumes_mm3.tolist(),
        },
        "share_of_samples_below_80_percent": prediction.good_response_share,
        "below_80_percent": below,
        "drift_in_gtv_scanner_units": {
            **prediction.drift_statistics(),
            "interval_half_width": half_width,
            "raw_interval_half_width": raw_half_width,
        },
        **({} if prediction.field is None else {"movement_in_gtv": prediction.field.statistics(prediction.gtv)}),
        **({} if not lesion.told else {"told": lesion.told}),
        **({} if lesion.earlier is None else {"earlier": dict(lesion.earlier)}),
        **(
            {}
            if not lesion.scenarios
            else {"scenarios": [describe_scenario(one, about.conditions) for one in lesion.scenarios]}
        ),
        "crop_mm": prediction.crops.box.side_mm,
        "warnings": lesion.warnings,
    }


def decide_below(now_mm3: float, low_mm3: float, high_mm3: float) -> str:
    """Return whether an interval of volumes is below 80% of the volume now: yes, no, or undecided where it holds 80%.

    Args:
        now_mm3: volume now.
        low_mm3: lower end of the interval.
        high_mm3: upper end of it.

    Example:
        >>> [decide_below(1000.0, *interval) for interval in ((100.0, 790.0), (800.0, 900.0), (790.0, 810.0))]
        ['yes', 'no', 'undecided']
    """
    groups = {response_group(now_mm3, volume) for volume in (low_mm3, high_mm3)}
    if len(groups) > 1:
        return "undecided"
    return "yes" if groups == {"B"} else "no"
