"""What an exported model answers, asked through its SavedModel."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.serving.conftest import make_request
from tfdrift.diffusion.schedule import make_schedule
from tfdrift.errors import DataError
from tfdrift.model.predictor import Predictor
from tfdrift.model.unet import build_unet
from tfdrift.serving.signatures import ServingModule, check_ops

# Float32 rounding, as a share of the largest value. Measured on a CPU with oneDNN: equal bits in all batches of two or
# more, at most 6e-7 between those and a batch of one, whose convolutions are another kernel and add in another order.
ROUNDING = 1e-5


@pytest.fixture
def ask(exported) -> Callable:
    """The signature of the exported model as a function of a request, giving arrays."""
    model = tf.saved_model.load(str(exported.version))
    return lambda request: {name: v.numpy() for name, v in model.signatures["serving_default"](**request).items()}


def save(predictor: Predictor, folder) -> None:
    module = ServingModule(predictor, 8)
    tf.saved_model.save(module, str(folder), signatures=module.signatures())


def assert_close(actual, expected):
    """Compare images of any units: the tolerance is a share of the largest value."""
    for name in ("post", "drift"):
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=ROUNDING * np.abs(expected[name]).max())


def test_boundary_is_float32_and_int64_with_the_batch_first(exported):
    model = tf.saved_model.load(str(exported.version))
    signature = model.signatures["serving_default"]
    image = tf.TensorSpec([None, 8, 8, 1], tf.float32)
    inputs = signature.structured_input_signature[1]
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in inputs.items()} == {
        "image": ([None, 8, 8, 1], tf.float32),
        "seed": ([None, 2], tf.int64),
    }
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in signature.structured_outputs.items()} == {
        name: (image.shape.as_list(), image.dtype) for name in ("post", "drift")
    }


def test_same_request_gives_the_same_bytes(ask, exported):
    first, again = ask(exported.request), ask(exported.request)
    assert {name: value.tobytes() for name, value in first.items()} == {
        name: value.tobytes() for name, value in again.items()
    }


def test_another_seed_matters_where_there_is_noise(ask, exported, method):
    first = ask(exported.request)
    other = ask({**exported.request, "seed": exported.request["seed"] + 1})
    change = np.abs(first["post"] - other["post"]).max(axis=(1, 2, 3)) / exported.request["image"].max(axis=(1, 2, 3))
    assert (change == 0).all() if method == "direct" else (change > 1e-3).all()


@pytest.mark.parametrize("count", [1, 5])
def test_an_example_does_not_depend_on_its_batch(ask, exported, count):
    together = ask(exported.request)
    few = ask({name: value[3 : 3 + count] for name, value in exported.request.items()})
    assert_close(few, {name: value[3 : 3 + count] for name, value in together.items()})


def test_a_power_of_two_times_the_signal_gives_exactly_that_times_the_answer(ask, exported):
    answer = ask(exported.request)
    scaled = ask({**exported.request, "image": exported.request["image"] * 1024})
    for name in ("post", "drift"):
        np.testing.assert_array_equal(scaled[name], answer[name] * 1024)


def test_a_thousand_times_the_signal_gives_a_thousand_times_the_answer(ask, exported):
    answer = ask(exported.request)
    scaled = ask({**exported.request, "image": exported.request["image"] * 1000})
    assert_close(scaled, {name: value * 1000 for name, value in answer.items()})


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_an_image_without_signal_gives_zeros(ask, exported, value):
    image = exported.request["image"].copy()
    image[1] = value
    for answer in ask({**exported.request, "image": image}).values():
        np.testing.assert_array_equal(answer[1], 0)
        assert np.isfinite(answer).all()


def test_a_value_that_is_not_finite_spoils_its_own_image_alone(ask, exported):
    image = exported.request["image"].copy()
    image[1, 2, 2] = np.nan
    spoilt, whole = ask({**exported.request, "image": image}), ask(exported.request)
    assert np.isnan(spoilt["post"][1]).any()
    keep = np.arange(len(image)) != 1
    assert_close({name: v[keep] for name, v in spoilt.items()}, {name: v[keep] for name, v in whole.items()})


def test_the_network_sees_each_image_with_a_largest_signal_of_1():
    def network(inputs):
        return {"recon": tf.zeros_like(inputs["image"]) + tf.reduce_max(inputs["image"]), "drift": inputs["image"]}

    module = ServingModule(direct(network), 8)
    image = make_request(3)["image"]
    answer = module.predict(tf.constant(image), tf.zeros([3, 2], tf.int64))
    np.testing.assert_allclose(answer["drift"], image, rtol=1e-6)  # given the image / scale, an echo is the image
    np.testing.assert_allclose(answer["post"][:, 0, 0, 0], image.max(axis=(1, 2, 3)), rtol=1e-6)


def test_graph_does_not_grow_with_the_number_of_sampler_steps(tmp_path):
    predictor = Predictor(
        network=build_unet(8, base_filters=2, depth=1),
        method="method2",
        schedule=make_schedule("linear", levels=40, noise_level=0.2),
        start_level=39,
        sample_steps=2,
    )
    sizes = []
    for steps in (2, 40):
        save(dataclasses.replace(predictor, sample_steps=steps), tmp_path / str(steps))
        graph = SavedModel.FromString((tmp_path / str(steps) / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
        sizes.append(len(graph.node) + sum(len(function.node_def) for function in graph.library.function))
    assert sizes[0] == sizes[1]


class Planted:
    """A network with an operation put into it."""

    variables: tuple = ()

    def __init__(self, operation: Callable[[tf.Tensor], tf.Tensor]) -> None:
        self.operation = operation

    def __call__(self, inputs):
        image = tf.ensure_shape(self.operation(inputs["image"]), inputs["image"].shape)
        return {"recon": image, "drift": image}


def direct(network) -> Predictor:
    if not hasattr(network, "variables"):
        network.variables = ()
    return Predictor(network=network, method="direct", schedule=make_schedule("linear", levels=4, noise_level=0.2))


def in_a_loop(operation):
    def looped(image):
        def body(i, x):
            return i + 1, tf.ensure_shape(operation(x), image.shape)

        return tf.while_loop(lambda i, _: i < 2, body, (0, image))[1]

    return looped


def joins(image):
    return image + tf.cast(tf.strings.length(tf.strings.join(["a", "b"])), tf.float32)


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        (lambda image: tf.py_function(lambda x: x, [image], tf.float32), "EagerPyFunc"),
        (in_a_loop(lambda image: tf.numpy_function(lambda x: x, [image], tf.float32)), "PyFunc"),
        (lambda image: image + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32), "ReadFile"),
        (joins, "StringJoin"),  # allowed in the saver, not in an answer
        (lambda image: tf.function(lambda x: 2 * x, jit_compile=True)(image), "compiled by XLA"),
    ],
    ids=["python", "python in a loop", "file", "saver's", "XLA"],
)
def test_a_planted_op_is_refused(operation, named, tmp_path):
    save(direct(Planted(operation)), tmp_path)
    with pytest.raises(DataError, match=f"what a server must not run: .*{named}"):
        check_ops(tmp_path / "saved_model.pb")
