"""The page of an evaluation, in Markdown.

What comes from data, such as the name of a folder in a label, is text on the page: it is escaped.
"""

import math
import re
from collections.abc import Collection, Sequence

from tfdrift.evaluation.answers import ORACLE
from tfdrift.evaluation.calibration import ADAPTIVE, CONSTANT, CoverageGroup, MarginComparison
from tfdrift.evaluation.decisions import Decided
from tfdrift.evaluation.document import Metrics
from tfdrift.evaluation.memorisation import AUDITED, NEARLY
from tfdrift.evaluation.metrics import METRICS
from tfdrift.evaluation.uncertainty import CALIBRATED, RAW, SpreadScores
from tfdrift.methods import METHODS
from tfdrift.statistics.intervals import Estimate

FEW_PATIENTS = 20


def compose(metrics: Metrics, pictures: Collection[str]) -> str:
    """Return the page as Markdown.

    Args:
        metrics: of the evaluation.
        pictures: names of the pictures there are.
    """
    sections = [_head(metrics), _scores(metrics), _clinic(metrics)]
    if "levels" in pictures:
        sections.append(_levels(metrics))
    sections += [
        *_movement(metrics),
        _uncertainty(metrics, "spread" in pictures),
        _adaptive(metrics),
        _decisions(metrics),
        _strata(metrics),
        _lesions(),
        _memorisation(metrics),
        _reading(),
    ]
    return "\n\n".join(sections) + "\n"


def title_of(metrics: Metrics) -> str:
    """Return the title of the page, as plain text."""
    return f"{metrics.label} on {metrics.data}"


