"""`tfdrift reproduce`: the paper's figures, by name."""

from pathlib import Path
from typing import Any

import click

from tfdrift.reproduction.experiments import EXPERIMENTS

from .crossval import check_where, scheduler_option, workers_option
from .quiet import start_tensorflow

NAME_WIDTH = 16


def _print_list(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    click.echo("Times at most: 4 cores, 16 filters. With --base-filters 8 --workers 4 about a fifth of them.\n")
    for name, experiment in EXPERIMENTS.items():
        minutes = experiment.minutes()
        time = f"about {minutes / 60:.1f} h" if minutes >= 90 else f"about {minutes} min" if minutes else "at once"
        room = " " * NAME_WIDTH
        click.echo(
            f"{name:<{NAME_WIDTH}}{experiment.title}  ({time})\n{room}{experiment.purpose}\n{room}{experiment.expect}"
        )
    context.exit()


@click.command()
@click.argument("names", type=click.Choice(["all", *EXPERIMENTS]), nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_print_list, help="Print what there is."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default="docs/figures", show_default=True, help="Folder of the pictures."
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default="runs/reproduce",
    show_default=True,
    help="Folder of the trainings.",
)
@click.option("--data", default="phantom", show_default=True, help="What to train on; fig3 takes MNIST.")
@click.option("--mnist-file", type=click.Path(path_type=Path), help="mnist.npz in the layout of Keras' own file.")
@click.option("--steps", type=int, help="Optimiser steps of every run.  [default: 5000, the paper's; tables 1000]")
@click.option("--image-size", type=int, help="Side of the crops in pixels.  [default: 32]")
@click.option("--base-filters", type=int, help="Filters of the first stage.  [default: 16]")
@click.option("--depth", type=int, help="Number of poolings.  [default: 3]")
@click.option("--batch-size", type=int, help="Images a step.  [default: 64, the paper's]")
@workers_option
@scheduler_option
def reproduce(
    names: tuple[str, ...],
    out: Path,
    runs: Path,
    data: str,
    mnist_file: Path | None,
    workers: int,
    scheduler: str | None,
    **settings: Any,
) -> None:
    """Train what the figures NAME... of the paper need, draw them, and write their numbers beside them.

    NAME is fig1b, fig2 to fig8, s1 to s5, or all of these as `all`; `table`, `readings` and `group-maps` hold out each
    patient once; `recipes`, `training-seeds`, `law-NAME`, `learning-curve`, `conditions`, `trajectory`,
    `counterfactual`, `third-visit` and `whole-NAME` score others, drawn anew of the phantom. Trainings are kept and
    shared: the same command goes on where it stopped.

    \b
    Example:
      tfdrift reproduce --list
      tfdrift reproduce fig4 fig5
      tfdrift reproduce readings --workers 4
      tfdrift reproduce all --mnist-file mnist.npz
    """
    check_where(workers, scheduler)
    start_tensorflow()
    from tfdrift.reproduction.cached_runs import CachedRuns
    from tfdrift.reproduction.reproduce import reproduce as run_experiments

    overrides = {name: value for name, value in settings.items() if value is not None}
    cached = CachedRuns(
        runs,
        lesions=data,
        mnist_file=mnist_file,
        overrides=overrides,
        workers=workers,
        scheduler=scheduler,
        echo=click.echo,
    )
    for path in run_experiments(names, out, cached, echo=click.echo):
        click.echo(f"wrote {path}")
