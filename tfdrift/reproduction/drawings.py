"""How each kind of experiment is drawn: pictures, and the numbers that claims are made from."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError
from tfdrift.evaluation.response import lesions_of
from tfdrift.reproduction.cached_runs import CachedRuns
from tfdrift.reproduction.experiment import Experiment
from tfdrift.reproduction.group_maps import as_group_table, draw_discs, draw_profiles, score_groups
from tfdrift.reproduction.new_patients.class_scores import as_class_table, draw_classes, score_classes
from tfdrift.reproduction.new_patients.course_scores import as_course_table, draw_courses, score_courses
from tfdrift.reproduction.new_patients.dose_scores import as_dose_table, draw_doses, score_doses
from tfdrift.reproduction.new_patients.lesion_scores import as_lesion_table, draw_lesions, score_lesions
from tfdrift.reproduction.new_patients.recipe_scores import as_table as as_new_table
from tfdrift.reproduction.new_patients.recipe_scores import draw_learning_curve, draw_trade, score_rows
from tfdrift.reproduction.new_patients.third_visit_scores import (
    as_visit_table,
    ask_third_visit,
    draw_visits,
    score_third_visit,
)
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
from tfdrift.reproduction.paper_scores import as_table, compare_runs, score_run
from tfdrift.reproduction.predictions import Predictions
from tfdrift.reproduction.regions import group_difference, lesion_means


class Drawn(NamedTuple):
    """What an experiment gives: pictures by the end of their name, numbers for JSON, and a table in Markdown if any."""

    pictures: dict[str, Figure]
    numbers: dict[str, Any]
    table: str | None = None


def check_response(experiment: Experiment, samples: Samples) -> None:
    """Refuse data in which nothing shows what an experiment is about.

    Args:
        experiment: about to be run.
        samples: its data.

    Raises:
        DataError: it compares responses and one group is empty, or shows a lesion that grows, and none does.
    """
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


def _draw_volumes(_: Experiment, samples: Samples, __: list[Predictions]) -> Drawn:
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


def _draw_methods(_: Experiment, samples: Samples, all_predicted: list[Predictions]) -> Drawn:
    rows = choose_rows(samples, 6, by=volume_change(samples))
    one_step, many_steps = all_predicted
    held_out = one_step.samples
    (row,) = choose_rows(held_out, 1, by=held_out.pre_mm3)
    return Drawn(
        {"a": draw_examples(samples, rows), "bc": draw_methods(one_step, many_steps, row)},
        {
            "lesions": [_describe(samples, row) for row in rows],
            "held_out_lesion": _describe(held_out, row),
            "runs": [score_run(predicted) for predicted in all_predicted],
        },
    )


def _draw_digits(experiment: Experiment, _: Samples, all_predicted: list[Predictions]) -> Drawn:
    rows = choose_rows(all_predicted[0].samples, 2, by=volume_change(all_predicted[0].samples))
    scores = [score_run(predicted) for predicted in all_predicted]
    pictures = {
        letter: draw_snapshots(predicted, rows, title=f"{letter.upper()}: {predicted.run.label}, two digits held out")
        for letter, predicted in zip("abc", all_predicted, strict=True)
    }
    pictures["_levels"] = draw_levels(scores, title=experiment.title)
    return Drawn(pictures, {"digits": [_describe(all_predicted[0].samples, row) for row in rows], "runs": scores})


def _draw_training(_: Experiment, samples: Samples, all_predicted: list[Predictions]) -> Drawn:
    rows = choose_rows(samples, 2, by=samples.pre_mm3)
    schedule = all_predicted[0].trained.method.schedule
    losses = _draw_loss_curves(all_predicted[0], recon_name="reconstruction")
    numbers = {
        "lesions": [_describe(samples, row) for row in rows],
        "signal_rate": schedule.signal_rate.tolist(),
        "noise_rate": schedule.noise_rate.tolist(),
        **losses.numbers,
    }
    pictures = {"a": draw_rotations(samples, rows[-1]), "b": draw_forward(samples, rows, schedule)}
    return Drawn({**pictures, "c": losses.pictures[""]}, numbers)


def _draw_variants(experiment: Experiment, _: Samples, all_predicted: list[Predictions]) -> Drawn:
    samples = all_predicted[0].samples
    (row,) = choose_rows(samples, 1, by=samples.pre_mm3)
    scores = [score_run(predicted) for predicted in all_predicted]
    return Drawn(
        {
            "": draw_variants(all_predicted, row, title=experiment.title),
            "_levels": draw_levels(scores, title=experiment.title),
        },
        {"lesion": _describe(samples, row), "runs": scores, "compared": _compared(all_predicted)},
    )


def _draw_lesions(experiment: Experiment, _: Samples, all_predicted: list[Predictions]) -> Drawn:
    samples = all_predicted[-1].samples
    rows = choose_rows(samples, 5, by=samples.pre_mm3)
    scores = [score_run(predicted) for predicted in all_predicted]
    return Drawn(
        {
            "": draw_snapshots(all_predicted[-1], rows, title=experiment.title),
            "_levels": draw_levels(scores, title=experiment.title),
        },
        {"lesions": [_describe(samples, row) for row in rows], "runs": scores, "compared": _compared(all_predicted)},
    )


def _draw_loss(_: Experiment, __: Samples, all_predicted: list[Predictions]) -> Drawn:
    return _draw_loss_curves(all_predicted[0], recon_name="noise")


def _draw_groups(experiment: Experiment, _: Samples, all_predicted: list[Predictions]) -> Drawn:
    predicted = all_predicted[0]
    samples, lesions = predicted.samples, lesions_of(predicted.samples)
    among = np.flatnonzero(lesions.poor[lesions.owner] == (experiment.group == "poor"))
    part = samples.take(among)
    rows = among[choose_rows(part, 5, by=part.pre_mm3)].tolist()
    known = np.isfinite(lesions.poor)
    poor = lesions.poor[known] == 1
    means = {
        f"{word} drift, {region}": values[known]
        for word, drift in (("true", samples.drift), ("predicted", predicted.final["drift"]))
        for region, values in lesion_means(drift, samples.pre_mask, samples.lesion).items()
    }
    tests = {name: group_difference(values, poor, lesions.patient[known]) for name, values in means.items()}
    return Drawn(
        {
            "": draw_snapshots(predicted, rows, title=f"{experiment.title}; volumes are those of the second MRI"),
            "_core_and_rim": draw_groups(means, poor, tests),
        },
        {
            "lesions": [_describe(samples, row) for row in rows],
            **_group_counts(samples),
            "poor_minus_good": {name: test._asdict() for name, test in tests.items()},
            "note": "four tests, p values not corrected for their number",
            "runs": [score_run(predicted)],
        },
    )


def _draw_group_maps(experiment: Experiment, _: Samples, all_predicted: list[Predictions]) -> Drawn:
    scores = [score_groups(predicted) for predicted in all_predicted]
    title = f"{experiment.title}: {scores[-1]['label']}"
    return Drawn(
        {"": draw_discs(scores[-1], title), "_profiles": draw_profiles(scores[-1], title)},
        {"maps": scores, "runs": [score_run(predicted) for predicted in all_predicted]},
        as_group_table(scores),
    )


def _draw_table(experiment: Experiment, _: Samples, all_predicted: list[Predictions]) -> Drawn:
    reference: dict[str, Predictions] = {}
    pairs = [(reference.setdefault(predicted.run.method, predicted), predicted) for predicted in all_predicted]
    compared = compare_runs([(first, other) for first, other in pairs if first is not other])
    scores = [score_run(predicted) for predicted in all_predicted]
    return Drawn(
        {"": draw_ranking(scores, compared, title=experiment.title)},
        {"runs": scores, "compared": compared},
        as_table(scores, compared),
    )


def _draw_loss_curves(predicted: Predictions, *, recon_name: str) -> Drawn:
    text = (predicted.folders[0] / "history.jsonl").read_text(encoding="utf-8")
    history = [json.loads(line) for line in text.splitlines()]
    steps = predicted.config.steps
    figure = draw_losses(
        history, steps=steps, recon_name=recon_name, title=f"{predicted.run.label}: losses in training"
    )
    kept = ("step", "recon_loss", "drift_loss")
    curve = [{name: line[name] for name in kept} for line in history if line["part"] == "train"]
    return Drawn({"": figure}, {"steps": steps, "losses": curve})


def _compared(all_predicted: list[Predictions]) -> list[dict[str, Any]]:
    return compare_runs([(all_predicted[0], predicted) for predicted in all_predicted[1:]])


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


DRAWINGS: dict[str, Callable[[Experiment, Samples, list[Predictions]], Drawn]] = {
    "volumes": _draw_volumes,
    "methods": _draw_methods,
    "digits": _draw_digits,
    "training": _draw_training,
    "levels": _draw_variants,
    "lesions": _draw_lesions,
    "groups": _draw_groups,
    "loss": _draw_loss,
    "group maps": _draw_group_maps,
    "table": _draw_table,
}
"""How each kind of experiment is drawn."""


def _recipe_rows(experiment: Experiment, runs: CachedRuns) -> list[dict[str, Any]]:
    return score_rows(
        [(run, runs.configs(run, experiment)[0], runs.on_new_patients(run, experiment)) for run in experiment.runs]
    )


def _draw_recipes(experiment: Experiment, runs: CachedRuns) -> Drawn:
    rows = _recipe_rows(experiment, runs)
    return Drawn({"": draw_trade(rows, experiment.title)}, {"rows": rows}, as_new_table(rows))


def _draw_learning_curve(experiment: Experiment, runs: CachedRuns) -> Drawn:
    rows = _recipe_rows(experiment, runs)
    return Drawn({"": draw_learning_curve(rows, experiment.title)}, {"rows": rows}, as_new_table(rows))


def _draw_classes(experiment: Experiment, runs: CachedRuns) -> Drawn:
    rows = [runs.told(run, experiment, score_classes) for run in experiment.runs]
    return Drawn({"": draw_classes(rows, experiment.title)}, {"classes": rows}, as_class_table(rows))


def _draw_courses(experiment: Experiment, runs: CachedRuns) -> Drawn:
    rows = [runs.told(run, experiment, score_courses) for run in experiment.runs]
    return Drawn({"": draw_courses(rows, experiment.title)}, {"courses": rows}, as_course_table(rows))


def _draw_doses(experiment: Experiment, runs: CachedRuns) -> Drawn:
    rows = [runs.told(run, experiment, score_doses) for run in experiment.runs]
    return Drawn({"": draw_doses(rows, experiment.title)}, {"doses": rows}, as_dose_table(rows))


def _draw_third_visit(experiment: Experiment, runs: CachedRuns) -> Drawn:
    numbers = score_third_visit([runs.told(run, experiment, ask_third_visit) for run in experiment.runs])
    pictures = {"": draw_visits(numbers["days"], experiment.title)}
    return Drawn(pictures, {"third_visit": numbers}, as_visit_table(numbers["days"]))


def _draw_whole(experiment: Experiment, runs: CachedRuns) -> Drawn:
    scored = []
    for run in experiment.runs:
        results = runs.on_new_patients(run, experiment)
        config = runs.configs(run, experiment)[0]
        scored.append((run, config, results, runs.folder_of(config, runs.samples_of(config, experiment))))
    rows = score_lesions(scored)
    return Drawn({"": draw_lesions(rows, experiment.title)}, {"rows": rows}, as_lesion_table(rows))


NEW_PATIENTS: dict[str, Callable[[Experiment, CachedRuns], Drawn]] = {
    "recipes": _draw_recipes,
    "learning curve": _draw_learning_curve,
    "classes": _draw_classes,
    "courses": _draw_courses,
    "doses": _draw_doses,
    "third visit": _draw_third_visit,
    "whole lesions": _draw_whole,
}
"""How each kind of experiment on new patients is scored and drawn."""