def escape_markdown(text: str) -> str:
    """Return text that Markdown and HTML show as it is.

    Example:
        >>> print(escape_markdown("<b>my_run</b> | *"))
        &lt;b&gt;my\\_run&lt;/b&gt; \\| \\*
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_|])", r"\\\1", " ".join(text.split()))
    return re.sub(r"\](?=[\[(:])", r"\]", text)  # an interval in brackets is no link


def held_out(metrics: Metrics) -> str:
    """Return who is scored, in words."""
    return f"{metrics.patients} patients, {metrics.lesions} lesions, {metrics.slices} slices"


def _head(metrics: Metrics) -> str:
    folds = metrics.folds
    where = f"fold {folds[0]}" if len(folds) == 1 else f"folds {', '.join(map(str, folds))}, each by a run of its own"
    if metrics.new_patients is not None:
        where = f"patients drawn anew with data seed {metrics.new_patients.data_seed}"
    skill = metrics.scored[metrics.label]["skill"]
    lines = [
        f"# {escape_markdown(title_of(metrics))}",
        f"Held out: {where}; {held_out(metrics)}. Trained for {metrics.step} steps; "
        f"{_count(metrics.outcomes, 'outcome')} of each slice. tfdrift {escape_markdown(metrics.tfdrift)}.",
        f'**Skill over "no change": {skill.words()}.**' + _of_attainable(metrics),
        "\n".join(f"- {escape_markdown(entry.sentence)}" for entry in metrics.comparisons),
    ]
    if metrics.patients < FEW_PATIENTS:
        lines.append(
            f"{metrics.patients} patients are few: a percentile interval of so few is too narrow rather than too wide. "
            "`tfdrift crossval` scores every patient once."
        )
    return "\n\n".join(lines)


def _of_attainable(metrics: Metrics) -> str:
    found = metrics.attainable
    if found is None:
        return ""
    return (
        f" Attainable on these patients by whoever knows the phantom's law: {found.skill:.3f} ± "
        f"{found.standard_error:.3f}."
    )


def _scores(metrics: Metrics) -> str:
    shown = {name: metric for name, metric in METRICS.items() if metric.on_page}
    skills = {"skill": "skill", "drift_skill": "drift skill"}
    rows = [
        [
            name,
            *(_number(found[skill].value, 3) for skill in skills),
            *(_number(found[metric].value, METRICS[metric].digits) for metric in shown),
        ]
        for name, found in metrics.scored.items()
    ]
    return "\n\n".join(
        [
            "## Images and drift",
            "![Skill of every method with its interval](skills.png)",
            _table(["", *skills.values(), *(metric.words for metric in shown.values())], rows),
            "`copy` predicts no change, `mean drift` the mean change of the training patients, and `nearest lesion` "
            "the change of the training lesion whose first MRI is most like this one. Intervals of every number are in "
            "`metrics.json`." + _without_baseline(metrics),
        ]
    )


def _without_baseline(metrics: Metrics) -> str:
    """Return what a comparison with a network without noise would add, where there is none."""
    plain = tuple(method.label for method in METHODS.values() if not method.draws)
    if any(name.startswith(plain) for name in metrics.methods):
        return ""
    return (
        f" What noise and time add is not told here: `{'` or `'.join(plain)}`, the same network without them, is "
        "missing. Train it on the same folds and name it with `--against`, or cross-validate it in a folder beside "
        "this one."
    )


def _clinic(metrics: Metrics) -> str:
    columns = {
        "volume_error": "volume error", "volume_bias": "volume bias", "response_accuracy": "response accuracy",
        "response_auc": "response AUC",
    }  # fmt: skip
    rows = [
        [name, *(entry.clinic[key].words() for key in columns)]
        for name, entry in metrics.methods.items()
        if entry.clinic is not None
    ]
    return "\n\n".join(
        [
            "## Volume and response",
            _table(["", *columns.values()], rows),
            "Errors are in units of the volume at the first MRI. A response is poor when the follow-up keeps 80% of "
            "the volume or more; it is predicted from the volume at the second MRI and a cut that the training "
            "patients teach. `mean ratio` expects of every lesion what the training lesions did on average, and "
            "`ridge` what a few numbers of the first MRI tell. `true second MRI` is what would remain of the error if "
            "the prediction were perfect.",
        ]
    )


def _levels(metrics: Metrics) -> str:
    best, chosen, axis = metrics.best_level, metrics.chosen_level, METHODS[metrics.method].level_axis
    assert axis is not None  # or there would be no picture of levels
    honest = (
        "What choosing a level on other patients would give is not known: it takes two groups of held-out patients, "
        "such as two folds of a cross-validation, and here is one."
        if chosen is None
        else f"When the level is chosen on other patients than it is scored on, the skill is {chosen.skill.words()}."
    )
    return "\n\n".join(
        [
            f"## {axis.title}",
            "![Skill of post image and drift at each level](levels.png)",
            f"{axis.says} The best of {len(metrics.levels)} levels is {best.level} with a skill of {best.skill:.3f}; "
            f"it is chosen on these very patients and flatters. {honest}",
            "![Drift of one slice at some levels beside the truth](snapshots.png)",
        ]
    )


def _movement(metrics: Metrics) -> list[str]:
    rows = [
        [name, found.error_mm.words(), found.still_mm.words(), found.skill.words()]
        for name, entry in metrics.methods.items()
        if (found := entry.movement) is not None
    ]
    if metrics.ours.movement is None:
        return []
    return [
        "## How far does tissue move?",
        _table(["", "end-point error, mm", 'error of "nothing moves", mm', "skill"], rows),
        "The distance between where a pixel of the first GTV is said to go, in the plane of the slice, and where the "
        f'phantom\'s law takes it. Skill is that of the squared errors over "nothing moves". `{ORACLE}` knows the law '
        "and not the chance.",
    ]


def _uncertainty(metrics: Metrics, several: bool) -> str:
    methods = {name: entry.uncertainty for name, entry in metrics.methods.items() if entry.uncertainty is not None}
    ours = methods[metrics.label]
    parts = ["## How sure is it?"]
    if several:
        parts += [
            _agreement(ours.drift.spread_error) + _between(ours.drift, ours.volume),
            "![Error against spread](spread.png)",
        ]
    else:
        parts.append("One outcome has no spread; its interval is made by calibration alone.")
    rows = [
        _uncertainty_row(name, kind, entry.outcomes, found)
        for name, entry in methods.items()
        for kind, found in (("drift", entry.drift), ("volume", entry.volume))
    ]
    header = [
        "", "of", "outcomes", "CRPS", "CRPS of copy", "coverage, raw", "width", "coverage, calibrated", "width",
        "spread with error",
    ]  # fmt: skip
    parts += [
        "![Coverage of the intervals against what they promise](reliability.png)",
        _table(header, rows),
        _calibration(ours.drift) + _for_a_new_patient(metrics),
    ]
    return "\n\n".join(parts)


def _uncertainty_row(name: str, kind: str, outcomes: int, found: SpreadScores) -> list[str]:
    return [
        name,
        kind,
        str(outcomes),
        _number(found.crps.value, 4),
        _number(found.copy_crps.value, 4),
        _words(found.coverage[RAW]),
        _number(found.width[RAW], 3),
        _words(found.coverage[CALIBRATED]),
        _number(found.width[CALIBRATED], 3),
        _words(found.spread_error_between if found.spread_error is None else found.spread_error),
    ]


def _agreement(correlation: Estimate | None) -> str:
    if correlation is None or math.isnan(correlation.value):
        return "The outcomes do not differ, so their agreement says nothing."
    numbers = f"rank correlation of spread and error over the pixels of a lesion {correlation.words()}"
    if correlation.low > 0:
        return f"Where the outcomes disagree the error is indeed larger: {numbers}."
    if correlation.high < 0:
        return (
            f"Where the outcomes disagree the error is smaller, so agreement must not be read as confidence: {numbers}."
        )
    return f"That the error is larger where the outcomes disagree is not shown: {numbers}."


def _between(drift: SpreadScores, volume: SpreadScores) -> str:
    """Return whether the spread tells which slices and which lesions are predicted worse, a sentence for each."""
    words = []
    for found, what in ((drift, "slice is predicted worse"), (volume, "lesion's volume is predicted worse")):
        correlation = found.spread_error_between
        if not math.isnan(correlation.value):
            tells = "tells" if correlation.low > 0 else "does not tell"
            words.append(f" Which {what} the spread {tells}: {correlation.words()}.")
    return "".join(words)


def _calibration(found: SpreadScores) -> str:
    others, needed = found.calibration_patients, found.patients_needed
    if others < needed:
        return (
            f"A 90% interval cannot be calibrated here: it takes {needed} patients who were neither trained on nor "
            f"tested, and there are {others}. `tfdrift crossval` has all of them."
        )
    return (
        f"Each patient's 90% interval was widened by what {others} or more other held-out patients ask for, never by "
        "that patient's own error."
    )


def _for_a_new_patient(metrics: Metrics) -> str:
    found = metrics.calibration
    if not math.isfinite(found.volume_margin):
        return ""
    # An export takes margins of the run's own data alone.
    use = "." if metrics.new_patients else "; `tfdrift export --calibration` gives them to a model."
    return (
        f" For a new patient all {found.patients} together ask for {found.volume_margin:.3f} of the volume now "
        f"on both ends of a volume's interval, and {found.drift_margin:.3f} of the largest signal on both ends of a "
        f"pixel's drift{use}"
    )


def _adaptive(metrics: Metrics) -> str:
    title = "## Margins that adapt"
    ours = metrics.ours.adaptive
    if ours is None:
        few = "There are too few patients to learn on some how margins should adapt and to calibrate on others."
        return f"{title}\n\n{few}"
    rows, decided = [], []
    for name, entry in metrics.methods.items():
        if (found := entry.adaptive) is not None:
            rows += [_margin_row(name, kind, one) for kind, one in (("drift", found.drift), ("volume", found.volume))]
            decided += [[name, kind, *_decided(found.decided[kind])] for kind in (CONSTANT, ADAPTIVE)]
    header = [
        "", "of", "coverage, constant", "width", "interval score", "coverage, adaptive", "width", "interval score",
        "width ratio at equal coverage",
    ]  # fmt: skip
    groups = [
        *(_group_row(f"drift, {name}", one) for name, one in ours.drift.by_region.items()),
        *_group_rows("drift", ours.drift, 2),
        *_group_rows("volume", ours.volume, 2),
    ]
    group_header = ["", "lesions", "coverage, constant", "width", "coverage, adaptive", "width"]
    return "\n\n".join(
        [
            title,
            _table(header, rows),
            "A constant margin is the same for every value. An adaptive one is in proportion to a scale: the spread of "
            "the outcomes, with a floor, times a weight for core, rim and outside of the GTV of the first MRI. Floor "
            f"and weights were learned on {ours.drift.learning_patients} or more of the other held-out patients, and "
            f"the one margin calibrated on {ours.drift.calibration_patients} or more further ones, so both promise "
            "90%. The interval score charges the width, and 20 times how far the truth lies outside. The width ratio "
            "compares both when they cover 90% of these very patients' values; below 1 adaptive is narrower.",
            f"For {escape_markdown(metrics.label)}, by region, by thirds of the lesions' volume, and by thirds of the "
            "predicted change: of the drift its root mean square, of the volume that of the ratio from 1.",
            _table(group_header, groups),
            "Which lesions the whole interval puts on one side of 80% of their volume:",
            _table(["", "margin", "lesions decided", "of them wrong"], decided),
        ]
    )


def _margin_row(name: str, kind: str, found: MarginComparison) -> list[str]:
    numbers = [
        cell
        for margin in (CONSTANT, ADAPTIVE)
        for cell in (
            found.coverage[margin].words(),
            _number(found.width[margin], 3),
            _number(found.interval_score[margin], 3),
        )
    ]
    return [name, kind, *numbers, found.width_ratio.words()]


def _group_rows(kind: str, found: MarginComparison, digits: int) -> list[list[str]]:
    of_size = [
        _group_row(f"{kind}, volume {_number(one.low, 0)} to {_number(one.high, 0)} mm³", one) for one in found.by_size
    ]
    of_change = [
        _group_row(f"{kind}, predicted change {_number(one.low, digits)} to {_number(one.high, digits)}", one)
        for one in found.by_predicted_change
    ]
    return of_size + of_change


def _group_row(name: str, found: CoverageGroup) -> list[str]:
    numbers = [
        cell
        for margin in (CONSTANT, ADAPTIVE)
        for cell in (_number(found.coverage[margin].value, 3), _number(found.width[margin], 3))
    ]
    return [name, str(found.lesions), *numbers]


def _decisions(metrics: Metrics) -> str:
    rows = []
    for name, entry in metrics.methods.items():
        found = entry.decisions
        if found is None:
            continue
        for by, decided in (("outcomes", found.by_outcomes), ("calibrated interval", found.by_interval)):
            rows.append([name, by, *_decided(decided), _words(found.brier) if by == "outcomes" else ""])
    ours = metrics.ours.decisions
    assert ours is not None
    reliability = [
        [
            f"{group.low:.1f} to {group.high:.1f}",
            str(group.lesions),
            _number(group.predicted, 2),
            _number(group.observed, 2),
        ]
        for group in ours.reliability
    ]
    return "\n\n".join(
        [
            "## Below 80% or not?",
            _table(["", "by", "lesions decided", "of them wrong", "Brier score"], rows),
            "Which side of 80% of its volume a lesion will be on at the second MRI. A lesion is decided by outcomes "
            "where 90% or more are on one side, and by the calibrated interval where all of it is, as in `tfdrift "
            "predict`. The Brier score is that of the share of outcomes below 80%; for the share of training lesions "
            f"that were below it is {ours.brier_of_base_rate.words()}. The share of outcomes as a probability, for "
            f"{escape_markdown(metrics.label)}:",
            _table(["share of outcomes below", "lesions", "its mean", "really below"], reliability),
        ]
    )


def _decided(found: Decided | None) -> list[str]:
    if found is None:
        return ["too few patients to calibrate", "–"]
    wrong = f"{found.wrong_lesions} of {found.lesions}: {found.wrong.words()}" if found.lesions else "–"
    return [found.share.words(), wrong]


def _strata(metrics: Metrics) -> str:
    found = metrics.ours.strata
    assert found is not None
    units = {"size": ("volume", "mm³", 0), "change": ("change", "of the largest signal", 2)}
    rows = [
        [
            f"{words} {_number(part.low, digits)} to {_number(part.high, digits)} {unit}",
            str(part.lesions),
            part.skill.words(),
            _number(part.crps.value, 3),
            *(
                _number(covered[kind].value if kind in covered else None, 2)
                for covered in (part.drift_coverage, part.volume_coverage)
                for kind in (RAW, CALIBRATED)
            ),
        ]
        for name, (words, unit, digits) in units.items()
        for part in getattr(found, name)
    ]
    header = [
        "", "lesions", "skill", "CRPS", "drift covered, raw", "calibrated", "volume covered, raw", "calibrated",
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## For which lesions?",
            _table(header, rows),
            "Lesions in three groups by their volume at the first MRI, and by the root mean square of the true drift "
            "in the GTV. The volume is known beforehand, the change only afterwards, so that no interval can promise "
            "to hold in its groups: a truth far from what was expected is what makes a change large.",
        ]
    )


def _lesions() -> str:
    return (
        "## Lesions\n\nThe best, the median and the worst lesion by the error of the mean outcome; of each the slice "
        "that changes most.\n\n![Best, median and worst lesion](lesions.png)"
    )


def _memorisation(metrics: Metrics) -> str:
    rows = [
        [name, _words(found.ratio), _words(found.outcome_ratio), _share(found.nearly_copies)]
        for name, entry in metrics.methods.items()
        if (found := entry.memorisation) is not None
    ]
    ours = metrics.ours.memorisation
    assert ours is not None
    sampled = metrics.slices > AUDITED
    nearest = "; ".join(
        f"{one.lesion} to {one.training_lesion} of {one.training_patient} ({_number(one.ratio, 2)})"
        for one in ours.nearest
    )
    if ours.nearly_copies.value > 0:
        verdict = f"**Answers are nearly copies of training images** for {_share(ours.nearly_copies)} of the slices."
    else:
        verdict = "No answer and no outcome is nearly a copy of a training image."
    return "\n\n".join(
        [
            "## Does it repeat what it was trained on?",
            f"{verdict} Nearest by this measure: {escape_markdown(nearest)}.",
            _table(["distance to the nearest training image", "answer", "one outcome", "nearly copies"], rows),
            "Distances of predicted second MRIs to the nearest second MRI of a training lesion, turned and mirrored as "
            "fits best, over those of the true second MRIs: 0 for a copy, 1 where predictions are as far from the "
            "training lesions as what really happened. The mean of what may happen is nearer to every image than its "
            "outcomes are, so an answer somewhat below 1 is no sign of copying; an outcome is. Nearly a copy: below "
            f"{NEARLY}." + (f" Looked at are {AUDITED} of the {metrics.slices} slices, evenly spaced." * sampled),
        ]
    )


def _share(share: Estimate) -> str:
    return f"{share.value:.0%}"


def _reading() -> str:
    metrics = "\n".join(
        f"- **{metric.words}**: {metric.meaning}; {metric.better} is good."
        for metric in METRICS.values()
        if metric.on_page
    )
    return (
        "## How to read this\n\n"
        "- **Skill** is 1 - MSE / MSE(copy): 1 is perfect, 0 as good as predicting no change.\n"
        "- **Intervals** are 95% percentile bootstrap intervals over patients; slices of a patient stay together.\n"
        "- **GTV** means the pixels inside the contour of the first or the second MRI; all others are zero by "
        "construction.\n"
        f"{metrics}\n"
        "- **CRPS** is the error of a whole distribution; of a single answer it is the mean absolute error. Small is "
        "good.\n"
        "- **Width** of intervals: drift in units of the first image's largest signal, volume in units of the first "
        "volume.\n\n"
        "Research use. Not a medical device."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    escaped = [[escape_markdown(cell) for cell in row] for row in rows]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _words(estimate: Estimate | None) -> str:
    return "–" if estimate is None else estimate.words()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
