"""Whether a model deserves to be served: better than no change, and no worse than the version served now."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from tfdrift.export.model_folder import BLESSING_FILE, Version
from tfdrift.statistics.intervals import interval_words

TOLERANCE = 0.02
MIN_PATIENTS = 2  # an interval over one patient has no width


class Check(NamedTuple):
    """One condition, whether it is met, and the sentence that says so with its threshold."""

    name: str
    passed: bool
    said: str


def bless(
    metrics: dict[str, Any], fingerprint: str, served: Version | None, *, tolerance: float = TOLERANCE
) -> list[Check]:
    """Return the conditions of serving a model; it is blessed if all are met.

    1. There are at least `MIN_PATIENTS` held-out patients.
    2. The lower end of the 95% interval of the skill over copy is above 0.
    3. The skill is at least that of the version served now less `tolerance`, both on the same held-out patients.
       Without a version there is nothing to lose to; one that was scored on other patients, or not at all, cannot be
       compared, and then the condition is not met.

    Args:
        metrics: the model's scores, see `tfdrift.export.saved_model.read_metrics`.
        fingerprint: of the data they were made on.
        served: the version served now, or None.
        tolerance: skill that a new version may lose.

    Example:
        >>> scores = {"fold": 0, "patients": 8, "skill": {"value": 0.31, "low": 0.12, "high": 0.5}}
        >>> [check.passed for check in bless(scores, "abc", None)]
        [True, True, True]
    """
    skill = metrics["skill"]
    return [
        Check(
            "patients",
            metrics["patients"] >= MIN_PATIENTS,
            f"{metrics['patients']} held-out patients (must be at least {MIN_PATIENTS})",
        ),
        Check(
            "above copy",
            skill["low"] > 0,
            f"skill over copy {interval_words(skill)} (the lower end of its interval must be above 0)",
        ),
        _no_worse(metrics, fingerprint, served, tolerance),
    ]


def _no_worse(metrics: dict[str, Any], fingerprint: str, served: Version | None, tolerance: float) -> Check:
    name = "no worse than served"
    if served is None:
        return Check(name, True, "no version is served yet")
    theirs = served.config and served.config["metrics"]
    if served.config is None or theirs is None:
        return Check(name, False, f"version {served.number}, served now, has no scores to be compared with")
    if (served.config["data"]["fingerprint"], theirs["fold"]) != (fingerprint, metrics["fold"]):
        return Check(name, False, f"version {served.number}, served now, was scored on other patients or images")
    mine, threshold = metrics["skill"]["value"], theirs["skill"]["value"] - tolerance
    said = f"skill {mine:.3f} (must be at least {threshold:.3f}: that of version {served.number}, less {tolerance:g})"
    return Check(name, mine >= threshold, said)


def write_blessing(folder: Path, checks: list[Check], *, forced: bool) -> None:
    """Write into a version's folder what was checked and whether it was overridden.

    Args:
        folder: the version's.
        checks: what `bless` returned.
        forced: the version is pushed although it is not blessed.
    """
    document = {
        "blessed": all(check.passed for check in checks),
        "forced": forced,
        "checks": [check._asdict() for check in checks],
    }
    (folder / BLESSING_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
