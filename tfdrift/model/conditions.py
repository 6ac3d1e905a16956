"""Numbers of context that a network is given beside image and time, and how an unknown one is told."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdrift.errors import DataError

if TYPE_CHECKING:  # the configuration reads this module's facts, and TensorFlow takes seconds
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of a run, and the scale its training patients gave them.

    Args:
        names: columns of `tfdrift.cohort.samples.Samples.conditions`, in the order of the network's input.
        mean: of each number, over the training slices where it is known.
        std: of each number, 1 where it is always the same.
        low: the smallest value seen of each number.
        high: the largest value seen of each number.
    """

    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def numbers(self) -> int:
        """How many numbers all columns have together."""
        return len(self.mean)

    @property
    def inputs(self) -> int:
        """Length K of the network's `condition`: a value and whether it is known for each number."""
        return 2 * self.numbers

    def encode(self, values: tf.Tensor) -> tf.Tensor:
        """Return what the network is given: standardised values, 0 where unknown, and 1 where known.

        Args:
            values: float32 [B, numbers], NaN for unknown.

        Returns:
            float32 [B, K].

        Example:
            >>> age = Conditions(names=("age",), mean=(60.0,), std=(10.0,), low=(50.0,), high=(70.0,))
            >>> age.encode([[70.0], [float("nan")]]).numpy().tolist()
            [[1.0, 1.0], [0.0, 0.0]]
        """
        import tensorflow as tf

        values = tf.convert_to_tensor(values, tf.float32)
        known = tf.cast(tf.equal(values, values), tf.float32)  # NaN alone is unlike itself
        mean, std = tf.constant(self.mean, tf.float32), tf.constant(self.std, tf.float32)
        standard = tf.where(known > 0, (values - mean) / std, tf.zeros_like(values))
        return tf.concat([standard, known], axis=1)

    def unknown(self, count: int | tf.Tensor) -> tf.Tensor:
        """Return the network's `condition` where nothing is known.

        Args:
            count: B.

        Returns:
            float32 [B, K], zeros.
        """
        import tensorflow as tf

        return tf.zeros([count, self.inputs])


def fit_conditions(names: tuple[str, ...], columns: dict[str, np.ndarray]) -> Conditions:
    """Return the conditions of a run with the scale of its training slices.

    Args:
        names: which columns.
        columns: float32 [n] or [n, K] each, NaN for unknown.

    Raises:
        DataError: there is no such column, or nothing is known of it.

    Example:
        >>> fit_conditions(("interval_days",), {"interval_days": np.array([20.0, 22.0])}).mean
        (21.0,)
    """
    values = condition_values(names, columns)
    known = np.isfinite(values)
    if not known.any(axis=0).all():
        raise DataError("a condition is unknown for every training slice; leave it out or import it")
    if not names:
        return Conditions()
    std = np.nanstd(values, axis=0)
    facts: dict[str, Any] = {
        "mean": np.nanmean(values, axis=0),
        "std": np.where(std > 0, std, 1.0),
        "low": np.nanmin(values, axis=0),
        "high": np.nanmax(values, axis=0),
    }
    return Conditions(names=names, **{name: tuple(map(float, numbers)) for name, numbers in facts.items()})


def condition_values(names: tuple[str, ...], columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return columns side by side.

    Args:
        names: which columns.
        columns: float32 [n] or [n, K] each, NaN for unknown.

    Returns:
        float64 [n, numbers].

    Raises:
        DataError: there is no such column.
    """
    for name in names:
        if name not in columns:
            known = ", ".join(sorted(columns)) or "none"
            raise DataError(f"the data have no condition {name}; they have {known}")
    if not names:
        return np.zeros([0, 0])
    parts = [np.asarray(columns[name], np.float64) for name in names]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
