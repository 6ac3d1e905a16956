"""Everything a run needs to go on to the same bits: weights, optimiser, average and step, in one checkpoint."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from tfdrift import files
from tfdrift.errors import DataError


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the operating system says to a write below `folder` into a `ResourceError`.

    Raises:
        ResourceError: the disk is full, or the folder cannot be made or written.
    """
    to_do = (
        "free some space or permissions and run the same command again to go on from the last checkpoint, or choose "
        "another --out"
    )
    with files.writing(folder, to_do=to_do, also=(tf.errors.OpError,)):
        yield


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint in `runs/<name>/checkpoints` by its name, 0 where there is none.

    Raises:
        DataError: the `checkpoint` file is damaged.
    """
    complete = _complete(folder)
    return int(complete[-1].name.removeprefix("step-")) if complete else 0


def newest_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights of the newest checkpoint in `runs/<name>/checkpoints`.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    complete = _complete(folder)
    digest = hashlib.sha256()
    parts = sorted(folder.glob(f"{complete[-1].name}.data-*")) if complete else []
    if not parts:
        raise DataError(f"{folder} holds no checkpoint yet; train it first")
    for part in parts:
        digest.update(part.read_bytes())
    return digest.hexdigest()


class Checkpoints:
    """The checkpoints of one run folder; the newest two are kept.

    A checkpoint counts once its name stands in the folder's `checkpoint` file, which TensorFlow replaces last; what a
    killed process left half written is swept when the folder is opened.

    Args:
        folder: `runs/<name>/checkpoints`; made when the first checkpoint is saved.
        network: trained weights.
        averaged: exponential moving average of the weights, or None.
        optimizer: built for the network, or None to read weights alone.

    Raises:
        DataError: the `checkpoint` file is damaged, so that it cannot be told which checkpoints count.
    """

    def __init__(
        self,
        folder: Path,
        *,
        network: keras.Model,
        averaged: keras.Model | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
    ) -> None:
        self._folder = folder
        _named(folder)  # refuses a damaged list before TensorFlow stumbles over it
        self._step = tf.Variable(tf.zeros([], tf.int64), trainable=False)
        parts = {"network": network, "averaged": averaged, "optimizer": optimizer}
        self._checkpoint = tf.train.Checkpoint(
            step=self._step, **{name: part for name, part in parts.items() if part is not None}
        )
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=2, checkpoint_name="step")

    def sweep(self) -> None:
        """Remove what an interrupted save left behind; the caller must hold the run's lock."""
        named = {path.name for path in _named(self._folder)}
        for leftover in self._folder.glob("*_temp"):
            shutil.rmtree(leftover)
        for leftover in self._folder.glob("checkpoint.tmp*"):
            leftover.unlink()
        for file in self._folder.glob("step-*"):
            if file.name.split(".")[0] not in named:
                file.unlink()

    def restore(self) -> int:
        """Read the newest checkpoint and return its step, 0 where there is none.

        Raises:
            DataError: the checkpoint is damaged or belongs to another network.
        """
        complete = _complete(self._folder)
        if not complete:
            return 0
        try:
            status = self._checkpoint.restore(str(complete[-1]))
            status.assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{complete[-1]} cannot be read ({reason}); remove {complete[-1].name}.index to go on from the "
                "checkpoint before it"
            ) from None
        status.expect_partial()
        return int(self._step.numpy())

    def save(self, step: int) -> None:
        """Write a checkpoint; the ones before stay untouched until it is complete.

        Raises:
            ResourceError: the disk is full or the folder cannot be written.
        """
        self._step.assign(step)
        with writing(self._folder):
            self._manager.save(checkpoint_number=step)


def _complete(folder: Path) -> list[Path]:
    """Return those of the named checkpoints that are there, the newest last."""
    return [path for path in _named(folder) if path.with_name(f"{path.name}.index").exists()]


def _named(folder: Path) -> list[Path]:
    """Return the checkpoints that the `checkpoint` file names, the newest last."""
    # Not the manager's own list: it leaves out what a clock that was set back makes look like the future.
    try:
        state = tf.train.get_checkpoint_state(str(folder))
    except ValueError:  # the file names none
        state = None
    if state is not None:
        names = [name for name in state.all_model_checkpoint_paths if name != state.model_checkpoint_path]
        return [Path(name) for name in (*names, state.model_checkpoint_path)]
    if (folder / "checkpoint").exists():
        raise DataError(
            f"{folder / 'checkpoint'} is damaged; write 'model_checkpoint_path: \"step-N\"' into it, "
            "N being the newest checkpoint beside it, or choose another --out"
        )
    return []
