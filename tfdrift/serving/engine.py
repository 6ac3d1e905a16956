"""Which models are served, and by which server: TF Serving's own program if it is installed, or the embedded one."""

import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from tfdrift.errors import DataError, ResourceError
from tfdrift.serving.rest_api import METRICS_PATH
from tfdrift.serving.server import embedded_server
from tfdrift.serving.versions import version_folders

PROGRAM = "tensorflow_model_server"
ENGINES = ("auto", PROGRAM, "embedded")
MONITORING = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'


def models_under(root: Path) -> ModelServerConfig:
    """Return every model under a folder: the folders that hold a version.

    Args:
        root: such as `saved_models`.

    Raises:
        DataError: there is no such folder, or no model in it.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; `tfdrift export` makes saved_models")
    if version_folders(root):
        raise DataError(f"{root} is the folder of one model; give the folder above it, or --model_base_path {root}")
    found = {path.name: path for path in sorted(root.iterdir()) if path.is_dir() and version_folders(path)}
    if not found:
        raise DataError(f"{root} holds no model; `tfdrift export RUN --to {root}/NAME` makes one")
    return ModelServerConfig(model_config_list={"config": [_one(name, path) for name, path in found.items()]})


def one_model(name: str, base_path: Path) -> ModelServerConfig:
    """Return a single model.

    Args:
        name: what clients call it.
        base_path: folder of its versions.

    Raises:
        DataError: there is no such folder, or no version in it.
    """
    if not base_path.is_dir() or not version_folders(base_path):
        raise DataError(f"{base_path} holds no version of a model, which is a folder named by a number")
    return ModelServerConfig(model_config_list={"config": [_one(name, base_path)]})


def models_of_file(file: Path) -> ModelServerConfig:
    """Return the models of a configuration file of TF Serving.

    Args:
        file: a `ModelServerConfig` as text.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise DataError(f"{file} is no model configuration of TF Serving: {error}") from None


def serve(
    config: ModelServerConfig, *, engine: str, host: str, grpc_port: int, rest_port: int, echo: Callable[[str], None]
) -> None:
    """Serve models until SIGTERM or SIGINT; requests under way are then answered first. A second signal ends at once.

    Args:
        config: the models.
        engine: one of `ENGINES`; `auto` takes TF Serving's program if it is on the PATH.
        host: address to listen on.
        grpc_port: port of gRPC.
        rest_port: port of REST.
        echo: takes a line for the user.

    Raises:
        DataError: a folder of the configuration does not exist, or it asks for more than the embedded server has.
        ResourceError: a port is taken, or TF Serving's program is missing or fails.
    """
    program = None if engine == "embedded" else shutil.which(PROGRAM)
    if program:
        _run_program(program, config, host=host, grpc_port=grpc_port, rest_port=rest_port, echo=echo)
        return
    if engine == PROGRAM:
        raise ResourceError(f"{PROGRAM} is not on the PATH; install TensorFlow Serving, or use --engine embedded")
    models = embedded_models(config)
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


def embedded_models(config: ModelServerConfig) -> dict[str, Path]:
    """Return the folder of each model by its name.

    Args:
        config: the models.

    Raises:
        DataError: a name comes twice, a folder does not exist, or the configuration asks for more than the newest
            version of each.
    """
    models = {}
    for model in config.model_config_list.config:
        policy = model.model_version_policy
        if policy.HasField("all") or policy.HasField("specific") or policy.latest.num_versions > 1:
            raise DataError(
                f"model {model.name!r}: the embedded server has the newest version only; leave model_version_policy "
                f"out, or install {PROGRAM}"
            )
        if model.version_labels:
            raise DataError(f"model {model.name!r}: the embedded server knows no version_labels; install {PROGRAM}")
        if not model.name or model.name in models:
            raise DataError(f"each model needs a name of its own, not {model.name!r}")
        if not Path(model.base_path).is_dir():
            raise DataError(f"model {model.name!r}: there is no folder {model.base_path}")
        models[model.name] = Path(model.base_path)
    if not models:
        raise DataError("the configuration has no model_config_list with models")
    return models


def _one(name: str, base_path: Path) -> ModelConfig:
    return ModelConfig(name=name, base_path=str(base_path.absolute()), model_platform="tensorflow")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run_program(
    program: str, config: ModelServerConfig, *, host: str, grpc_port: int, rest_port: int, echo: Callable[[str], None]
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
