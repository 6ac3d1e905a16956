import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfdrift.errors import DataError
from tfdrift.export.server_configs import read_models_config, write_server_configs


def models_in(folder) -> dict[str, str]:
    config = text_format.Parse((folder / "models.config").read_text(), ModelServerConfig())
    return {model.name: model.base_path for model in config.model_config_list.config}


def test_every_model_is_listed_once_with_its_absolute_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second", "first"):
        (tmp_path / "saved_models" / name).mkdir(parents=True, exist_ok=True)
        write_server_configs((tmp_path / "saved_models" / name).relative_to(tmp_path))
    folder = tmp_path / "saved_models"
    assert models_in(folder) == {name: str(folder / name) for name in ("first", "second")}
    platforms = {model.model_platform for model in read_models_config(folder).model_config_list.config}
    assert platforms == {"tensorflow"}


def test_what_the_user_wrote_stays(tmp_path):
    (tmp_path / "models.config").write_text(
        'model_config_list { config { name: "other" base_path: "s3://x" model_platform: "tensorflow" '
        'version_labels { key: "stable" value: 3 } } }'
    )
    (tmp_path / "batching.config").write_text("max_batch_size { value: 8 }")
    write_server_configs(tmp_path / "first")
    assert models_in(tmp_path) == {"other": "s3://x", "first": str(tmp_path / "first")}
    assert read_models_config(tmp_path).model_config_list.config[0].version_labels == {"stable": 3}
    assert (tmp_path / "batching.config").read_text() == "max_batch_size { value: 8 }"


def test_a_damaged_list_of_models_is_refused_and_left_alone(tmp_path):
    (tmp_path / "models.config").write_text("{ nonsense")
    with pytest.raises(DataError, match=r"models.config is no configuration of TF Serving \(.*\); repair or delete it"):
        write_server_configs(tmp_path / "first")
    assert (tmp_path / "models.config").read_text() == "{ nonsense"


def message(name: str, fields: list[tuple[str, str]], *others: descriptor_pb2.DescriptorProto):
    """Return an empty message of TF Serving's with these (field, type) pairs, which its Python package leaves out."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package="documented", dependency=["google/protobuf/wrappers.proto"], syntax="proto3"
    )
    file.message_type.extend(others)
    proto = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields, start=1):
        proto.field.add(name=field, number=number, type_name=kind, type="TYPE_MESSAGE", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"documented.{name}"))()


def test_batching_settings_are_those_of_the_documented_message(tmp_path):
    # tensorflow_serving/servables/tensorflow/session_bundle_config.proto
    number, flag = ".google.protobuf.Int64Value", ".google.protobuf.BoolValue"
    fields = [
        ("max_batch_size", number),
        ("batch_timeout_micros", number),
        ("max_enqueued_batches", number),
        ("num_batch_threads", number),
        ("enable_large_batch_splitting", flag),
        ("max_execution_batch_size", number),
    ]
    write_server_configs(tmp_path / "first")
    read = text_format.Parse((tmp_path / "batching.config").read_text(), message("BatchingParameters", fields))
    assert read.enable_large_batch_splitting.value
    # A request of the largest size is split into so many batches, which must all find room in the queue.
    assert read.max_batch_size.value / read.max_execution_batch_size.value <= read.max_enqueued_batches.value


def test_metrics_are_where_prometheus_looks_for_tf_servings(tmp_path):
    # tensorflow_serving/config/monitoring_config.proto
    prometheus = descriptor_pb2.DescriptorProto(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type="TYPE_BOOL", label="LABEL_OPTIONAL")
    prometheus.field.add(name="path", number=2, type="TYPE_STRING", label="LABEL_OPTIONAL")
    write_server_configs(tmp_path / "first")
    empty = message("MonitoringConfig", [("prometheus_config", ".documented.PrometheusConfig")], prometheus)
    read = text_format.Parse((tmp_path / "monitoring.config").read_text(), empty)
    assert read.prometheus_config.enable
    assert read.prometheus_config.path == "/monitoring/prometheus/metrics"
