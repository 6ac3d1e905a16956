"""The page of an evaluation in Markdown, and the few lines of it that a command prints."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tfdrift.methods import METHODS


def compose(metrics: dict[str, Any], pictures: Collection[str]) -> str:
    """Return the page as Markdown.

    Args:
        metrics: the document of an evaluation.
        pictures: names of the pictures there are.
    """
    sections = [_head(metrics), _scores(metrics), _clinic(metrics)]
    if "levels" in pictures:
        sections.append(_levels(metrics))
    sections += [_uncertainty(metrics, "spread" in pictures), _lesions(), _reading()]
    return "\n\n".join(sections) + "\n"


def in_short(metrics: dict[str, Any], folder: Path) -> str:
    """Return the few lines that a command prints.

    Args:
        metrics: the document of an evaluation.
        folder: where the report is.
    """
    lines = [
        f"held out         {metrics['patients']} patients, {metrics['lesions']} lesions, {metrics['slices']} slices",
        "skill over copy  (0: as good as no change; 1: perfect; 95% over patients)",
    ]
    shown = {name: entry["scores"]["skill"] for name, entry in metrics["methods"].items() if "scores" in entry}
    width = max(map(len, shown))
    lines += [f"  {name:{width}}  {_interval(skill)}" for name, skill in shown.items() if name != "copy"]
    if metrics["attainable"]:
        lines.append(f"  {'attainable':{width}}  {metrics['attainable']['skill']:.3f}")
    lines += [entry["sentence"] for entry in metrics["comparisons"]]
    lines.append(f"report           {folder / 'report.html'}")
    return "\n".join(lines)


def _head(metrics: dict[str, Any]) -> str:
    folds = metrics["folds"]
    where = f"fold {folds[0]}" if len(folds) == 1 else f"folds {', '.join(map(str, folds))}, each by a run of its own"
    skill = metrics["methods"][metrics["label"]]["scores"]["skill"]
    lines = [
        f"# {metrics['label']} on {metrics['data']}",
        f"Held out: {where}; {metrics['patients']} patients, {metrics['lesions']} lesions, {metrics['slices']} slices. "
        f"Trained for {metrics['step']} steps; {_count(metrics['outcomes'], 'outcome')} of each slice. "
        f"tfdrift {metrics['tfdrift']}.",
        f'**Skill over "no change": {_interval(skill)}.**' + _of_attainable(metrics),
    ]
    lines.append("\n".join(f"- {entry['sentence']}" for entry in metrics["comparisons"]))
    if metrics["patients"] < 20:
        lines.append(
            f"{metrics['patients']} patients are few: a percentile interval of so few is too narrow rather than too "
            "wide. `tfdrift crossval` scores every patient once."
        )
    return "\n\n".join(lines)


def _of_attainable(metrics: dict[str, Any]) -> str:
    found = metrics["attainable"]
    if not found:
        return ""
    return (
        f" Attainable on these patients by whoever knows the phantom's law: {found['skill']:.3f} ± "
        f"{found['standard_error']:.3f}."
    )


def _scores(metrics: dict[str, Any]) -> str:
    columns = {
        "skill": "skill", "mse": "MSE", "mae": "MAE", "psnr": "PSNR, dB", "ssim": "SSIM", "gtv_mse": "MSE, GTV",
        "gtv_ssim": "SSIM, GTV", "drift_skill": "drift skill", "drift_correlation": "drift corr.",
        "sign_agreement": "drift sign",
    }  # fmt: skip
    precise = {"mse", "gtv_mse", "mae"}
    rows = [
        [name, *(_number(entry["scores"][key]["value"], 4 if key in precise else 3) for key in columns)]
        for name, entry in metrics["methods"].items()
        if "scores" in entry
    ]
    return "\n\n".join(
        [
            "## Images and drift",
            "![Skill of every method with its interval](skills.png)",
            _table(["", *columns.values()], rows),
            "`copy` predicts no change and `mean drift` the mean change of the training patients. Intervals of every "
            "number are in `metrics.json`." + _without_direct(metrics),
        ]
    )


def _without_direct(metrics: dict[str, Any]) -> str:
    if any(name.startswith("direct") for name in metrics["methods"]):
        return ""
    return (
        " What noise and time add is not told here: `direct`, the same network without them, is missing. Train it on "
        "the same folds and name it with `--against`, or cross-validate it in a folder beside this one."
    )


def _clinic(metrics: dict[str, Any]) -> str:
    columns = {
        "volume_error": "volume error", "volume_bias": "volume bias", "response_accuracy": "response accuracy",
        "response_auc": "response AUC",
    }  # fmt: skip
    rows = [
        [name, *(_interval(entry["clinic"][key]) for key in columns)]
        for name, entry in metrics["methods"].items()
        if "clinic" in entry
    ]
    return "\n\n".join(
        [
            "## Volume and response",
            _table(["", *columns.values()], rows),
            "Errors are in units of the volume at the first MRI. A response is poor when the follow-up keeps 80% of "
            "the volume or more; it is predicted from the volume at the second MRI and a cut that the training "
            "patients teach. `true second MRI` is what would remain of the error if the prediction were perfect.",
        ]
    )


def _levels(metrics: dict[str, Any]) -> str:
    best, chosen = metrics["best_level"], metrics["chosen_level"]["skill"]
    axis = METHODS[metrics["method"]].level_axis
    assert axis is not None  # there are levels
    title, words = axis.title, axis.says
    return "\n\n".join(
        [
            f"## {title}",
            "![Skill of post image and drift at each level](levels.png)",
            f"{words} The best level is {best['level']} with a skill of {best['skill']:.3f}; it is chosen on these "
            "very patients and flatters. When the level is chosen on other patients than it is scored on, the skill is "
            f"{_interval(chosen)}.",
            "![Drift of one slice at some levels beside the truth](snapshots.png)",
        ]
    )


def _uncertainty(metrics: dict[str, Any], several: bool) -> str:
    methods = {name: entry["uncertainty"] for name, entry in metrics["methods"].items() if "uncertainty" in entry}
    ours = methods[metrics["label"]]
    parts = ["## How sure is it?"]
    if several:
        parts += [
            _agreement(ours["drift"]["spread_error"]) + _between(ours),
            "![Error against spread](spread.png)",
        ]
    else:
        parts.append("One outcome has no spread; its interval is made by calibration alone.")
    rows = []
    for name, entry in methods.items():
        for kind in ("drift", "volume"):
            found = entry[kind]
            rows.append(
                [
                    name,
                    kind,
                    str(entry["outcomes"]),
                    _number(found["crps"]["value"], 4),
                    _number(found["copy_crps"]["value"], 4),
                    _interval(found["coverage"]["raw"]),
                    _number(found["width"]["raw"], 3),
                    _interval(found["coverage"]["calibrated"]),
                    _number(found["width"]["calibrated"], 3),
                    _interval(found["spread_error" if kind == "drift" else "spread_error_between"]),
                ]
            )
    header = [
        "", "of", "outcomes", "CRPS", "CRPS of copy", "coverage, raw", "width", "coverage, calibrated", "width",
        "spread with error",
    ]  # fmt: skip
    parts += [
        "![Coverage of the intervals against what they promise](reliability.png)",
        _table(header, rows),
        _calibration(ours["drift"]) + _for_a_new_patient(metrics["calibration"]),
    ]
    return "\n\n".join(parts)


def _agreement(correlation: dict[str, Any]) -> str:
    numbers = f"rank correlation of spread and error over the pixels of a lesion {_interval(correlation)}"
    if correlation["value"] is None:
        return "The outcomes do not differ, so their agreement says nothing."
    if correlation["low"] > 0:
        return f"Where the outcomes disagree the error is indeed larger: {numbers}."
    if correlation["high"] < 0:
        return (
            f"Where the outcomes disagree the error is smaller, so agreement must not be read as confidence: {numbers}."
        )
    return f"That the error is larger where the outcomes disagree is not shown: {numbers}."


def _between(ours: dict[str, Any]) -> str:
    """Return whether the spread tells which slices and which lesions are predicted worse, a sentence for each."""
    words = []
    for kind, what in (("drift", "slice is predicted worse"), ("volume", "lesion's volume is predicted worse")):
        found = ours[kind]["spread_error_between"]
        if found["value"] is not None:
            tells = "tells" if found["low"] > 0 else "does not tell"
            words.append(f" Which {what} the spread {tells}: {_interval(found)}.")
    return "".join(words)


def _calibration(found: dict[str, Any]) -> str:
    others, needed = found["calibration_patients"], found["patients_needed"]
    if others < needed:
        return (
            f"A 90% interval cannot be calibrated here: it takes {needed} patients who were neither trained on nor "
            f"tested, and there are {others}. `tfdrift crossval` has all of them."
        )
    return (
        f"Each patient's 90% interval was widened by what {others} or more other held-out patients ask for, never by "
        "that patient's own error."
    )


def _for_a_new_patient(found: dict[str, Any]) -> str:
    if found["volume_margin"] is None:
        return ""
    return (
        f" For a new patient all {found['patients']} together ask for {found['volume_margin']:.3f} of the volume now "
        f"on both ends of a volume's interval, and {found['drift_margin']:.3f} of the largest signal on both ends of a "
        "pixel's drift; `tfdrift export --calibration` gives them to a model."
    )


def _lesions() -> str:
    return (
        "## Lesions\n\nThe best, the median and the worst lesion by the error of the mean outcome; of each the slice "
        "that changes most.\n\n![Best, median and worst lesion](lesions.png)"
    )


def _reading() -> str:
    return (
        "## How to read this\n\n"
        "- **Skill** is 1 - MSE / MSE(copy): 1 is perfect, 0 as good as predicting no change.\n"
        "- **Intervals** are 95% percentile bootstrap intervals over patients; slices of a patient stay together.\n"
        "- **GTV** means the pixels inside the contour of the first or the second MRI; all others are zero by "
        "construction.\n"
        "- **Drift sign** is the share of those pixels that get brighter or darker as predicted.\n"
        "- **CRPS** is the error of a whole distribution; of a single answer it is the mean absolute error. Small is "
        "good.\n"
        "- **Width** of intervals: drift in units of the first image's largest signal, volume in units of the first "
        "volume.\n\n"
        "Research use. Not a medical device."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _interval(estimate: dict[str, Any] | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "–"
    # z: no minus before a rounded zero. Of two patients an AUC may have a value and no interval.
    ends = [estimate["low"], estimate["high"]]
    interval = "" if None in ends else " [{:z.3f}, {:z.3f}]".format(*ends)
    return f"{estimate['value']:z.3f}{interval}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
