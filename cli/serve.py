"""`tfdrift serve`: models over gRPC and REST."""

import logging
from pathlib import Path

import click

from tfdrift.errors import UsageError

from .quiet import start_tensorflow

FOLDER = click.Path(path_type=Path)
PORT = click.IntRange(0, 65535)


@click.command()
@click.argument("saved_models", type=FOLDER, required=False)
@click.option("--grpc-port", "--port", type=PORT, default=8500, show_default=True, help="Port of gRPC; 0 is any free.")
@click.option(
    "--rest-port", "--rest_api_port", type=PORT, default=8501, show_default=True, help="Port of REST; 0 is any free."
)
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
def serve(
    saved_models: Path | None,
    grpc_port: int,
    rest_port: int,
    host: str,
    engine: str,
    model_base_path: Path | None,
    model_name: str | None,
    model_config_file: Path | None,
) -> None:
    """Serve every model under SAVED_MODELS (by default the folder saved_models) as TF Serving does.

    A new version is loaded while the old one answers. Flags with underscores are TF Serving's.

    \b
    Example:
      tfdrift serve
      tfdrift serve --model_name method1 --model_base_path saved_models/method1
    """
    if sum(given is not None for given in (saved_models, model_base_path, model_config_file)) > 1:
        raise UsageError("give SAVED_MODELS, --model_base_path or --model_config_file, and not two of them")
    if model_name is not None and model_base_path is None:
        raise UsageError("--model_name needs --model_base_path")
    start_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it complains of the loader that TF Serving uses
    from tfdrift.serving import configuration
    from tfdrift.serving.engine import serve as serve_models

    if model_config_file is not None:
        config = configuration.models_of_file(model_config_file)
    elif model_base_path is not None:
        config = configuration.one_model(model_name or "default", model_base_path)
    else:
        config = configuration.models_under(saved_models or Path("saved_models"))
    serve_models(config, engine=engine, host=host, grpc_port=grpc_port, rest_port=rest_port, echo=click.echo)
