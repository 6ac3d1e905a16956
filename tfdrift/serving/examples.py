"""Classify, Regress and MultiInference: signatures that take serialised `tf.Example`s.

Whether one classifies or regresses is told by the names of its input and outputs, as in TF Serving: the input is
`inputs`, the outputs are `classes` and `scores`, or one of them, or `outputs`. The method name counts only where it is
checked.
"""

from collections.abc import Mapping

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.classification_pb2 import ClassificationResult
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.regression_pb2 import RegressionResult

from tfdrift.serving.inference import Inference
from tfdrift.serving.loading import DEFAULT_SIGNATURE
from tfdrift.serving.refusal import Refusal, invalid, unimplemented
from tfdrift.serving.versions import Serving

CLASSIFY, REGRESS = tf.saved_model.CLASSIFY_METHOD_NAME, tf.saved_model.REGRESS_METHOD_NAME
INPUTS, CLASSES, SCORES, REGRESSIONS = "inputs", "classes", "scores", "outputs"
_KINDS = {CLASSIFY: "classification", REGRESS: "regression"}


def infer(inference: Inference, spec: ModelSpec, given: Input, method: str) -> tuple[ModelSpec, Message]:
    """Answer a `ClassificationRequest` or a `RegressionRequest`.

    Args:
        inference: of the server.
        spec: names a model, and maybe a version and a signature.
        given: the examples.
        method: `CLASSIFY` or `REGRESS`.

    Returns:
        Which version and signature answered, and what.

    Raises:
        Refusal: the model is not loaded, its signature is none of the method, the examples do not fit it, or its graph
            fails.
    """
    serving = inference.serving(spec)
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name not in serving.model.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    signature = serving.model.signatures[name]
    _check(signature, method, named=inference.checks_method_names)
    examples = serialised_examples(given)
    found = inference.run(spec.name, serving, _predicting(signature), {INPUTS: examples})
    return _answered(spec, serving), _result(method, found, len(examples))


def multi_infer(inference: Inference, request: MultiInferenceRequest) -> MultiInferenceResponse:
    """Answer a `MultiInferenceRequest`: several signatures of one model in one run of its graph.

    Args:
        inference: of the server.
        request: its tasks, and the examples.

    Raises:
        Refusal: as `infer`; or tasks name several models, one signature twice, or signatures of other inputs.
    """
    if not request.tasks:
        raise invalid("Missing ModelSpec")
    serving = inference.serving(request.tasks[0].model_spec)
    signatures: dict[str, SignatureDef] = {}
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        if name not in serving.model.signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _KINDS:
            raise unimplemented(f"Unsupported signature method_name: {task.method_name}")
        signatures[name] = serving.model.signatures[name]
        _check(signatures[name], task.method_name, named=inference.checks_method_names)
    first, *others = signatures.values()
    if any(other.inputs[INPUTS].name != first.inputs[INPUTS].name for other in others):
        raise invalid("Input tensor must be the same for all Signatures.")
    merged = _predicting(first)
    merged.outputs.clear()
    for name, signature in signatures.items():
        for key, info in signature.outputs.items():
            merged.outputs[f"{name}/{key}"].CopyFrom(info)
    examples = serialised_examples(request.input)
    found = inference.run(request.tasks[0].model_spec.name, serving, merged, {INPUTS: examples})
    response = MultiInferenceResponse()
    for task, (name, signature) in zip(request.tasks, signatures.items(), strict=True):
        result = _result(task.method_name, {key: found[f"{name}/{key}"] for key in signature.outputs}, len(examples))
        answer = response.results.add(model_spec=_answered(task.model_spec, serving))
        getattr(answer, f"{_KINDS[task.method_name]}_result").CopyFrom(result)
    return response


def serialised_examples(given: Input) -> np.ndarray:
    """Return the examples of a request, each with the features of its context.

    Args:
        given: examples, or examples with a context; a feature that both have is the example's.

    Returns:
        Bytes [N], object.

    Raises:
        Refusal: there is none.
    """
    context, examples = b"", given.example_list.examples
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        examples = given.example_list_with_context.examples
    if not examples:
        raise invalid("Input is empty.")
    # Messages one after the other are one message of which later fields win.
    array = np.empty(len(examples), object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array


def _check(signature: SignatureDef, method: str, *, named: bool) -> None:
    kind = _KINDS[method]
    if named and signature.method_name != method:
        raise invalid(f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}")
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if method == CLASSIFY and len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if method == REGRESS and len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise _unmet(f"No {kind} inputs found in SignatureDef")
    if method == REGRESS and REGRESSIONS not in signature.outputs:
        raise _unmet("No regression outputs found in SignatureDef")
    if method == CLASSIFY and not {CLASSES, SCORES} & set(signature.outputs):
        raise _unmet(f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}".')


def _unmet(message: str) -> Refusal:
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, message)


def _predicting(signature: SignatureDef) -> SignatureDef:
    """Return a copy of a signature that may be changed."""
    copy = SignatureDef()
    copy.CopyFrom(signature)
    return copy


def _answered(spec: ModelSpec, serving: Serving) -> ModelSpec:
    answered = ModelSpec(name=spec.name, signature_name=spec.signature_name or DEFAULT_SIGNATURE)
    answered.version.value = serving.version
    return answered


def _result(method: str, found: Mapping[str, np.ndarray], count: int) -> Message:
    return _classified(found, count) if method == CLASSIFY else _regressed(found[REGRESSIONS], count)


def _classified(found: Mapping[str, np.ndarray], count: int) -> ClassificationResult:
    for name, dtype in ((CLASSES, tf.string), (SCORES, tf.float32)):
        if name not in found:
            continue
        value = found[name]
        if value.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {list(value.shape)}")
        if tf.as_dtype(value.dtype) != dtype:
            raise invalid(f"Expected {name} Tensor of {_enum(dtype)}. Got: {_enum(tf.as_dtype(value.dtype))}")
        if len(value) != count:
            raise invalid(f"Expected {name} output batch size of {count}. Got: {len(value)}")
    widths = {value.shape[1] for name, value in found.items() if name in (CLASSES, SCORES)}
    if len(widths) > 1:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {found[CLASSES].shape[1]} vs. "
            f"{found[SCORES].shape[1]}"
        )
    result, (width,) = ClassificationResult(), widths
    for row in range(count):
        classifications = result.classifications.add()
        for column in range(width):
            one = classifications.classes.add()
            if CLASSES in found:
                one.label = _text(found[CLASSES][row, column])
            if SCORES in found:
                one.score = found[SCORES][row, column]
    return result


def _regressed(value: np.ndarray, count: int) -> RegressionResult:
    if not (value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(value.shape)}"
        )
    if len(value) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(value)}")
    if tf.as_dtype(value.dtype) != tf.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_enum(tf.as_dtype(value.dtype))}")
    result = RegressionResult()
    for one in value.ravel():
        result.regressions.add(value=one)
    return result


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError:
        raise invalid("a class label is no text") from None


def _enum(dtype: tf.DType) -> str:
    return f"DT_{'FLOAT' if dtype == tf.float32 else dtype.name.upper()}"
