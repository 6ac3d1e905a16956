"""Arrays of numbers in JSON, read and written without an object for each number.

This is the fast way for what a request nearly always is: regular arrays of plain numbers. Whatever else stands in a
body (text, NaN, ragged lists, a mistake) is none of its business; `tfdrift.serving.json_tensors` reads that, and says
what is wrong with it.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
import simdjson
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from tfdrift.serving.loading import DEFAULT_SIGNATURE

_READ_AS: dict[str, tuple[Literal["d", "i"], type[np.generic]]] = {"f": ("d", np.float64), "i": ("i", np.int64)}
"""What numbers of a NumPy kind are read as, and what simdjson calls that."""
_OF_NUMBERS = b"0123456789+-.eE"


class PredictBody(NamedTuple):
    """The body of a `:predict` request; `rows` tells the format, which is that of the answer too."""

    signature: SignatureDef
    inputs: dict[str, np.ndarray]
    rows: bool


class _NotPlainError(Exception):
    """Something that only the slow way reads."""


def read_plain(body: bytes, signatures: Mapping[str, SignatureDef]) -> PredictBody | None:
    """Read the body of a `:predict` request whose inputs are regular arrays of numbers.

    Args:
        body: JSON.
        signatures: of the model, by name.

    Returns:
        As `tfdrift.serving.json_tensors.read_predict`; None where the body is anything else.

    Source: Langdale and Lemire (2019), "Parsing gigabytes of JSON per second".
    """
    try:
        document = _members(simdjson.Parser().parse(body))
        signature = signatures[document.get("signature_name", DEFAULT_SIGNATURE)]
        if document.keys() - {"signature_name"} == {"instances"}:
            return PredictBody(signature, _rows(document["instances"], signature.inputs), rows=True)
        if document.keys() - {"signature_name"} == {"inputs"}:
            columns = _members(document["inputs"])
            named = {name: _array(columns[name], info) for name, info in signature.inputs.items()}
            return PredictBody(signature, named, rows=False)
    # simdjson has no error of its own: what it cannot read is a ValueError, a number that is too long a RuntimeError.
    except (_NotPlainError, KeyError, TypeError, ValueError, RuntimeError, OverflowError):
        return None
    return None


def write_plain(key: str, values: Any) -> bytes:
    """Write arrays under a key.

    Args:
        key: of the only member.
        values: an array, or lists and dicts of arrays; of floats that are finite, or of integers, or of truth values.

    Example:
        >>> write_plain("outputs", {"x": np.array([[0.1, 2.0]], np.float32)})
        b'{"outputs":{"x":[[0.1,2.0]]}}'
    """
    return orjson.dumps({key: values}, option=orjson.OPT_SERIALIZE_NUMPY)


def is_plain(value: np.ndarray) -> bool:
    """Return whether `write_plain` takes an array: JSON has no word for what is not finite, orjson none for a scalar.

    Args:
        value: of any dtype.
    """
    if value.ndim == 0:
        return False
    if value.dtype in (np.float32, np.float64):
        return bool(np.isfinite(value).all())
    return value.dtype.kind in "biu"


def _members(value: Any) -> dict[str, Any]:
    """Return the members of an object; a name that comes twice is left to the slow way."""
    if not isinstance(value, simdjson.Object):
        raise _NotPlainError
    names = list(value.keys())
    if len(set(names)) != len(names):
        raise _NotPlainError
    return {name: value[name] for name in names}  # `items` would make an object of each number


def _rows(instances: Any, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not isinstance(instances, simdjson.Array) or not len(instances):
        raise _NotPlainError
    if not isinstance(instances[0], simdjson.Object):
        ((name, info),) = infos.items()
        return {name: _array(instances, info)}
    rows = [_members(instances[number]) for number in range(len(instances))]
    if any(row.keys() != infos.keys() for row in rows):
        raise _NotPlainError
    return {name: np.stack([_array(row[name], info) for row in rows]) for name, info in infos.items()}


def _array(value: Any, info: TensorInfo) -> np.ndarray:
    dtype = tf.as_dtype(info.dtype).as_numpy_dtype
    kind = np.dtype(dtype).kind
    if not isinstance(value, simdjson.Array) or kind not in _READ_AS:
        raise _NotPlainError
    name, read_as = _READ_AS[kind]
    numbers = np.frombuffer(value.as_buffer(of_type=name), read_as)
    shape = _shape(value)
    # Without its numbers a regular array is brackets and commas that follow from its shape.
    minified: Any = value.mini  # bytes; its stub says str
    if minified.translate(None, _OF_NUMBERS) != _brackets(shape):
        raise _NotPlainError
    with np.errstate(over="ignore"):  # a number that is too large becomes Infinity
        found = numbers.astype(dtype).reshape(shape)
    if kind == "i" and not np.array_equal(found.ravel(), numbers):
        raise _NotPlainError
    return found


def _shape(value: Any) -> list[int]:
    shape = []
    while isinstance(value, simdjson.Array):
        shape.append(len(value))
        if not len(value):
            break
        value = value[0]
    return shape


def _brackets(shape: list[int]) -> bytes:
    written = b""
    for size in reversed(shape):
        written = b"[" + b",".join([written] * size) + b"]"
    return written
