import grpc
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tests.serving.tiny_models import floats, save_half_plus, save_half_plus_tf1, save_many
from tfdrift.serving import loading
from tfdrift.serving.loading import LoadedModel, array_of
from tfdrift.serving.refusal import Refusal


@pytest.fixture(scope="module", params=[save_half_plus, save_half_plus_tf1])
def half_plus(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("half_plus") / "1")


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> LoadedModel:
    return LoadedModel(save_many(tmp_path_factory.mktemp("many") / "1"))


def run(model, signature, inputs, output_filter=()):
    return model.run(model.signatures[signature], inputs, output_filter)


def refusal(model, signature, inputs, output_filter=()) -> Refusal:
    with pytest.raises(Refusal) as caught:
        run(model, signature, inputs, output_filter)
    return caught.value


def test_models_of_tensorflow_2_and_1_answer(half_plus):
    outputs = run(LoadedModel(half_plus), "serving_default", {"x": floats(1, 2, 5)})
    np.testing.assert_array_equal(outputs["y"], [2.5, 3, 4.5])


def test_answers_are_those_of_tensorflows_other_loader(half_plus):
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    loaded = tf.saved_model.load(str(half_plus))
    expected = loaded.signatures["serving_default"](x=tf.constant(x))["y"]
    np.testing.assert_array_equal(run(LoadedModel(half_plus), "serving_default", {"x": x})["y"], expected)


def test_strings_and_scalars_come_out_as_arrays(many):
    outputs = run(many, "serving_default", {"tag": np.array([b"a\xff", b""], object), "signal": np.ones((2, 3), "f4")})
    assert outputs["tag_bytes"].tolist() == [b"a\xff", b""]
    assert outputs["total"].tolist() == [3, 3]
    assert run(many, "scalar", {"x": floats(1, 2)})["total"] == np.float32(3)


def test_an_input_with_a_default_may_be_left_out(many):
    signature = SignatureDef.FromString(many.signatures["scalar"].SerializeToString())
    signature.defaults["x"].CopyFrom(tf.make_tensor_proto(floats(1, 2)))
    assert many.run(signature, {})["total"] == 3
    assert many.run(signature, {"x": floats(5)})["total"] == 5


def test_only_the_outputs_asked_for_come(many):
    assert run(many, "ragged", {"x": floats(1)}, ["a"]).keys() == {"a"}


def test_the_formats_own_signature_is_not_for_clients(many):
    refused = refusal(many, "__saved_model_init_op", {})
    assert refused.code == grpc.StatusCode.INTERNAL
    assert refused.message.startswith("Expected prediction signature method_name to be one of {")


def test_another_dtype_is_refused_not_cast(many):
    refused = refusal(many, "scalar", {"x": np.array([1.0])})
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.message == "input x: expects float32 but float64 is provided"


@pytest.mark.parametrize(("shape", "total"), [((1, 4), [4]), ((2, 3, 5), [[3] * 5] * 2), ((1, 0), [0])])
def test_another_shape_than_the_signatures_is_computed_with(many, shape, total):
    outputs = run(many, "serving_default", {"tag": np.array([b""], object), "signal": np.ones(shape, "f4")})
    assert outputs["total"].tolist() == total


def test_a_shape_that_an_op_cannot_compute_with_is_refused_in_its_words(many):
    refused = refusal(many, "serving_default", {"tag": np.array([b""], object), "signal": np.ones(4, "f4")})
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.message == "Invalid reduction dimension (1 for input with 1 dimension(s)"


def test_any_number_of_choices_of_outputs_does_not_fill_the_memory(many, monkeypatch):
    monkeypatch.setattr(loading, "MOST_CALLABLES", 1)
    for wanted in (["a"], ["b"], ["a", "b"], ["a"]):
        assert run(many, "ragged", {"x": floats(1)}, wanted).keys() == set(wanted)
    assert len(many._callables) == 1


def test_missing_and_extra_inputs_are_named(many):
    assert refusal(many, "scalar", {"z": floats(1)}).message == (
        "input size does not match signature: 1!=1 len({z}) != len({x}). Sent extra: {z}. Missing but required: {x}."
    )


def test_an_output_that_does_not_exist_is_refused(many):
    assert refusal(many, "ragged", {"x": floats(1)}, ["c"]).message == (
        "output tensor alias not found in signature: c Outputs expected to be in the set {a,b}."
    )


def test_an_output_asked_for_twice_is_refused(many):
    assert refusal(many, "ragged", {"x": floats(1)}, ["a", "a"]).message.startswith("duplicate output tensor alias: a")


def test_an_op_that_fails_is_the_requests_fault_and_its_message_one_line(many):
    refused = refusal(many, "reshape", {"x": floats(1, 2, 3)})
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "3 values" in refused.message
    assert "\n" not in refused.message


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.array([1.5, -np.inf], ml_dtypes.bfloat16),
        np.zeros((0, 3), np.float32),
        np.array([[b"a", b"\0\xff"]], object),
        np.array(True),
    ],
    ids=lambda value: str(value.dtype),
)
def test_a_tensor_comes_over_the_wire_as_it_was(value):
    received = array_of("x", tf.make_tensor_proto(value))
    assert received.dtype == value.dtype
    np.testing.assert_array_equal(received, value)


@pytest.mark.parametrize(("value", "count"), [(1.0, 2**24 + 1), (b"a", 2**23 + 1)])
def test_one_value_cannot_claim_the_memory_of_a_large_tensor(value, count):
    bomb = tf.make_tensor_proto(value, shape=[1])
    bomb.tensor_shape.dim[0].size = count
    with pytest.raises(Refusal, match="64 MiB"):
        array_of("x", bomb)


def test_a_negative_size_is_refused():
    tensor = tf.make_tensor_proto(1.0, shape=[1])
    tensor.tensor_shape.dim[0].size = -1
    with pytest.raises(Refusal, match="shape is not known"):
        array_of("x", tensor)


def test_content_that_does_not_fill_the_shape_is_refused():
    tensor = tf.make_tensor_proto(np.ones(8, np.float32))
    tensor.tensor_content = tensor.tensor_content[:-1]
    with pytest.raises(Refusal, match="not a tensor"):
        array_of("x", tensor)


@pytest.mark.parametrize("dtype", [999, DataType.DT_INVALID, DataType.DT_RESOURCE, DataType.DT_FLOAT_REF])
def test_a_dtype_that_is_none_of_a_value_is_refused(dtype):
    with pytest.raises(Refusal, match="not a tensor"):
        array_of("x", TensorProto(dtype=dtype))
