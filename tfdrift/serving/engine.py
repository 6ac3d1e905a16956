"""By which server models are served: TF Serving's own program if it is installed, or the embedded one."""

import re
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

from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.serving.batching import batching_of_flags
from tfdrift.serving.configuration import METRICS_PATH, PROGRAM, embedded_models
from tfdrift.serving.extra import require_extra
from tfdrift.serving.refusal import Refusal
from tfdrift.serving.served_models import LabelRule, ServedModels

ENGINES = ("auto", PROGRAM, "embedded")
EMBEDDED_FLAGS = {
    "grpc_socket_path", "model_config_file_poll_wait_seconds", "file_system_poll_wait_seconds",
    "allow_version_labels_for_unavailable_models", "force_allow_any_version_labels_for_unavailable_models",
    "enable_signature_method_name_check", "grpc_channel_arguments", "enable_batching", "batching_parameters_file",
}  # fmt: skip
"""Flags of TF Serving's program that the embedded server honours."""
ENCRYPTION_FLAGS = ("ssl_config_file", "use_alts_credentials")
"""Flags that the embedded server refuses: to pass over them would send in the clear what was to be encrypted."""
MONITORING = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'


def serve(
    config: ModelServerConfig,
    *,
    engine: str,
    host: str,
    grpc_port: int | None,
    rest_port: int | None,
    echo: Callable[[str], None],
    warn: Callable[[str], None] = lambda _line: None,
    flags: Mapping[str, str] = MappingProxyType({}),
    source: Callable[[], ModelServerConfig] | None = None,
    source_seconds: float = 0.0,
) -> None:
    """Serve models until SIGTERM or SIGINT; requests under way are then answered first. A second signal ends at once.

    Args:
        config: the models.
        engine: one of `ENGINES`; `auto` takes TF Serving's program if it is on the PATH.
        host: address to listen on.
        grpc_port: port of gRPC; 0 is any free one, None leaves it to `--grpc_socket_path`.
        rest_port: port of REST; 0 is any free one, None leaves REST out.
        echo: takes a line for the user.
        warn: takes a line of what is not done as asked.
        flags: what else TF Serving's program is to be given, by the names of its flags.
        source: of a new configuration while the server runs; None where there is none.
        source_seconds: how often it is read; 0 is never.

    Raises:
        DataError: the configuration cannot be served, or names a folder that does not exist; or the batching parameters
            cannot be read.
        UsageError: a flag's value is none, or there is no way to reach gRPC.
        ResourceError: a port is taken, the extra `serve` or TF Serving's program is missing, or it fails.
    """
    program = None if engine == "embedded" else shutil.which(PROGRAM)
    if program:
        if 0 in (grpc_port, rest_port):
            raise UsageError(f"{PROGRAM} does not choose a free port; give --grpc-port and --rest-port a number")
        _run_program(
            program,
            config,
            host=host,
            grpc_port=grpc_port or 0,
            rest_port=rest_port or 0,
            echo=echo,
            flags=flags,
            source=source,
            source_seconds=source_seconds,
        )
        return
    if engine == PROGRAM:
        raise ResourceError(f"{PROGRAM} is not on the PATH; install TensorFlow Serving, or use --engine embedded")
    for name in ENCRYPTION_FLAGS:
        if flags.get(name, "false") != "false":
            raise UsageError(
                f"--{name}: the embedded server has no encryption; TF Serving's program, {PROGRAM}, has it, if it is "
                "on the PATH"
            )
    unused = sorted(flags.keys() - EMBEDDED_FLAGS - set(ENCRYPTION_FLAGS))
    if unused:
        warn(f"warning: the embedded server has no use for {', '.join(f'--{name}' for name in unused)}")
    socket = flags.get("grpc_socket_path") or None
    if grpc_port is None and socket is None:
        raise UsageError("At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.")
    if not embedded_models(config):
        raise DataError("the configuration has no model_config_list with models")
    require_extra()
    from tfdrift.serving.server import Listening, Polling, running_server

    batching = batching_of_flags(flags)
    models = ServedModels(echo, labels=_label_rule(flags), source=source)
    options = channel_arguments(flags.get("grpc_channel_arguments", ""))
    where = Listening(host=host, grpc_port=grpc_port, rest_port=rest_port, grpc_socket=socket, grpc_options=options)
    polling = Polling(
        versions_seconds=seconds_of(flags, "file_system_poll_wait_seconds", 1.0), config_seconds=source_seconds
    )
    with (
        _signals() as stopped,
        _refusals_as_data_errors(),
        running_server(
            models,
            config,
            where=where,
            polling=polling,
            checks_method_names=flags.get("enable_signature_method_name_check") == "true",
            batching=batching,
        ) as server,
    ):
        address = f"[{host}]" if ":" in host else host
        if server.grpc_port is not None:
            echo(f"gRPC     {address}:{server.grpc_port}")
        if socket is not None:
            echo(f"gRPC     unix:{socket}")
        if server.rest_port is not None:
            for name in models:
                echo(f"REST     http://{address}:{server.rest_port}/v1/models/{name}")
            echo(f"metrics  http://{address}:{server.rest_port}{METRICS_PATH}")
        if not _is_loopback(host):
            echo(f"warning  {host} can be reached from other machines; there is no encryption and no password")
        stopped.wait()
        echo("stopping; requests under way are answered first")


