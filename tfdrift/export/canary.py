"""A model tried out before it is pushed: every signature, over gRPC and over REST, or in process without a server."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdrift.errors import NotBlessedError, TfdriftError
from tfdrift.serving.client import Client
from tfdrift.serving.extra import has_extra
from tfdrift.serving.json_tensors import read_predict, write_predict
from tfdrift.serving.loading import LoadedModel
from tfdrift.serving.refusal import Refusal
from tfdrift.serving.versions import version_folders

if TYPE_CHECKING:
    from tfdrift.serving.server import RunningServer  # it needs the extra `serve`

# Float32 rounding: the server may choose other kernels. As a share of the largest value of the same kind of image.
ROUNDING = 1e-5
MODEL = "canary"
DEADLINE_SECONDS = 300.0

Arrays = Mapping[str, np.ndarray]
Ask = Callable[[str, Arrays], Arrays]  # a signature by its name


def try_out(versions_folder: Path, requests: Mapping[str, Arrays], expected: Mapping[str, Arrays]) -> str:
    """Try a model on a server, or in process where the packages of a server are not installed.

    Without them a run can still become a version: what is left out is the transport, which is not the model's.

    Args:
        versions_folder: see `try_on_server`.
        requests: see `try_on_server`.
        expected: see `try_on_server`.

    Returns:
        How it was tried, in words.

    Raises:
        NotBlessedError: see `try_on_server`.
        ResourceError: no server can be started.
    """
    if has_extra():
        try_on_server(versions_folder, requests, expected)
        return "on a server, over gRPC and REST"
    try_in_process(versions_folder, requests, expected)
    return "in process only; over gRPC and REST too after pip install 'tfdrift[serve]'"


def try_on_server(versions_folder: Path, requests: Mapping[str, Arrays], expected: Mapping[str, Arrays]) -> None:
    """Serve a model on free ports of this machine and compare its answers with the expected ones.

    Args:
        versions_folder: holds the one version to be tried.
        requests: the inputs of each signature.
        expected: the outputs of each signature, as the network gives them in this process.

    Raises:
        NotBlessedError: the server cannot load it or refuses a request, or an answer differs by more than rounding.
        ResourceError: no server can be started.
    """
    from tfdrift.serving.server import embedded_server

    with embedded_server({MODEL: versions_folder}) as server:
        _compare({protocol: partial(ask, server) for protocol, ask in PROTOCOLS.items()}, requests, expected)


def try_in_process(versions_folder: Path, requests: Mapping[str, Arrays], expected: Mapping[str, Arrays]) -> None:
    """Load a model as a server does and ask it with tensors and with the JSON of REST; without a server.

    Args:
        versions_folder: see `try_on_server`.
        requests: see `try_on_server`.
        expected: see `try_on_server`.

    Raises:
        NotBlessedError: it cannot be loaded or refuses a request, or an answer differs by more than rounding.
    """
    (folder,) = version_folders(versions_folder).values()
    try:
        model = LoadedModel(folder)
    except Exception as error:  # whatever a graph that is not whole makes TensorFlow raise
        said = " ".join(str(error).split())
        raise NotBlessedError(f"canary, not pushed: it cannot be loaded ({type(error).__name__}: {said})") from error

    def with_tensors(signature: str, inputs: Arrays) -> Arrays:
        return model.run(model.signatures[signature], inputs)

    def with_json(signature: str, inputs: Arrays) -> Arrays:
        asked = read_predict(_body(signature, inputs), model.signatures)
        return _answer(json.loads(write_predict(model.run(asked.signature, asked.inputs), rows=True)))

    _compare({"tensors": with_tensors, "JSON": with_json}, requests, expected)


def _compare(ways: Mapping[str, Ask], requests: Mapping[str, Arrays], expected: Mapping[str, Arrays]) -> None:
    for signature, inputs in requests.items():
        for way, ask in ways.items():
            asked = f"canary, not pushed: {signature} over {way}"
            try:
                answer = ask(signature, inputs)
            except (TfdriftError, Refusal) as error:
                raise NotBlessedError(f"{asked} failed: {error}") from None
            wrong = differences(answer, expected[signature])
            if wrong:
                raise NotBlessedError(f"{asked} does not answer what the network does: {wrong}")


def differences(answer: Arrays, expected: Arrays) -> str:
    """Return in words how an answer differs by more than rounding; nothing if it does not.

    Args:
        answer: outputs by name.
        expected: the same. The tolerance of `drift_std` is a share of the largest value in all `drift_...`.

    Example:
        >>> differences({"drift": np.array([1.0, 2.1])}, {"drift": np.array([1.0, 2.0])})
        'drift is off by 0.1 where 2e-05 is allowed'
        >>> differences({"drift": np.array([1.0, 2.0])}, {"drift": np.array([1.0, 2.0])})
        ''
    """
    if answer.keys() != expected.keys():
        return f"outputs {', '.join(sorted(answer))} instead of {', '.join(sorted(expected))}"
    for name, value in expected.items():
        if answer[name].shape != value.shape:
            return f"{name} has shape {answer[name].shape} instead of {value.shape}"
        if value.dtype == object:
            if [_text(one) for one in answer[name].flat] != [_text(one) for one in value.flat]:
                return f"{name} is another text"
            continue
        kind = name.split("_")[0]
        allowed = ROUNDING * max(np.abs(other).max() for key, other in expected.items() if key.split("_")[0] == kind)
        off = np.abs(answer[name] - value).max()
        if not off <= allowed:  # an answer that is not a number is wrong too
            return f"{name} is off by {off:.2g} where {allowed:.2g} is allowed"
    return ""


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _over_grpc(server: "RunningServer", signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
    with Client(f"127.0.0.1:{server.grpc_port}", deadline_seconds=DEADLINE_SECONDS) as client:
        return client.predict(MODEL, inputs, signature=signature)


def _over_rest(server: "RunningServer", signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
    """Ask in the row format: one JSON object an example."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.rest_port}/v1/models/{MODEL}:predict",
        _body(signature, inputs),
        {"Content-Type": "application/json"},
    )
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with without_proxy.open(request, timeout=DEADLINE_SECONDS) as response:
            return _answer(json.load(response))
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise NotBlessedError(f"the server says {error.code} {said}") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise NotBlessedError(f"no answer from the server ({error})") from None


def _body(signature: str, inputs: Arrays) -> bytes:
    count = len(next(iter(inputs.values())))
    rows = [{name: _as_json(value[i]) for name, value in inputs.items()} for i in range(count)]
    return json.dumps({"signature_name": signature, "instances": rows}).encode()


def _answer(document: Any) -> dict[str, np.ndarray]:
    rows = document["predictions"]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _as_json(value: Any) -> Any:
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value.tolist()


PROTOCOLS = {"gRPC": _over_grpc, "REST": _over_rest}
