"""One version of a SavedModel in memory, loaded and run as TF Serving does it: a session on the `serve` graph."""

import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.config_pb2 import CallableOptions
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from tfdrift.serving.refusal import Refusal, code_of, invalid

DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
CALLABLE = (
    tf.saved_model.PREDICT_METHOD_NAME,
    tf.saved_model.CLASSIFY_METHOD_NAME,
    tf.saved_model.REGRESS_METHOD_NAME,
)
"""What a signature may say it is; others are the format's own, such as the one that initialises the model."""
LARGEST_INPUT_BYTES = 64 * 2**20
STRING_BYTES = 8  # the pointer to it; TensorFlow says 0
MOST_CALLABLES = 64  # a client chooses which outputs it wants


class LoadedModel:
    """A SavedModel of TensorFlow 1 or 2, answering from many threads at once.

    The weights live until the last request lets go of the object.

    Args:
        folder: a version, with `saved_model.pb`.
    """

    def __init__(self, folder: Path) -> None:
        with tf.Graph().as_default() as graph:
            self._session = tf.compat.v1.Session(graph=graph)
            meta_graph = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], str(folder))
        self.signatures: dict[str, SignatureDef] = dict(meta_graph.signature_def)
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Callable[..., list]] = {}

    def checked(
        self, signature: SignatureDef, inputs: Mapping[str, np.ndarray], output_filter: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Return all inputs of a signature, those left out with their defaults.

        Args:
            signature: one of `signatures`.
            inputs: each input by name; strings are object arrays of bytes. Those with a default may be left out.
            output_filter: names of the outputs wanted; all if empty.

        Raises:
            Refusal: the signature is none that answers, or names or dtypes are not its own.
        """
        if signature.method_name not in CALLABLE:
            expected = ", ".join(CALLABLE)
            raise Refusal(
                grpc.StatusCode.INTERNAL,
                f"Expected prediction signature method_name to be one of {{{expected}}}. Was: {signature.method_name}",
            )
        inputs = {name: array_of(name, value) for name, value in signature.defaults.items()} | dict(inputs)
        _check_names(signature, inputs, output_filter)
        for name, value in inputs.items():
            _check_dtype(name, value, signature.inputs[name])
        return inputs

    def run(
        self, signature: SignatureDef, inputs: Mapping[str, np.ndarray], output_filter: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a signature.

        Args:
            signature: see `checked`.
            inputs: see `checked`.
            output_filter: see `checked`.

        Returns:
            Each output by name.

        Raises:
            Refusal: see `checked`; or an op fails. A shape is refused only by the op that cannot compute with it, as in
                TF Serving.
        """
        inputs = self.checked(signature, inputs, output_filter)
        fetches = {name: signature.outputs[name].name for name in sorted(output_filter or signature.outputs)}
        feeds = {signature.inputs[name].name: value for name, value in inputs.items()}
        try:
            found = feeds | self._compute(feeds, sorted(set(fetches.values()) - feeds.keys()))
        except tf.errors.OpError as error:
            raise Refusal(code_of(error.error_code), error.message.split("\n")[0]) from None
        outputs = {name: found[tensor] for name, tensor in fetches.items()}
        return {
            name: np.asarray(value, object if isinstance(value, bytes) else None) for name, value in outputs.items()
        }

    def _compute(self, feeds: Mapping[str, np.ndarray], fetches: list[str]) -> dict[str, np.ndarray]:
        """Return tensors of the graph by their names.

        `Session.run` of Python would refuse shapes that are not those of the placeholders; C++, and so TF Serving, lets
        the ops decide.
        """
        key = tuple(feeds), tuple(fetches)
        compute = self._callables.get(key)
        if compute is None:
            if len(self._callables) >= MOST_CALLABLES:
                self._callables = {}
            compute = self._session._make_callable_from_options(CallableOptions(feed=key[0], fetch=key[1]))
            self._callables[key] = compute
        return dict(zip(fetches, compute(*feeds.values()), strict=True))


def array_of(name: str, tensor: TensorProto) -> np.ndarray:
    """Return the array of an input as it came over the wire.

    Args:
        name: of the input.
        tensor: its value.

    Raises:
        Refusal: it is no tensor, or one that claims more memory than a request may bring: a single number can stand
            for a tensor of any size.
    """
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
        raise invalid(f"input {name}: the shape is not known")
    try:
        dtype = tf.as_dtype(tensor.dtype)
        if math.prod(sizes) * (dtype.size or STRING_BYTES) > LARGEST_INPUT_BYTES:
            raise invalid(f"input {name}: {math.prod(sizes)} values are more than {LARGEST_INPUT_BYTES >> 20} MiB")
        return tf.make_ndarray(tensor)
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(f"input {name}: not a tensor: {error}") from None


def _check_names(signature: SignatureDef, inputs: Mapping[str, np.ndarray], output_filter: Collection[str]) -> None:
    wanted = signature.inputs.keys()
    if inputs.keys() != wanted:
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(wanted)} len({_braces(inputs)}) != "
            f"len({_braces(wanted)}). Sent extra: {_braces(inputs.keys() - wanted)}. "
            f"Missing but required: {_braces(wanted - inputs.keys())}."
        )
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{_braces(signature.outputs)}."
            )
    if len(set(output_filter)) < len(output_filter):
        raise invalid(f"duplicate output tensor alias: {','.join(output_filter)}")


def _braces(names: Collection[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _check_dtype(name: str, value: np.ndarray, info: TensorInfo) -> None:
    # The session would cast and carry on.
    expected, given = tf.as_dtype(info.dtype), tf.as_dtype(value.dtype)
    if given != expected:
        raise invalid(f"input {name}: expects {expected.name} but {given.name} is provided")
