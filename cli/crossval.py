"""`tfdrift crossval`: a method on every fold in turn."""

from pathlib import Path
from typing import Any

import click

from tfdrift import config as settings
from tfdrift.config import train_config
from tfdrift.errors import UsageError

from .quiet import start_tensorflow
from .train import training_options

workers_option = click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Trainings at a time. With 2 or more each has one processor thread, and the weights are those of one thread.",
)
scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Train on the workers of a Dask cluster, such as tcp://10.0.0.1:8786; the weights are those of one thread.",
)


@click.command()
@click.argument("method", type=click.Choice(settings.METHODS))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of all runs.  [default: crossval/METHOD, with --groups crossval/METHOD-groups]",
)
@click.option("--folds", metavar="0,1,...", help="Folds to hold out in turn.  [default: all there are]")
@click.option(
    "--groups",
    type=click.Path(path_type=Path),
    help="CSV of patient and group: hold out whole groups, such as sites, in place of folds.",
)
@click.option("--members", default=1, show_default=True, type=click.IntRange(1, 100), help="Runs a fold: an ensemble.")
@click.option(
    "--outcomes",
    "--samples",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Outcomes of each slice.",
)
@workers_option
@scheduler_option
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json and nothing else.")
@training_options
def crossval(
    method: str,
    out: Path | None,
    folds: str | None,
    groups: Path | None,
    members: int,
    outcomes: int,
    workers: int,
    scheduler: str | None,
    as_json: bool,
    preset: str,
    mnist_file: Path | None,
    **given: Any,
) -> None:
    """Train METHOD once for each fold and score every patient by the run that has not seen it.

    The same command again goes on where it stopped; finished folds are not trained again. The report also compares with
    the cross-validations of other methods on the same data in the folders beside --out. The names of groups are printed
    and written nowhere.

    \b
    Example:
      tfdrift crossval direct
      tfdrift crossval method1 --workers 4
      tfdrift crossval method1 --scheduler tcp://10.0.0.1:8786
      tfdrift crossval direct --data cohort --groups sites.csv
    """
    check_where(workers, scheduler)
    config = train_config(method, preset=preset, mnist_file=str(mnist_file) if mnist_file else None, **given)
    chosen = _numbers(folds) if folds is not None else None
    folder = out or Path("crossval") / (method if groups is None else f"{method}-groups")
    start_tensorflow()
    from tfdrift.evaluation.crossval import cross_validate
    from tfdrift.evaluation.document import as_json as to_json
    from tfdrift.evaluation.report import in_short

    metrics = cross_validate(
        config,
        folder,
        folds=chosen,
        groups=groups,
        members=members,
        count=outcomes,
        workers=workers,
        scheduler=scheduler,
        echo=lambda line: click.echo(line, err=as_json),
    )
    click.echo(to_json(metrics).rstrip() if as_json else in_short(metrics, folder))


def check_where(workers: int, scheduler: str | None) -> None:
    """Refuse a cluster that does not answer, or one together with processes of this machine, before anything is done.

    Args:
        workers: of `--workers`.
        scheduler: of `--scheduler`.

    Raises:
        UsageError: there are several workers and a scheduler, or nobody answers at its address.
        ResourceError: the extra `cluster` is not installed.
    """
    if workers > 1 and scheduler is not None:
        raise UsageError(f"--workers {workers}: how many run at a time is up to the workers of --scheduler")
    if scheduler is not None:
        from tfdrift.cluster import check_scheduler

        check_scheduler(scheduler)


def _numbers(folds: str) -> list[int]:
    try:
        return sorted({int(number) for number in folds.split(",")})
    except ValueError:
        raise UsageError(f"--folds {folds}: give numbers of folds with commas between them, such as 0,2") from None
