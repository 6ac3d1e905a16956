"""`tfdrift export`: a run as a versioned SavedModel."""

from pathlib import Path

import click

from .quiet import start_tensorflow


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to", type=click.Path(path_type=Path), help="Folder of the versions.  [default: saved_models/NAME OF RUN]"
)
def export(run: Path, to: Path | None) -> None:
    """Write RUN as a new version of a SavedModel that TF Serving takes as it is.

    The graph holds the normalisation and the whole sampler; whoever loads it needs nothing of tfdrift.

    \b
    Example:
      tfdrift export runs/first
      tfdrift export runs/first --to saved_models/method1
    """
    start_tensorflow()
    from tfdrift.serving.export import export_run

    version = export_run(run, to)
    click.echo(f"SavedModel       {version}")
    click.echo(f"look inside      saved_model_cli show --dir {version} --all")
