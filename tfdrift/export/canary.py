"""A model tried out on a server before it is pushed: every signature, over gRPC and over REST."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdrift.errors import NotBlessedError, TfdriftError
from tfdrift.serving.client import Client
from tfdrift.serving.server import RunningServer, embedded_server

# Float32 rounding: the server may choose other kernels. As a share of the largest value of the same kind of image.
ROUNDING = 1e-5
MODEL = "canary"
DEADLINE_SECONDS = 300.0

Arrays = Mapping[str, np.ndarray]


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
    with embedded_server({MODEL: versions_folder}) as server:
        for signature, inputs in requests.items():
            for protocol, ask in PROTOCOLS.items():
                asked = f"canary, not pushed: {signature} over {protocol}"
                try:
                    answer = ask(server, signature, inputs)
                except TfdriftError as error:
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
        kind = name.split("_")[0]
        allowed = ROUNDING * max(np.abs(other).max() for key, other in expected.items() if key.split("_")[0] == kind)
        off = np.abs(answer[name] - value).max()
        if not off <= allowed:  # an answer that is not a number is wrong too
            return f"{name} is off by {off:.2g} where {allowed:.2g} is allowed"
    return ""


def _over_grpc(server: RunningServer, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
    with Client(f"127.0.0.1:{server.grpc_port}", deadline_seconds=DEADLINE_SECONDS) as client:
        return client.predict(MODEL, inputs, signature=signature)


def _over_rest(server: RunningServer, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
    """Ask in the row format: one JSON object an example."""
    count = len(next(iter(inputs.values())))
    rows = [{name: _as_json(value[i]) for name, value in inputs.items()} for i in range(count)]
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.rest_port}/v1/models/{MODEL}:predict",
        json.dumps({"signature_name": signature, "instances": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with without_proxy.open(request, timeout=DEADLINE_SECONDS) as response:
            predictions = json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise NotBlessedError(f"the server says {error.code} {said}") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise NotBlessedError(f"no answer from the server ({error})") from None
    return {name: np.array([row[name] for row in predictions]) for name in predictions[0]}


def _as_json(value: Any) -> Any:
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value.tolist()


PROTOCOLS = {"gRPC": _over_grpc, "REST": _over_rest}
