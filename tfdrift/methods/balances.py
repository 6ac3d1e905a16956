"""How the losses of the two outputs are weighed against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads the table's names, and TensorFlow takes seconds
    import tensorflow as tf


def _fixed(loss: tf.Tensor) -> tf.Tensor:
    return loss


def _uncertainty(loss: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.math.log(loss)


BALANCES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {"fixed": _fixed, "uncertainty": _uncertainty}
"""What `--balance` may be: what becomes of a loss before it is weighted and added.

`fixed` is the weighted sum of the two losses, `uncertainty` that of their logarithms. Each task has an unknown noise
variance v in L / (2 v) + log(v) / 2; at its best, v = L, that is log(L) / 2 and a constant. So neither loss outweighs
the other by its size alone, and there is nothing to learn or to save (Kendall, Gal and Cipolla 2018, eq. 7, minimised
over v as in Kirchdorfer et al. 2024).
"""
