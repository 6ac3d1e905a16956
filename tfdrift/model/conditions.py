"""Numbers and classes of context that a network is given beside image and time, and how an unknown one is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfdrift.errors import DataError
from tfdrift.model.columns import column_of

if TYPE_CHECKING:  # the configuration reads this module's facts, and TensorFlow takes seconds
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of a run, and the scale its training patients gave them.

    A column is one of numbers, or a class, which is one number: its place among the classes that training has seen.

    Args:
        names: columns of `tfdrift.cohort.context.columns_of`, in the order of the network's input.
        widths: how many numbers each column has.
        mean: of each number, over the training slices where it is known, of its logarithm where that is taken.
        std: of each number or logarithm, 1 where it is always the same.
        low: the smallest value seen of each number.
        high: the largest value seen of each number.
        logarithms: the columns whose logarithm is taken.
        classes: of each column, the classes that were seen, in order; none for a column of numbers. Empty where no
            column is a class.
    """

    names: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    logarithms: tuple[str, ...] = ()
    classes: tuple[tuple[str, ...], ...] = ()

    @property
    def numbers(self) -> int:
        """How many numbers all columns have together."""
        return len(self.mean)

    @property
    def inputs(self) -> int:
        """Length K of the network's `condition`.

        For each number it holds a value and whether it is known, and for each class column a place for each class and
        one for the unknown.
        """
        return 2 * len(self._number_places()) + sum(len(seen) + 1 for seen in self.classes if seen)

    @property
    def has_classes(self) -> bool:
        """Whether a column is a class."""
        return any(self.classes)

    def classes_of(self, name: str) -> tuple[str, ...]:
        """Return the classes that training has seen of a column; none of a column of numbers.

        Args:
            name: one of `names`.
        """
        return self.classes[self.names.index(name)] if self.classes else ()

    def places(self) -> dict[str, range]:
        """Return which of the numbers belong to each column.

        Example:
            >>> conditions = Conditions(names=("dose", "age"), widths=(2, 1))
            >>> conditions.places()
            {'dose': range(0, 2), 'age': range(2, 3)}
        """
        ends = np.cumsum(self.widths).tolist()
        return {name: range(end - width, end) for name, width, end in zip(self.names, self.widths, ends, strict=True)}

    def encode(self, values: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Return what the network is given.

        First the standardised numbers, 0 where unknown, then for each of them 1 where it is known; then each class as
        one-hot, whose last place is the unknown.

        Args:
            values: float32 [B, numbers], NaN for unknown, from `values`.

        Returns:
            float32 [B, K].

        Example:
            >>> age = Conditions(names=("age",), widths=(1,), mean=(60.0,), std=(10.0,), low=(50.0,), high=(70.0,))
            >>> age.encode([[70.0], [float("nan")]]).numpy().tolist()
            [[1.0, 1.0], [0.0, 0.0]]
            >>> response = fit_conditions(["response"], {"response": np.array(["good", "poor"])})
            >>> response.encode([[1.0], [float("nan")]]).numpy().tolist()
            [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        import tensorflow as tf

        values = tf.convert_to_tensor(values, tf.float32)
        parts = []
        numbers = self._number_places()
        if numbers:
            given = values if len(numbers) == self.numbers else tf.gather(values, numbers, axis=1)
            logarithms = [self._is_logarithm()[place] for place in numbers]
            if any(logarithms):
                positive = tf.where(given > 0, given, tf.fill(tf.shape(given), np.float32(np.nan)))
                given = tf.where(tf.constant(logarithms), tf.math.log(positive), given)
            known = tf.cast(tf.equal(given, given), tf.float32)  # NaN alone is unlike itself
            mean, std = (tf.constant([of[place] for place in numbers], tf.float32) for of in (self.mean, self.std))
            standard = tf.where(known > 0, (given - mean) / std, tf.zeros_like(given))
            parts += [standard, known]
        for place, seen in self._class_places().items():
            one_hot = tf.cast(tf.equal(values[:, place, None], tf.range(float(len(seen)))), tf.float32)
            parts += [one_hot, 1 - tf.reduce_sum(one_hot, axis=1, keepdims=True)]
        return tf.concat(parts, axis=1)

    def without_classes(self, values: tf.Tensor) -> tf.Tensor:
        """Return values of which no class is known: what guidance leads away from.

        Args:
            values: float32 [B, numbers].
        """
        import tensorflow as tf

        places = self._class_places()
        is_class = tf.constant([place in places for place in range(self.numbers)])
        return tf.where(is_class, tf.fill(tf.shape(values), np.float32(np.nan)), values)

    def values(self, columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Return the columns side by side; one that is not there is unknown, and so is a class never seen.

        Args:
            columns: float32 [n] or [n, K] by name, NaN for unknown, or str [n], classes, empty for unknown.
            count: n.

        Returns:
            float32 [n, numbers].
        """
        parts = [np.empty((count, 0), np.float32)]
        for name, width in zip(self.names, self.widths, strict=True):
            column, seen = columns.get(name, np.full([count, width], np.nan, np.float32)), self.classes_of(name)
            if seen and column.dtype.kind == "U":
                place = {one: float(number) for number, one in enumerate(seen)}
                column = np.array([place.get(one, np.nan) for one in column.tolist()])
            parts.append(np.reshape(column, [count, width]))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def beyond_training(self, values: np.ndarray) -> list[str]:
        """Return a sentence for each number that training has not seen the like of.

        Args:
            values: float32 [n, numbers], NaN for unknown.

        Example:
            >>> age = Conditions(names=("age",), widths=(1,), mean=(60.0,), std=(10.0,), low=(50.0,), high=(70.0,))
            >>> age.beyond_training(np.array([[80.0]]))
            ['age is 80, in the training data it was 50 to 70']
        """
        said = []
        for name, places in self.places().items():
            for place in places:
                given, low, high = values[:, place], self.low[place], self.high[place]
                slack = 1e-5 * max(abs(low), abs(high))  # what float32 may differ by
                if np.nanmax(np.where((given < low - slack) | (given > high + slack), 1.0, 0.0)) == 0:
                    continue
                what = f"{name} {place - places.start + 1}" if len(places) > 1 else name
                is_ = _span(float(np.nanmin(given)), float(np.nanmax(given)))
                seen = f"{_span(low, high)}{' always, so what another one does was not learnt' * (low == high)}"
                said.append(f"{what} is {is_}, in the training data it was {seen}")
        return said

    def _is_logarithm(self) -> list[bool]:
        return [
            name in self.logarithms for name, width in zip(self.names, self.widths, strict=True) for _ in range(width)
        ]

    def _class_places(self) -> dict[int, tuple[str, ...]]:
        found = {places.start: self.classes_of(name) for name, places in self.places().items()}
        return {place: seen for place, seen in found.items() if seen}

    def _number_places(self) -> list[int]:
        classes = self._class_places()
        return [place for place in range(self.numbers) if place not in classes]


NO_CONDITIONS = Conditions()


def fit_conditions(names: Sequence[str], columns: Mapping[str, np.ndarray]) -> Conditions:
    """Return the conditions of a run with the scale of its training slices.

    Args:
        names: which columns.
        columns: float32 [n] or [n, K] by name, NaN for unknown, or str [n], classes, empty for unknown.

    Raises:
        DataError: there is no such column, a number or class of it is unknown for every slice, or one whose logarithm
            is taken is not above 0.

    Example:
        >>> fit_conditions(["interval_days"], {"interval_days": np.array([20.0, 22.0])}).mean
        (21.0,)
    """
    facts: dict[str, list[float]] = {"mean": [], "std": [], "low": [], "high": []}
    widths, classes = [], []
    for name in names:
        if name not in columns:
            known = ", ".join(sorted(columns)) or "none"
            raise DataError(f"--condition {name}: the data do not have it; they have {known}")
        column = columns[name]
        seen = tuple(sorted(set(column.tolist()) - {""})) if column.dtype.kind == "U" else ()
        classes.append(seen)
        if column.dtype.kind == "U":
            if not seen:
                raise DataError(f"--condition {name}: unknown for every training slice; leave it out")
            widths.append(1)
            for fact, value in (("mean", 0.0), ("std", 1.0), ("low", 0.0), ("high", float(len(seen) - 1))):
                facts[fact].append(value)
            continue
        numbers = np.reshape(column, [len(column), -1]).astype(np.float64)
        if not np.isfinite(numbers).any(axis=0).all():
            raise DataError(f"--condition {name}: unknown for every training slice; leave it out")
        widths.append(numbers.shape[1])
        facts["low"] += np.nanmin(numbers, axis=0).tolist()
        facts["high"] += np.nanmax(numbers, axis=0).tolist()
        if column_of(name).logarithm:
            if np.nanmin(numbers) <= 0:
                raise DataError(f"--condition {name}: {np.nanmin(numbers):g} has no logarithm; values are above 0")
            numbers = np.log(numbers)
        spread = np.nanstd(numbers, axis=0)
        facts["mean"] += np.nanmean(numbers, axis=0).tolist()
        facts["std"] += np.where(spread > 0, spread, 1.0).tolist()
    return Conditions(
        names=tuple(names),
        widths=tuple(widths),
        **{name: tuple(of) for name, of in facts.items()},
        logarithms=tuple(name for name in names if column_of(name).logarithm),
        classes=tuple(classes) if any(classes) else (),
    )


def _span(low: float, high: float) -> str:
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
