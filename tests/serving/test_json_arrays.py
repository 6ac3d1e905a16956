import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numbers
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tfdrift.serving.json_arrays import is_plain, read_plain, write_plain


def signatures(**dtypes):
    signature = SignatureDef()
    for name, dtype in dtypes.items():
        signature.inputs[name].dtype = tf.as_dtype(dtype).as_datatype_enum
    return {"serving_default": signature}


ARRAYS = numbers.arrays(
    np.float32,
    numbers.array_shapes(min_dims=1, max_dims=4, max_side=4),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(array=ARRAYS, rows=st.booleans())
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_again_to_the_bit(array, rows):
    key = "instances" if rows else "inputs"
    body = write_plain(
        key, [{"x": row} for row in array] if rows and array.ndim > 1 else {"x": array} if not rows else array
    )
    found = read_plain(body, signatures(x="float32"))
    assert found is not None
    assert found.rows == rows
    assert found.inputs["x"].dtype == np.float32
    np.testing.assert_array_equal(found.inputs["x"], array)


def test_numbers_of_every_form_are_those_of_pythons_parser():
    text = "[-0, 1, 2.5, 1e-3, 1E+2, 0.1, 16777217, 123456789012345678]"
    found = read_plain(f'{{"inputs": {{"x": {text}}}}}'.encode(), signatures(x="float32"))
    assert found is not None
    np.testing.assert_array_equal(found.inputs["x"], np.array(json.loads(text)).astype(np.float32))


@pytest.mark.parametrize(
    "document",
    [
        '{"inputs": {"x": [[1, 2], [3], [4, 5, 6]]}}',  # as many numbers as a regular array of the same first row
        '{"inputs": {"x": [[1, 2], 3]}}',
        '{"inputs": {"x": [1, true]}}',
        '{"inputs": {"x": [1, "2"]}}',
        '{"inputs": {"x": [NaN]}}',
        '{"inputs": {"x": [1e400]}}',
        '{"inputs": {"x": [1], "x": [2]}}',
        '{"inputs": {"x": 1}}',
        '{"inputs": {"y": [1]}}',
        '{"inputs": {"x": [1]}, "instances": [1]}',
        '{"inputs": {"x": [1]}, "signature_name": "other"}',
        '{"instances": [{"x": [1]}, {"y": [1]}]}',
        '{"instances": [{"x": [1]}, {"x": [1, 2]}]}',
        '{"instances": [[1], [2]]',
        "[1]",
        "",
    ],
)
def test_all_else_is_left_to_those_who_can_say_what_is_wrong(document):
    assert read_plain(document.encode(), signatures(x="float32")) is None


@pytest.mark.parametrize(("value", "dtype"), [(2**31, "int32"), (1.5, "int64"), (1, "string"), (1, "uint8")])
def test_integers_that_do_not_fit_are_left_to_them_too(value, dtype):
    assert read_plain(json.dumps({"inputs": {"x": [value]}}).encode(), signatures(x=dtype)) is None


def test_integers_are_read_exactly():
    largest = [2**63 - 1, -(2**63), 2**53 + 1]
    found = read_plain(json.dumps({"instances": largest}).encode(), signatures(x="int64"))
    assert found is not None
    assert found.inputs["x"].tolist() == largest


@pytest.mark.parametrize(("value", "plain"), [(np.nan, False), (np.inf, False), (0.5, True)])
def test_json_has_no_word_for_what_is_not_finite(value, plain):
    assert is_plain(np.array([1.0, value], np.float32)) == plain