def seconds_of(flags: Mapping[str, str], name: str, default: float) -> float:
    """Return the seconds that a flag gives.

    Args:
        flags: by name.
        name: of the flag.
        default: where it was not given.

    Raises:
        UsageError: it is not a number from 0 on.
    """
    try:
        seconds = float(flags.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"--{name} {flags[name]}: must be a number of seconds, 0 or more")
    return seconds


def channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """Return gRPC's arguments from the value of `--grpc_channel_arguments`; whole numbers of 32 bits are numbers.

    Args:
        text: `name=value` again and again, separated by commas.

    Raises:
        UsageError: a part of it is no such pair.

    Example:
        >>> channel_arguments("grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb")
        (('grpc.max_connection_age_ms', 2000), ('grpc.lb_policy_name', 'grpclb'))
    """
    found: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise UsageError(f"--grpc_channel_arguments {text}: must be name=value, separated by commas")
        whole = re.fullmatch(r"-?[0-9]{1,10}", value) is not None and -(2**31) <= int(value) < 2**31
        found.append((name, int(value) if whole else value))
    return tuple(found)


@contextmanager
def _refusals_as_data_errors() -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise DataError(refusal.message) from None


def _label_rule(flags: Mapping[str, str]) -> LabelRule:
    if flags.get("force_allow_any_version_labels_for_unavailable_models") == "true":
        return LabelRule.ANY
    return LabelRule.NEW if flags.get("allow_version_labels_for_unavailable_models") == "true" else LabelRule.NONE


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
    source: Callable[[], ModelServerConfig] | None,
    source_seconds: float,
) -> None:
    """Run TF Serving's program until it ends, and pass signals on to it; it reads what the source says by itself."""
    if source is not None and source_seconds:
        flags = {"model_config_file_poll_wait_seconds": f"{max(1, round(source_seconds))}", **flags}
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
        code = None
        while code is None:
            try:
                code = process.wait(source_seconds or None)
            except subprocess.TimeoutExpired:
                _rewrite(models, source, echo)
        if code and not stopped.is_set():
            raise ResourceError(f"{PROGRAM} ended with code {code}; what it said stands above")


def _rewrite(file: Path, source: Callable[[], ModelServerConfig] | None, echo: Callable[[str], None]) -> None:
    """Write what the source says now into the file that TF Serving's program reads again and again."""
    try:
        text = "" if source is None else text_format.MessageToString(source())
    except DataError as error:
        echo(f"warning  the models stay as they were: {error}")
        return
    if text and text != file.read_text(encoding="utf-8"):
        new = file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(file)


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
