"""A client of TF Serving's gRPC protocol: it talks to `tfdrift serve` and to TF Serving's own server alike."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfdrift.errors import DataError, ResourceError

DEADLINE_SECONDS = 60.0
UNLIMITED_MESSAGES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
BAD_REQUEST = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,  # TF Serving's answer to a signature that the model does not have
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # gRPC's to a message that is larger than the server takes
)


class TensorInfo(NamedTuple):
    """What a signature says of one input or output; an unknown dimension is None, and so is a shape of unknown rank."""

    dtype: str
    shape: tuple[int | None, ...] | None


class Signature(NamedTuple):
    """Inputs and outputs of a signature by name."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class VersionStatus(NamedTuple):
    """A version of a model: `state` is START, LOADING, AVAILABLE, UNLOADING or END; `error` is empty if all is well."""

    version: int
    state: str
    error: str


class Client:
    """Requests to a model server; a context manager that closes the connection.

    Args:
        target: host and gRPC port, such as `localhost:8500`.
        deadline_seconds: how long one request may take.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tfdrift.serving.server import embedded_server
        >>> double = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tf.saved_model.save(tf.Module(), f"{folder}/1", signatures=double)
        ...     with embedded_server({"double": Path(folder)}) as server:
        ...         with Client(f"127.0.0.1:{server.grpc_port}") as client:
        ...             client.predict("double", {"x": np.array([1.5], np.float32)})
        {'y': array([3.], dtype=float32)}
    """

    def __init__(self, target: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._target = target
        self._deadline_seconds = deadline_seconds
        on_this_machine = target.rpartition(":")[0] in ("localhost", "127.0.0.1", "[::1]")
        # A proxy would look for the server on a machine of its own.
        proxy = [("grpc.enable_http_proxy", 0)] if on_this_machine else []
        self._channel = grpc.insecure_channel(target, options=[*UNLIMITED_MESSAGES, *proxy])
        self._prediction = PredictionServiceStub(self._channel)
        self._models = ModelServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def predict(
        self,
        name: str,
        inputs: Mapping[str, np.ndarray],
        *,
        signature: str = "serving_default",
        version: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Ask a model for an answer.

        Args:
            name: the model's name on the server.
            inputs: each input by name, in the dtype and shape of the signature; `metadata` tells them.
            signature: which of the model's functions answers.
            version: a version of the model; the newest that the server has if None.

        Returns:
            Each output by name.

        Raises:
            DataError: the server says that the request does not fit the model.
            ResourceError: there is no server, it does not have the model, or it does not answer in time.
        """
        request = PredictRequest(model_spec=_spec(name, version, signature))
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        answer = self._call(self._prediction.Predict, request)
        return {key: tf.make_ndarray(value) for key, value in answer.outputs.items()}

    def metadata(self, name: str, *, version: int | None = None) -> dict[str, Signature]:
        """Return what a model answers: its signatures by name.

        Args:
            name: the model's name on the server.
            version: a version of the model; the newest that the server has if None.

        Returns:
            Each signature with dtype and shape of its inputs and outputs.

        Raises:
            ResourceError: there is no server, it does not have the model, or it does not answer in time.
        """
        request = GetModelMetadataRequest(model_spec=_spec(name, version), metadata_field=["signature_def"])
        packed = self._call(self._prediction.GetModelMetadata, request).metadata["signature_def"]
        try:
            signatures = SignatureDefMap.FromString(packed.value).signature_def
        except DecodeError as error:
            raise ResourceError(f"what {self._target} says of {name!r} is not TF Serving's protocol: {error}") from None
        return {
            key: Signature(_tensors(definition.inputs), _tensors(definition.outputs))
            for key, definition in signatures.items()
            if definition.method_name  # the format's own have none
        }

    def status(self, name: str, *, version: int | None = None) -> list[VersionStatus]:
        """Return the state of each version that the server knows, newest first.

        Args:
            name: the model's name on the server.
            version: this version alone; all if None.

        Raises:
            ResourceError: there is no server, it does not have the model, or it does not answer in time.
        """
        answer = self._call(self._models.GetModelStatus, GetModelStatusRequest(model_spec=_spec(name, version)))
        found = [
            VersionStatus(
                status.version, ModelVersionStatus.State.Name(status.state), status.status.error_message.strip()
            )
            for status in answer.model_version_status
        ]
        return sorted(found, reverse=True)

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._deadline_seconds)
        except grpc.RpcError as error:
            raise self._explained(error, request.model_spec) from None

    def _explained(self, error: Any, spec: ModelSpec) -> DataError | ResourceError:
        """Return the error to raise for what gRPC or the server said."""
        code, said = error.code(), " ".join(error.details().split())
        if code in BAD_REQUEST:
            return DataError(f"model {spec.name!r} on {self._target} refuses the request: {said}")
        if code == grpc.StatusCode.NOT_FOUND:
            return ResourceError(f"{self._target} does not serve what was asked of model {spec.name!r}: {said}")
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return ResourceError(f"{self._target} did not answer within {self._deadline_seconds:g} s")
        if code == grpc.StatusCode.UNAVAILABLE:
            return ResourceError(f"no answer from a server on {self._target}; start one with `tfdrift serve`: {said}")
        return ResourceError(f"the server on {self._target} failed with {code.name}: {said}")


def _spec(name: str, version: int | None, signature: str = "") -> ModelSpec:
    spec = ModelSpec(name=name, signature_name=signature)
    if version is not None:
        spec.version.value = version
    return spec


def _tensors(definitions: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        key: TensorInfo(
            tf.as_dtype(info.dtype).name,
            None
            if info.tensor_shape.unknown_rank
            else tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim),
        )
        for key, info in definitions.items()
    }
