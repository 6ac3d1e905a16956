"""The `tfdrift` command: finds the module of a command only when it is asked for, and turns errors into exit codes."""

import importlib
import os
import platform
import shutil
import sys
from importlib import metadata

import click

import tfdrift
from tfdrift.errors import TfdriftError

COMMANDS = {
    "cohort": ("cohort:cohort", "From DICOM folders to a cohort to train on."),
    "train": ("train:train", "Train a method and score it on held-out patients."),
    "evaluate": ("evaluate:evaluate", "Score a run on held-out patients, with uncertainty and a report."),
    "crossval": ("crossval:crossval", "Train and score a method on every fold in turn."),
    "reproduce": ("reproduce:reproduce", "Redraw the figures of the paper, training what they need."),
    "export": ("export:export", "Write a trained run as a SavedModel for TF Serving."),
    "predict": ("predict:predict", "Predict a patient's second MRI, for a DICOM viewer."),
    "app": ("app:app", "Open a page in the browser for cohorts, training and patients."),
    "workers": ("workers:workers", "Start workers on this machine for --scheduler, until Ctrl-C."),
    "serve": ("serve:serve", "Serve models over gRPC and REST as TF Serving does."),
}
"""Name of each command: where it is, and the line `tfdrift --help` shows, so that help needs no module of a command."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command, or return None for an unknown one."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        return getattr(importlib.import_module(f".{module}", __package__), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


REPORTED = (
    "tensorflow",
    "keras",
    "numpy",
    "pydicom",
    "SimpleITK",
    "highdicom",
    "scipy",
    "scikit-image",
    "matplotlib",
    "tensorflow-datasets",
    "tensorflow-serving-api",
    "grpcio",
    "protobuf",
    "starlette",
    "uvicorn",
)
"""Packages that a report of a fault must name."""


def print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    """Print the version and end; with `--verbose` also what a report of a fault needs, without importing TensorFlow.

    Args:
        ctx: of the command line.
        asked: whether `--version` was given.
    """
    if not asked:
        return
    click.echo(f"tfdrift, version {tfdrift.__version__}")
    if ctx.params.get("verbose"):
        click.echo(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores")
        for name in REPORTED:
            try:
                click.echo(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                click.echo(f"{name} is not installed")
        server = shutil.which("tensorflow_model_server")
        click.echo(f"tensorflow_model_server {'is' if server else 'is not'} on the PATH")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--verbose", is_flag=True, is_eager=True, help="With --version: what a report of a fault needs.")
@click.option("--version", is_flag=True, expose_value=False, callback=print_version, help="Show the version and exit.")
def cli(verbose: bool) -> None:
    """Predict how a brain metastasis changes between two MRIs around radiosurgery.

    \b
    Example:
      tfdrift train method1 --out runs/first
      tfdrift export runs/first

    Exit codes: 0 done, 1 model not good enough to be served, 2 usage, 3 bad input data, 4 environment (unwritable
    folder, missing program, port taken), 5 training diverged, 130 and 143 stopped by a signal after a checkpoint.
    Research use, not a medical device.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code of what happened.

    Args:
        arguments: without the program's name; those of the process if None.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets on standard error otherwise
    try:
        code = cli.main(arguments, prog_name="tfdrift", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except TfdriftError as error:
        message = " ".join(str(error).splitlines())  # what a library said may have several lines
        click.echo(f"Error: {message}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("Error: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
