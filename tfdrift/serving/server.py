"""An embedded server with TF Serving's wire protocol, for development and single machines."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tfdrift.errors import ResourceError
from tfdrift.serving.grpc_api import SERVER_OPTIONS, SERVICES, add_services
from tfdrift.serving.inference import Inference
from tfdrift.serving.monitoring import Monitoring
from tfdrift.serving.rest_api import rest_app
from tfdrift.serving.versions import VersionedModel

DRAIN_SECONDS = 30
THREADS = 16


class RunningServer(NamedTuple):
    """Where a server listens."""

    grpc_port: int
    rest_port: int


@contextmanager
def embedded_server(
    models: Mapping[str, Path],
    *,
    host: str = "127.0.0.1",
    grpc_port: int = 0,
    rest_port: int = 0,
    poll_seconds: float = 1.0,
    drain_seconds: int = DRAIN_SECONDS,
    report: Callable[[str], None] = lambda _line: None,
) -> Iterator[RunningServer]:
    """Serve models until the block ends; requests under way are then answered first.

    Args:
        models: folder of the versions of each model by its name.
        host: address to listen on.
        grpc_port: 0 takes any free port.
        rest_port: 0 takes any free port.
        poll_seconds: how often the folders are searched for new versions.
        drain_seconds: how long requests under way may take at the end.
        report: takes a line for each version that was loaded or failed to load; called from another thread.

    Yields:
        The server, once every model is loaded or known to have failed.

    Raises:
        ResourceError: a port is taken, or the address is none of this machine's.
    """
    served = {name: VersionedModel(name, folder, report) for name, folder in models.items()}
    ready: Future[tuple[RunningServer, Callable[[], None]]] = Future()

    def run() -> None:
        try:
            asyncio.run(_serve(served, host, grpc_port, rest_port, poll_seconds, drain_seconds, ready))
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="embedded_server", daemon=True)
    thread.start()
    server, stop = ready.result()
    try:
        yield server
    finally:
        stop()
        thread.join()


async def _serve(
    models: Mapping[str, VersionedModel],
    host: str,
    grpc_port: int,
    rest_port: int,
    poll_seconds: float,
    drain_seconds: int,
    ready: Future,
) -> None:
    """Listen, load, answer, and drain when the function given to `ready` is called from another thread."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    monitoring = Monitoring()
    inference = Inference(models, monitoring)
    with ThreadPoolExecutor(THREADS, "answer") as threads, _listener(host, rest_port) as listener:
        grpc_server = grpc.aio.server(options=SERVER_OPTIONS)
        add_services(grpc_server, inference, threads)
        healthy = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healthy, grpc_server)
        server = RunningServer(_bind(grpc_server, host, grpc_port), listener.getsockname()[1])
        await asyncio.to_thread(_look, models.values(), at_once=True)
        await grpc_server.start()
        for service in ("", *SERVICES):
            await healthy.set(service, health_pb2.HealthCheckResponse.SERVING)
        rest_server = uvicorn.Server(
            uvicorn.Config(
                rest_app(inference, monitoring, threads),
                log_config=None,
                log_level="error",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=drain_seconds,
            )
        )
        rest = asyncio.create_task(rest_server.serve(sockets=[listener]))
        ready.set_result((server, lambda: loop.call_soon_threadsafe(stop.set)))
        await _watch(models, poll_seconds, stop)
        await healthy.enter_graceful_shutdown()
        rest_server.should_exit = True
        await asyncio.gather(rest, grpc_server.stop(drain_seconds))


async def _watch(models: Mapping[str, VersionedModel], poll_seconds: float, stop: asyncio.Event) -> None:
    """Look for new versions until `stop` is set."""
    while True:
        try:
            await asyncio.wait_for(stop.wait(), poll_seconds)
            return
        except TimeoutError:
            await asyncio.to_thread(_look, models.values(), at_once=False)


def _look(models: Iterable[VersionedModel], *, at_once: bool) -> None:
    for model in models:
        model.look(at_once=at_once)


def _listener(host: str, port: int) -> socket.socket:
    try:
        # asyncio sends small answers at once only on sockets that say they are TCP; they would wait 40 ms otherwise.
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise _cannot_listen(host, port, error.strerror or str(error)) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        return listener
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error.strerror or str(error)) from None


def _bind(server: grpc.aio.Server, host: str, port: int) -> int:
    try:
        return server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError:
        raise _cannot_listen(host, port, "the port is taken, or the address is none of this machine's") from None


def _cannot_listen(host: str, port: int, reason: str) -> ResourceError:
    return ResourceError(f"cannot listen on {host} port {port}: {reason}; choose another port or --host")
