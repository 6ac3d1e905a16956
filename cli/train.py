"""`tfdrift train`: one method on one data set into a run folder."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfdrift import config as settings
from tfdrift.config import train_config
from tfdrift.diffusion.predictions import PREDICTIONS
from tfdrift.diffusion.schedule import SCHEDULES
from tfdrift.methods import METHODS
from tfdrift.methods.augmentation import AUGMENTATIONS
from tfdrift.methods.balances import BALANCES
from tfdrift.methods.dressing import DRESSINGS
from tfdrift.methods.method2 import DRIFT_FROM
from tfdrift.methods.outputs import AGREEMENTS, DRIFT_FORMS, OUTPUTS
from tfdrift.methods.symmetries import SYMMETRIES
from tfdrift.model.heads import HEADS
from tfdrift.model.limits import PRECISIONS

from .quiet import start_tensorflow


def _option(name: str, help_text: str, **attributes: Any):
    """Return the option of a setting; its help shows the default of each method where they differ."""
    defaults = {method: getattr(train_config(method), name) for method in METHODS}
    usual = next(iter(defaults.values()))
    shown = [str(usual), *(f"{method}: {value}" for method, value in defaults.items() if value != usual)]
    return click.option(
        f"--{name.replace('_', '-')}",
        type=attributes.pop("type", type(usual)),
        help=f"{help_text}  [default: {'; '.join(shown)}]",
        **attributes,
    )


_SETTINGS = [
    click.option("--data", metavar="phantom|mnist|COHORT", help="What to train on.  [default: phantom]"),
    click.option(
        "--preset", type=click.Choice(settings.PRESETS), default="default", help="Every number of the paper, or ours."
    ),
    _option("steps", "Optimiser steps of the whole run."),
    _option("batch_size", "Images a step."),
    _option("image_size", "Side of the crops in pixels."),
    _option("base_filters", "Filters of the first stage."),
    _option("depth", "Number of poolings."),
    _option("heads", "What the two outputs share.", type=click.Choice(list(HEADS))),
    _option(
        "condition",
        "Columns that the network is given, separated by commas: of the cohort, such as interval_days, or measured: "
        "size, place, core, peak, response.",
    ),
    click.option(
        "--condition-dropout",
        type=float,
        help="How often a condition is shown as unknown.  [default: 0.1 where there are conditions]",
    ),
    _option("channel_dropout", "How often a channel beyond the first is shown as unknown."),
    click.option("--pretrained", type=click.Path(), metavar="RUN", help="Run folder whose weights are the first ones."),
    _option(
        "output",
        "What the reconstruction is: the second MRI, or what the first lacks of it.",
        type=click.Choice(list(OUTPUTS)),
    ),
    _option(
        "drift_form",
        "The drift as a difference, or as movement, gain and what is new.",
        type=click.Choice(list(DRIFT_FORMS)),
    ),
    _option("agree", "Post and pre + drift as two answers, or their mean.", type=click.Choice(list(AGREEMENTS))),
    _option("symmetries", "How many of the square's an answer is averaged over.", type=click.Choice(SYMMETRIES)),
    _option("augment", "How each slice is shown in training.", type=click.Choice(list(AUGMENTATIONS))),
    _option("inner_folds", "Groups of training patients that choose steps and shrinkage; 0 is off."),
    _option(
        "dressing",
        "Outcomes without errors, or with such as answers to the inner groups had.",
        type=click.Choice(list(DRESSINGS)),
    ),
    _option("noise_level", "Noise where no signal is left, in units of the largest signal."),
    _option("schedule", "Noise schedule.", type=click.Choice(list(SCHEDULES))),
    _option("levels", "Number of noise levels."),
    _option("prediction", "What Method 2 predicts.", type=click.Choice(list(PREDICTIONS))),
    _option("estimate_level", "Level that Method 1 predicts from; by default the middle one."),
    _option("start_level", "Level that Method 2 starts from; the paper's is the noisiest."),
    _option("sample_steps", "DDIM steps of Method 2; by default all levels from there."),
    _option("eta", "0 for DDIM, 1 for the variance of DDPM."),
    _option("drift_from", "Method 2's drift: mean over the levels, or the last.", type=click.Choice(list(DRIFT_FROM))),
    click.option("--clip-x0/--no-clip-x0", default=None, help="Clip Method 2's estimate of the pre image to [0, 1]."),
    _option("balance", "Weighted sum of the losses, or of their logarithms.", type=click.Choice(list(BALANCES))),
    _option("recon_weight", "Weight of the reconstruction loss."),
    _option("drift_weight", "Weight of the drift loss."),
    _option("recon_ssim", "Share of SSIM in the reconstruction loss."),
    _option("drift_ssim", "Share of SSIM in the drift loss."),
    _option("learning_rate", "Step size of AdamW."),
    _option("decay", "How the step size falls over the run.", type=click.Choice(settings.DECAYS)),
    _option("weight_decay", "Weight decay of AdamW."),
    _option("ema", "Share the average of the weights keeps a step; 0 is off."),
    _option("clip_norm", "Largest gradient norm; 0 is off."),
    _option("precision", "Precision the network computes in.", type=click.Choice(list(PRECISIONS))),
    _option("seed", "Of weights, order and noise."),
    click.option("--mnist-file", type=click.Path(path_type=Path), help="mnist.npz in the layout of Keras' own file."),
    _option("mnist_change", "How the digits change.", type=click.Choice(settings.DIGIT_CHANGES)),
    _option("law", "How the phantom's lesions change.", type=click.Choice(settings.PHANTOM_LAWS)),
    _option("patients", "How many patients the phantom has."),
    _option(
        "lesion",
        "What a crop of the phantom is. A cohort has its own; context there adds the conditions size, place and peak.",
        type=click.Choice(settings.LESIONS),
    ),
    _option("visit_days", "Days of the phantom's MRIs after the first, each two a pair; by default one, on day 21."),
    _option("log_every", "Steps between lines of progress; a signal is heeded there."),
    _option("validate_every", "Steps between looks at the held-out patients."),
    _option("checkpoint_every", "Steps between checkpoints."),
]
"""The options of a training run that do not say where it goes and what it holds out."""


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every setting of a training run."""
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@click.command()
@click.argument("method", type=click.Choice(list(METHODS)))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/METHOD]")
@_option("fold", "Patients held out.")
@training_options
@click.option("--dry-run", is_flag=True, help="Print the settings as JSON and stop.")
def train(method: str, out: Path | None, preset: str, dry_run: bool, mnist_file: Path | None, **given: Any) -> None:
    """Train METHOD and score it on patients it has never seen.

    method1 predicts the post-treatment image in one step, method2 by DDIM, direct without noise (the baseline),
    distribution draws what may happen from latent noise, palette by DDIM from noise, given the first MRI. The same
    command on the same --out goes on where it stopped.

    Started on several machines with TF_CONFIG set, it trains one model on all of them: each takes its part of every
    batch, the first writes the run folder, and all must see that folder and the data.

    \b
    Example:
      tfdrift train method1 --out runs/first
      tfdrift train method1 --data mycohort --out runs/mine
      tensorboard --logdir runs/first/tensorboard
    """
    config = train_config(method, preset=preset, mnist_file=str(mnist_file) if mnist_file else None, **given)
    if dry_run:
        click.echo(settings.as_json(config))
        return
    folder = out or Path("runs") / method
    start_tensorflow()
    from tfdrift.evaluation.report import evaluate_run, run_in_short
    from tfdrift.training.machines import join
    from tfdrift.training.train import train as run_training

    machines = join(config, os.environ.get("TF_CONFIG", ""), echo=click.echo)
    run_training(config, folder, echo=click.echo, machines=machines)
    if machines.is_chief:
        click.echo(run_in_short(evaluate_run(folder), folder))
