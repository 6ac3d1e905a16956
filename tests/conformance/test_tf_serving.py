"""What TF Serving's Python test file asks of its program, asked of `tfdrift serve --engine embedded` in our own words.

Configuration files that are read again, or once, are in tests/cli/test_serve.py and tests/serving/test_server.py. What
cannot be answered here: tests with TensorFlow Lite (no engine for it is built in), with tf_text (the ops are another
package's), with the profiler (there is no such service), and those that ask a Keras model for the output `y`, which
Keras 3 calls `output_0`; that a Keras model answers is tested.
"""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import NamedTuple

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from tests.command_line import exit_code
from tests.serving.tiny_models import save_half_plus_examples

VERSION = 123
SPEC = {"name": "half_plus_two", "signature_name": ""}
EXAMPLE = Input(example_list={"examples": [{"features": {"feature": {"x": {"float_list": {"value": [2.0]}}}}}]})


class Server(NamedTuple):
    """Where the program listens, and what it said on standard error."""

    grpc: str
    rest: str
    unix: str
    process: subprocess.Popen


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def save_models(root):
    """Write every model that is asked below, each as the version 123."""
    for name, plus in (("half_plus_two", 2.0), ("half_plus_three", 3.0)):
        save_half_plus_examples(root / name / f"{VERSION:08d}", plus)
    product = tf.train.Checkpoint()
    product.v1, product.v2 = tf.Variable(tf.constant(3.0)), tf.Variable(tf.constant(2.0))
    product.f = tf.function(lambda x: {"y": product.v1 * product.v2 * x})
    traced = product.f.get_concrete_function(tf.TensorSpec([None], tf.float32, "x"))
    tf.saved_model.save(product, str(root / "product" / str(VERSION)), traced)
    two = tf.Module()
    constant = {
        name: tf.function(lambda x, value=value: {"y": value + 0 * x}).get_concrete_function(
            tf.TensorSpec([None], tf.float32, "x")
        )
        for name, value in (("serving_default", 1.0), ("custom_signature_key", 2.0))
    }
    tf.saved_model.save(two, str(root / "two" / str(VERSION)), constant)
    layers = [keras.layers.Input(shape=(1,), name="x"), keras.layers.Identity(name="y")]
    keras.Sequential(layers).export(str(root / "keras" / str(VERSION)), verbose=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The command with the flags that TF Serving's test file gives, on models of a configuration file."""
    folder = tmp_path_factory.mktemp("tf_serving")
    save_models(folder / "models")
    models = "".join(
        f'config {{ name: "{path.name}" base_path: "{path}" model_platform: "tensorflow" }}'
        for path in sorted((folder / "models").iterdir())
    )
    for name, text in (
        ("models", f"model_config_list {{ {models} }}"),
        ("batching", "max_batch_size { value: 4 }"),
        ("monitoring", 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'),
    ):
        (folder / f"{name}.config").write_text(text)
    ports = free_port(), free_port()
    flags = [
        f"--port={ports[0]}", f"--rest_api_port={ports[1]}", "--rest_api_timeout_in_ms=5000",
        f"--grpc_socket_path={folder}/socket", f"--model_config_file={folder}/models.config", "--enable_batching",
        f"--batching_parameters_file={folder}/batching.config",
        f"--monitoring_config_file={folder}/monitoring.config",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb",
    ]  # fmt: skip
    command = [sys.executable, "-m", "tfdrift_cli", "serve", "--engine", "embedded", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("metrics"):
            break
    yield Server(f"localhost:{ports[0]}", f"http://localhost:{ports[1]}", f"unix:{folder}/socket", process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == (
        "warning: the embedded server has no use for --monitoring_config_file, --rest_api_timeout_in_ms\n"
    )


def prediction(target, model, *, shape=(1,), signature="serving_default", outputs=()):
    """Ask for x = 2 as TF Serving's tests do: one float, of a shape that the signature need not have."""
    request = PredictRequest(
        model_spec={"name": model, "signature_name": signature},
        inputs={"x": tf.make_tensor_proto(np.full(shape, 2.0, np.float32))},
        output_filter=outputs,
    )
    with grpc.insecure_channel(target) as channel:
        answer = PredictionServiceStub(channel).Predict(request, timeout=5)
    said = answer.model_spec
    assert (said.name, said.signature_name, said.version.value) == (model, signature, VERSION)
    (value,) = answer.outputs.values()
    return tf.make_ndarray(value).ravel().tolist()


def rest(server, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{server.rest}{path}", data, timeout=5) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("outputs", [(), ("y",)])
@pytest.mark.parametrize(("model", "expected"), [("half_plus_two", 3.0), ("half_plus_three", 4.0)])
def test_models_of_a_configuration_file_predict_what_has_not_their_signatures_shape(server, model, expected, outputs):
    assert prediction(server.grpc, model, outputs=outputs) == [expected]


def test_a_prediction_comes_over_a_unix_socket(server):
    assert prediction(server.unix, "half_plus_two") == [3.0]


def test_a_model_of_a_checkpoint_with_variables_predicts(server):
    assert prediction(server.grpc, "product") == [12.0]


@pytest.mark.parametrize(("signature", "expected"), [("serving_default", 1.0), ("custom_signature_key", 2.0)])
def test_each_of_several_signatures_predicts(server, signature, expected):
    assert prediction(server.grpc, "two", signature=signature, outputs=["y"]) == [expected]


def test_a_sequential_keras_model_predicts(server):
    assert prediction(server.grpc, "keras", shape=(1, 1)) == [2.0]


def test_a_model_that_is_not_served_is_no_servable(server):
    with pytest.raises(grpc.RpcError) as refused:
        prediction(server.grpc, "intentionally_missing_model")
    assert "Servable" in (refused.value.details() or "")


def test_the_status_over_grpc_is_the_version_without_an_error(server):
    with grpc.insecure_channel(server.grpc) as channel:
        answer = ModelServiceStub(channel).GetModelStatus(GetModelStatusRequest(model_spec=SPEC), timeout=5)
    ((version, code),) = [(one.version, one.status.error_code) for one in answer.model_version_status]
    assert (version, code) == (VERSION, 0)


def test_examples_are_classified_regressed_and_both(server):
    classify, regress = ({**SPEC, "signature_name": f"{name}_x_to_y"} for name in ("classify", "regress"))
    tasks = [
        {"model_spec": regress, "method_name": "tensorflow/serving/regress"},
        {"model_spec": classify, "method_name": "tensorflow/serving/classify"},
    ]
    with grpc.insecure_channel(server.grpc) as channel:
        stub = PredictionServiceStub(channel)
        one = stub.Classify(ClassificationRequest(model_spec=classify, input=EXAMPLE), timeout=5)
        other = stub.Regress(RegressionRequest(model_spec=regress, input=EXAMPLE), timeout=5)
        both = stub.MultiInference(MultiInferenceRequest(tasks=tasks, input=EXAMPLE), timeout=5)
    assert [[c.score for c in found.classes] for found in one.result.classifications] == [[3.0]]
    assert [found.value for found in other.result.regressions] == [3.0]
    assert both.results[0].regression_result == other.result
    assert both.results[1].classification_result == one.result
    for answer, asked in ((one, classify), (other, regress), (both.results[0], regress), (both.results[1], classify)):
        assert answer.model_spec.signature_name == asked["signature_name"]
        assert answer.model_spec.version.value == VERSION


@pytest.mark.parametrize(
    ("verb", "body", "expected"),
    [
        ("classify", {"signature_name": "classify_x_to_y", "examples": [{"x": 2.0}]}, {"results": [[["", 3.0]]]}),
        ("regress", {"signature_name": "regress_x_to_y", "examples": [{"x": 2.0}]}, {"results": [3.0]}),
        ("predict", {"instances": [2.0, 3.0, 4.0]}, {"predictions": [3.0, 3.5, 4.0]}),
        ("predict", {"inputs": [2.0, 3.0, 4.0]}, {"outputs": [3.0, 3.5, 4.0]}),
    ],
    ids=["classify", "regress", "predict by rows", "predict by columns"],
)
def test_rest_answers(server, verb, body, expected):
    assert json.loads(rest(server, f"/v1/models/half_plus_two:{verb}", body)) == expected


def test_the_status_over_rest_is_the_version_with_the_words_of_grpc(server):
    status = {"error_code": "OK", "error_message": ""}
    assert json.loads(rest(server, "/v1/models/half_plus_two")) == {
        "model_version_status": [{"version": str(VERSION), "state": "AVAILABLE", "status": status}]
    }


def test_the_metadata_over_rest_are_the_signatures(server):
    answer = json.loads(rest(server, "/v1/models/half_plus_two/metadata"))
    assert answer["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": str(VERSION)}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {name: one["method_name"].rpartition("/")[2] for name, one in signatures.items()} == {
        "serving_default": "predict", "classify_x_to_y": "classify", "regress_x_to_y": "regress",
    }  # fmt: skip
    x = signatures["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert [one["size"] for one in x["tensor_shape"]["dim"]] == ["-1", "1"]


def test_the_metrics_have_types(server):
    assert "# TYPE" in rest(server, "/monitoring/prometheus/metrics")


def test_a_configuration_that_is_none_ends_the_start_in_tf_servings_words(tmp_path, capsys):
    (tmp_path / "bad.config").write_text("improperly formatted file!\n")
    assert exit_code(["serve", "--engine", "embedded", f"--model_config_file={tmp_path}/bad.config"]) == 3
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in capsys.readouterr().err
