"""Runs experiments: trains what is missing, draws the pictures, and writes their numbers beside them.

<out>/<name>*.png      the pictures
<out>/<name>.json      what they show in numbers: claims are made from these
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tfdrift import __version__
from tfdrift.cohort.samples import Samples
from tfdrift.drawing.panels import write_png
from tfdrift.errors import DataError
from tfdrift.evaluation.response import lesions_of
from tfdrift.reproduction.cached_runs import CachedRuns, Outcome
from tfdrift.reproduction.experiments import Experiment, chosen_experiments
from tfdrift.reproduction.paper_curves import draw_groups, draw_levels, draw_losses, draw_ranking, draw_volumes
from tfdrift.reproduction.paper_diagram import draw_methods
from tfdrift.reproduction.paper_figures import (
    choose_rows,
    draw_examples,
    draw_forward,
    draw_rotations,
    draw_snapshots,
    draw_variants,
    volume_change,
)
from tfdrift.reproduction.paper_scores import as_table, compare_outcomes, interval_words, score_outcome
from tfdrift.reproduction.regions import group_difference, lesion_means
from tfdrift.training.checkpoint import writing


class Drawn(NamedTuple):
    """What an experiment gives: pictures by the end of their name, numbers for JSON, and a table in Markdown if any."""

    pictures: dict[str, Figure]
    numbers: dict[str, Any]
    table: str | None = None


def reproduce(names: Sequence[str], out: Path, runs: CachedRuns, *, echo: Callable[[str], None]) -> list[Path]:
    """Run experiments one after another and return the files they wrote.

    What can be wrong is looked for before the first training, so that it shows at once and not after hours.

    Args:
        names: of `EXPERIMENTS`, or `all`.
        out: folder of the files; made when it is missing.
        runs: trains and remembers.
        echo: takes lines of progress.

    Raises:
        UsageError: an unknown name, or settings that do not go together.
        DataError: the data cannot be had, or an experiment asks for a response and no lesion shows it.
        ResourceError: a folder cannot be written, MNIST cannot be downloaded, or the process of a run was killed.
        DivergedError: see `tfdrift.training.train.train`.
        StoppedError: a signal; the same call goes on from there.
    """
    experiments = chosen_experiments(names)
    for experiment in experiments:
        _check_response(experiment, runs.samples(experiment.data))
        for run in experiment.runs:
            runs.configs(run, experiment)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    runs.train_ahead(experiments)
    written = []
    for experiment in experiments:
        echo(f"{experiment.name}: {experiment.title}")
        files, lines = run_experiment(experiment, out, runs)
        written += files
        for line in lines:
            echo(f"  {line}")
    return written


def run_experiment(experiment: Experiment, out: Path, runs: CachedRuns) -> tuple[list[Path], list[str]]:
    """Run one experiment; return the files it wrote, the numbers last, and what they say in lines."""
    samples = runs.samples(experiment.data)
    outcomes = [runs.outcome(run, experiment) for run in experiment.runs]
    drawn = DRAWINGS[experiment.kind](experiment, samples, outcomes)
    pictures = {out / f"{experiment.name}{ending}.png": figure for ending, figure in drawn.pictures.items()}
    for path, figure in pictures.items():
        write_png(figure, path)
    numbers = {
        "experiment": experiment.name,
        "title": experiment.title,
        "purpose": experiment.purpose,
        "command": runs.command(experiment),
        "tfdrift": __version__,
        "data": {"name": runs.data_name(experiment.data), "fingerprint": samples.fingerprint()},
        "pictures": [path.name for path in pictures],
        **drawn.numbers,
    }
    files = list(pictures)
    if drawn.table is not None:
        files.append(_write_text(out / f"{experiment.name}.md", drawn.table))
    files.append(_write_text(out / f"{experiment.name}.json", json.dumps(numbers, indent=2) + "\n"))
    return files, _in_words(drawn.numbers)


def _in_words(numbers: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{score['label']}: skill of post {interval_words(score['final']['post']['skill'])}, of drift "
        f"{interval_words(score['final']['drift']['skill'])}, {score['patients']} patients held out"
        for score in numbers.get("runs", [])
    ]
    lines += [
        f"{name}, poor - good: {interval_words(test, signed=True)}, p = {test['p_value']:.2g}"
        for name, test in numbers.get("poor_minus_good", {}).items()
    ]
    lines += [one[name]["sentence"] for one in numbers.get("compared", []) for name in ("post", "drift")]
    return lines


def _check_response(experiment: Experiment, samples: Samples) -> None:
    if experiment.kind == "volumes":
        _growing_and_shrinking(samples)
    if experiment.kind != "groups":
        return
    counts = _group_counts(samples)
    if not counts["poor_response"] or not counts["good_response"]:
        raise DataError(
            f"{experiment.name} compares lesions by response; at their follow-up {counts['poor_response']} keep 80% of "
            f"their volume and {counts['good_response']} do not; choose --data with follow-up volumes and both"
        )


def _growing_and_shrinking(samples: Samples) -> dict[str, int]:
    """Return a slice of a typical lesion that grows at both later MRIs, and of one that shrinks at both."""
    changes = np.diff([samples.pre_mm3, samples.post_mm3, samples.follow_up_mm3], axis=0)
    chosen = {}
    for word, among in (("growing", (changes > 0).all(axis=0)), ("shrinking", (changes < 0).all(axis=0))):
        if not among.any():
            raise DataError(f"no lesion of the data is {word} from MRI to MRI up to its follow-up; fig1b shows one")
        rows = np.flatnonzero(among)
        part = samples.take(rows)
        chosen[word] = int(rows[choose_rows(part, 1, by=volume_change(part))[0]])
    return chosen


def _draw_volumes(_: Experiment, samples: Samples, __: list[Outcome]) -> Drawn:
    chosen = _growing_and_shrinking(samples)
    lesions = {
        word: {
            "lesion": str(samples.lesion[row]),
            "volumes_mm3": [
                float(volumes[row]) for volumes in (samples.pre_mm3, samples.post_mm3, samples.follow_up_mm3)
            ],
        }
        for word, row in chosen.items()
    }
    return Drawn({"": draw_volumes(samples, **chosen)}, {"lesions": lesions, **_group_counts(samples)})


def _draw_methods(_: Experiment, samples: Samples, outcomes: list[Outcome]) -> Drawn:
    rows = choose_rows(samples, 6, by=volume_change(samples))
    one_step, many_steps = outcomes
    held_out = one_step.samples
    (row,) = choose_rows(held_out, 1, by=held_out.pre_mm3)
    return Drawn(
        {"a": draw_examples(samples, rows), "bc": draw_methods(one_step, many_steps, row)},
        {
            "lesions": [_describe(samples, row) for row in rows],
            "held_out_lesion": _describe(held_out, row),
            "runs": [score_outcome(outcome) for outcome in outcomes],
        },
    )


def _draw_digits(experiment: Experiment, _: Samples, outcomes: list[Outcome]) -> Drawn:
    rows = choose_rows(outcomes[0].samples, 2, by=volume_change(outcomes[0].samples))
    scores = [score_outcome(outcome) for outcome in outcomes]
    pictures = {
        letter: draw_snapshots(outcome, rows, title=f"{letter.upper()}: {outcome.run.label}, two digits held out")
        for letter, outcome in zip("abc", outcomes, strict=True)
    }
    pictures["_levels"] = draw_levels(scores, title=experiment.title)
    return Drawn(pictures, {"digits": [_describe(outcomes[0].samples, row) for row in rows], "runs": scores})


def _draw_training(_: Experiment, samples: Samples, outcomes: list[Outcome]) -> Drawn:
    rows = choose_rows(samples, 2, by=samples.pre_mm3)
    schedule = outcomes[0].predictor.method.schedule
    losses = _draw_loss_curves(outcomes[0], recon_name="reconstruction")
    numbers = {
        "lesions": [_describe(samples, row) for row in rows],
        "signal_rate": schedule.signal_rate.tolist(),
        "noise_rate": schedule.noise_rate.tolist(),
        **losses.numbers,
    }
    pictures = {"a": draw_rotations(samples, rows[-1]), "b": draw_forward(samples, rows, schedule)}
    return Drawn({**pictures, "c": losses.pictures[""]}, numbers)


def _draw_variants(experiment: Experiment, _: Samples, outcomes: list[Outcome]) -> Drawn:
    samples = outcomes[0].samples
    (row,) = choose_rows(samples, 1, by=samples.pre_mm3)
    scores = [score_outcome(outcome) for outcome in outcomes]
    return Drawn(
        {
            "": draw_variants(outcomes, row, title=experiment.title),
            "_levels": draw_levels(scores, title=experiment.title),
        },
        {"lesion": _describe(samples, row), "runs": scores, "compared": _compared(outcomes)},
    )


def _draw_lesions(experiment: Experiment, _: Samples, outcomes: list[Outcome]) -> Drawn:
    samples = outcomes[-1].samples
    rows = choose_rows(samples, 5, by=samples.pre_mm3)
    scores = [score_outcome(outcome) for outcome in outcomes]
    return Drawn(
        {
            "": draw_snapshots(outcomes[-1], rows, title=experiment.title),
            "_levels": draw_levels(scores, title=experiment.title),
        },
        {"lesions": [_describe(samples, row) for row in rows], "runs": scores, "compared": _compared(outcomes)},
    )


def _draw_loss(_: Experiment, __: Samples, outcomes: list[Outcome]) -> Drawn:
    return _draw_loss_curves(outcomes[0], recon_name="noise")


def _draw_groups(experiment: Experiment, _: Samples, outcomes: list[Outcome]) -> Drawn:
    outcome = outcomes[0]
    samples, lesions = outcome.samples, lesions_of(outcome.samples)
    among = np.flatnonzero(lesions.poor[lesions.owner] == (experiment.group == "poor"))
    part = samples.take(among)
    rows = among[choose_rows(part, 5, by=part.pre_mm3)].tolist()
    known = np.isfinite(lesions.poor)
    poor = lesions.poor[known] == 1
    means = {
        f"{word} drift, {region}": values[known]
        for word, drift in (("true", samples.drift), ("predicted", outcome.final["drift"]))
        for region, values in lesion_means(drift, samples.pre_mask, samples.lesion).items()
    }
    tests = {name: group_difference(values, poor, lesions.patient[known]) for name, values in means.items()}
    return Drawn(
        {
            "": draw_snapshots(outcome, rows, title=f"{experiment.title}; volumes are those of the second MRI"),
            "_core_and_rim": draw_groups(means, poor, tests),
        },
        {
            "lesions": [_describe(samples, row) for row in rows],
            **_group_counts(samples),
            "poor_minus_good": {name: test._asdict() for name, test in tests.items()},
            "note": "four tests, p values not corrected for their number",
            "runs": [score_outcome(outcome)],
        },
    )


def _draw_table(experiment: Experiment, _: Samples, outcomes: list[Outcome]) -> Drawn:
    reference: dict[str, Outcome] = {}
    pairs = [(reference.setdefault(outcome.run.method, outcome), outcome) for outcome in outcomes]
    compared = compare_outcomes([(first, other) for first, other in pairs if first is not other])
    scores = [score_outcome(outcome) for outcome in outcomes]
    return Drawn(
        {"": draw_ranking(scores, compared, title=experiment.title)},
        {"runs": scores, "compared": compared},
        as_table(scores, compared),
    )


def _draw_loss_curves(outcome: Outcome, *, recon_name: str) -> Drawn:
    text = (outcome.folders[0] / "history.jsonl").read_text(encoding="utf-8")
    history = [json.loads(line) for line in text.splitlines()]
    steps = outcome.config.steps
    figure = draw_losses(history, steps=steps, recon_name=recon_name, title=f"{outcome.run.label}: losses in training")
    kept = ("step", "recon_loss", "drift_loss")
    curve = [{name: line[name] for name in kept} for line in history if line["part"] == "train"]
    return Drawn({"": figure}, {"steps": steps, "losses": curve})


def _compared(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    return compare_outcomes([(outcomes[0], outcome) for outcome in outcomes[1:]])


def _group_counts(samples: Samples) -> dict[str, int]:
    poor = lesions_of(samples).poor
    return {"poor_response": int((poor == 1).sum()), "good_response": int((poor == 0).sum())}


def _describe(samples: Samples, row: int) -> dict[str, Any]:
    return {
        "lesion": str(samples.lesion[row]),
        "fold": int(samples.fold[row]),
        "pre_mm3": float(samples.pre_mm3[row]),
        "volume_change": float(volume_change(samples)[row]),
    }


def _write_text(path: Path, text: str) -> Path:
    partial = path.with_name(path.name + ".partial")
    with writing(path.parent):
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    return path


DRAWINGS: dict[str, Callable[[Experiment, Samples, list[Outcome]], Drawn]] = {
    "volumes": _draw_volumes,
    "methods": _draw_methods,
    "digits": _draw_digits,
    "training": _draw_training,
    "levels": _draw_variants,
    "lesions": _draw_lesions,
    "groups": _draw_groups,
    "loss": _draw_loss,
    "table": _draw_table,
}
"""How each kind of experiment is drawn."""
