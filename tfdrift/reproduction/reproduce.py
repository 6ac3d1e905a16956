"""Runs experiments: trains what is missing, draws the pictures, and writes their numbers beside them.

<out>/<name>*.png      the pictures
<out>/<name>.json      what they show in numbers: claims are made from these
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfdrift import __version__
from tfdrift.drawing.figure import write_png
from tfdrift.evaluation.document import as_document
from tfdrift.files import write_whole, writing
from tfdrift.reproduction.cached_runs import CachedRuns
from tfdrift.reproduction.drawings import DRAWINGS, NEW_PATIENTS, check_response
from tfdrift.reproduction.experiment import Experiment
from tfdrift.reproduction.experiments import chosen_experiments
from tfdrift.statistics.intervals import interval_words


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
        check_response(experiment, runs.samples(experiment.data))
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
    """Run one experiment.

    Args:
        experiment: which one.
        out: folder of the files.
        runs: trains and remembers.

    Returns:
        The files it wrote, the numbers last, and what they say in lines.

    Raises:
        TfdriftError: see `reproduce`.
    """
    if experiment.new_patients is None:
        samples = runs.samples(experiment.data)
        all_predicted = [runs.predictions(run, experiment) for run in experiment.runs]
        drawn = DRAWINGS[experiment.kind](experiment, samples, all_predicted)
        data = {"name": runs.data_name(experiment.data), "fingerprint": samples.fingerprint()}
    else:
        drawn = NEW_PATIENTS[experiment.kind](experiment, runs)
        data = {"name": "phantom", "new_patients": as_document(experiment.new_patients)}
    pictures = {out / f"{experiment.name}{ending}.png": figure for ending, figure in drawn.pictures.items()}
    for path, figure in pictures.items():
        write_png(figure, path)
    numbers = {
        "experiment": experiment.name,
        "title": experiment.title,
        "purpose": experiment.purpose,
        "command": runs.command(experiment),
        "tfdrift": __version__,
        "data": data,
        "pictures": [path.name for path in pictures],
        **drawn.numbers,
    }
    texts = {out / f"{experiment.name}.json": json.dumps(numbers, indent=2) + "\n"}
    if drawn.table is not None:
        texts = {out / f"{experiment.name}.md": drawn.table, **texts}
    for path, text in texts.items():
        with writing(path.parent):
            write_whole(path, text)
    return [*pictures, *texts], _in_words(drawn.numbers)


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
    lines += [
        f"{row['label']}, law {row['law']}: skill {interval_words(row['scores']['skill'])}, "
        f"attainable {row['attainable']['skill']:.3f}"
        for row in numbers.get("rows", [])
    ]
    lines += [
        f"{row['label']}, guidance {weight}: AUC of good against poor {interval_words(scores['auc'])}, poor - good "
        f"{interval_words(scores['difference'], signed=True)}, "
        f"true {interval_words(row['true']['difference'], signed=True)}"
        for row in numbers.get("classes", [])
        for weight, scores in row["weights"].items()
    ]
    lines += [
        f"{row['label']}, day {day['day']}: volume error {interval_words(day['volume_error'])}, skill "
        f"{interval_words(day['skill'])}"
        for row in numbers.get("courses", [])
        for day in row["days"]
    ]
    lines += [
        f"{row['label']}, other doses: right sign {interval_words(row['both']['right_sign'])}, slope "
        f"{interval_words(row['both']['slope'])}, median ratio {interval_words(row['both']['median_ratio'])}"
        for row in numbers.get("doses", [])
    ]
    lines += [
        f"day {day['day']}, {row['label']}: skill {interval_words(row['skill'])}, volume error "
        f"{interval_words(row['volume_error'])}"
        for day in numbers.get("third_visit", {}).get("days", [])
        for row in day["rows"]
    ]
    lines += [one[name]["sentence"] for one in numbers.get("compared", []) for name in ("post", "drift")]
    return lines
