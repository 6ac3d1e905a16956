"""The page of an evaluation: Markdown to keep with the numbers, and the same in one HTML file."""

import base64
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import markdown


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


def as_html(page: str, pictures: Mapping[str, bytes]) -> str:
    """Return the page as one HTML file with its pictures inside.

    Args:
        page: Markdown of `compose`.
        pictures: PNG files by name.
    """
    body = markdown.markdown(page, extensions=["tables"], output_format="html")
    for name, data in pictures.items():
        body = body.replace(f'src="{name}.png"', f'src="data:image/png;base64,{base64.b64encode(data).decode()}"')
    title = page.splitlines()[0].removeprefix("# ")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


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
            "number are in `metrics.json`.",
        ]
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
    if metrics["method"] == "method1":
        title = "Which noise level predicts best"
        words = "Method 1 answers at any level in one step."
    else:
        title = "Drift along the sampling"
        words = "Method 2 gives a drift map at every step on its way from the noised image to a clean one."
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
        _calibration(ours["drift"]),
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


_STYLE = """
:root { color-scheme: light; }
body { max-width: 66rem; margin: 2.5rem auto 4rem; padding: 0 1.5rem; color: #1b1f24; background: #fff;
  font: 16px/1.55 -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h1 + p { color: #59636e; margin-top: 0; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-top: 1.1rem; border-top: 1px solid #d8dee4; }
p, li { max-width: 46rem; }
p:has(img) { max-width: none; }
img { max-width: min(100%, 42rem); display: block; margin: 1rem 0; }
img[alt*="lesion"], img[alt*="slice"] { max-width: 100%; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .78rem; font-variant-numeric: tabular-nums;
  display: block; overflow-x: auto; }
th { color: #59636e; font-weight: 600; border-bottom: 2px solid #d8dee4; vertical-align: bottom; }
th, td { padding: .35rem .5rem; text-align: right; white-space: nowrap; }
td { border-bottom: 1px solid #eaeef2; }
th { white-space: normal; min-width: 3.6rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
code { font-size: .9em; background: #f3f5f7; padding: .1em .3em; border-radius: 4px; }
"""
