"""One table of variants, and what holds for every one of them from the network to the loaded SavedModel."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdrift.config import TrainConfig, train_config, write_config
from tfdrift.diffusion.predictions import PREDICTIONS
from tfdrift.export.saved_model import export_run
from tfdrift.methods import METHODS
from tfdrift.methods.method import Predictor, asking
from tfdrift.model.heads import HEADS
from tfdrift.model.limits import PRECISIONS
from tfdrift.training.checkpoint import Checkpoints
from tfdrift.training.loop import compile_steps, run_steps
from tfdrift.training.run_folder import build_network, load_predictor, make_predictor, make_run_loss
from tfdrift.training.step import make_optimizer, make_train_step, metric_names

# method, heads, prediction, precision. Every value, the heads of Methods 1 and 2, and each method in both precisions;
# Method 1 and `direct` predict the post image, so that `prediction` says nothing there.
VARIANTS = [
    ("method1", "shared", "eps", "float32"),
    ("method1", "decoupled", "eps", "mixed_bfloat16"),
    ("method1", "independent", "eps", "float32"),
    ("method2", "shared", "eps", "mixed_bfloat16"),
    ("method2", "decoupled", "eps", "float32"),
    ("method2", "independent", "x0", "mixed_bfloat16"),
    ("method2", "shared", "v", "float32"),
    ("direct", "shared", "eps", "float32"),
    ("direct", "independent", "eps", "mixed_bfloat16"),
    ("distribution", "shared", "eps", "float32"),
    ("palette", "shared", "eps", "float32"),
]
SIZE, BATCH, STEPS = 8, 4, 60


def blobs(radius: float) -> tf.Tensor:
    """Return float32 [BATCH, SIZE, SIZE, 1], a smooth spot at another place in each image."""
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    shift = np.arange(BATCH)[:, None, None] - (BATCH - 1) / 2
    return tf.constant(np.exp(-((row - shift) ** 2 + column**2) / (2 * radius**2))[..., None], tf.float32)


RNG = np.random.default_rng(0)
PRE, POST = blobs(2.0), blobs(1.0)
ONE_BATCH = {"pre": PRE, "post": POST}
LOSS_SEED = tf.constant([1, 2], tf.int64)


class Trained(NamedTuple):
    """A variant after some steps on one batch, and what was seen on the way."""

    config: TrainConfig
    network: keras.Model
    predictor: Predictor
    run: Path
    traces: int
    loss_before: float
    loss_after: float


@pytest.fixture(scope="module", params=VARIANTS, ids="-".join)
def trained(request, tmp_path_factory) -> Trained:
    """Train a variant and write its run folder."""
    method, heads, prediction, precision = request.param
    config = train_config(
        method,
        heads=heads,
        prediction=prediction,
        precision=precision,
        image_size=SIZE,
        base_filters=4,
        depth=1,
        levels=5,
        learning_rate=1e-2,
    )
    network = build_network(config)
    predictor = make_predictor(config, network)
    optimizer = make_optimizer(learning_rate=config.learning_rate, weight_decay=config.weight_decay)
    loss = make_run_loss(config, network)
    train_step = make_train_step(network, optimizer, loss, lambda _step: ONE_BATCH, seed=0)
    steps = compile_steps(train_step, metric_names(predictor.method))
    loss_before = float(loss(ONE_BATCH, LOSS_SEED)["loss"])
    for first, count in ((0, 1), (1, STEPS - 1)):
        assert run_steps(steps, first, count).finite
    loss_after = float(loss(ONE_BATCH, LOSS_SEED)["loss"])
    run = tmp_path_factory.mktemp("run")
    write_config(run / "config.json", config, data={"fingerprint": "one batch", "slices": BATCH, "patients": BATCH})
    Checkpoints(run / "checkpoints", network=network, optimizer=optimizer).save(STEPS)
    return Trained(config, network, predictor, run, steps.experimental_get_tracing_count(), loss_before, loss_after)


def compiled(predictor: Predictor) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Return the predictor as one graph: op by op, bfloat16 rounds between convolution and bias; a graph does not."""
    image, seed = tf.TensorSpec([None, SIZE, SIZE, 1], tf.float32), tf.TensorSpec([None, 2], tf.int64)
    return tf.function(predictor.__call__, input_signature=[image, seed])


def normalised_request(count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return `count` images whose largest signal is 1, and seeds."""
    image = RNG.random((count, SIZE, SIZE, 1), np.float32)
    image[:, 0, 0] = 1
    return tf.constant(image), tf.constant(RNG.integers(0, 2**31, (count, 2)))


def test_table_has_every_choice():
    for choices, seen in zip((METHODS, HEADS, PREDICTIONS, PRECISIONS), zip(*VARIANTS, strict=True), strict=True):
        assert set(choices) == set(seen)


def test_is_traced_once(trained):
    assert trained.traces == 1


def test_learns_one_batch(trained):
    assert trained.loss_after < 0.8 * trained.loss_before


def test_weights_are_float32(trained):
    assert {weight.dtype for weight in trained.network.variables} == {"float32"}


def test_checkpoint_gives_the_same_answers_in_a_new_network(trained):
    image, seed = normalised_request(2)
    restored = load_predictor(trained.run)[2]
    assert restored.network is not trained.network
    expected = compiled(trained.predictor)(image, seed)
    for name, value in compiled(restored)(image, seed).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The loaded SavedModel of a variant."""
    return tf.saved_model.load(str(export_run(trained.run, tmp_path_factory.mktemp("models"))))


def test_export_answers_any_batch_as_the_network_does(exported, trained):
    predict = compiled(trained.predictor)
    for count in (1, 3, 17):
        image, seed = normalised_request(count)
        expected = predict(image, seed)
        actual = exported.signatures["serving_default"](image=image, seed=seed)
        for name in ("post", "drift"):
            assert actual[name].dtype == tf.float32
            np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=1e-5 * np.abs(expected[name]).max())


def test_export_denoises_as_the_network_does(exported, trained):
    image, _ = normalised_request(3)
    request = {"image": image, "t": tf.constant([[0.0], [0.4], [1.0]])}
    ask = asking(trained.network, latents=METHODS[trained.config.method].latents)
    expected = tf.function(ask)(request["image"], request["t"])
    actual = exported.signatures["denoise"](**request)
    for name in ("recon", "drift"):
        assert actual[name].dtype == tf.float32
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=1e-5 * np.abs(expected[name]).max())


def test_export_answers_float32_from_every_signature(exported):
    for signature in ("serving_default", "ensemble", "denoise", "serve_tf_examples"):
        for name, spec in exported.signatures[signature].structured_outputs.items():
            assert spec.dtype == tf.float32, (signature, name)
