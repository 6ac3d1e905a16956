"""`tfdrift evaluate`: all scores of a run, and a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tfdrift.config import LESIONS, PHANTOM_LAWS, read_config, read_days

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
@click.option(
    "--data", type=click.Choice(["phantom"]), help="Score patients of the phantom drawn anew, not the held-out fold."
)
@click.option("--patients", type=click.IntRange(2, 10_000), help="How many, with --data phantom.  [default: 150]")
@click.option("--data-seed", type=click.IntRange(0), help="Which, with --data phantom.  [default: 4242]")
@click.option(
    "--law",
    type=click.Choice(PHANTOM_LAWS),
    help="How their lesions change, with --data phantom.  [default: as those that RUN was trained on]",
)
@click.option(
    "--visit-days", metavar="DAYS", help="Days of their second MRIs, such as 10,45, with --data phantom.  [default: 21]"
)
@click.option(
    "--lesion",
    type=click.Choice(LESIONS),
    help="What a crop of theirs is, with --data phantom.  [default: as those that RUN was trained on]",
)
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json and nothing else.")
def evaluate(
    run: Sequence[Path],
    ensemble: bool,
    against: Sequence[Path],
    out: Path | None,
    outcomes: int,
    data: str | None,
    patients: int | None,
    data_seed: int | None,
    law: str | None,
    visit_days: str | None,
    lesion: str | None,
    as_json: bool,
) -> None:
    """Score RUN on the patients it has never seen, beside the baselines and other runs.

    Writes metrics.json, metrics.csv, lesions.csv, report.md and report.html. What is meant by every number is in
    docs/evaluation.md.

    \b
    Example:
      tfdrift evaluate runs/first --against runs/baseline
      tfdrift evaluate --runs runs/seed0 runs/seed1 runs/seed2
      tfdrift evaluate runs/first --data phantom --patients 150 --data-seed 4242 --out new
    """
    from tfdrift.errors import UsageError

    if len(run) > 1 and not ensemble:
        raise UsageError(f"{len(run)} runs: add --runs to score them as one ensemble, or compare with --against RUN")
    options = {"patients": patients, "data_seed": data_seed, "law": law, "visit_days": visit_days, "lesion": lesion}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if given and data is None:
        named = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{named} without --data phantom: only patients of the phantom can be drawn; add it")
    start_tensorflow()
    from tfdrift.evaluation.document import as_json as to_json
    from tfdrift.evaluation.report import evaluate as evaluate_runs
    from tfdrift.evaluation.report import in_short
    from tfdrift.synthetic.new_patients import NewPatients

    folder = out or run[0] / "evaluation"
    days = read_days(given.pop("visit_days", ""))
    if days:
        given["days"] = days
    config, _ = read_config(run[0] / "config.json")
    new = NewPatients(**{"law": config.law, "lesion": config.lesion, **given}) if data else None
    metrics = evaluate_runs(run, folder, against=against, count=outcomes, new_patients=new)
    click.echo(to_json(metrics).rstrip() if as_json else in_short(metrics, folder))
