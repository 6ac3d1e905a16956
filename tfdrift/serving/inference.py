"""What a server says of its models, whichever way it was asked."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import grpc
import numpy as np
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    SignatureDefMap,
)
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tfdrift.serving.batching import Batching, BatchingParameters
from tfdrift.serving.monitoring import Monitoring
from tfdrift.serving.refusal import Refusal, invalid
from tfdrift.serving.versions import Serving, VersionedModel, not_found

SIGNATURE_FIELD = "signature_def"


class Inference:
    """The models of a server; every method may be called from many threads at once.

    Args:
        models: each model by its name.
        monitoring: counts and times the requests.
        checks_method_names: whether only a signature that says so classifies or regresses. Those of TensorFlow 2 all
            say that they predict.
        batching: how requests are joined; None answers each by itself.
    """

    def __init__(
        self,
        models: Mapping[str, VersionedModel],
        monitoring: Monitoring,
        *,
        checks_method_names: bool = False,
        batching: BatchingParameters | None = None,
    ) -> None:
        self._models = models
        self._monitoring = monitoring
        self._batching = (
            None if batching is None else Batching(batching, partial(monitoring.batch, batching.thread_pool_name))
        )
        self.checks_method_names = checks_method_names

    def counted(self, name: str, entrypoint: str, api: str = "Predict") -> AbstractContextManager:
        """Return the context that counts and times a request, if there is a model of that name.

        Args:
            name: of the model.
            entrypoint: GRPC or REST.
            api: Predict, Classify, Regress or MultiInference.
        """
        # Names that clients make up would fill the memory with counters.
        return self._monitoring.request(name, entrypoint, api) if name in self._models else nullcontext()

    def serving(self, spec: ModelSpec) -> Serving:
        """Return the version that answers a request.

        Raises:
            Refusal: it is not loaded, or there is no such label.
        """
        version = self._version(spec)
        model = self._models.get(spec.name)
        if model is None:
            raise not_found(spec.name, version)
        return model.serving(version)

    def run(
        self, name: str, serving: Serving, signature: SignatureDef, inputs: Mapping[str, np.ndarray], *wanted: str
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a signature, the wanted ones or all.

        Args:
            name: of the model.
            serving: its version.
            signature: one of the version's.
            inputs: each input by name; strings are object arrays of bytes.
            *wanted: names of outputs.

        Raises:
            Refusal: names, dtypes or shapes are not the signature's, an op of the graph fails, or, with batching, too
                much waits already.
        """

        def compute(together: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            with self._monitoring.runtime(name):
                return serving.model.run(signature, together, wanted)

        if self._batching is None:
            return compute(inputs)
        tensors = [
            sorted((key, info.name) for key, info in side.items()) for side in (signature.inputs, signature.outputs)
        ]
        of = serving.model, *map(tuple, tensors), frozenset(wanted)
        return self._batching.run(of, serving.model.checked(signature, inputs, wanted), compute)

    def metadata(self, request: GetModelMetadataRequest) -> GetModelMetadataResponse:
        """Return the signatures of a model.

        Raises:
            Refusal: the version is not loaded, or something else than the signatures was asked for.
        """
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_FIELD:
                raise invalid(f"Metadata field {field} is not supported")
        version, model = self.serving(request.model_spec)
        response = GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[SIGNATURE_FIELD].Pack(SignatureDefMap(signature_def=model.signatures))
        return response

    def status(self, request: GetModelStatusRequest) -> GetModelStatusResponse:
        """Return the state of one version of a model, or of each, newest first.

        Raises:
            Refusal: there is no such version.
        """
        spec = request.model_spec
        version, model = self._version(spec), self._models.get(spec.name)
        states = {} if model is None else model.states
        if version is not None:
            if version not in states:
                raise Refusal(grpc.StatusCode.NOT_FOUND, f"Could not find version {version} of model {spec.name}")
            states = {version: states[version]}
        if not states:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        response = GetModelStatusResponse()
        for version, (state, code, message) in sorted(states.items(), reverse=True):
            status = response.model_version_status.add(version=version, state=state)
            status.status.error_code = code.value[0]
            status.status.error_message = message
        return response

    def _version(self, spec: ModelSpec) -> int | None:
        """Return the version that is asked for, by number or by label; None for the newest."""
        if not spec.name:
            raise invalid("Missing ModelSpec")
        if not spec.version_label:
            return spec.version.value if spec.HasField("version") else None
        model = self._models.get(spec.name)
        if model is None:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return model.labelled(spec.version_label)
