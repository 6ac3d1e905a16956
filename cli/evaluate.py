"""`tfdrift evaluate`: all scores of a run, and a report."""

from collections.abc import Sequence
from pathlib import Path

import click

from .quiet import start_tensorflow

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("run", nargs=-1, required=True, type=_FOLDER)
@click.option(
    "--runs", "ensemble", is_flag=True, help="The RUNs given are one ensemble, trained with different --seed."
)
@click.option("--against", multiple=True, metavar="RUN", type=_FOLDER, help="Another run to compare with; repeatable.")
@click.option("--out", type=_FOLDER, help="Folder of the report.  [default: RUN/evaluation]")
@click.option(
    "--outcomes",
    "--samples",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Outcomes of each slice.",
)
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json and nothing else.")
def evaluate(
    run: Sequence[Path], ensemble: bool, against: Sequence[Path], out: Path | None, outcomes: int, as_json: bool
) -> None:
    """Score RUN on the patients it has never seen, beside the baselines and other runs.

    Writes metrics.json, metrics.csv, lesions.csv, report.md and report.html. What is meant by every number is in
    docs/evaluation.md.

    \b
    Example:
      tfdrift evaluate runs/first --against runs/baseline
      tfdrift evaluate --runs runs/seed0 runs/seed1 runs/seed2
    """
    from tfdrift.errors import UsageError

    if len(run) > 1 and not ensemble:
        raise UsageError(f"{len(run)} runs: add --runs to score them as one ensemble, or compare with --against RUN")
    start_tensorflow()
    from tfdrift.evaluation.document import as_json as to_json
    from tfdrift.evaluation.report import evaluate as evaluate_runs
    from tfdrift.evaluation.report import in_short

    folder = out or run[0] / "evaluation"
    metrics = evaluate_runs(run, folder, against=against, count=outcomes)
    click.echo(to_json(metrics).rstrip() if as_json else in_short(metrics, folder))
