"""Training runs that experiments share, each in a folder named after what decides its weights.

A run that is there is not trained again, and one that was stopped goes on. The number of steps belongs to the name: a
picture depends on the command that makes it alone, not on what was trained before.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfdrift.cohort.folds import split
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig, train_config
from tfdrift.evaluation import baselines
from tfdrift.evaluation.outcomes import draw_levels, draw_outcomes
from tfdrift.evaluation.report import score
from tfdrift.evaluation.results import Results
from tfdrift.methods.method import Predictor
from tfdrift.reproduction.experiment import Experiment, Run
from tfdrift.reproduction.predictions import Predictions, join_folds
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.training.data import load_samples
from tfdrift.training.run_folder import is_trained, load_config_samples, load_predictor
from tfdrift.training.side_by_side import train_all
from tfdrift.training.train import train

LOG_LINES = 200
"""Points of a loss curve."""

REMEMBERED = 16
"""Runs whose predictions are kept in memory."""

ScoreTold = Callable[[Run, TrainConfig, Predictor, Samples, NewPatients], dict[str, Any]]
"""What scores a run that is told of new patients: takes it, its settings and predictor, what it was trained on, and who
is new."""

_DECIDES_PHANTOM = ("law", "patients", "visit_days", "lesion", "image_size")
_DECIDES_NO_WEIGHTS = {"mnist_file", "pretrained", "log_every", "validate_every", "checkpoint_every"}


class CachedRuns:
    """Trains what is missing and remembers what was predicted.

    Args:
        folder: of all runs; each has a folder of its own below.
        lesions: what `--data` names.
        mnist_file: see `tfdrift.synthetic.digits.digit_samples`.
        overrides: fields of `TrainConfig` that every run is given, such as `steps`.
        workers: trainings at a time; one is in this process with all its threads, several as in `train_all`.
        scheduler: of a cluster that trains, see `train_all`.
        echo: takes lines of progress.
        samples: the data of `lesions` and `digits` where they are at hand.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lesions: str = "phantom",
        mnist_file: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        workers: int = 1,
        scheduler: str | None = None,
        echo: Callable[[str], None],
        samples: Mapping[str, Samples] | None = None,
    ) -> None:
        self._folder, self._overrides, self._echo = folder, dict(overrides or {}), echo
        self._workers, self._scheduler = workers, scheduler
        self._names = {"lesions": lesions, "digits": "mnist"}
        self._mnist_file = str(mnist_file) if mnist_file else None
        self._samples = dict(samples or {})
        self._predictions: dict[tuple, Predictions] = {}

    def samples(self, data: str) -> Samples:
        """Return the data of `lesions` or `digits`, read once.

        Raises:
            DataError: they cannot be had.
            ResourceError: MNIST cannot be downloaded.
        """
        if data not in self._samples:
            size = train_config("direct", **self._overrides).image_size
            self._samples[data] = load_samples(self._names[data], image_size=size, mnist_file=self._mnist_file)
        return self._samples[data]

    def data_name(self, data: str) -> str:
        """Return `phantom`, `mnist` or `cohort`; a cohort's folder is nobody else's business."""
        return train_config("direct", data=self._names[data]).data_kind

    def command(self, experiment: Experiment) -> str:
        """Return the command that makes an experiment with these settings."""
        options = [f"--{name.replace('_', '-')} {value}" for name, value in self._overrides.items()]
        return " ".join([experiment.command, *options])

    def configs(self, run: Run, experiment: Experiment) -> list[TrainConfig]:
        """Return the settings of a run, one for each fold that the experiment holds out or each member of an ensemble.

        Args:
            run: the definition.
            experiment: that it belongs to.

        Raises:
            UsageError: the overrides do not go together with the run.
        """
        first = None
        if run.pretrained is not None:
            (first_config,) = self.configs(run.pretrained, experiment)
            first = str(self.folder_of(first_config, self.samples_of(first_config, experiment)))
        given = {**run.settings, **self._overrides, "pretrained": first}
        plain = train_config(run.method, preset=run.preset, **given)
        log_every = max(plain.steps // LOG_LINES, 1)
        if experiment.new_patients is not None:
            members = range(plain.seed, plain.seed + run.seeds)
            return [dataclasses.replace(plain, seed=seed, log_every=log_every) for seed in members]
        folds = sorted(set(self.samples(experiment.data).fold.tolist())) if experiment.every_fold else [0]
        given = {"data": self._names[experiment.data], "mnist_file": self._mnist_file, "log_every": log_every}
        return [dataclasses.replace(plain, fold=fold, **given) for fold in folds]

    def samples_of(self, config: TrainConfig, experiment: Experiment) -> Samples:
        """Return the data that a run of an experiment is trained on.

        Args:
            config: of the run.
            experiment: that it belongs to.

        Raises:
            DataError: they cannot be had.
            ResourceError: MNIST cannot be downloaded.
        """
        if experiment.new_patients is None:
            return self.samples(experiment.data)
        key = str([getattr(config, name) for name in _DECIDES_PHANTOM])
        if key not in self._samples:
            self._samples[key] = load_config_samples(config)
        return self._samples[key]

    def folder_of(self, config: TrainConfig, samples: Samples) -> Path:
        """Return the folder of a run: readable, and another one for other weights.

        Args:
            config: the settings.
            samples: the data.

        Settings that are at their defaults do not enter the name, so that a version with one more setting finds the
        runs of the one before. Should a default change, training refuses the folder.
        """
        decides = {
            field.name: getattr(config, field.name)
            for field in dataclasses.fields(config)
            if field.name not in _DECIDES_NO_WEIGHTS and getattr(config, field.name) != field.default
        }
        first = [Path(config.pretrained).name] if config.pretrained else []
        text = json.dumps([decides, samples.fingerprint(), *first], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return self._folder / f"{config.method}-{config.heads}-fold{config.fold}-{config.steps}-{digest}"

    def train_ahead(self, experiments: Sequence[Experiment]) -> None:
        """Train side by side what experiments need; one worker without a cluster waits for `predictions`.

        Raises:
            TfdriftError: as `tfdrift.training.side_by_side.train_all` does.
        """
        if self._workers == 1 and self._scheduler is None:
            return
        needed = [(run, experiment) for experiment in experiments for run in experiment.runs]
        first = [(run.pretrained, experiment) for run, experiment in needed if run.pretrained is not None]
        for runs in filter(None, (first, needed)):
            jobs = {}
            for config, experiment in ((one, of) for run, of in runs for one in self.configs(run, of)):
                samples = self.samples_of(config, experiment)
                folder = self.folder_of(config, samples)
                jobs[folder] = (config, folder, samples)
            train_all(list(jobs.values()), workers=self._workers, scheduler=self._scheduler, echo=self._echo)

    def predictions(self, run: Run, experiment: Experiment) -> Predictions:
        """Train a run as far as it is not trained yet, and return what it predicts.

        Args:
            run: the definition.
            experiment: that it belongs to.

        Raises:
            TfdriftError: as `tfdrift.training.train.train` and `load_predictor` do.
        """
        tf.config.experimental.enable_op_determinism()  # as training does: the same numbers where nothing is to train
        samples = self.samples(experiment.data)
        parts = [self._predict_fold(run, config, samples) for config in self.configs(run, experiment)]
        return parts[0] if len(parts) == 1 else join_folds(parts)

    def on_new_patients(self, run: Run, experiment: Experiment) -> Results:
        """Train a run, or an ensemble, as far as it is not trained yet, and score it on the experiment's new patients.

        Args:
            run: the definition.
            experiment: that it belongs to; it has new patients.

        Raises:
            TfdriftError: as `tfdrift.training.train.train` and `tfdrift.evaluation.report.score` do.
        """
        assert experiment.new_patients is not None
        tf.config.experimental.enable_op_determinism()
        if run.pretrained is not None:
            self._trained(run.pretrained, experiment)
        configs, folders = self._trained(run, experiment)
        new = dataclasses.replace(experiment.new_patients, law=configs[0].law, lesion=configs[0].lesion)
        samples = self.samples_of(configs[0], experiment)
        return score(folders, samples=samples, new_patients=new)[0]

    def told(self, run: Run, experiment: Experiment, score: ScoreTold) -> dict[str, Any]:
        """Train a run as far as it is not trained yet, and score what it says when it is told this and that.

        Args:
            run: the definition, of one seed.
            experiment: that it belongs to; it has new patients.
            score: takes the run, its settings, its predictor, the slices it was trained on and who is new.

        Returns:
            What `score` returns.

        Raises:
            TfdriftError: as `tfdrift.training.train.train` and `load_predictor` do.
        """
        assert experiment.new_patients is not None
        tf.config.experimental.enable_op_determinism()
        (config,), (folder,) = self._trained(run, experiment)
        training, _ = split(self.samples_of(config, experiment), config.fold)
        new = dataclasses.replace(experiment.new_patients, law=config.law, lesion=config.lesion)
        return score(run, config, load_predictor(folder)[2], training, new)

    def _trained(self, run: Run, experiment: Experiment) -> tuple[list[TrainConfig], list[Path]]:
        configs = self.configs(run, experiment)
        samples = self.samples_of(configs[0], experiment)
        folders = [self.folder_of(config, samples) for config in configs]
        for config, folder in zip(configs, folders, strict=True):
            self._echo(f"{folder.name}: {run.label}, law {config.law}, seed {config.seed}, {config.steps} steps")
            if not is_trained(config, folder, samples):
                train(config, folder, echo=self._echo, samples=samples)
        return configs, folders

    def _predict_fold(self, run: Run, config: TrainConfig, samples: Samples) -> Predictions:
        folder = self.folder_of(config, samples)
        key = (folder, tuple(sorted(run.asked.items())))
        if key not in self._predictions:
            self._echo(f"{folder.name}: {run.label}, fold {config.fold} held out, {config.steps} steps")
            if not is_trained(config, folder, samples):
                train(config, folder, echo=self._echo, samples=samples)
            training, held_out = split(samples, config.fold)
            trained = load_predictor(folder)[2]
            trained = dataclasses.replace(trained, method=dataclasses.replace(trained.method, **run.asked))
            outcomes = draw_outcomes(trained, held_out, count=1, seed=config.seed)
            self._predictions[key] = Predictions(
                run=run,
                config=config,
                folders=(folder,),
                trained=trained,
                samples=held_out,
                mean_drift=baselines.mean_drift(training, held_out),
                final={name: images[0] for name, images in outcomes.items()},
                levels=trained.levels(),
                by_level=draw_levels(trained, held_out, seed=config.seed),
            )
            keras.backend.clear_session()  # or the graphs of all runs stay in memory until the last one
            if len(self._predictions) > REMEMBERED:
                del self._predictions[next(iter(self._predictions))]
        return dataclasses.replace(self._predictions[key], run=run)
