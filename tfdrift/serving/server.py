"""An embedded server with TF Serving's wire protocol, for development and single machines."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfdrift.errors import ResourceError
from tfdrift.serving.batching import BatchingParameters
from tfdrift.serving.configuration import config_of
from tfdrift.serving.grpc_api import SERVER_OPTIONS, SERVICES, add_services
from tfdrift.serving.inference import Inference
from tfdrift.serving.monitoring import Monitoring
from tfdrift.serving.rest_api import rest_app
from tfdrift.serving.served_models import ServedModels

DRAIN_SECONDS = 30
THREADS = 16
THREADS_THAT_WAIT = 128
"""With batching, where a request waits for others in a thread of its own."""


class RunningServer(NamedTuple):
    """Where a server listens; None where it does not."""

    grpc_port: int | None
    rest_port: int | None


class Listening(NamedTuple):
    """Where a server is to listen.

    Args:
        host: address.
        grpc_port: 0 takes any free port, None leaves gRPC to the socket.
        rest_port: 0 takes any free port, None leaves REST out.
        grpc_socket: path of a UNIX socket for gRPC.
        grpc_options: of the gRPC server, by gRPC's names; they go before our own.
    """

    host: str = "127.0.0.1"
    grpc_port: int | None = 0
    rest_port: int | None = 0
    grpc_socket: str | None = None
    grpc_options: tuple[tuple[str, int | str], ...] = ()


class Polling(NamedTuple):
    """How often a server looks again, in seconds; 0 is never.

    Args:
        versions_seconds: into the models' folders.
        config_seconds: at the source of its configuration.
    """

    versions_seconds: float = 1.0
    config_seconds: float = 0.0


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
    where = Listening(host=host, grpc_port=grpc_port, rest_port=rest_port)
    polling = Polling(versions_seconds=poll_seconds)
    with running_server(
        ServedModels(report), config_of(models), where=where, polling=polling, drain_seconds=drain_seconds
    ) as server:
        yield server


@contextmanager
def running_server(
    models: ServedModels,
    config: ModelServerConfig,
    *,
    where: Listening,
    polling: Polling,
    drain_seconds: int = DRAIN_SECONDS,
    checks_method_names: bool = False,
    batching: BatchingParameters | None = None,
) -> Iterator[RunningServer]:
    """Serve models until the block ends; requests under way are then answered first.

    Args:
        models: none yet; clients and their source may change them while the server runs.
        config: which there are at the start.
        where: to listen.
        polling: how often to look for other versions and models.
        drain_seconds: how long requests under way may take at the end.
        checks_method_names: see `Inference`.
        batching: see `Inference`.

    Yields:
        The server, once every model is loaded or known to have failed.

    Raises:
        DataError: the configuration cannot be served.
        Refusal: a label stands for a version that does not answer.
        ResourceError: a port or socket is taken, or the address is none of this machine's.
    """
    ready: Future[tuple[RunningServer, Callable[[], None]]] = Future()

    def run() -> None:
        try:
            asyncio.run(_serve(models, config, where, polling, drain_seconds, ready, checks_method_names, batching))
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
    models: ServedModels,
    config: ModelServerConfig,
    where: Listening,
    polling: Polling,
    drain_seconds: int,
    ready: Future,
    checks_method_names: bool,
    batching: BatchingParameters | None,
) -> None:
    """Listen, load, answer, and drain when the function given to `ready` is called from another thread."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    monitoring = Monitoring()
    inference = Inference(models, monitoring, checks_method_names=checks_method_names, batching=batching)
    with (
        ThreadPoolExecutor(THREADS if batching is None else THREADS_THAT_WAIT, "answer") as threads,
        ExitStack() as open_,
    ):
        listener = None if where.rest_port is None else open_.enter_context(_listener(where.host, where.rest_port))
        grpc_server = grpc.aio.server(options=[*where.grpc_options, *SERVER_OPTIONS])
        add_services(grpc_server, inference, models.reload, threads)
        healthy = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healthy, grpc_server)
        server = RunningServer(_bind(grpc_server, where), None if listener is None else listener.getsockname()[1])
        await asyncio.to_thread(models.configure, config)
        await grpc_server.start()
        for service in ("", *SERVICES):
            await healthy.set(service, health_pb2.HealthCheckResponse.SERVING)
        if listener is None:
            rest_server, rest = None, asyncio.sleep(0)
        else:
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
            rest = rest_server.serve(sockets=[listener])
        rest = asyncio.create_task(rest)
        ready.set_result((server, lambda: loop.call_soon_threadsafe(stop.set)))
        await asyncio.gather(
            _every(polling.versions_seconds, models.look, stop), _every(polling.config_seconds, models.refresh, stop)
        )
        await healthy.enter_graceful_shutdown()
        if rest_server is not None:
            rest_server.should_exit = True
        await asyncio.gather(rest, grpc_server.stop(drain_seconds))


async def _every(seconds: float, look: Callable[[], None], stop: asyncio.Event) -> None:
    """Look again and again until `stop` is set."""
    while True:
        try:
            await asyncio.wait_for(stop.wait(), seconds or None)
            return
        except TimeoutError:
            await asyncio.to_thread(look)


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


def _bind(server: grpc.aio.Server, where: Listening) -> int | None:
    if where.grpc_socket is not None:
        try:
            server.add_insecure_port(f"unix:{where.grpc_socket}")
        except RuntimeError:
            raise ResourceError(f"cannot listen on the socket {where.grpc_socket}; choose another path") from None
    if where.grpc_port is None:
        return None
    try:
        host = f"[{where.host}]" if ":" in where.host else where.host
        return server.add_insecure_port(f"{host}:{where.grpc_port}")
    except RuntimeError:
        reason = "the port is taken, or the address is none of this machine's"
        raise _cannot_listen(where.host, where.grpc_port, reason) from None


def _cannot_listen(host: str, port: int, reason: str) -> ResourceError:
    return ResourceError(f"cannot listen on {host} port {port}: {reason}; choose another port or --host")
