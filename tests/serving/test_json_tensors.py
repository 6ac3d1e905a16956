import base64
import json

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tfdrift.serving.json_tensors import read_predict, write_predict
from tfdrift.serving.refusal import Refusal


def signatures(**dtypes):
    """Return a default signature with inputs of these dtypes."""
    signature = SignatureDef()
    for name, dtype in dtypes.items():
        signature.inputs[name].dtype = tf.as_dtype(dtype).as_datatype_enum
    return {"serving_default": signature}


def read(document, **dtypes):
    """Return the inputs and whether the format is that of rows."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    found = read_predict(body, signatures(**dtypes))
    return found.inputs, found.rows


def refusal(document, **dtypes) -> str:
    with pytest.raises(Refusal) as caught:
        read(document, **dtypes)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    return caught.value.message


# The example of TF Serving's documentation, in both formats.
ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]
COLUMNS = {
    "tag": ["foo", "bar"],
    "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
    "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
}


@pytest.mark.parametrize(("document", "rows"), [({"instances": ROWS}, True), ({"inputs": COLUMNS}, False)])
def test_both_formats_of_the_documentation_are_the_same_tensors(document, rows):
    inputs, found_rows = read(document, tag="string", signal="float32", sensor="int64")
    assert found_rows == rows
    assert inputs["tag"].tolist() == [b"foo", b"bar"]
    for name, dtype in (("signal", np.float32), ("sensor", np.int64)):
        assert inputs[name].dtype == dtype
        np.testing.assert_array_equal(inputs[name], COLUMNS[name])


@pytest.mark.parametrize(
    ("instances", "shape"), [([1.0, 2.0, 5.0], (3,)), ([[[1, 2]], [[3, 4]]], (2, 1, 2)), ([[], []], (2, 0))]
)
def test_a_single_input_needs_no_name(instances, shape):
    inputs, _ = read({"instances": instances}, x="float32")
    assert inputs["x"].shape == shape
    assert inputs["x"].ravel().tolist() == np.ravel(instances).tolist()


def test_a_single_input_may_be_named_all_the_same():
    assert read({"instances": [{"x": 1}, {"x": 2}]}, x="int32")[0]["x"].tolist() == [1, 2]
    assert read({"inputs": {"x": [1, 2]}}, x="int32")[0]["x"].tolist() == [1, 2]


def test_columns_may_have_different_batch_sizes_and_none_at_all():
    inputs, _ = read({"inputs": {"x": [1, 2], "y": [3], "z": 4}}, x="int32", y="int32", z="int32")
    assert [inputs[name].shape for name in "xyz"] == [(2,), (1,), ()]


def test_nan_and_infinity_are_numbers():
    inputs, _ = read(b'{"instances": [NaN, Infinity, -Infinity]}', x="float32")
    np.testing.assert_array_equal(inputs["x"], np.array([np.nan, np.inf, -np.inf], np.float32))


@pytest.mark.parametrize("document", [{"instances": [{"b64": "AP8="}]}, {"instances": [{"x": {"b64": "AP8="}}]}])
def test_binary_strings_come_in_base64(document):
    assert read(document, x="string")[0]["x"].tolist() == [b"\0\xff"]


def test_a_base64_object_alone_is_the_value_of_a_single_column():
    assert read({"inputs": {"b64": "AP8="}}, x="string")[0]["x"].tolist() == b"\0\xff"


def test_the_largest_integers_come_through_exactly():
    numbers = [2**63 - 1, -(2**63), 2**53 + 1]
    assert read({"instances": numbers}, x="int64")[0]["x"].tolist() == numbers
    assert read({"instances": [2**64 - 1]}, x="uint64")[0]["x"].tolist() == [2**64 - 1]


@pytest.mark.parametrize("name", ["", "serving_default"])
def test_the_default_signature_may_be_named_or_not(name):
    assert read({"signature_name": name, "inputs": 1}, x="int32")[0]["x"] == 1


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "JSON Parse error"),
        (b'{"instances": [1,}', "JSON Parse error"),
        (b"\xff\xfe", "JSON Parse error"),
        (b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON Parse error"),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "JSON Parse error"),
        ([1], "Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"inputs": 1, "instances": [1]}, "only one of 'inputs' or 'instances'"),
        ({"instances": [1], "signature_name": 1}, "'signature_name' key must be a string value"),
        ({"instances": [1], "signature_name": "no"}, 'Serving signature name: "no" not found in signature def'),
        ({"instances": 1}, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [[1], [2, 3]]}, "Encountered list at unexpected size"),
        ({"instances": [[1], 2]}, "a list and a value stand side by side"),
        ({"instances": [2, [1]]}, "JSON Value of type list is not of expected type: float32"),
        ({"instances": ["1"]}, "JSON Value of type str is not of expected type: float32"),
        ({"instances": [True, 1.0]}, "JSON Value of type bool is not of expected type: float32"),
        ({"instances": [None]}, "JSON Value of type NoneType is not of expected type: float32"),
        ({"instances": [{"x": 1}, 2]}, "Expecting object but got value/list at item 1"),
        ({"instances": [1, {"x": 1}]}, "Expecting value/list but got object at item 1"),
        ({"instances": [{"y": 1}]}, "keys must be equal to: x"),
        ({"inputs": {"y": [1]}}, "Missing named input: x in 'inputs' object."),
        ({"instances": [10**400]}, "out of the range of float32"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_a_float_input_is_refused(document, message):
    assert message in refusal(document, x="float32")


@pytest.mark.parametrize(
    ("document", "dtype", "message"),
    [
        ({"instances": [1.5]}, "int32", "JSON Value of type float is not of expected type: int32"),
        ({"instances": [2**31]}, "int32", "out of the range of int32"),
        ({"instances": [-1]}, "uint8", "out of the range of uint8"),
        ({"instances": [1]}, "bool", "JSON Value of type int is not of expected type: bool"),
        ({"instances": [1]}, "string", "JSON Value of type int is not of expected type: string"),
        ({"instances": [{"b64": "?"}]}, "string", "Unable to base64 decode"),
        ({"instances": [{"b64": "AP8=="}]}, "string", "Unable to base64 decode"),
        ({"instances": [{"b64": "A"}]}, "string", "Unable to base64 decode"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_the_dtype_is_refused(document, dtype, message):
    assert message in refusal(document, x=dtype)


@pytest.mark.parametrize("document", [{"instances": [1]}, {"inputs": [1]}])
def test_several_inputs_need_their_names(document):
    assert "multiple input tensors required" in refusal(document, x="int32", y="int32")


def test_a_dtype_that_json_cannot_hold_is_refused():
    with pytest.raises(Refusal) as caught:
        read({"instances": [1]}, x="complex64")
    assert caught.value.code == grpc.StatusCode.UNIMPLEMENTED


def written(*, rows, **outputs):
    return json.loads(write_predict({name: np.asarray(value) for name, value in outputs.items()}, rows=rows))


def test_a_single_output_has_no_name():
    assert written(rows=True, y=[[1, 2], [3, 4]]) == {"predictions": [[1, 2], [3, 4]]}
    assert written(rows=False, y=[[1, 2], [3, 4]]) == {"outputs": [[1, 2], [3, 4]]}


def test_several_outputs_are_an_object_a_row_or_one_of_columns():
    assert written(rows=True, a=[1, 2], b=[[3], [4]]) == {"predictions": [{"a": 1, "b": [3]}, {"a": 2, "b": [4]}]}
    assert written(rows=False, a=[1, 2], b=[[3], [4]]) == {"outputs": {"a": [1, 2], "b": [[3], [4]]}}


def test_columns_may_answer_without_a_common_batch_size():
    assert written(rows=False, a=[1, 2], b=3) == {"outputs": {"a": [1, 2], "b": 3}}


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "Tensor name: b has inconsistent batch size: 1 expecting: 2"),
        ({"a": 1}, "Tensor name: a has no shape information "),
    ],
)
def test_rows_without_a_common_batch_size_are_refused(outputs, message):
    with pytest.raises(Refusal) as caught:
        written(rows=True, **outputs)
    assert caught.value.message == message


def test_nan_and_infinity_are_written_as_tokens():
    outputs = {"y": np.array([np.nan, np.inf, -np.inf], np.float32)}
    assert write_predict(outputs, rows=True) == b'{"predictions": [NaN, Infinity, -Infinity]}'


def test_every_float_comes_back_to_the_bit():
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    document = json.loads(write_predict({"y": values}, rows=False))
    np.testing.assert_array_equal(np.array(document["outputs"], np.float32), values)


def test_floats_are_written_as_short_as_they_can_be():
    assert write_predict({"y": np.array([0.2, 1.0], np.float32)}, rows=False) == b'{"outputs":[0.2,1.0]}'


def test_outputs_of_bytes_are_base64_and_of_text_are_not():
    words = np.array([["é".encode(), b""]], object)
    assert written(rows=True, words=words) == {"predictions": [["é", ""]]}
    expected = {"b64": base64.b64encode("é".encode()).decode()}
    assert written(rows=True, words_bytes=words) == {"predictions": [[expected, {"b64": ""}]]}
    assert written(rows=False, word_bytes=np.array(b"a", object)) == {"outputs": {"b64": "YQ=="}}


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(Refusal, match="holds bytes that are no text"):
        written(rows=True, words=np.array([b"\xff"], object))


def test_an_output_that_json_cannot_hold_is_refused():
    with pytest.raises(Refusal, match="Failed to write JSON value for tensor type: complex64"):
        written(rows=False, y=np.array([1j], np.complex64))


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("16777216", 2.0**24),
        ("16777217", 2.0**24),  # half-way, to even
        ("16777219", 2.0**24 + 4),
        ("1435774380", 1435774336.0),  # the float32 next to it: a multiple of 128
        ("1435774380.0", 1435774336.0),
        ("1e39", np.inf),
        ("-1e39", -np.inf),
        ("1e-50", 0.0),
        ("Inf", np.inf),
        ("-Inf", -np.inf),
        ("Infinity", np.inf),
    ],
)
def test_a_number_becomes_the_float32_next_to_it(number, value):
    assert read(b'{"instances": [' + number.encode() + b"]}", x="float32")[0]["x"].tolist() == [value]


def test_inf_inside_a_string_is_a_word():
    body = b'{"instances": [{"s": "say \\"Inf\\" and Inf", "x": -Inf}]}'
    inputs = read_predict(body, signatures(s="string", x="float32")).inputs
    assert (inputs["s"][0], inputs["x"][0]) == (b'say "Inf" and Inf', -np.inf)


@pytest.mark.parametrize("text", ["AP8", "AP8=", "A\\nP\\r\\n8=", " AP8\\n"])
def test_base64_may_lack_its_padding_and_have_ends_of_lines(text):
    body = b'{"instances": [{"b64": "' + text.encode() + b'"}]}'
    assert read_predict(body, signatures(x="string")).inputs["x"].tolist() == [b"\x00\xff"]


@pytest.mark.parametrize(
    "body",
    [
        rb'{"instances": ["cut \ud83d"]}',
        rb'{"instances": ["\udc00"]}',
        rb'{"instances": [{"\ud83d": "a"}]}',
        rb'{"signature_name": "\ud83d", "instances": ["a"]}',
    ],
)
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(body):
    with pytest.raises(Refusal, match=r"^JSON Parse error: The surrogate pair in string is invalid\.$"):
        read_predict(body, signatures(x="string"))


def test_a_whole_surrogate_pair_is_a_character():
    body = rb'{"instances": ["\ud83d\ude00"]}'
    assert read_predict(body, signatures(x="string")).inputs["x"].tolist() == ["\U0001f600".encode()]
