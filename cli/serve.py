"""`tfdrift serve`: models over gRPC and REST."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from tfdrift.errors import UsageError

from .quiet import start_tensorflow

FOLDER = click.Path(path_type=Path)
PORT = click.IntRange(0, 65535)
# What else TF Serving's program takes (its main.cc).
SWITCHES = (
    "allow_version_labels_for_unavailable_models", "enable_batching", "enable_grpc_healthcheck_service",
    "enable_model_warmup", "enable_per_model_batching_parameters", "enable_profiler",
    "enable_serialization_as_tensor_content", "enable_signature_method_name_check", "flush_filesystem_caches",
    "force_allow_any_version_labels_for_unavailable_models", "prefer_tflite_model",
    "remove_unused_fields_from_bundle_metagraph", "rest_api_enable_cors_support", "skip_initialize_tpu",
    "use_alts_credentials", "xla_cpu_compilation_enabled", "xla_gpu_compilation_enabled",
)  # fmt: skip
TF_SERVING_FLAGS = (
    *SWITCHES, "batching_parameters_file", "file_system_poll_wait_seconds", "grpc_channel_arguments",
    "grpc_max_threads", "grpc_socket_path", "load_retry_interval_micros", "max_num_load_retries", "mixed_precision",
    "model_config_file_poll_wait_seconds", "monitoring_config_file", "num_load_threads",
    "num_request_iterations_for_warmup", "num_tflite_interpreters_per_pool", "num_tflite_pools", "num_unload_threads",
    "per_process_gpu_memory_fraction", "platform_config_file", "rest_api_num_threads", "rest_api_timeout_in_ms",
    "saved_model_tags", "ssl_config_file", "tensorflow_inter_op_parallelism", "tensorflow_intra_op_parallelism",
    "tensorflow_session_config_file", "tensorflow_session_parallelism", "thread_pool_factory_config_file",
)  # fmt: skip


def takes_tf_serving_flags(command: Callable) -> Callable:
    """Add TF Serving's other flags to a command, which gets those that were given as `flags`, by name."""

    def note(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
        if value is None:
            return
        if option.name in SWITCHES:
            value = value.lower()
            if value not in ("true", "false"):
                raise UsageError(f"--{option.name} {value}: must be true or false, or stand alone")
        ctx.params.setdefault("flags", {})[option.name] = value

    for flag in TF_SERVING_FLAGS:
        alone = {"is_flag": False, "flag_value": "true"} if flag in SWITCHES else {}
        command = click.option(f"--{flag}", flag, hidden=True, expose_value=False, callback=note, **alone)(command)
    return command


def print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    """Print the versions of what serves and of TensorFlow, as TF Serving's program does, and end."""
    if asked:
        start_tensorflow()
        import tensorflow

        from tfdrift import __version__

        click.echo(f"tfdrift: {__version__}\nTensorFlow Library: {tensorflow.__version__}")
        ctx.exit()


@click.command()
@click.argument("saved_models", type=FOLDER, required=False)
@click.option("--grpc-port", type=PORT, help="Port of gRPC; 0 is any free.  [default: 8500]")
@click.option("--rest-port", type=PORT, help="Port of REST; 0 is any free.  [default: 8501]")
@click.option("--port", type=PORT, help="Port of gRPC as TF Serving names it; 0 is none.")
@click.option("--rest_api_port", type=PORT, help="Port of REST as TF Serving names it; 0 is none.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "tensorflow_model_server", "embedded"]),
    default="auto",
    show_default=True,
    help="Which server; auto is TF Serving's program if it is on the PATH.",
)
@click.option("--model_base_path", type=FOLDER, help="Serve one model: the folder of its versions.")
@click.option("--model_name", help="Its name.  [default: default]")
@click.option("--model_config_file", type=FOLDER, help="Serve the models of a TF Serving configuration.")
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, hidden=True, callback=print_version)
@takes_tf_serving_flags
def serve(
    saved_models: Path | None,
    grpc_port: int | None,
    rest_port: int | None,
    port: int | None,
    rest_api_port: int | None,
    host: str,
    engine: str,
    model_base_path: Path | None,
    model_name: str | None,
    model_config_file: Path | None,
    flags: dict[str, str] | None = None,
) -> None:
    """Serve every model under SAVED_MODELS (by default the folder saved_models) as TF Serving does.

    A new version is loaded while the old one answers, and a new folder under SAVED_MODELS is served too. Flags with
    underscores are TF Serving's; all of its others are accepted, passed on to its program, and named where the embedded
    server has no use for them. Those that ask for encryption it refuses, which it does not have.

    \b
    Example:
      tfdrift serve
      tfdrift serve --model_name method1 --model_base_path saved_models/method1
    """
    if sum(given is not None for given in (saved_models, model_base_path, model_config_file)) > 1:
        raise UsageError("give SAVED_MODELS, --model_base_path or --model_config_file, and not two of them")
    if model_name is not None and model_base_path is None:
        raise UsageError("--model_name needs --model_base_path")
    if None not in (grpc_port, port) or None not in (rest_port, rest_api_port):
        raise UsageError("give --grpc-port or --port, --rest-port or --rest_api_port, and not both")
    start_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it complains of the loader that TF Serving uses
    from tfdrift.serving import configuration
    from tfdrift.serving.engine import seconds_of
    from tfdrift.serving.engine import serve as serve_models

    flags = flags or {}
    if model_base_path is not None:
        source, source_seconds = None, 0.0
        config = configuration.one_model(model_name or "default", model_base_path)
    else:
        if model_config_file is not None:
            source = partial(configuration.models_of_file, model_config_file)
            source_seconds = seconds_of(flags, "model_config_file_poll_wait_seconds", 0.0)
        else:
            source = partial(configuration.models_under, saved_models or Path("saved_models"))
            source_seconds = seconds_of(flags, "file_system_poll_wait_seconds", 1.0)
        config = source()
    serve_models(
        config,
        flags=flags,
        source=source,
        source_seconds=source_seconds,
        warn=partial(click.echo, err=True),
        engine=engine,
        host=host,
        grpc_port=_port(grpc_port, port, 8500),
        rest_port=_port(rest_port, rest_api_port, 8501),
        echo=click.echo,
    )


def _port(ours: int | None, tf_serving: int | None, default: int) -> int | None:
    """Return the port, 0 for any free one, or None for none: the zero of TF Serving's flag."""
    if tf_serving is not None:
        return tf_serving or None
    return default if ours is None else ours
