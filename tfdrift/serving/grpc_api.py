"""TF Serving's gRPC services around an `Inference`."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResponse
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigResponse
from tensorflow_serving.apis.model_service_pb2_grpc import (
    ModelServiceServicer,
    add_ModelServiceServicer_to_server,
)
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfdrift.serving.examples import CLASSIFY, REGRESS, infer, multi_infer
from tfdrift.serving.inference import Inference
from tfdrift.serving.loading import DEFAULT_SIGNATURE, array_of
from tfdrift.serving.refusal import Refusal

_LOG = logging.getLogger(__name__)
LARGEST_REQUEST_BYTES = 64 * 2**20
SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a taken port is an error; two servers would share it otherwise
]


SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


def predict(inference: Inference, request: PredictRequest) -> PredictResponse:
    """Answer a `PredictRequest`.

    Args:
        inference: of the server.
        request: names a model, a signature, and maybe a version and the outputs wanted; holds the inputs.

    Returns:
        The outputs, and which version and signature they come from.

    Raises:
        Refusal: the model is not loaded, the request does not fit it, or its graph fails.
    """
    spec = request.model_spec
    with inference.counted(spec.name, "GRPC"):
        serving = inference.serving(spec)
        signature_name = spec.signature_name or DEFAULT_SIGNATURE
        if signature_name not in serving.model.signatures:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.')
        signature = serving.model.signatures[signature_name]
        inputs = {name: array_of(name, tensor) for name, tensor in request.inputs.items()}
        outputs = inference.run(spec.name, serving, signature, inputs, *request.output_filter)
        response = PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = serving.version
        response.model_spec.signature_name = signature_name
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


def classify(inference: Inference, request: ClassificationRequest) -> ClassificationResponse:
    """Answer a `ClassificationRequest`, see `infer`.

    Args:
        inference: what the server says of its models.
        request: the message.
    """
    with inference.counted(request.model_spec.name, "GRPC", "Classify"):
        answered, result = infer(inference, request.model_spec, request.input, CLASSIFY)
        return ClassificationResponse(model_spec=answered, result=result)


def regress(inference: Inference, request: RegressionRequest) -> RegressionResponse:
    """Answer a `RegressionRequest`, see `infer`.

    Args:
        inference: what the server says of its models.
        request: the message.
    """
    with inference.counted(request.model_spec.name, "GRPC", "Regress"):
        answered, result = infer(inference, request.model_spec, request.input, REGRESS)
        return RegressionResponse(model_spec=answered, result=result)


def multi_inference(inference: Inference, request: MultiInferenceRequest) -> MultiInferenceResponse:
    """Answer a `MultiInferenceRequest`, see `multi_infer`.

    Args:
        inference: what the server says of its models.
        request: the message.
    """
    name = request.tasks[0].model_spec.name if request.tasks else ""
    with inference.counted(name, "GRPC", "MultiInference"):
        return multi_infer(inference, request)


def add_services(
    server: grpc.aio.Server,
    inference: Inference,
    reload: Callable[[ModelServerConfig], None],
    threads: Executor,
) -> None:
    """Add PredictionService and ModelService to a gRPC server.

    Args:
        server: not started yet.
        inference: answers.
        reload: changes which models there are; raises a `Refusal` where it cannot.
        threads: where requests are answered.
    """
    add_PredictionServiceServicer_to_server(_PredictionService(inference, threads), server)
    add_ModelServiceServicer_to_server(_ModelService(inference, reload, threads), server)


class _Answers:
    def __init__(self, inference: Inference, threads: Executor) -> None:
        self._inference = inference
        self._threads = threads

    async def _answer(self, context: grpc.aio.ServicerContext, function: Callable, *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except Refusal as refusal:
            return await context.abort(refusal.code, refusal.message)
        except Exception as error:  # noqa: BLE001 - see the REST interface
            _LOG.exception("a request met a fault of the server")
            return await context.abort(grpc.StatusCode.INTERNAL, f"Internal error: {type(error).__name__}")


class _PredictionService(_Answers, PredictionServiceServicer):
    async def Predict(self, request, context):  # noqa: N802 - the protocol's name
        return await self._answer(context, predict, self._inference, request)

    async def Classify(self, request, context):  # noqa: N802
        return await self._answer(context, classify, self._inference, request)

    async def Regress(self, request, context):  # noqa: N802
        return await self._answer(context, regress, self._inference, request)

    async def MultiInference(self, request, context):  # noqa: N802
        return await self._answer(context, multi_inference, self._inference, request)

    async def GetModelMetadata(self, request, context):  # noqa: N802
        return await self._answer(context, self._inference.metadata, request)


class _ModelService(_Answers, ModelServiceServicer):
    def __init__(self, inference: Inference, reload: Callable[[ModelServerConfig], None], threads: Executor) -> None:
        super().__init__(inference, threads)
        self._reload = reload

    async def GetModelStatus(self, request, context):  # noqa: N802
        return await self._answer(context, self._inference.status, request)

    async def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        await self._answer(context, self._reload, request.config)
        return ReloadConfigResponse()
