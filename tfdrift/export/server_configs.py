"""The files TF Serving is started with: which models there are, how requests are batched, where metrics are read."""

from pathlib import Path

import filelock
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfdrift.errors import DataError
from tfdrift.files import write_whole

MODELS_FILE = "models.config"
# tensorflow-serving-api comes without the messages of these two, tensorflow.serving.BatchingParameters and
# MonitoringConfig, so they are text; a test reads them field by field.
SETTINGS = {
    "batching.config": """\
# tensorflow_model_server --enable_batching --batching_parameters_file=batching.config
max_batch_size { value: 4096 }  # images that one request may hold
max_execution_batch_size { value: 64 }  # images that are computed at once; larger requests are split
enable_large_batch_splitting { value: true }
batch_timeout_micros { value: 1000 }  # how long a request waits for others
max_enqueued_batches { value: 256 }
""",
    "monitoring.config": """\
# tensorflow_model_server --monitoring_config_file=monitoring.config
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
""",
}


def read_models_config(models_folder: Path) -> ModelServerConfig:
    """Return what `models.config` in the folder of all models says; an empty configuration if there is none.

    Raises:
        DataError: it is not a configuration of TF Serving.
    """
    file = models_folder / MODELS_FILE
    if not file.exists():
        return ModelServerConfig()
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is no configuration of TF Serving ({error}); repair or delete it") from None


def write_server_configs(target: Path) -> None:
    """Write `models.config`, `batching.config` and `monitoring.config` beside a model.

    What is there already is the user's: other models stay as they are, and a file of settings is not touched.

    Args:
        target: folder of the model's versions; its name is the model's.

    Raises:
        DataError: the `models.config` that is there cannot be read.
    """
    target = target.resolve()
    folder = target.parent
    with filelock.FileLock(folder / ".lock"):
        config = read_models_config(folder)
        if target.name not in [model.name for model in config.model_config_list.config]:
            config.model_config_list.config.add(name=target.name, base_path=str(target), model_platform="tensorflow")
            write_whole(folder / MODELS_FILE, text_format.MessageToString(config))
        for name, text in SETTINGS.items():
            if not (folder / name).exists():
                write_whole(folder / name, text)
