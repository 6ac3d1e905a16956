"""What runs answer about patients that they were not trained on, and what their training patients teach beside it."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from tfdrift.axes import image_axes, per_image
from tfdrift.cohort.context import columns_of
from tfdrift.cohort.folds import check_no_leak, split
from tfdrift.cohort.samples import Samples, join_samples
from tfdrift.config import TrainConfig, differences, read_config
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation import baselines
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.evaluation.outcomes import draw_levels, draw_outcomes
from tfdrift.evaluation.response import fit_cut, fit_exponent, ratio_outcomes
from tfdrift.model.inputs import Inputs
from tfdrift.on_disk import joined
from tfdrift.statistics.conformal import patient_groups
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.phantom_samples import PHANTOM_SEED
from tfdrift.training.run_folder import load_predictor, load_run_samples

ORACLE = "oracle"
"""The row of one who knows the law."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Predictions of held-out slices, of one fold or of several joined, with everything that scores need.

    Args:
        label: what reports call the method.
        config: of the run, the first one where there are several.
        step: steps that it was trained for.
        fingerprint: of the whole data set, so that only answers about the same data are compared.
        data: the whole data set of the run, those it was trained on among them.
        left_out: int [n], the fold of `data` that the run asked about each slice was not trained on.
        held_out: n slices, of the held-out fold or of new patients.
        group: int [n], the patients that are left out together when an interval is calibrated.
        post: float32 [N, n, ..., S, S, 1], outcomes; the first one is what a single request would be answered.
        drift: float32 [N, n, ..., S, S, 1].
        levels: the L levels, the noisiest first; [None] without noise.
        level_post_errors: float64 [L, n], mean squared error of each slice; of an ensemble its members' mean.
        level_drift_errors: float64 [L, n].
        shown: float32 [L, ..., S, S, 1], drift at each level of the slice with the most change.
        shown_row: which slice that is.
        mean_drift: float32 [n, ..., S, S, 1], post by the mean drift of the patients the run was trained on.
        exponent: float64 [n], `fit_exponent` of those patients.
        cut: float64 [n], `fit_cut` of those patients.
        members: runs that share the outcomes of a slice; more than 1 for an ensemble.
        volume_baselines: float64 [n] by name, the volume ratio of each slice's lesion by `baselines.volume_baselines`.
        movement: float32 [n, ..., S, S, 2], how far tissue moves in the plane, in mm along rows and columns, the mean
            of the outcomes; None where the method does not say.
    """

    label: str
    config: TrainConfig
    step: int
    fingerprint: str
    data: Samples
    left_out: np.ndarray
    held_out: Samples
    group: np.ndarray
    post: np.ndarray
    drift: np.ndarray
    levels: list[int | None]
    level_post_errors: np.ndarray
    level_drift_errors: np.ndarray
    shown: np.ndarray
    shown_row: int
    mean_drift: np.ndarray
    exponent: np.ndarray
    cut: np.ndarray
    members: int = 1
    volume_baselines: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    movement: np.ndarray | None = None

    @property
    def gtv(self) -> np.ndarray:
        """Where either session has its GTV, bool [n, ..., S, S, 1]: elsewhere both images are zero whatever happens."""
        return self.held_out.pre_mask | self.held_out.post_mask

    @functools.cached_property
    def copy_mse(self) -> np.ndarray:
        """Squared errors of predicting no change, float64 [n]: what every skill is measured against."""
        return squared_errors(baselines.copy(self.held_out), self.held_out.post)

    @functools.cached_property
    def nearest_lesion(self) -> np.ndarray:
        """Post by the drift of the most similar training lesion, float32 [n, ..., S, S, 1], see `baselines`."""
        found = np.empty_like(self.mean_drift)
        for rows, training in self.by_training():
            found[rows] = baselines.nearest_lesion(training, self.held_out.take(rows))
        return found

    def by_training(self) -> Iterator[tuple[np.ndarray, Samples]]:
        """Yield rows of `held_out`, bool [n], with the samples that the run asked about them was trained on."""
        for fold in np.unique(self.left_out):
            yield self.left_out == fold, self.data.take(self.data.fold != fold)

    @functools.cached_property
    def ratios(self) -> np.ndarray:
        """Volume ratio of each lesion in each outcome, float64 [N, m], lesions as in `lesions_of(held_out)`."""
        return ratio_outcomes(self.post, self.held_out, self.exponent)

    @property
    def has_drawn_errors(self) -> bool:
        """Whether an outcome is an answer with an error drawn onto it: then their mean is what is to be scored."""
        return self.config.dressing != "none"

    def take(self, rows: np.ndarray) -> "Answers":
        """Return the answers about some of the slices; what is shown of one slice stays as it is.

        Args:
            rows: int [k], which.
        """
        each = ("left_out", "group", "mean_drift", "exponent", "cut")
        of_each_draw = ("post", "drift", "level_post_errors", "level_drift_errors")
        return dataclasses.replace(
            self,
            held_out=self.held_out.take(rows),
            **{name: getattr(self, name)[rows] for name in each},
            **{name: getattr(self, name)[:, rows] for name in of_each_draw},
            volume_baselines={name: ratio[rows] for name, ratio in self.volume_baselines.items()},
            movement=None if self.movement is None else self.movement[rows],
        )

    def first_outcome(self) -> "Answers":
        """Return the answers to a single request for each slice."""
        return dataclasses.replace(self, post=self.post[:1], drift=self.drift[:1])


def load_shared_samples(folders: Sequence[Path], samples: Samples | None = None) -> Samples:
    """Return the data that runs were trained on, if it is the same for all and they hold out the same patients.

    Args:
        folders: run folders.
        samples: the data, if they are at hand.

    Raises:
        DataError: no run, other data than another one's or than there are now, or a run was trained on patients that
            another one holds out.
    """
    read = [read_config(folder / "config.json") for folder in folders]
    config, facts, _ = load_predictor(folders[0])
    for folder, (theirs, their_facts) in zip(folders[1:], read[1:], strict=True):
        if their_facts["data"]["fingerprint"] != facts["data"]["fingerprint"]:
            raise DataError(f"{folder} was trained on other data or with another --image-size than {folders[0]}")
        if theirs.fold != config.fold:
            raise DataError(
                f"{folder} holds out fold {theirs.fold} and was trained on patients of fold {config.fold}, which "
                f"{folders[0]} holds out; give runs of the same --fold"
            )
    return load_run_samples(config, facts, samples)


def refuse_training_seed(new: NewPatients, config: TrainConfig) -> None:
    """Refuse to draw the very patients that a run was trained on.

    Args:
        new: the patients that are asked for.
        config: of the run.

    Raises:
        UsageError: the seed is that of the phantom of the run.
    """
    if config.data == "phantom" and new.data_seed == PHANTOM_SEED:
        raise UsageError(
            f"--data-seed {new.data_seed} draws the phantom that the run was trained on; choose another seed"
        )


def refuse_misfit(folder: Path, inputs: Inputs, training: Samples, drawn: Samples) -> None:
    """Refuse a run whose network asks for what the new patients do not have.

    Args:
        folder: of the run, for the message.
        inputs: of its network.
        training: what it was trained on; a condition that was unknown there, too, need not be known.
        drawn: of `NewPatients.draw`.

    Raises:
        DataError: other channels, volumes for slices or the reverse, or a condition that the phantom does not know.
    """
    wants: list[str] = []
    if training.channels != drawn.channels:
        wants.append(f"the channels {', '.join(training.channels)}")
    if inputs.slices != (drawn.pre.shape[1] if drawn.pre.ndim == 5 else None):
        wants.append("slices" if inputs.slices is None else f"volumes of {inputs.slices} slices")
    if inputs.conditions.names:
        missed = set(columns_of(training)) - set(columns_of(drawn))
        wants += [f"the condition {name}" for name in inputs.conditions.names if name in missed]
    if wants:
        raise DataError(
            f"{folder} takes {' and '.join(wants)}, which patients of --data phantom do not have; "
            "score it on its own data, without --data"
        )


def answer(folders: Sequence[Path], samples: Samples, *, count: int, drawn: Samples | None = None) -> Answers:
    """Ask a run, or an ensemble of runs, about its held-out fold or about new patients.

    Args:
        folders: the run folders; several make an ensemble.
        samples: of `load_shared_samples`.
        count: N, the outcomes of each slice; the members share them evenly, and each gives at least one.
        drawn: new patients to be asked about instead of the held-out fold.

    Raises:
        DataError: no checkpoint, or new patients that the networks cannot be asked about.
        UsageError: members of different methods or levels, or the same run twice.
    """
    share = -(-count // len(folders))
    return ensemble([ask(folder, samples, count=share, drawn=drawn) for folder in folders], folders)


def ask(folder: Path, samples: Samples, *, count: int, drawn: Samples | None = None) -> Answers:
    """Ask a run about its held-out fold or about new patients.

    Args:
        folder: the run folder.
        samples: of `load_shared_samples`.
        count: outcomes of each slice; one where the method has no noise.
        drawn: new patients to be asked about instead of the held-out fold; the training patients stay those of the run.

    Raises:
        DataError: no checkpoint, other data than the run was trained on, or new patients that its network cannot be
            asked about or that it was trained on.
    """
    config, facts, trained = load_predictor(folder)
    load_run_samples(config, facts, samples)
    training, held_out = split(samples, config.fold)
    if drawn is not None:
        refuse_misfit(folder, trained.inputs, training, drawn)
        check_no_leak(training, drawn)
        held_out = drawn
    outcomes = draw_outcomes(trained, held_out, count=count if trained.draws else 1, seed=config.seed)
    at_levels = draw_levels(trained, held_out, seed=config.seed)
    shown_row = int(np.argmax(np.mean(held_out.drift**2, axis=image_axes(held_out.drift))))
    answers = Answers(
        label=trained.method.label,
        config=config,
        step=facts["step"],
        fingerprint=facts["data"]["fingerprint"] if drawn is None else drawn.fingerprint(),
        data=samples,
        left_out=np.full(len(held_out), config.fold),
        held_out=held_out,
        group=patient_groups(held_out.patient),
        post=outcomes["post"],
        drift=outcomes["drift"],
        levels=trained.levels(),
        level_post_errors=np.stack([squared_errors(post, held_out.post) for post in at_levels["post"]]),
        level_drift_errors=np.stack([squared_errors(drift, held_out.drift) for drift in at_levels["drift"]]),
        shown=at_levels["drift"][:, shown_row],
        shown_row=shown_row,
        mean_drift=baselines.mean_drift(training, held_out),
        exponent=np.full(len(held_out), fit_exponent(training)),
        cut=np.full(len(held_out), fit_cut(training)),
        volume_baselines=baselines.volume_baselines(training, held_out),
        movement=_movement(outcomes.get("displacement"), held_out),
    )
    keras.backend.clear_session()  # the next run's graph would be added to this one's
    return answers


def _movement(displacement: np.ndarray | None, held_out: Samples) -> np.ndarray | None:
    """Return float32 [N, n, ..., S, S, D] in pixels as the mean over N of the last two components in mm."""
    if displacement is None:
        return None
    return displacement[..., -2:].mean(axis=0) * per_image(held_out.pixel_mm, held_out.pre)


def ensemble(parts: Sequence[Answers], folders: Sequence[Path]) -> Answers:
    """Return the answers of several runs about the same slices as those of one method; of one run its own.

    Args:
        parts: of each run.
        folders: the runs, for messages.

    Raises:
        UsageError: members of different methods or levels, or the same run twice.
    """
    first = parts[0]
    for folder, part in zip(folders, parts, strict=True):
        if (part.config.method, part.levels) != (first.config.method, first.levels):
            raise UsageError(f"{folder} is of another method or levels; an ensemble's runs differ in their --seed")
    refuse_same_run([part.config for part in parts], folders)
    if len(parts) == 1:
        return first

    def mean(name: str) -> np.ndarray:
        return np.mean([getattr(part, name) for part in parts], axis=0)

    moves = all(part.movement is not None for part in parts)

    return dataclasses.replace(
        first,
        label=f"{first.label}, {len(parts)} runs",
        members=len(parts),
        **{name: joined([getattr(part, name) for part in parts]) for name in ("post", "drift")},
        **{name: mean(name) for name in ("level_post_errors", "level_drift_errors", "shown")},
        movement=mean("movement") if moves else None,
    )


def of_oracle(post: np.ndarray, ours: Answers, movement: np.ndarray | None = None) -> Answers:
    """Return the outcomes of one who knows the law as the answers of a method.

    Args:
        post: float32 [N, n, S, S, 1], `tfdrift.synthetic.oracle.Oracle.post`.
        ours: a method's answers about the same n slices, beside which they are scored.
        movement: float32 [n, S, S, 2], in mm, as far as it can be foreseen.
    """
    drift = post - ours.held_out.pre[None, ..., :1]
    errors = squared_errors(post.mean(axis=0), ours.held_out.post)[None]
    return dataclasses.replace(
        ours,
        label=ORACLE,
        post=post,
        drift=drift,
        levels=[None],
        level_post_errors=errors,
        level_drift_errors=errors,
        shown=drift[:1, ours.shown_row],
        members=1,
        movement=movement,
    )


def refuse_same_run(configs: Sequence[TrainConfig], folders: Sequence[Path]) -> None:
    """Refuse an ensemble in which a run comes twice.

    Args:
        configs: of each member.
        folders: the runs, for the message.

    Raises:
        UsageError: two members have the same settings and seed.
    """
    for number, (folder, config) in enumerate(zip(folders, configs, strict=True)):
        if any(not differences(config, other) for other in configs[:number]):
            raise UsageError(f"{folder} has the settings and the seed of another member; give runs of other --seed")


def join(folds: Sequence[Answers]) -> Answers:
    """Return the answers about several folds as one, each fold a group of its own for calibration.

    Args:
        folds: of one method and one data set, each by runs that were not trained on it.
    """

    def of_all(name: str, axis: int) -> np.ndarray:
        return joined([getattr(part, name) for part in folds], axis)

    return dataclasses.replace(
        folds[0],
        held_out=join_samples([part.held_out for part in folds]),
        group=np.concatenate([np.full(len(part.held_out), number) for number, part in enumerate(folds)]),
        **{name: of_all(name, 1) for name in ("post", "drift", "level_post_errors", "level_drift_errors")},
        **{name: of_all(name, 0) for name in ("left_out", "mean_drift", "exponent", "cut")},
        movement=of_all("movement", 0) if all(part.movement is not None for part in folds) else None,
        volume_baselines={
            name: np.concatenate([part.volume_baselines[name] for part in folds])
            for name in folds[0].volume_baselines
            if all(name in part.volume_baselines for part in folds)
        },
    )
