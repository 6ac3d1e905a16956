"""`tfdrift export`: a run, or an ensemble of runs, as a version of a served model."""

from collections.abc import Sequence
from pathlib import Path

import click

from tfdrift.errors import UsageError

from .quiet import start_tensorflow

MODELS = Path("saved_models")


@click.command()
@click.argument("run", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--runs", "ensemble_of_runs", is_flag=True, help="The RUNs given are one ensemble, trained with different --seed."
)
@click.option(
    "--to", type=click.Path(path_type=Path), help="Folder of the versions.  [default: saved_models/NAME OF RUN]"
)
@click.option("--ensemble", default=16, show_default=True, help="Outcomes of the signature `ensemble`.")
@click.option("--tolerance", default=0.02, show_default=True, help="Skill that may be lost to the version served now.")
@click.option(
    "--calibration",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="What `tfdrift crossval` or `evaluate` wrote for these settings: widens the intervals of `tfdrift predict`.",
)
@click.option("--force", is_flag=True, help="Push a model that is not blessed; this is recorded beside it.")
@click.option("--list", "list_only", is_flag=True, help="Show the versions, their blessing and their scores.")
def export(
    run: Sequence[Path],
    ensemble_of_runs: bool,
    to: Path | None,
    ensemble: int,
    tolerance: float,
    calibration: Path | None,
    force: bool,
    list_only: bool,
) -> None:
    """Write RUN as a new version of a SavedModel that TF Serving takes as it is.

    The graph holds the normalisation and the whole sampler; whoever loads it needs nothing of tfdrift. The version
    shows only when it is blessed, better than predicting no change and no worse than the version served now on
    held-out patients, and when a server has answered every signature as the network does. Otherwise no version is
    written and the exit code is 1. With --runs the model holds several runs: its answer is the mean of theirs, and its
    outcomes are drawn from all of them.

    \b
    Example:
      tfdrift export runs/first
      tfdrift export runs/first --to saved_models/method1 --calibration crossval/method1
      tfdrift export --runs runs/seed0 runs/seed1 runs/seed2 --to saved_models/joined
      tfdrift export --list
    """
    if len(run) > 1 and not ensemble_of_runs:
        raise UsageError(f"{len(run)} runs: add --runs to export them as one ensemble")
    if list_only:
        _show(run, to)
        return
    if not run:
        raise UsageError("tfdrift export: give the RUN to export, or --list")
    start_tensorflow()
    from tfdrift.export.push import push_runs

    pushed = push_runs(run, to, outcomes=ensemble, tolerance=tolerance, force=force, calibration=calibration)
    click.echo(f"blessing         {'BLESSED' if all(check.passed for check in pushed.checks) else 'FORCED'}")
    for check in pushed.checks:
        click.echo(f"{'passed' if check.passed else 'not passed':<17}{check.said}")
    found = calibration or "none; intervals of predictions will be far too narrow, see --calibration"
    click.echo(f"calibration      {found}")
    click.echo(f"tried            {pushed.tried}")
    click.echo(f"SavedModel       {pushed.version}")
    click.echo(f"look inside      saved_model_cli show --dir {pushed.version} --all")


def _show(run: Sequence[Path], to: Path | None) -> None:
    from tfdrift.export.model_folder import as_table, default_target, list_models, list_versions

    folder = default_target(run[0]) if to is None and run else to
    click.echo(as_table(list_models(MODELS) if folder is None else list_versions(folder)))
