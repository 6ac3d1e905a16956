"""What an exported model answers, and the only ops its graph may hold."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tfdrift.errors import DataError
from tfdrift.export.members import (
    CONDITIONED,
    FIELD,
    GUIDED,
    SIGNATURE,
    member_signature,
    told_signature,
    weights_of,
    weights_sha256,
)
from tfdrift.export.normalisation import normalise
from tfdrift.methods.method import Images, Predictor

# Arithmetic, convolutions, stateless random numbers, sorting, loops, reading tf.Example and the model's own weights:
# nothing that could touch a file, a socket or Python, keep state between requests, or need a library that TF Serving
# does not have.
ALLOWED_OPS = frozenset({
    "Abs", "AddN", "AddV2", "All", "Any", "ArgMax", "ArgMin", "Atan2", "AvgPool", "AvgPool3D", "BatchMatMulV2",
    "BiasAdd", "BitwiseOr", "BroadcastTo", "Cast", "Ceil", "ClipByValue", "ConcatV2", "Const", "Conv2D",
    "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2", "Cos", "Cumsum", "DepthwiseConv2dNative", "DivNoNan",
    "Einsum", "Elu", "Equal", "Erf", "Exp", "ExpandDims", "Expm1", "Fill", "Floor", "FloorDiv", "FloorMod", "GatherNd",
    "GatherV2", "Greater", "GreaterEqual", "Identity", "IsFinite", "IsNan", "LeakyRelu", "LeftShift", "Less",
    "LessEqual", "LinSpace", "Log", "Log1p", "LogicalAnd", "LogicalNot", "LogicalOr", "MatMul", "Max", "MaxPool",
    "MaxPool3D", "Maximum", "Mean", "Min", "Minimum", "MirrorPad", "Mul", "Neg", "NoOp", "NotEqual", "OnesLike", "Pack",
    "Pad", "PadV2", "ParseExampleV2", "PartitionedCall", "Placeholder", "Pow", "Prod", "Range", "Rank",
    "ReadVariableOp", "RealDiv", "Relu", "Reshape", "ResizeBilinear", "ReverseV2", "Round", "Rsqrt", "SelectV2",
    "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice", "Softmax", "Softplus", "Split", "SplitV", "Sqrt", "Square",
    "SquaredDifference", "Squeeze", "StatefulPartitionedCall", "StatelessRandomNormalV2",
    "StatelessRandomUniformFullIntV2", "StatelessRandomUniformIntV2", "StatelessRandomUniformV2", "StatelessWhile",
    "StopGradient", "StridedSlice", "Sub", "Sum", "Tanh", "TensorListFromTensor", "TensorListGetItem",
    "TensorListReserve", "TensorListSetItem", "TensorListStack", "Tile", "TopKV2", "Transpose", "Unpack", "VarHandleOp",
    "While", "ZerosLike",
})  # fmt: skip
# The format's own functions that read the weights when a server loads the model; no request reaches them.
SAVER_OPS = frozenset({
    "AssignVariableOp", "DisableCopyOnRead", "MergeV2Checkpoints", "RestoreV2", "SaveV2", "Select", "ShardedFilename",
    "StaticRegexFullMatch", "StringJoin",
})  # fmt: skip


DEFAULT_OUTCOMES = 16


class ServingModule(tf.Module):
    """What is saved: the weights, once, and the functions that answer requests.

    Of an ensemble, `predict` answers the mean of what its members answer, and `ensemble` draws from all of them: they
    share the outcomes evenly, as in `tfdrift.evaluation.answers.answer`.

    Args:
        predictors: the members, one or more, of one method and one kind of images; each answers for images whose
            largest signal is 1.
        image_size: side S of the images in pixels.
        outcomes: number of predictions that `ensemble` makes of each image, rounded up to a multiple of the number of
            members. `direct` has no noise to draw, so that all outcomes of a member are the same: each makes one, and
            the spread of a single one, 0, says that it knows of no uncertainty.
    """

    def __init__(self, predictors: Sequence[Predictor], image_size: int, outcomes: int = DEFAULT_OUTCOMES) -> None:
        super().__init__()
        first, members = predictors[0], len(predictors)
        self._predictors = list(predictors)
        self._inputs = first.inputs
        self._maps = dict(first.method.maps)
        self._image_shape = first.inputs.image_shape(image_size)
        self.outcomes = members * (math.ceil(outcomes / members) if first.draws else 1)
        # Held as plain TensorFlow variables: a Keras model under the module would be saved with a second copy of them.
        self.weights = [weight for predictor in predictors for weight in weights_of(predictor)]

    def weights_sha256(self) -> str:
        """Return the SHA-256 over all weights, member by member, see `tfdrift.export.members.weights_sha256`."""
        return weights_sha256(self.weights)

    def signatures(self, *, config: str = "{}", card: str = "") -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Return the traced function of each signature by its name.

        Args:
            config: what the signature `about` answers, so that a server passes it on to whoever is far from the files:
                JSON, `assets/config.json`.
            card: the same, the model card.
        """

        def tell(asked: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"config": tf.fill(tf.shape(asked), config), "card": tf.fill(tf.shape(asked), card)}

        image = tf.TensorSpec([None, *self._image_shape], tf.float32, name="image")
        seed = tf.TensorSpec([None, 2], tf.int64, name="seed")
        t = tf.TensorSpec([None, 1], tf.float32, name="t")
        examples = tf.TensorSpec([None], tf.string, name="examples")
        functions = {
            SIGNATURE: (self.predict, [image, seed]),
            "ensemble": (self.ensemble, [image, seed]),
            "denoise": (self.denoise, [image, t]),
            "serve_tf_examples": (self.predict_examples, [examples]),
            "about": (tell, [tf.TensorSpec([None], tf.int64, name="asked")]),
        }
        if self._maps:
            functions[FIELD] = (self.predict_field, [image, seed])
        if len(self._predictors) > 1:
            for member, predictor in enumerate(self._predictors):
                functions[member_signature(member)] = (partial(_predict, predictor, self._maps), [image, seed])
        conditions = self._inputs.conditions
        more = {CONDITIONED: [tf.TensorSpec([None, conditions.numbers], tf.float32, name="condition")]}
        more[GUIDED] = [*more[CONDITIONED], tf.TensorSpec([None, 1], tf.float32, name="guidance")]
        takes = [CONDITIONED] * bool(conditions.names) + [GUIDED] * conditions.has_classes
        functions |= {
            told_signature(name, told): (function, [*inputs, *more[told]])
            for name, (function, inputs) in functions.items()
            for told in takes
            if inputs == [image, seed]
        }
        return {
            name: tf.function(function, input_signature=inputs).get_concrete_function()
            for name, (function, inputs) in functions.items()
        }

    def predict(
        self,
        image: tf.Tensor,
        seed: tf.Tensor,
        condition: tf.Tensor | None = None,
        guidance: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Return `post` and `drift`, float32 [N, ..., 1], in the units of `image`, of its first channel.

        An image without any signal, largest value 0 or less, gives zeros. A value that is not finite spoils its own
        image alone.

        Args:
            image: float32 [N, S, S, C] or [N, D, S, S, C], pre crop in scanner units, a channel `dose` in Gy; zeros
                where a channel beyond the first is not known.
            seed: int64 [N, 2], the noise of each image.
            condition: float32 [N, numbers], what is known beside the image, NaN where unknown; None for nothing.
            guidance: float32 [N, 1], see `tfdrift.methods.guidance.guided`; None for 1.
        """
        return _mean([_predict(predictor, {}, image, seed, condition, guidance) for predictor in self._predictors])

    def predict_field(
        self,
        image: tf.Tensor,
        seed: tf.Tensor,
        condition: tf.Tensor | None = None,
        guidance: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Return what `predict` does and the method's `maps`: how the lesion moves, grows, brightens, and what is new.

        Args:
            image: see `predict`.
            seed: see `predict`.
            condition: see `predict`.
            guidance: see `predict`.

        Returns:
            `post`, `drift` and, with `--drift-form field`, `displacement` float32 [N, ..., D] in pixels, rows before
            columns, `log_jacobian` and `log_gain` [N, ..., 1], and `residual` [N, ..., 1] in the units of `image`.
        """
        return _mean(
            [_predict(predictor, self._maps, image, seed, condition, guidance) for predictor in self._predictors]
        )

    def ensemble(
        self,
        image: tf.Tensor,
        seed: tf.Tensor,
        condition: tf.Tensor | None = None,
        guidance: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Return mean and standard deviation of `post` and `drift` over K outcomes, and two quantiles of `drift`.

        Outcome k of an image is what member k mod M of M answers to the seed `outcome_seeds(seed, k)`. The outcomes are
        made one after the other, so that the network's memory is that of one prediction. The standard deviation divides
        by K.

        Args:
            image: see `predict`.
            seed: see `predict`.
            condition: see `predict`.
            guidance: see `predict`.

        Returns:
            `post_mean`, `post_std`, `drift_mean`, `drift_std`, `drift_q05`, `drift_q95`, float32 [N, ..., 1], in the
            units of `image`.
        """
        normalised, scale = normalise(image, self._inputs.names)
        told = (condition, guidance)
        drawn = [self._drawn(member, normalised, seed, *told) for member in range(len(self._predictors))]
        outcomes = {name: tf.concat([one[name] for one in drawn], axis=0) for name in ("post", "drift")}
        statistics = {
            **{f"{name}_mean": tf.reduce_mean(outcomes[name], axis=0) for name in ("post", "drift")},
            **{f"{name}_std": tf.math.reduce_std(outcomes[name], axis=0) for name in ("post", "drift")},
            "drift_q05": quantile(outcomes["drift"], 0.05),
            "drift_q95": quantile(outcomes["drift"], 0.95),
        }
        return {name: scale * value for name, value in statistics.items()}

    def denoise(self, image: tf.Tensor, t: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the network's own `recon` and `drift`, float32 [N, ..., 1], for whoever brings a sampler.

        Of an ensemble, the mean of the networks'.

        Args:
            image: float32 [N, ..., 1], normalised (largest signal of the clean image 1) and noised.
            t: float32 [N, 1] in [0, 1], level / (levels - 1).
        """
        return _mean([predictor.ask(image, None)(image, t) for predictor in self._predictors])

    def predict_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return what `predict` does for serialised `tf.Example`s.

        Args:
            examples: string [N]; each holds `image`, a float list of its values, the channels of a pixel together, row
                by row, and may hold `seed`, an int64 list of two, [0, 0] if it is absent, and of a model with
                conditions `condition`, a float list of its numbers, unknown if it is absent.
        """
        features = {
            "image": tf.io.FixedLenFeature(self._image_shape, tf.float32),
            "seed": tf.io.FixedLenFeature([2], tf.int64, default_value=[0, 0]),
        }
        numbers = self._inputs.conditions.numbers
        if numbers:
            features["condition"] = tf.io.FixedLenFeature([numbers], tf.float32, default_value=[math.nan] * numbers)
        parsed = tf.io.parse_example(examples, features)
        return self.predict(**parsed)  # pyright: ignore[reportArgumentType] - neither is ragged or sparse

    def _drawn(
        self,
        member: int,
        normalised: tf.Tensor,
        seed: tf.Tensor,
        condition: tf.Tensor | None,
        guidance: tf.Tensor | None,
    ) -> Images:
        """Return the outcomes of a member, float32 [K / M, N, ..., 1]."""
        ask = self._predictors[member]
        return tf.map_fn(
            lambda k: _post_and_drift(ask(normalised, outcome_seeds(seed, k), condition, guidance)),
            tf.range(member, self.outcomes, len(self._predictors), dtype=tf.int64),
            parallel_iterations=1,
            fn_output_signature={"post": tf.float32, "drift": tf.float32},
        )


def outcome_seeds(seed: tf.Tensor, k: int | tf.Tensor) -> tf.Tensor:
    """Return the seeds of outcome `k`, independent of those of the other outcomes.

    Args:
        seed: int64 [N, 2].
        k: number of the outcome, int64 scalar.

    Returns:
        int64 [N, 2]; that of an image depends on its own seed and `k` alone.
    """

    def fold(one_seed):
        return tf.random.experimental.stateless_fold_in(one_seed, tf.cast(k, tf.int64), alg="philox")

    return tf.reshape(tf.map_fn(fold, seed, fn_output_signature=tf.int64), tf.shape(seed))


def quantile(outcomes: tf.Tensor, q: float) -> tf.Tensor:
    """Return the quantile over the first axis, linear between the two outcomes next to position q * (K - 1).

    Args:
        outcomes: float32 [K, ...].
        q: in [0, 1].

    Returns:
        float32 [...].

    Source: Hyndman and Fan (1996), definition 7; `numpy.quantile`'s default.

    Example:
        >>> quantile(tf.constant([4.0, 1.0, 2.0, 3.0]), 0.5).numpy().item()
        2.5
    """
    ordered = tf.sort(outcomes, axis=0)
    position = q * (outcomes.shape[0] - 1)  # pyright: ignore[reportOptionalOperand] - K is known when traced
    below, above = math.floor(position), math.ceil(position)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def _predict(
    predictor: Predictor,
    maps: Mapping[str, bool],
    image: tf.Tensor,
    seed: tf.Tensor,
    condition: tf.Tensor | None = None,
    guidance: tf.Tensor | None = None,
) -> Images:
    """Return `post`, `drift` and maps; without signal in the image all of them are zeros."""
    normalised, scale = normalise(image, predictor.inputs.names)
    predicted = predictor(normalised, seed, condition, guidance)
    of_image = {"post": True, "drift": True, **maps}
    return {name: (scale if units else tf.sign(scale)) * predicted[name] for name, units in of_image.items()}


def _post_and_drift(predicted: Images) -> Images:
    return {name: predicted[name] for name in ("post", "drift")}


def _mean(answers: Sequence[Images]) -> Images:
    return {name: tf.reduce_mean(tf.stack([one[name] for one in answers]), axis=0) for name in answers[0]}


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
