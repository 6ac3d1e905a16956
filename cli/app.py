"""`tfdrift app`: a page on this machine for those who type no commands."""

import shutil
from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)


@click.command()
@click.option(
    "--root", type=FOLDER, help="The page sees this folder and what is below it.  [default: your home folder]"
)
@click.option("--models", type=FOLDER, default="saved_models", show_default=True, help="Folder of exported models.")
@click.option("--runs", type=FOLDER, default="runs", show_default=True, help="Folder of runs.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on.  [default: any free]")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in your browser.")
def app(root: Path | None, models: Path, runs: Path, port: int, browser: bool) -> None:
    """Open a page in the browser for cohorts, training and patients.

    It listens on this machine alone, opens for the printed address alone, and sends nothing anywhere. What it starts
    are commands of tfdrift; they end with it.

    \b
    Example:
      tfdrift app
      tfdrift app --root /data/patients --no-browser
    """
    from tfdrift.export.boxed_models import FOLDER, boxed_folder
    from tfdrift.files import writing
    from tfdrift.serving.extra import require_extra

    require_extra()
    boxed = boxed_folder()
    if models == Path(FOLDER) and not models.exists() and boxed is not None:
        with writing(models, to_do="choose a folder you may write to, or give --models"):
            shutil.copytree(boxed, models, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        click.echo(f"models      {models} is new and holds those that come with tfdrift")
    from tfdrift.app.server import serve

    serve(root or Path.home(), models=models, runs=runs, port=port, browser=browser, echo=click.echo)
