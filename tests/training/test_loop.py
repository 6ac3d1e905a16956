"""Many steps in one call: the same bits as one at a time, one trace, nothing from the host, a stop at the first NaN."""

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdrift.config import train_config
from tfdrift.methods import make_method
from tfdrift.model.unet import build_unet
from tfdrift.training.loop import compile_steps, run_steps
from tfdrift.training.step import make_loss, make_optimizer, make_train_step, metric_names


def real_steps(method: str = "method1"):
    """Return (the compiled loop of a small network on moving random images, all its variables)."""
    network = build_unet(8, base_filters=2, depth=1)
    optimizer = make_optimizer(learning_rate=1e-2, weight_decay=1e-4)
    how = make_method(method, dataclasses.asdict(train_config(method, levels=5)))
    each = {"recon": 0.1, "drift": 0.1}
    loss = make_loss(network, how, weights={"recon": 1.0, "drift": 1.0}, ssim_shares=each)

    def batch(step):
        images = tf.random.stateless_uniform([2, 4, 8, 8, 1], tf.stack([step, step]), alg="philox")
        return {"pre": images[0], "post": images[1]}

    train_step = make_train_step(network, optimizer, loss, batch, seed=0, clip_norm=1.0)
    return compile_steps(train_step, metric_names(how)), [*network.variables, *optimizer.variables]


def counted_steps(bad_step: int):
    """Return the compiled loop of a step whose loss is its own number, and NaN at `bad_step`."""

    def train_step(step):
        finite = tf.not_equal(step, bad_step)
        return finite, {"loss": tf.where(finite, tf.cast(step, tf.float32), np.nan)}

    return compile_steps(train_step, ("loss",))


def test_many_steps_a_call_equal_one_step_a_call_to_the_bit():
    together, state = real_steps()
    alone, state_alone = real_steps()
    chunk = run_steps(together, 0, 7)
    singles = [run_steps(alone, step, 1) for step in range(7)]
    for a, b in zip(state, state_alone, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    assert chunk.steps_done == 7
    assert chunk.last == singles[-1].last
    for name, mean in chunk.mean.items():
        assert mean == pytest.approx(np.mean([single.mean[name] for single in singles]), rel=1e-5)


@pytest.mark.parametrize("method", ["method1", "method2", "direct"])
def test_there_is_one_trace_and_no_call_back_into_python(method):
    steps, _ = real_steps(method)
    for first_step, count in ((0, 1), (1, 3), (4, 2), (4, 2)):
        run_steps(steps, first_step, count)
    assert steps.experimental_get_tracing_count() == 1
    definition = steps.get_concrete_function().graph.as_graph_def()
    ops = {node.op for node in definition.node}
    ops |= {node.op for function in definition.library.function for node in function.node_def}
    assert "Conv2D" in ops  # the walk does reach the inside of the loop
    assert not {op for op in ops if "PyFunc" in op or op in ("Print", "PrintV2", "Send", "_Send", "HostSend")}


def test_the_loop_stops_at_the_first_step_that_is_not_finite():
    chunk = run_steps(counted_steps(bad_step=5), 2, 10)
    assert (chunk.steps_done, chunk.finite) == (3, False)
    assert chunk.mean == {"loss": 3.0}  # of 2, 3 and 4; the NaN does not count
    assert np.isnan(chunk.last["loss"])


def test_a_first_step_that_is_not_finite_is_no_step_done():
    chunk = run_steps(counted_steps(bad_step=2), 2, 10)
    assert (chunk.steps_done, chunk.finite, chunk.mean) == (0, False, {"loss": 0.0})


def test_a_chunk_counts_its_steps_and_averages_them():
    chunk = run_steps(counted_steps(bad_step=-1), 10, 4)
    assert (chunk.steps_done, chunk.finite) == (4, True)
    assert chunk.mean == {"loss": (10 + 11 + 12 + 13) / 4}
    assert chunk.last == {"loss": 13.0}


def test_memory_does_not_grow_with_the_number_of_calls():
    steps, _ = real_steps()

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for step in range(100):
        run_steps(steps, step, 1)
    before = resident_bytes()
    for step in range(100, 400):
        run_steps(steps, step, 1)
    assert resident_bytes() - before < 300 * 2048  # the two image batches of each call alone would be 300 times 2 kB
