"""Tensors in the JSON of TF Serving's REST interface, in row and in columnar format.

Source: TensorFlow Serving, "RESTful API", https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from tfdrift.serving.json_arrays import PredictBody, is_plain, read_plain, write_plain
from tfdrift.serving.loading import DEFAULT_SIGNATURE
from tfdrift.serving.refusal import invalid, unimplemented

BYTES_SUFFIX = "_bytes"
FLOATS = (tf.float16, tf.float32, tf.float64)
_STRING_OR_INF = re.compile(rb'"(?:[^"\\]|\\.)*"|(?<![A-Za-z])Inf(?!inity)', re.DOTALL)


def read_predict(body: bytes, signatures: Mapping[str, SignatureDef]) -> PredictBody:
    """Read the body of a `:predict` request.

    Args:
        body: JSON; NaN, Infinity, -Infinity, Inf and -Inf are numbers.
        signatures: of the model, by name.

    Returns:
        Which signature is asked, and each input by name: its dtype is the signature's, its shape that of the lists.

    Raises:
        Refusal: the body is not what the signature takes.
    """
    plain = read_plain(body, signatures)
    if plain is not None:
        return plain
    document = parsed_body(body)
    name = document.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise invalid("JSON Value not formatted correctly. 'signature_name' key must be a string value.")
    if (name or DEFAULT_SIGNATURE) not in signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    signature = signatures[name or DEFAULT_SIGNATURE]
    if "instances" in document and "inputs" in document:
        raise invalid("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in document:
        return PredictBody(signature, _rows(document["instances"], signature.inputs), rows=True)
    if "inputs" in document:
        return PredictBody(signature, _columns(document["inputs"], signature.inputs), rows=False)
    raise invalid("Missing 'inputs' or 'instances' key")


def write_predict(outputs: Mapping[str, np.ndarray], *, rows: bool) -> bytes:
    """Write the answer of a `:predict` request.

    Args:
        outputs: each output by name; strings are object arrays of bytes.
        rows: one entry an example under `predictions`, instead of one a tensor under `outputs`.

    Returns:
        JSON; the name of a single output is left out.

    Raises:
        Refusal: an output has a dtype that JSON cannot hold, or the outputs have no common batch size.
    """
    if rows:
        _check_batch(outputs)
    key = "predictions" if rows else "outputs"
    if all(map(is_plain, outputs.values())):
        return write_plain(key, _formatted({name: np.ascontiguousarray(one) for name, one in outputs.items()}, rows))
    listed = _formatted({name: _listed(name, value) for name, value in outputs.items()}, rows)
    return json.dumps({key: listed}).encode()


def _formatted(values: Mapping[str, Any], rows: bool) -> Any:
    if len(values) == 1:
        (only,) = values.values()
        return only
    if rows:
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return values


def parsed_body(body: bytes) -> dict[str, Any]:
    """Return the object that the body of a request is.

    Args:
        body: JSON; NaN, Infinity, -Infinity, Inf and -Inf are numbers.

    Raises:
        Refusal: it is none.
    """
    try:
        try:
            document = json.loads(body)
        except ValueError:
            # TF Serving's parser knows Inf, Python's does not; in a string it is a word.
            document = json.loads(
                _STRING_OR_INF.sub(lambda found: b"Infinity" if found[0] == b"Inf" else found[0], body)
            )
        if b"\\u" in body:
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid("JSON Value: Is not object")
    return document


def _rows(instances: Any, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        raise invalid("JSON Value: Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid("JSON Value: No values in 'instances' array")
    named = _is_object(instances[0])
    if not named and len(infos) != 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    for index, instance in enumerate(instances):
        if _is_object(instance) != named:
            expected, found = ("object", "value/list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {found} at item {index} of input list")
        if named and instance.keys() != infos.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: keys must be equal to: "
                f"{','.join(sorted(infos))}"
            )
    if named:
        return {name: _tensor(name, [row[name] for row in instances], info) for name, info in infos.items()}
    ((name, info),) = infos.items()
    return {name: _tensor(name, instances, info)}


def _columns(inputs: Any, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(infos) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        ((name, info),) = infos.items()
        return {name: _tensor(name, inputs, info)}
    for name in infos:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _tensor(name, inputs[name], info) for name, info in infos.items()}


def _is_object(value: Any) -> bool:
    """Return whether a value names inputs; {"b64": ...} is a value itself."""
    return isinstance(value, dict) and not is_base64(value)


def is_base64(value: Any) -> bool:
    """Return whether a JSON value stands for bytes."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _tensor(name: str, value: Any, info: TensorInfo) -> np.ndarray:
    """Return nested lists as an array."""
    shape, leaves = [], [value]
    while leaves and isinstance(leaves[0], list):
        if not all(isinstance(leaf, list) for leaf in leaves):
            raise invalid(f"input {name}: a list and a value stand side by side at level {len(shape)}")
        sizes = {len(leaf) for leaf in leaves}
        if len(sizes) > 1:
            raise invalid(
                f"input {name}: Encountered list at unexpected size: {max(sizes)} at level: {len(shape)} expected "
                f"size: {min(sizes)}"
            )
        shape.append(sizes.pop())
        leaves = list(chain.from_iterable(leaves))
    return _converted(name, leaves, tf.as_dtype(info.dtype)).reshape(shape)


