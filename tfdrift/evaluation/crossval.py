"""Every patient scored by a run that was not trained on it: one run, or one ensemble, a fold."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from tfdrift.cohort.folds import split
from tfdrift.cohort.groups import read_folds, read_groups, with_folds, write_folds
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig
from tfdrift.errors import UsageError
from tfdrift.evaluation.answers import Answers, ask, ensemble, join
from tfdrift.evaluation.assessment import assess, attainable_score
from tfdrift.evaluation.document import Metrics
from tfdrift.evaluation.report import write_report, write_scores
from tfdrift.evaluation.results import Results, compare_results, read_results
from tfdrift.evaluation.scores import ONE, PERFECT
from tfdrift.files import writing
from tfdrift.training.run_folder import is_trained, load_config_samples
from tfdrift.training.side_by_side import train_all
from tfdrift.training.train import train

FOLDS = "folds.csv"
"""Which group each patient is in, by number, where groups are held out."""


def cross_validate(
    config: TrainConfig,
    out: Path,
    *,
    folds: Sequence[int] | None = None,
    groups: Path | None = None,
    members: int = 1,
    count: int = 16,
    workers: int = 1,
    scheduler: str | None = None,
    echo: Callable[[str], None],
    samples: Samples | None = None,
) -> Metrics:
    """Train a method on each fold's complement and score all folds together.

    A run that has its steps is not trained again, and one that was killed goes on to the same bits.

    Args:
        config: the settings of every run; `fold` and, for further members, `seed` are replaced.
        out: takes a run folder `fold<K>-seed<S>` for each run, and the report.
        folds: which ones to hold out in turn; by default all.
        groups: table for `tfdrift.cohort.groups.read_groups`, whose groups are held out in place of the data's folds;
            their names go to `echo` alone, and their numbers into `folds.csv`.
        members: runs of each fold, with the seeds `config.seed`, `config.seed` + 1, ...; several are an ensemble.
        count: outcomes of each slice.
        workers: trainings at a time; one is in this process with all its threads, several as in
            `tfdrift.training.side_by_side.train_all`.
        scheduler: of a cluster that trains, see there; the weights are those of several workers.
        echo: takes lines of progress.
        samples: the data, if they are at hand; what can be attained is then not known.

    Returns:
        What stands in `metrics.json`.

    Raises:
        UsageError: a fold does not exist, or the folder holds runs with other settings or groups.
        DataError: the table of groups cannot be used, or two folds share a patient or an image, both before anything
            is trained; or what stands beside `out` is no evaluation.
        ResourceError: a folder cannot be written, or the process of a run was killed.
        DivergedError: see `tfdrift.training.train.train`.
        StoppedError: a signal; the same call goes on from there.
    """
    data = load_config_samples(config) if samples is None else samples
    found = None if groups is None else read_groups(groups, set(data.patient.tolist()))
    if found is not None:
        for number, name in enumerate(found.names):
            members_of = sum(fold == number for fold in found.fold.values())
            echo(f"group {number}: {name}, {members_of} patients")
        data = with_folds(data, found.fold)
        config = dataclasses.replace(config, folds_file=str(out / FOLDS))
    known = sorted(set(data.fold.tolist()))
    chosen = known if folds is None else list(folds)
    if not chosen or not set(chosen) <= set(known):
        raise UsageError(f"--folds {','.join(map(str, chosen))}: the data have folds {','.join(map(str, known))}")
    for fold in chosen:
        split(data, fold)  # a leak anywhere is met now, not after hours of training
    if found is not None:
        _write_folds(out, found.fold)
    runs = {
        fold: [dataclasses.replace(config, fold=fold, seed=config.seed + member) for member in range(members)]
        for fold in chosen
    }
    if workers > 1 or scheduler is not None:
        jobs = [(member, _folder(out, member), data) for fold in chosen for member in runs[fold]]
        train_all(jobs, workers=workers, scheduler=scheduler, echo=echo)
    tf.config.experimental.enable_op_determinism()  # as training does: the same scores where nothing is left to train
    folds_answers = []
    for number, fold in enumerate(chosen):
        parts = []
        for member in runs[fold]:
            echo(f"fold {fold}, seed {member.seed} ({number + 1} of {len(chosen)} folds)")
            if not is_trained(member, _folder(out, member), data):
                train(member, _folder(out, member), echo=echo, samples=data)
                keras.backend.clear_session()  # or each run's graphs stay in memory until the last one
            parts.append(_score_run(_folder(out, member), data, count=-(-count // members)))
        folds_answers.append(ensemble(parts, [_folder(out, member) for member in runs[fold]]))
    answers = join(folds_answers)
    attainable = attainable_score(config, set(answers.held_out.patient.tolist())) if samples is None else None
    results = assess(answers, attainable=attainable)
    results = with_others(results, beside(out, results.metrics))
    write_report(out, results, answers)
    return results.metrics


def beside(out: Path, metrics: Metrics) -> list[Results]:
    """Return the evaluations of the same folds of the same data in the folders beside `out`.

    Args:
        out: folder of a cross-validation.
        metrics: of that one.

    Raises:
        DataError: a folder holds the tables of an evaluation that cannot be read.
    """
    found = []
    taken = {metrics.label}
    for table in sorted(out.resolve().parent.glob("*/metrics.csv")):
        folder = table.parent
        if folder == out.resolve():
            continue
        results = read_results(folder)
        theirs = results.metrics
        if (theirs.fingerprint, theirs.folds) != (metrics.fingerprint, metrics.folds):
            continue
        label = f"{results.label} ({folder.name})" if results.label in taken else results.label
        taken.add(label)
        found.append(results._replace(label=label))
    return found


def with_others(ours: Results, others: Sequence[Results]) -> Results:
    """Return results with the scores of other evaluations, and the comparison of every two of all.

    Args:
        ours: of this evaluation.
        others: of `beside`.
    """
    methods = dict(ours.metrics.methods)
    ceiling = methods.pop(PERFECT)  # stays the last row
    for results in others:
        theirs = results.metrics.methods
        for ending in (ONE, ""):
            name = results.metrics.label + ending
            if name in theirs:
                methods[results.label + ending] = theirs[name]
    metrics = dataclasses.replace(
        ours.metrics,
        methods={**methods, PERFECT: ceiling},
        comparisons=[*ours.metrics.comparisons, *compare_results([ours, *others])],
    )
    return ours._replace(metrics=metrics)


def _score_run(folder: Path, samples: Samples, *, count: int) -> Answers:
    """Ask a run once, and leave in its folder what `tfdrift train` would."""
    answers = ask(folder, samples, count=count)
    write_scores(folder, answers)
    return answers


def _write_folds(out: Path, fold: dict[str, int]) -> None:
    """Write the folds that the runs refer to, and never others in place of those of runs that are there."""
    path = out / FOLDS
    with writing(out):
        there = path.exists()
        if not there:
            out.mkdir(parents=True, exist_ok=True)
            write_folds(path, fold)
    if there and read_folds(path) != fold:
        raise UsageError(f"{out} holds runs of other groups; choose another --out or the same groups")


def _folder(out: Path, config: TrainConfig) -> Path:
    return out / f"fold{config.fold}-seed{config.seed}"
