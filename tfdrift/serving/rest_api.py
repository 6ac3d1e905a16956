"""TF Serving's REST interface around an `Inference`."""

import asyncio
import gzip
import io
import json
import logging
import re
import zlib
from concurrent.futures import Executor
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tfdrift.serving.configuration import METRICS_PATH
from tfdrift.serving.examples import CLASSIFY, REGRESS, infer
from tfdrift.serving.inference import SIGNATURE_FIELD, Inference
from tfdrift.serving.json_examples import read_examples, write_result
from tfdrift.serving.json_tensors import read_predict, write_predict
from tfdrift.serving.monitoring import CONTENT_TYPE, Monitoring
from tfdrift.serving.refusal import Refusal, invalid
from tfdrift.serving.versions import LARGEST_VERSION

_LOG = logging.getLogger(__name__)
LARGEST_BODY_BYTES = 64 * 2**20
_MODEL = r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_ASKING = re.compile(_MODEL + r":(?P<method>classify|regress|predict)")
_OF_EXAMPLES = {"classify": ("Classify", CLASSIFY), "regress": ("Regress", REGRESS)}
_LOOKING = re.compile(_MODEL + r"(?P<metadata>/metadata)?")


def rest_app(inference: Inference, monitoring: Monitoring, threads: Executor) -> Starlette:
    """Return the ASGI application.

    Args:
        inference: answers under `/v1/`.
        monitoring: its page is at `/monitoring/prometheus/metrics`.
        threads: where requests are answered.
    """

    async def metrics(_request: Request) -> Response:
        return Response(monitoring.page(), media_type=CONTENT_TYPE)

    return Starlette(routes=[Route(METRICS_PATH, metrics), Route("/v1/{rest:path}", _RestApi(inference, threads))])


class _RestApi:
    def __init__(self, inference: Inference, threads: Executor) -> None:
        self._inference = inference
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        encoding = request.headers.get("content-encoding", "identity").lower()
        try:
            body = await _read(request)
            status, content = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._answer, request.method, request.url.path, encoding, body
            )
        except ClientDisconnect:  # nobody is left to answer
            return
        await Response(content, status, media_type="application/json")(scope, receive, send)

    def _answer(self, method: str, path: str, encoding: str, body: bytes) -> tuple[int, bytes]:
        try:
            if method == "POST" and (asked := _ASKING.fullmatch(path)):
                return 200, self._ask(asked, _decoded(body, encoding))
            if method == "GET" and (asked := _LOOKING.fullmatch(path)):
                return 200, self._look(asked)
            raise invalid(f"Malformed request: {method} {path}")
        except Refusal as refusal:
            return refusal.http_status, json.dumps({"error": refusal.message}).encode()
        except Exception as error:  # noqa: BLE001 - a fault of ours is an answer too, and told where the server runs
            _LOG.exception("a request met a fault of the server")
            return 500, json.dumps({"error": f"Internal error: {type(error).__name__}"}).encode()

    def _ask(self, asked: re.Match, body: bytes) -> bytes:
        method, spec = asked["method"], _spec(asked)
        if method != "predict":
            api, expected = _OF_EXAMPLES[method]
            with self._inference.counted(spec.name, "REST", api):
                spec.signature_name, given = read_examples(body)
                return write_result(infer(self._inference, spec, given, expected)[1])
        with self._inference.counted(spec.name, "REST"):
            serving = self._inference.serving(spec)
            signature, inputs, rows = read_predict(body, serving.model.signatures)
            return write_predict(self._inference.run(spec.name, serving, signature, inputs), rows=rows)

    def _look(self, asked: re.Match) -> bytes:
        spec = _spec(asked)
        if not asked["metadata"]:
            return _json(self._inference.status(GetModelStatusRequest(model_spec=spec)))
        found = self._inference.metadata(GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_FIELD]))
        signatures = SignatureDefMap.FromString(found.metadata[SIGNATURE_FIELD].value)
        return _json({"model_spec": _plain(found.model_spec), "metadata": {SIGNATURE_FIELD: _plain(signatures)}})


async def _read(request: Request) -> bytes:
    """Return the body, cut one byte after the largest size: the rest is read, so that the client hears the answer."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: LARGEST_BODY_BYTES + 1 - len(body)]
    return bytes(body)


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip" and len(body) <= LARGEST_BODY_BYTES:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                body = file.read(LARGEST_BODY_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise invalid(f"Malformed request: the body is not gzip: {error}") from None
    elif encoding not in ("gzip", "identity"):
        raise invalid(f"Malformed request: Content-Encoding {encoding} is not supported")
    if len(body) > LARGEST_BODY_BYTES:
        raise invalid(f"Malformed request: the body is larger than {LARGEST_BODY_BYTES >> 20} MiB")
    return body


def _spec(asked: re.Match) -> ModelSpec:
    spec = ModelSpec(name=asked["name"])
    if asked["label"]:
        spec.version_label = asked["label"]
    if asked["version"]:
        if int(asked["version"][:20]) > LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {asked['version']} to numeric.")
        spec.version.value = int(asked["version"])
    return spec


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _json(answer: Message | dict[str, Any]) -> bytes:
    return json.dumps(_plain(answer) if isinstance(answer, Message) else answer, indent=1).encode()
