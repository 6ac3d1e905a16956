"""Many optimiser steps in one call of a compiled function, without a word from the host in between."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfdrift.training.step import Metrics


class Chunk(NamedTuple):
    """What a call of the compiled loop did.

    Args:
        steps_done: steps whose update was applied.
        finite: False when the step after these met a loss or gradient that is not finite.
        mean: metrics, averaged over the applied steps.
        last: metrics of the last step tried, applied or not.
    """

    steps_done: int
    finite: bool
    mean: dict[str, float]
    last: dict[str, float]


def compile_steps(
    train_step: Callable[[tf.Tensor], tuple[tf.Tensor, Metrics]], metric_names: tuple[str, ...]
) -> tf.types.experimental.PolymorphicFunction:
    """Return the compiled loop (first_step, count) -> (steps done, finite, sums of metrics, last metrics).

    It is traced once, whatever the two numbers are, and stops early at a step that is not finite.

    Args:
        train_step: see `tfdrift.training.step.make_train_step`.
        metric_names: the names of the metrics it gives.
    """

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int64)])
    def steps(first_step, count):
        zeros = {name: tf.constant(0.0) for name in metric_names}

        def body(i, _finite, sums, _last):
            finite, metrics = train_step(first_step + i)
            applied = tf.cast(finite, tf.float32)
            sums = {name: sums[name] + tf.math.multiply_no_nan(metrics[name], applied) for name in metric_names}
            return i + tf.cast(finite, tf.int64), finite, sums, metrics

        return tf.while_loop(
            lambda i, finite, _sums, _last: (i < count) & finite,
            body,
            (tf.constant(0, tf.int64), tf.constant(True), zeros, zeros),
        )

    return steps  # pyright: ignore[reportReturnType] - the decorator is untyped


def run_steps(steps: tf.types.experimental.PolymorphicFunction, first_step: int, count: int) -> Chunk:
    """Run some steps and wait for them.

    Args:
        steps: of `compile_steps`.
        first_step: number of the first one.
        count: how many.
    """
    done, finite, sums, last = steps(tf.constant(first_step, tf.int64), tf.constant(count, tf.int64))
    steps_done = int(done)
    return Chunk(
        steps_done=steps_done,
        finite=bool(finite),
        mean={name: float(value) / max(steps_done, 1) for name, value in sums.items()},
        last={name: float(value) for name, value in last.items()},
    )
