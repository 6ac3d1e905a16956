"""What an exported model answers, asked through its SavedModel."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.conftest import make_request
from tests.methods.test_outputs import field_predictor
from tfdrift.diffusion.schedule import make_schedule
from tfdrift.errors import DataError
from tfdrift.export.signatures import ServingModule, check_ops, outcome_seeds, quantile
from tfdrift.methods.direct import Direct
from tfdrift.methods.method import Predictor
from tfdrift.methods.method1 import Method1
from tfdrift.methods.method2 import Method2
from tfdrift.model.unet import build_unet
from tfdrift.training.run_folder import load_predictor

# Float32 rounding, as a share of the largest value. Measured on a CPU with oneDNN: equal bits in all batches of two or
# more, at most 6e-7 between those and a batch of one, whose convolutions are another kernel and add in another order.
ROUNDING = 1e-5


IMAGE = ([None, 8, 8, 1], tf.float32)
SEED = ([None, 2], tf.int64)
BOUNDARY = {
    "serving_default": ({"image": IMAGE, "seed": SEED}, ("post", "drift")),
    "ensemble": (
        {"image": IMAGE, "seed": SEED},
        ("post_mean", "post_std", "drift_mean", "drift_std", "drift_q05", "drift_q95"),
    ),
    "denoise": ({"image": IMAGE, "t": ([None, 1], tf.float32)}, ("recon", "drift")),
    "serve_tf_examples": ({"examples": ([None], tf.string)}, ("post", "drift")),
}
every_signature = pytest.mark.parametrize("signature", BOUNDARY)
in_units_of_the_image = pytest.mark.parametrize("signature", ["serving_default", "ensemble"])


@pytest.fixture(scope="session")
def model(exported):
    """The exported model, loaded once."""
    return tf.saved_model.load(str(exported.version))


@pytest.fixture(scope="session")
def ask(model) -> Callable:
    """A signature of the exported model as a function of a request, giving arrays."""

    def answer(request, signature="serving_default"):
        inputs = {name: tf.constant(value) for name, value in request.items()}
        return {name: v.numpy() for name, v in model.signatures[signature](**inputs).items()}

    return answer


def request_to(signature: str, exported) -> dict[str, np.ndarray]:
    """Return the request of the fixture as this signature takes it."""
    image, seed = exported.request["image"], exported.request["seed"]
    return {
        "serving_default": {"image": image, "seed": seed},
        "ensemble": {"image": image, "seed": seed},
        "denoise": {"image": image / 1000, "t": np.linspace(0, 1, len(image), dtype=np.float32)[:, None]},
        "serve_tf_examples": {"examples": serialised(image, seed)},
    }[signature]


def serialised(image: np.ndarray, seed: np.ndarray | None = None) -> np.ndarray:
    """Return an array of `tf.Example`s, bytes as objects."""
    found = []
    for i, one in enumerate(image):
        example = tf.train.Example()
        example.features.feature["image"].float_list.value.extend(one.ravel())
        if seed is not None:
            example.features.feature["seed"].int64_list.value.extend(seed[i])
        found.append(example.SerializeToString())
    return np.array(found, object)


def save(predictor: Predictor, folder, outcomes: int = 2) -> None:
    module = ServingModule([predictor], 8, outcomes)
    tf.saved_model.save(module, str(folder), signatures=module.signatures())


def assert_close(actual, expected):
    """Compare images of any units: the tolerance is a share of the largest value."""
    assert set(actual) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=ROUNDING * np.abs(value).max())


@every_signature
def test_boundary_is_float32_int64_and_string_with_the_batch_first(model, signature):
    function = model.signatures[signature]
    inputs, outputs = BOUNDARY[signature]
    taken = function.structured_input_signature[1]
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in taken.items()} == inputs
    given = function.structured_outputs
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in given.items()} == dict.fromkeys(outputs, IMAGE)


def test_there_are_no_other_signatures(model):
    assert set(model.signatures) == {*BOUNDARY, "about"}


def test_what_the_model_is_comes_as_a_text_for_each_that_asks(model):
    function = model.signatures["about"]
    taken, given = function.structured_input_signature[1], function.structured_outputs
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in taken.items()} == {"asked": ([None], tf.int64)}
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in given.items()} == {
        name: ([None], tf.string) for name in ("config", "card")
    }


@every_signature
def test_same_request_gives_the_same_bytes(ask, exported, signature):
    first, again = (ask(request_to(signature, exported), signature) for _ in range(2))
    assert {name: value.tobytes() for name, value in first.items()} == {
        name: value.tobytes() for name, value in again.items()
    }


def test_another_seed_matters_where_there_is_noise(ask, exported, method):
    first = ask(exported.request)
    other = ask({**exported.request, "seed": exported.request["seed"] + 1})
    change = np.abs(first["post"] - other["post"]).max(axis=(1, 2, 3)) / exported.request["image"].max(axis=(1, 2, 3))
    assert (change == 0).all() if method == "direct" else (change > 1e-3).all()


@every_signature
@pytest.mark.parametrize("count", [1, 5])
def test_an_example_does_not_depend_on_its_batch(ask, exported, signature, count):
    request = request_to(signature, exported)
    together = ask(request, signature)
    few = ask({name: value[3 : 3 + count] for name, value in request.items()}, signature)
    assert_close(few, {name: value[3 : 3 + count] for name, value in together.items()})


@in_units_of_the_image
def test_a_power_of_two_times_the_signal_gives_exactly_that_times_the_answer(ask, exported, signature):
    answer = ask(exported.request, signature)
    scaled = ask({**exported.request, "image": exported.request["image"] * 1024}, signature)
    for name, value in answer.items():
        np.testing.assert_array_equal(scaled[name], value * 1024)


@in_units_of_the_image
def test_a_thousand_times_the_signal_gives_a_thousand_times_the_answer(ask, exported, signature):
    answer = ask(exported.request, signature)
    scaled = ask({**exported.request, "image": exported.request["image"] * 1000}, signature)
    assert_close(scaled, {name: value * 1000 for name, value in answer.items()})


@in_units_of_the_image
@pytest.mark.parametrize("value", [0.0, -3.0])
def test_an_image_without_signal_gives_zeros(ask, exported, signature, value):
    image = exported.request["image"].copy()
    image[1] = value
    for answer in ask({**exported.request, "image": image}, signature).values():
        np.testing.assert_array_equal(answer[1], 0)
        assert np.isfinite(answer).all()


@in_units_of_the_image
def test_a_value_that_is_not_finite_spoils_its_own_image_alone(ask, exported, signature):
    image = exported.request["image"].copy()
    image[1, 2, 2] = np.nan
    spoilt, whole = ask({**exported.request, "image": image}, signature), ask(exported.request, signature)
    assert all(np.isnan(value[1]).any() for value in spoilt.values())
    keep = np.arange(len(image)) != 1
    assert_close({name: v[keep] for name, v in spoilt.items()}, {name: v[keep] for name, v in whole.items()})


@pytest.mark.parametrize("method", ["method1", "method2"], indirect=True, scope="session")
def test_ensemble_is_the_statistics_of_the_answers_to_the_folded_seeds(ask, exported):
    image, seed = exported.request["image"], exported.request["seed"]
    outcomes = [ask({"image": image, "seed": outcome_seeds(tf.constant(seed), k).numpy()}) for k in range(16)]
    post, drift = (np.stack([outcome[name] for outcome in outcomes]).astype(np.float64) for name in ("post", "drift"))
    expected = {
        "post_mean": post.mean(axis=0),
        "post_std": post.std(axis=0),
        "drift_mean": drift.mean(axis=0),
        "drift_std": drift.std(axis=0),
        "drift_q05": np.quantile(drift, 0.05, axis=0),
        "drift_q95": np.quantile(drift, 0.95, axis=0),
    }
    answer = ask(exported.request, "ensemble")
    assert set(answer) == set(expected)
    for name, value in expected.items():
        largest = np.abs(drift if name.startswith("drift") else post).max()
        np.testing.assert_allclose(answer[name], value, rtol=0, atol=ROUNDING * largest)


@pytest.mark.parametrize("method", ["direct"], indirect=True, scope="session")
def test_ensemble_of_a_model_without_noise_is_its_one_answer(ask, exported):
    answer, one = ask(exported.request, "ensemble"), ask(exported.request)
    for name in ("drift_mean", "drift_q05", "drift_q95"):
        np.testing.assert_array_equal(answer[name], one["drift"])
    np.testing.assert_array_equal(answer["post_mean"], one["post"])
    for name in ("post_std", "drift_std"):
        np.testing.assert_array_equal(answer[name], 0)


def test_ensemble_of_an_echo_has_the_statistics_of_the_noise():
    # The echo's drift is x_t = signal_rate * image + noise_rate * eps, a normal variable in every pixel.
    predictor = one_step(lambda inputs: {"recon": inputs["image"], "drift": inputs["image"]})
    outcomes = 1000
    ensemble = tf.function(ServingModule([predictor], 8, outcomes).ensemble)
    answer = ensemble(tf.ones([1, 8, 8, 1]), tf.constant([[3, 4]], tf.int64))
    mean = predictor.method.schedule.signal_rate[2]
    std = predictor.method.schedule.noise_rate[2]
    far = 5 / np.sqrt(outcomes * 64)  # five standard errors of the mean over all pixels and outcomes
    assert np.mean(answer["drift_mean"]) == pytest.approx(mean, abs=far * std)
    assert np.mean(answer["drift_std"]) == pytest.approx(std, abs=(far + 1 / outcomes) * std)
    # Standard error of a quantile: sqrt(p (1 - p)) / density there, 2.11 standard deviations at 5%.
    assert np.mean(answer["drift_q05"]) == pytest.approx(mean - 1.6449 * std, abs=2.2 * far * std)
    assert np.mean(answer["drift_q95"]) == pytest.approx(mean + 1.6449 * std, abs=2.2 * far * std)


def test_ensemble_asks_the_network_for_one_outcome_of_each_image_at_a_time():
    # Memory: the network's activations for N * K images at once would be K times as much.
    def batch_size(inputs):
        number = tf.zeros_like(inputs["image"]) + tf.cast(tf.shape(inputs["image"])[0], tf.float32)
        return {"recon": number, "drift": number}

    answer = ServingModule([one_step(batch_size)], 8, 7).ensemble(tf.ones([3, 8, 8, 1]), tf.zeros([3, 2], tf.int64))
    np.testing.assert_array_equal(answer["post_mean"], 3)


def test_seeds_of_outcomes_differ_and_depend_on_the_images_own_seed_alone():
    seed = tf.constant([[0, 0], [0, 1], [1, 0], [-5, 2**40]], tf.int64)
    found = np.concatenate([outcome_seeds(seed, k) for k in range(50)])
    assert len(np.unique(found, axis=0)) == len(found)
    np.testing.assert_array_equal(outcome_seeds(seed[2:3], 7), outcome_seeds(seed, 7)[2:3])


@pytest.mark.parametrize("q", [0.0, 0.05, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("count", [1, 2, 16, 21])
def test_quantile_is_numpys(q, count):
    outcomes = np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32)
    np.testing.assert_allclose(quantile(tf.constant(outcomes), q), np.quantile(outcomes, q, axis=0), atol=1e-6)


def test_denoise_is_the_network(ask, exported):
    request = request_to("denoise", exported)
    network = load_predictor(exported.run)[2].network
    expected = network({name: tf.constant(value) for name, value in request.items()})
    assert_close(ask(request, "denoise"), {name: expected[name].numpy() for name in ("recon", "drift")})


def test_serialised_examples_are_answered_as_their_arrays_are(ask, exported):
    answer, expected = ask(request_to("serve_tf_examples", exported), "serve_tf_examples"), ask(exported.request)
    for name, value in expected.items():
        np.testing.assert_array_equal(answer[name], value)


def test_seed_of_a_serialised_example_is_0_0_if_it_has_none(ask, exported):
    image = exported.request["image"]
    expected = ask({"image": image, "seed": np.zeros((len(image), 2), np.int64)})
    for name, value in ask({"examples": serialised(image)}, "serve_tf_examples").items():
        np.testing.assert_array_equal(value, expected[name])


def test_a_serialised_example_of_another_size_is_refused(ask):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Key: image"):
        ask({"examples": serialised(np.zeros((1, 9, 9, 1), np.float32))}, "serve_tf_examples")


def test_the_network_sees_each_image_with_a_largest_signal_of_1():
    def network(inputs):
        return {"recon": tf.zeros_like(inputs["image"]) + tf.reduce_max(inputs["image"]), "drift": inputs["image"]}

    module = ServingModule([direct(network)], 8)
    image = make_request(3)["image"]
    answer = module.predict(tf.constant(image), tf.zeros([3, 2], tf.int64))
    np.testing.assert_allclose(answer["drift"], image, rtol=1e-6)  # given the image / scale, an echo is the image
    np.testing.assert_allclose(answer["post"][:, 0, 0, 0], image.max(axis=(1, 2, 3)), rtol=1e-6)


def test_a_field_is_told_in_pixels_whatever_the_units_of_the_image(tmp_path):
    predictor = field_predictor("method1", symmetries=8)
    save(predictor, tmp_path)
    check_ops(tmp_path / "saved_model.pb")
    model = tf.saved_model.load(str(tmp_path))
    image, seed = make_request(3)["image"], tf.constant([[0, 0], [0, 1], [7, 5]], tf.int64)
    scale = image.max(axis=(1, 2, 3), keepdims=True)
    expected, answer = predictor(tf.constant(image / scale), seed), model.signatures["field"](image=image, seed=seed)
    in_units = {
        name: value * (scale if name in ("post", "drift", "residual") else 1) for name, value in expected.items()
    }
    assert all(np.abs(value).max() > 0.01 for value in in_units.values())
    for name in ("displacement", "log_jacobian", "log_gain"):  # a flow passes rounding on
        np.testing.assert_allclose(answer[name], in_units[name], rtol=0, atol=1e-4)
    assert set(answer) == set(in_units)
    for name in ("post", "drift", "residual"):
        np.testing.assert_allclose(answer[name], in_units[name], rtol=0, atol=1e-4 * image.max())
    plain = model.signatures["serving_default"](image=image, seed=seed)
    assert set(plain) == {"post", "drift"}
    nothing = model.signatures["field"](image=tf.zeros_like(image), seed=seed)
    assert all(not np.any(value) for value in nothing.values())


def test_a_method_that_tells_no_field_has_no_such_signature(model):
    assert "field" not in model.signatures


def test_graph_does_not_grow_with_sampler_steps_or_outcomes(tmp_path):
    network = build_unet(8, base_filters=2, depth=1)
    method = Method2(schedule=make_schedule("linear", levels=40, noise_level=0.2), start_level=39, sample_steps=2)
    sizes = []
    for number in (2, 40):
        predictor = Predictor(network=network, method=dataclasses.replace(method, sample_steps=number))
        save(predictor, tmp_path / str(number), outcomes=number)
        graph = SavedModel.FromString((tmp_path / str(number) / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
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
    return Predictor(network=network, method=Direct(schedule=make_schedule("linear", levels=4, noise_level=0.2)))


def one_step(network) -> Predictor:
    """Return a Method 1 around any function."""
    network.variables = ()
    schedule = make_schedule("linear", levels=5, noise_level=0.2)
    return Predictor(network=network, method=Method1(schedule=schedule, estimate_level=2))


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
