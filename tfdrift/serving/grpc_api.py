"""TF Serving's gRPC services around an `Inference`."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis.model_service_pb2_grpc import (
    ModelServiceServicer,
    add_ModelServiceServicer_to_server,
)
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)

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


def add_services(server: grpc.aio.Server, inference: Inference, threads: Executor) -> None:
    """Add PredictionService (Predict, GetModelMetadata) and ModelService (GetModelStatus) to a gRPC server.

    Args:
        server: not started yet.
        inference: answers.
        threads: where it does so.
    """
    add_PredictionServiceServicer_to_server(_PredictionService(inference, threads), server)
    add_ModelServiceServicer_to_server(_ModelService(inference, threads), server)


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

    async def GetModelMetadata(self, request, context):  # noqa: N802
        return await self._answer(context, self._inference.metadata, request)


class _ModelService(_Answers, ModelServiceServicer):
    async def GetModelStatus(self, request, context):  # noqa: N802
        return await self._answer(context, self._inference.status, request)