def _converted(name: str, leaves: list, dtype: tf.DType) -> np.ndarray:
    if dtype == tf.string:
        array = np.empty(len(leaves), object)
        array[:] = [bytes_of(name, leaf) for leaf in leaves]
        return array
    if dtype == tf.bool:
        accepted = {bool}
    elif dtype.is_integer and not dtype.is_quantized:
        accepted = {int}
    elif dtype in FLOATS:
        accepted = {int, float}
    else:
        raise unimplemented(f"input {name}: JSON cannot hold {dtype.name}; use gRPC")
    found = set(map(type, leaves)) - accepted
    if found:
        names = ", ".join(sorted(kind.__name__ for kind in found))
        raise invalid(f"input {name}: JSON Value of type {names} is not of expected type: {dtype.name}")
    try:
        # A number becomes the float next to it, Infinity where it is too large.
        with np.errstate(over="ignore"):
            read_as = np.float64 if dtype in FLOATS else dtype.as_numpy_dtype
            return np.array(leaves, read_as).astype(dtype.as_numpy_dtype)
    except OverflowError:
        raise invalid(f"input {name}: a number is out of the range of {dtype.name}") from None


def bytes_of(name: str, leaf: Any) -> bytes:
    """Return the bytes that a JSON string or {"b64": ...} stands for.

    Args:
        name: of the input, for the message.
        leaf: the value.

    Raises:
        Refusal: it is neither, or no base64.
    """
    if isinstance(leaf, str):
        return leaf.encode()
    if not is_base64(leaf):
        raise invalid(f"input {name}: JSON Value of type {type(leaf).__name__} is not of expected type: string")
    text = "".join(leaf["b64"].split())
    digits = text.rstrip("=")
    try:
        if len(text) > len(digits) and len(text) % 4:  # no padding is fine, the wrong one is not
            raise ValueError
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"input {name}: Unable to base64 decode") from None


def _check_batch(outputs: Mapping[str, np.ndarray]) -> None:
    expected = None
    for name, value in outputs.items():
        if value.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if expected not in (None, len(value)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(value)} expecting: {expected}")
        expected = len(value)


def _listed(name: str, value: np.ndarray) -> Any:
    """Return an array as nested lists of what JSON can hold."""
    if value.dtype == object:
        write = _as_base64 if name.endswith(BYTES_SUFFIX) else _as_text
        written = np.empty(value.size, object)
        written[:] = [write(name, item) for item in value.flat]
        return written.reshape(value.shape).tolist()
    if value.dtype.kind not in "biuf":
        raise invalid(f"Failed to write JSON value for tensor type: {value.dtype.name}")
    return decimals_of(value).tolist()


def decimals_of(value: np.ndarray) -> np.ndarray:
    """Return numbers whose shortest decimals name them: 0.2, not the 0.20000000298023224 of the float64 next to it."""
    if value.dtype.kind == "f" and value.dtype != np.float64:
        return value.astype("S16").astype(np.float64)
    return value


def _as_base64(_name: str, item: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(item).decode()}


def _as_text(name: str, item: bytes) -> str:
    try:
        return item.decode()
    except UnicodeDecodeError:
        raise invalid(
            f"Tensor name: {name} holds bytes that are no text; use gRPC, or end its name in _bytes"
        ) from None
