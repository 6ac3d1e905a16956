"""Which models a server is to serve: what TF Serving reads from a `ModelServerConfig`."""

from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from tfdrift.errors import DataError
from tfdrift.serving.versions import version_folders

PROGRAM = "tensorflow_model_server"
METRICS_PATH = "/monitoring/prometheus/metrics"


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
    return config_of(found)


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
    return config_of({name: base_path})


def models_of_file(file: Path) -> ModelServerConfig:
    """Return the models of a configuration file of TF Serving.

    Args:
        file: a `ModelServerConfig` as text.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), ModelServerConfig())
    except text_format.ParseError as error:
        said = f"Error parsing text-format {ModelServerConfig.DESCRIPTOR.full_name}: {error}"  # TF Serving's words
        raise DataError(f"{file} is no model configuration of TF Serving: {said}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is no model configuration of TF Serving: {error}") from None


def embedded_models(config: ModelServerConfig) -> dict[str, Path]:
    """Return the folder of each model by its name.

    Args:
        config: the models.

    Raises:
        DataError: a model has no name, or the same as another, or its path is not absolute, in TF Serving's words; or
            a folder does not exist.
    """
    models: dict[str, Path] = {}
    for model in config.model_config_list.config:
        if not model.name:
            raise DataError("each model needs a name of its own")
        if model.name in models:
            raise DataError(f"Illegal to list model {model.name} multiple times in config list")
        if not Path(model.base_path).is_absolute():
            raise DataError(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        if not Path(model.base_path).is_dir():
            raise DataError(f"model {model.name!r}: there is no folder {model.base_path}")
        models[model.name] = Path(model.base_path)
    return models


def config_of(models: Mapping[str, Path]) -> ModelServerConfig:
    """Return the configuration of models by their names.

    Args:
        models: folder of the versions of each.
    """
    return ModelServerConfig(model_config_list={"config": [_one(name, path) for name, path in models.items()]})


def _one(name: str, base_path: Path) -> ModelConfig:
    return ModelConfig(name=name, base_path=str(base_path.absolute()), model_platform="tensorflow")
