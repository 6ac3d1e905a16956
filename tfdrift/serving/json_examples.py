"""`tf.Example`s and their answers in the JSON of TF Serving's REST interface: `:classify` and `:regress`.

Source: TensorFlow Serving, "RESTful API", https://www.tensorflow.org/tfx/serving/api_rest
"""

import json
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.classification_pb2 import ClassificationResult
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.regression_pb2 import RegressionResult

from tfdrift.serving.json_tensors import bytes_of, decimals_of, is_base64, parsed_body
from tfdrift.serving.refusal import Refusal, invalid

_INT64 = range(-(2**63), 2**63)
_KIND_OF = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(body: bytes) -> tuple[str, Input]:
    """Read the body of a `:classify` or `:regress` request.

    Args:
        body: JSON.

    Returns:
        The name of the signature, empty for the default; and the examples, with their context where there is one.

    Raises:
        Refusal: the body is not such a request.
    """
    document = parsed_body(body)
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("JSON Value not formatted correctly. 'signature_name' key must be a string value.")
    if "examples" not in document:
        raise invalid("When method is classify, key 'examples' is expected and was not found")
    listed = document["examples"]
    if not isinstance(listed, list):
        raise invalid("Expecting 'examples' value to be an list/array")
    if not listed:
        raise invalid("'examples' value is an empty array")
    given, examples = Input(), [_example(one) for one in listed]
    if "context" in document:
        given.example_list_with_context.context.CopyFrom(_example(document["context"]))
        given.example_list_with_context.examples.extend(examples)
    else:
        given.example_list.examples.extend(examples)
    return name, given


def write_result(result: ClassificationResult | RegressionResult) -> bytes:
    """Write the answer of a `:classify` or `:regress` request.

    Args:
        result: of `infer`.

    Returns:
        JSON: for each example its value, or a pair of label and score for each class.
    """
    if isinstance(result, RegressionResult):
        listed = decimals_of(np.array([one.value for one in result.regressions], np.float32)).tolist()
    else:
        listed = []
        for one in result.classifications:
            scores = decimals_of(np.array([found.score for found in one.classes], np.float32)).tolist()
            listed.append([[found.label, score] for found, score in zip(one.classes, scores, strict=True)])
    return json.dumps({"results": listed}).encode()


def _example(value: Any) -> tf.train.Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {_json_type(value)}")
    example = tf.train.Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for one in content if isinstance(content, list) else [content]:
            kind, item = _typed(name, one)
            found = feature.WhichOneof("kind")
            if found not in (None, kind):
                raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KIND_OF[found]}")
            getattr(feature, kind).value.append(item)
    return example


def _typed(name: str, value: Any) -> tuple[str, Any]:
    """Return the list of a feature that a JSON value belongs to, and the value for it."""
    if isinstance(value, bool):
        return "int64_list", int(value)
    if isinstance(value, int):
        if value not in _INT64:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64_list", value
    if isinstance(value, float):
        with np.errstate(over="ignore"):
            return "float_list", float(np.float32(value))
    if isinstance(value, str) or is_base64(value):
        return "bytes_list", bytes_of(name, value)
    raise _unexpected(name, value)


def _unexpected(name: str, value: Any) -> Refusal:
    return invalid(f"Feature: {name} has element with unexpected JSON type: {_json_type(value)}")


def _json_type(value: Any) -> str:
    kinds = {type(None): "Null", bool: "Bool", dict: "Object", list: "Array", str: "String"}
    return kinds.get(type(value), "Number")
