"""What an exported model answers, and the only ops its graph may hold."""

from collections.abc import Iterable, Set
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tfdrift.errors import DataError
from tfdrift.model.predictor import Predictor

# Arithmetic, convolutions, stateless random numbers, loops and reads of the model's own weights: nothing that could
# touch a file, a socket or Python, keep state between requests, or need a library that TF Serving does not have.
ALLOWED_OPS = frozenset({
    "AddV2", "BiasAdd", "BitwiseOr", "Cast", "ConcatV2", "Const", "Conv2D", "Conv2DBackpropInput", "DivNoNan",
    "ExpandDims", "Fill", "GatherV2", "Identity", "LeftShift", "Less", "LogicalAnd", "MatMul", "Max", "MaxPool",
    "Maximum", "Mean", "Minimum", "Mul", "NoOp", "Pack", "Placeholder", "ReadVariableOp", "RealDiv", "Relu", "Reshape",
    "Shape", "Squeeze", "StatefulPartitionedCall", "StatelessRandomNormalV2", "StatelessRandomUniformFullIntV2",
    "StatelessWhile", "StridedSlice", "Sub", "TensorListFromTensor", "TensorListGetItem", "TensorListReserve",
    "TensorListSetItem", "TensorListStack", "Tile", "VarHandleOp", "While",
})  # fmt: skip
# The format's own functions that read the weights when a server loads the model; no request reaches them.
SAVER_OPS = frozenset({
    "AssignVariableOp", "DisableCopyOnRead", "MergeV2Checkpoints", "RestoreV2", "SaveV2", "Select", "ShardedFilename",
    "StaticRegexFullMatch", "StringJoin",
})  # fmt: skip


class ServingModule(tf.Module):
    """What is saved: the weights, once, and the functions that answer requests.

    Args:
        predictor: answers for images whose largest signal is 1.
        image_size: side S of the images in pixels.
    """

    def __init__(self, predictor: Predictor, image_size: int) -> None:
        super().__init__()
        self._predictor = predictor
        self._image_size = image_size
        # Held as plain TensorFlow variables: a Keras model under the module would be saved with a second copy of them.
        self.weights = [weight.value for weight in predictor.network.variables]

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Return the traced function of each signature by its name."""
        side = self._image_size
        image = tf.TensorSpec([None, side, side, 1], tf.float32, name="image")
        seed = tf.TensorSpec([None, 2], tf.int64, name="seed")
        return {"serving_default": tf.function(self.predict, input_signature=[image, seed]).get_concrete_function()}

    def predict(self, image: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `post` and `drift`, float32 [N, S, S, 1], in the units of `image`.

        An image without any signal, largest value 0 or less, gives zeros. A value that is not finite spoils its own
        image alone.

        Args:
            image: float32 [N, S, S, 1], pre crop in scanner units.
            seed: int64 [N, 2], the noise of each image.
        """
        scale = tf.nn.relu(tf.reduce_max(image, axis=[1, 2, 3], keepdims=True))
        predicted = self._predictor(tf.math.divide_no_nan(image, scale), seed)
        return {name: scale * predicted[name] for name in ("post", "drift")}


def check_ops(saved_model_file: Path) -> None:
    """Refuse a SavedModel with an op that is not on the list, or that XLA must compile, in any of its functions.

    Args:
        saved_model_file: `saved_model.pb`.

    Raises:
        DataError: the message names the ops.
    """
    meta_graph = SavedModel.FromString(saved_model_file.read_bytes()).meta_graphs[0]
    nodes, saver = meta_graph.graph_def.node, meta_graph.saver_def
    library = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    saver_ends = {saver.save_tensor_name.split(":")[0], saver.restore_op_name}
    answering = _called_from((node for node in nodes if node.name not in saver_ends), library)
    saving = _called_from((node for node in nodes if node.name in saver_ends), library) - answering
    found = _forbidden(nodes, ALLOWED_OPS | library.keys())
    for name, function in library.items():
        allowed = ALLOWED_OPS | SAVER_OPS if name in saving else ALLOWED_OPS
        found |= _forbidden(function.node_def, allowed | library.keys())
        if function.attr["_XlaMustCompile"].b:
            found.add(f"{name} compiled by XLA")
    if found:
        raise DataError(f"the model's graph holds what a server must not run: {', '.join(sorted(found))}")


def _called_from(nodes: Iterable[NodeDef], library: dict[str, FunctionDef]) -> set[str]:
    called: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        names = {node.op}
        for value in node.attr.values():
            names |= {value.func.name, *(function.name for function in value.list.func)}
        for name in names & library.keys() - called:
            called.add(name)
            waiting.extend(library[name].node_def)
    return called


def _forbidden(nodes: Iterable[NodeDef], allowed: Set[str]) -> set[str]:
    nodes = list(nodes)
    compiled = {f"{node.op} compiled by XLA" for node in nodes if node.attr["_XlaMustCompile"].b}
    return {node.op for node in nodes if node.op not in allowed} | compiled
