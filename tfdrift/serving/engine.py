"""By which server models are served: TF Serving's own program if it is installed, or the embedded one."""

import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfdrift.errors import ResourceError
from tfdrift.serving.configuration import METRICS_PATH, PROGRAM, embedded_models
from tfdrift.serving.extra import require_extra

ENGINES = ("auto", PROGRAM, "embedded")
MONITORING = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'


def serve(
    config: ModelServerConfig,
    *,
    engine: str,
    host: str,
    grpc_port: int,
    rest_port: int,
    echo: Callable[[str], None],
    warn: Callable[[str], None] = lambda _line: None,
    flags: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Serve models until SIGTERM or SIGINT; requests under way are then answered first. A second signal ends at once.

    Args:
        config: the models.
        engine: one of `ENGINES`; `auto` takes TF Serving's program if it is on the PATH.
        host: address to listen on.
        grpc_port: port of gRPC.
        rest_port: port of REST.
        echo: takes a line for the user.
        warn: takes a line of what is not done as asked.
        flags: what else TF Serving's program is to be given, by the names of its flags.

    Raises:
        DataError: a folder of the configuration does not exist, or it asks for more than the embedded server has.
        ResourceError: a port is taken, the extra `serve` or TF Serving's program is missing, or it fails.
    """
    program = None if engine == "embedded" else shutil.which(PROGRAM)
    if program:
        _run_program(program, config, host=host, grpc_port=grpc_port, rest_port=rest_port, echo=echo, flags=flags)
        return
    if engine == PROGRAM:
        raise ResourceError(f"{PROGRAM} is not on the PATH; install TensorFlow Serving, or use --engine embedded")
    if flags:
        warn(f"warning: the embedded server has no use for {', '.join(f'--{name}' for name in sorted(flags))}")
    models = embedded_models(config)
    require_extra()
    from tfdrift.serving.server import embedded_server

    with (
        _signals() as stopped,
        embedded_server(models, host=host, grpc_port=grpc_port, rest_port=rest_port, report=echo) as server,
    ):
        address = f"[{host}]" if ":" in host else host
        echo(f"gRPC     {address}:{server.grpc_port}")
        for name in models:
            echo(f"REST     http://{address}:{server.rest_port}/v1/models/{name}")
        echo(f"metrics  http://{address}:{server.rest_port}{METRICS_PATH}")
        if not _is_loopback(host):
            echo(f"warning  {host} can be reached from other machines; there is no encryption and no password")
        stopped.wait()
        echo("stopping; requests under way are answered first")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run_program(
    program: str,
    config: ModelServerConfig,
    *,
    host: str,
    grpc_port: int,
    rest_port: int,
    echo: Callable[[str], None],
    flags: Mapping[str, str],
) -> None:
    """Run TF Serving's program until it ends, and pass signals on to it."""
    with tempfile.TemporaryDirectory() as folder, _signals() as stopped:
        models, monitoring = Path(folder, "models.config"), Path(folder, "monitoring.config")
        models.write_text(text_format.MessageToString(config), encoding="utf-8")
        monitoring.write_text(MONITORING, encoding="utf-8")
        if _is_loopback(host):
            echo(f"warning  {PROGRAM} has no --host: it listens on every address of this machine")
        process = subprocess.Popen(
            [
                program,
                f"--port={grpc_port}",
                f"--rest_api_port={rest_port}",
                f"--model_config_file={models}",
                f"--monitoring_config_file={monitoring}",
                *(f"--{name}={value}" for name, value in flags.items()),
            ]
        )
        threading.Thread(target=lambda: (stopped.wait(), process.terminate()), daemon=True).start()
        code = process.wait()
        if code and not stopped.is_set():
            raise ResourceError(f"{PROGRAM} ended with code {code}; what it said stands above")


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; what they did before is back after that."""
    stopped = threading.Event()
    before = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(*_signal: object) -> None:
        restore()
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, stop)
    try:
        yield stopped
    finally:
        restore()
