"""Everything a run needs to go on to the same bits: weights, optimiser, average and step, in one checkpoint."""

import shutil
from pathlib import Path

import keras
import tensorflow as tf

from tfdrift.errors import DataError, ResourceError


class Checkpoints:
    """The checkpoints of one run folder; the newest two are kept.

    A checkpoint counts once its name stands in the folder's `checkpoint` file, which TensorFlow replaces last; what a
    killed process left half written is swept when the folder is opened.

    Args:
        folder: `runs/<name>/checkpoints`; made when the first checkpoint is saved.
        network: trained weights.
        averaged: exponential moving average of the weights, or None.
        optimizer: built for the network, or None to read weights alone.
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
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        parts = {"network": network, "averaged": averaged, "optimizer": optimizer}
        self._checkpoint = tf.train.Checkpoint(
            step=self._step, **{name: part for name, part in parts.items() if part is not None}
        )
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=2, checkpoint_name="step")

    def sweep(self) -> None:
        """Remove what an interrupted save left behind; the caller must hold the run's lock."""
        for leftover in self._folder.glob("*_temp"):
            shutil.rmtree(leftover)
        known = {Path(name).name for name in self._manager.checkpoints}
        for file in self._folder.glob("step-*"):
            if file.name.split(".")[0] not in known:
                file.unlink()

    def restore(self) -> int:
        """Read the newest checkpoint and return its step, 0 where there is none.

        Raises:
            DataError: the checkpoint is damaged or belongs to another network.
        """
        newest = self._manager.latest_checkpoint
        if newest is None:
            return 0
        try:
            status = self._checkpoint.restore(newest)
            status.assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{newest} cannot be read ({reason}); remove it to go on from the one before") from None
        status.expect_partial()
        return int(self._step.numpy())

    def save(self, step: int) -> None:
        """Write a checkpoint; the ones before stay untouched until it is complete.

        Raises:
            ResourceError: the disk is full or the folder cannot be written.
        """
        self._step.assign(step)
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ResourceError(
                f"cannot write checkpoint {step} to {self._folder} ({reason}); "
                "free some space or permissions and run the same command again to go on from the last checkpoint"
            ) from None
