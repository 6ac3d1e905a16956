import json

import pytest
from tensorflow_serving.apis.classification_pb2 import ClassificationResult
from tensorflow_serving.apis.regression_pb2 import RegressionResult

from tfdrift.serving.json_examples import read_examples, write_result
from tfdrift.serving.refusal import Refusal


def read(**document):
    return read_examples(json.dumps(document).encode())


def features(example) -> dict:
    return {name: list(getattr(one, one.WhichOneof("kind")).value) for name, one in example.features.feature.items()}


def test_features_have_the_type_of_their_values():
    _, given = read(examples=[{"a": 1, "b": [1.5, 2.0], "c": "x", "d": {"b64": "AAE="}, "e": [True, 2]}])
    (example,) = given.example_list.examples
    assert features(example) == {"a": [1], "b": [1.5, 2.0], "c": [b"x"], "d": [b"\0\1"], "e": [1, 2]}
    kinds = {name: one.WhichOneof("kind") for name, one in example.features.feature.items()}
    assert kinds == {"a": "int64_list", "b": "float_list", "c": "bytes_list", "d": "bytes_list", "e": "int64_list"}


def test_context_and_signature_are_read():
    name, given = read(signature_name="s", context={"y": 2.0}, examples=[{"x": 1.0}, {}])
    assert name == "s"
    assert features(given.example_list_with_context.context) == {"y": [2.0]}
    assert [features(one) for one in given.example_list_with_context.examples] == [{"x": [1.0]}, {}]


def test_a_number_too_large_for_a_float_is_infinity():
    _, given = read(examples=[{"x": 1e39}])
    assert features(given.example_list.examples[0]) == {"x": [float("inf")]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": "x"}, "Example must be JSON object but got JSON String"),
        ({"examples": [{}], "signature_name": 1}, "'signature_name' key must be a string value"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]}, "Feature: a has element with unexpected JSON type: Array"),
        ({"examples": [{"a": [1, 2.5]}]}, "Unexpected element type in feature: a expecting type: int64"),
        ({"examples": [{"a": ["x", 1]}]}, "Unexpected element type in feature: a expecting type: bytes"),
        ({"examples": [{"a": 2**63}]}, "Feature: a has uint64 element. Only int64 is supported"),
    ],
)
def test_what_is_no_example_is_refused_in_tf_servings_words(document, message):
    with pytest.raises(Refusal, match=message):
        read(**document)


def test_a_value_an_example_and_a_pair_a_class_come_back():
    regression = RegressionResult(regressions=[{"value": 0.2}, {"value": -3}])
    assert json.loads(write_result(regression)) == {"results": [0.2, -3]}
    classes = ClassificationResult(classifications=[{"classes": [{"label": "low", "score": 0.1}, {"label": "high"}]}])
    assert json.loads(write_result(classes)) == {"results": [[["low", 0.1], ["high", 0]]]}
