"""Numbers of context that a network is given beside image and time, and how an unknown one is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfdrift.errors import DataError

if TYPE_CHECKING:  # the configuration reads this module's facts, and TensorFlow takes seconds
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of a run, and the scale its training patients gave them.

    Args:
        names: columns of `tfdrift.cohort.samples.Samples.conditions`, in the order of the network's input.
        widths: how many numbers each column has.
        mean: of each number, over the training slices where it is known.
        std: of each number, 1 where it is always the same.
        low: the smallest value seen of each number.
        high: the largest value seen of each number.
    """

    names: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
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

    def encode(self, values: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Return what the network is given: standardised values, 0 where unknown, and 1 where known.

        Args:
            values: float32 [B, numbers], NaN for unknown, from `values`.

        Returns:
            float32 [B, K].

        Example:
            >>> age = Conditions(names=("age",), widths=(1,), mean=(60.0,), std=(10.0,), low=(50.0,), high=(70.0,))
            >>> age.encode([[70.0], [float("nan")]]).numpy().tolist()
            [[1.0, 1.0], [0.0, 0.0]]
        """
        import tensorflow as tf

        values = tf.convert_to_tensor(values, tf.float32)
        known = tf.cast(tf.equal(values, values), tf.float32)  # NaN alone is unlike itself
        mean, std = tf.constant(self.mean, tf.float32), tf.constant(self.std, tf.float32)
        standard = tf.where(known > 0, (values - mean) / std, tf.zeros_like(values))
        return tf.concat([standard, known], axis=1)

    def values(self, columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Return the columns side by side; one that is not there is unknown.

        Args:
            columns: float32 [n] or [n, K] by name, NaN for unknown.
            count: n.

        Returns:
            float32 [n, numbers].
        """
        widths = dict(zip(self.names, self.widths, strict=True))
        unknown = {name: np.full([count, width], np.nan, np.float32) for name, width in widths.items()}
        parts = [np.reshape(columns.get(name, unknown[name]), [count, widths[name]]) for name in self.names]
        return np.concatenate(parts, axis=1).astype(np.float32)


NO_CONDITIONS = Conditions()


def fit_conditions(names: Sequence[str], columns: Mapping[str, np.ndarray]) -> Conditions:
    """Return the conditions of a run with the scale of its training slices.

    Args:
        names: which columns.
        columns: float32 [n] or [n, K] by name, NaN for unknown.

    Raises:
        DataError: there is no such column, or a number of it is unknown for every slice.

    Example:
        >>> fit_conditions(["interval_days"], {"interval_days": np.array([20.0, 22.0])}).mean
        (21.0,)
    """
    facts: dict[str, list[float]] = {"mean": [], "std": [], "low": [], "high": []}
    widths = []
    for name in names:
        if name not in columns:
            known = ", ".join(sorted(columns)) or "none"
            raise DataError(f"--condition {name}: the data do not have it; they have {known}")
        numbers = np.reshape(columns[name], [len(columns[name]), -1]).astype(np.float64)
        if not np.isfinite(numbers).any(axis=0).all():
            raise DataError(f"--condition {name}: unknown for every training slice; leave it out")
        widths.append(numbers.shape[1])
        spread = np.nanstd(numbers, axis=0)
        facts["mean"] += np.nanmean(numbers, axis=0).tolist()
        facts["std"] += np.where(spread > 0, spread, 1.0).tolist()
        facts["low"] += np.nanmin(numbers, axis=0).tolist()
        facts["high"] += np.nanmax(numbers, axis=0).tolist()
    return Conditions(names=tuple(names), widths=tuple(widths), **{name: tuple(of) for name, of in facts.items()})
