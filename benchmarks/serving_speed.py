"""Speed of the embedded server against the same SavedModel called in this process, in one run.

    python benchmarks/serving_speed.py saved_models/NAME [--clients 1 8] [--requests 200] [--rounds 5] [--batch 1]
        [--batching FILE]

The server runs in a process of its own (`tfdrift serve --engine embedded`), the clients are threads of this one and
keep their connections. The ways take turns, round by round, because other work on the machine slows all alike. With
`--batching` a second server joins requests as that file says, and is two ways more.
Prints for each way and number of clients: requests per second (median of the rounds), and p50 and p99 of the time of
one request in milliseconds over all rounds.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdrift.serving.client import Client
from tfdrift.serving.versions import version_folders

parser = argparse.ArgumentParser()
parser.add_argument("model", type=Path, help="folder of the versions of an exported model")
parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
parser.add_argument("--requests", type=int, default=200, help="of one round, shared among the clients")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--batch", type=int, default=1, help="images of one request")
parser.add_argument("--batching", type=Path, help="batching parameters; a second server joins requests")
arguments = parser.parse_args()

versions = version_folders(arguments.model)
loaded = tf.saved_model.load(str(versions[max(versions)]))
signature = loaded.signatures["serving_default"]
side = signature.structured_input_signature[1]["image"].shape[1]
rng = np.random.default_rng(0)
request = {
    "image": rng.random((arguments.batch, side, side, 1), np.float32),
    "seed": rng.integers(0, 2**31, (arguments.batch, 2)),
}
body = json.dumps({"inputs": {name: value.tolist() for name, value in request.items()}})


def in_process():
    """Return a function that asks the loaded model."""

    def ask():
        return {name: value.numpy() for name, value in signature(**tensors).items()}

    tensors = {name: tf.constant(value) for name, value in request.items()}
    return ask


def by_grpc(target):
    """Return a function that asks a server by gRPC, on a connection of its own."""
    client = Client(target)
    return lambda: client.predict("default", request)


def by_rest(target):
    """Return a function that asks a server by REST, on a connection of its own."""
    connection = http.client.HTTPConnection(target)

    def response():
        connection.request("POST", "/v1/models/default:predict", body)
        return connection.getresponse()

    def ask():
        try:
            found = response()
        except ConnectionError:  # the server closes what was idle for 5 s, while the other ways had their turns
            connection.close()
            found = response()
        answer = json.load(found)["outputs"]
        return {name: np.array(value, np.float32) for name, value in answer.items()}

    return ask


def times(ask, count):
    """Return the seconds of each of some requests in a row."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        ask()
        found.append(time.perf_counter() - start)
    return found


def started(*flags):
    """Return a server's process, and where it answers over gRPC and REST."""
    command = [sys.executable, "-m", "tfdrift_cli", "serve", "--engine", "embedded"]
    command += ["--grpc-port", "0", "--rest-port", "0", "--model_base_path", str(arguments.model)]
    server = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    grpc_target = ""
    for line in server.stdout:
        if line.startswith("gRPC"):
            grpc_target = line.split()[1]
        if line.startswith("REST"):
            return server, grpc_target, line.split()[1].split("/")[2]
    raise SystemExit("the server did not start")


makers, servers = {"in_process": in_process}, []
kinds: dict[str, list[str]] = {"": []}
if arguments.batching is not None:
    kinds["_batched"] = ["--enable_batching", f"--batching_parameters_file={arguments.batching}"]
for kind, flags in kinds.items():
    server, grpc_target, rest_target = started(*flags)
    servers.append(server)
    makers[f"by_grpc{kind}"] = partial(by_grpc, grpc_target)
    makers[f"by_rest{kind}"] = partial(by_rest, rest_target)

print(f"TensorFlow {tf.__version__}, image {side} x {side}, batch {arguments.batch}, {arguments.rounds} rounds")
print(f"{'way':16}{'clients':>8}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
try:
    for clients in arguments.clients:
        ways = {name: [make() for _ in range(clients)] for name, make in makers.items()}
        expected = ways["in_process"][0]()
        for name, asks in ways.items():
            for ask in asks:  # the first answer of each is not timed, and must be the right one
                answer = ask()
                assert all(np.allclose(answer[key], expected[key], rtol=1e-5, atol=1e-6) for key in expected), name
        rates, seconds = {name: [] for name in ways}, {name: [] for name in ways}
        share = max(1, arguments.requests // clients)
        with ThreadPoolExecutor(clients) as pool:
            for _ in range(arguments.rounds):
                for name, asks in ways.items():
                    start = time.perf_counter()
                    done = [found for part in pool.map(times, asks, [share] * clients) for found in part]
                    rates[name].append(len(done) / (time.perf_counter() - start))
                    seconds[name] += done
        for name in ways:
            p50, p99 = np.percentile(seconds[name], [50, 99]) * 1000
            print(f"{name:16}{clients:8}{statistics.median(rates[name]):12.1f}{p50:10.2f}{p99:10.2f}", flush=True)
finally:
    for server in servers:
        server.terminate()
        server.wait()
