from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from tensorflow_serving.apis.regression_pb2 import RegressionRequest
from tensorflow_serving.config.model_server_config_pb2 import ModelConfigList

from tests.serving.tiny_models import (
    floats,
    save_estimator,
    save_half_plus,
    save_half_plus_tf1,
    save_many,
    save_tf_examples,
)
from tfdrift.serving.grpc_api import LARGEST_REQUEST_BYTES
from tfdrift.serving.server import embedded_server

OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@pytest.fixture(scope="module")
def channel(tmp_path_factory):
    """A plain gRPC channel to a server with five models."""
    base = tmp_path_factory.mktemp("models")
    save_half_plus(base / "half_plus_two" / "00000123")
    save_half_plus_tf1(base / "of_tf1" / "1", plus=3.0)
    save_many(base / "many" / "1")
    save_estimator(base / "estimator" / "1")
    save_tf_examples(base / "of_tf2" / "1")
    with (
        embedded_server({folder.name: folder for folder in base.iterdir()}) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=OPTIONS) as channel,
    ):
        yield channel


def predict(channel, name="half_plus_two", *, x=(1.0, 2.0, 5.0), signature="", version=None, **settings):
    request = PredictRequest(model_spec=ModelSpec(name=name, signature_name=signature))
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(floats(*x)))
    if version is not None:
        request.model_spec.version.value = version
    return PredictionServiceStub(channel).Predict(request, timeout=30, **settings)


def test_predict_answers_and_says_which_version_and_signature_did(channel):
    response = predict(channel)
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [2.5, 3.0, 4.5]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("half_plus_two", 123, "serving_default")


def test_a_version_may_be_asked_for(channel):
    assert predict(channel, version=123).model_spec.version.value == 123


def test_a_model_of_tensorflow_1_answers(channel):
    assert tf.make_ndarray(predict(channel, "of_tf1").outputs["y"]).tolist() == [3.5, 4.0, 5.5]


def test_only_the_outputs_asked_for_come(channel):
    request = PredictRequest(model_spec=ModelSpec(name="many", signature_name="ragged"), output_filter=["b"])
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(floats(1)))
    assert PredictionServiceStub(channel).Predict(request).outputs.keys() == {"b"}


@pytest.mark.parametrize(
    ("asked", "code", "details"),
    [
        ({"name": "no"}, "NOT_FOUND", "Servable not found for request: Latest(no)"),
        ({"version": 5}, "NOT_FOUND", "Servable not found for request: Specific(half_plus_two, 5)"),
        ({"signature": "no"}, "FAILED_PRECONDITION", 'Serving signature key "no" not found.'),
        ({"name": "many"}, "INVALID_ARGUMENT", "Missing but required: {signal,tag}"),
        ({"name": "many", "signature": "reshape"}, "INVALID_ARGUMENT", "3 values"),
    ],
)
def test_errors_have_tf_servings_codes(channel, asked, code, details):
    with pytest.raises(grpc.RpcError) as caught:
        predict(channel, **asked)
    assert caught.value.code() == grpc.StatusCode[code]
    assert details in caught.value.details()


def test_metadata_and_status_answer(channel):
    spec = ModelSpec(name="of_tf1")
    request = GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
    assert PredictionServiceStub(channel).GetModelMetadata(request).model_spec.version.value == 1
    (status,) = ModelServiceStub(channel).GetModelStatus(GetModelStatusRequest(model_spec=spec)).model_version_status
    assert (status.version, status.state) == (1, ModelVersionStatus.AVAILABLE)


def test_methods_that_the_server_does_not_have_are_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/tensorflow.serving.SessionService/SessionRun")(b"", timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


EXAMPLES = Input(example_list={"examples": [{"features": {"feature": {"x": {"float_list": {"value": [1.5]}}}}}]})


def estimator(signature="") -> ModelSpec:
    return ModelSpec(name="estimator", signature_name=signature)


def test_classify_regress_and_multi_inference_answer(channel):
    stub = PredictionServiceStub(channel)
    classified = stub.Classify(ClassificationRequest(model_spec=estimator("classes"), input=EXAMPLES))
    (classes,) = classified.result.classifications
    assert [(one.label, one.score) for one in classes.classes] == [("low", 1.5), ("high", 100)]
    regressed = stub.Regress(RegressionRequest(model_spec=estimator(), input=EXAMPLES))
    assert [one.value for one in regressed.result.regressions] == [101.5]
    assert (regressed.model_spec.version.value, regressed.model_spec.signature_name) == (1, "serving_default")
    task = {"model_spec": estimator(), "method_name": "tensorflow/serving/regress"}
    both = stub.MultiInference(MultiInferenceRequest(tasks=[task], input=EXAMPLES))
    assert both.results[0].regression_result == regressed.result


def test_signatures_of_tensorflow_2_answer_by_their_names(channel):
    stub = PredictionServiceStub(channel)
    spec = ModelSpec(name="of_tf2", signature_name="serve_tf_examples")
    classified = stub.Classify(ClassificationRequest(model_spec=spec, input=EXAMPLES))
    (classes,) = classified.result.classifications
    assert [(one.label, one.score) for one in classes.classes] == [("low", 1.5), ("high", 3)]
    assert classified.model_spec.signature_name == "serve_tf_examples"
    task = {"model_spec": spec, "method_name": "tensorflow/serving/classify"}
    answered = stub.MultiInference(MultiInferenceRequest(tasks=[task], input=EXAMPLES))
    assert answered.results[0].classification_result == classified.result
    spec = ModelSpec(name="of_tf2", signature_name="regress_tf_examples")
    regressed = stub.Regress(RegressionRequest(model_spec=spec, input=EXAMPLES))
    assert [one.value for one in regressed.result.regressions] == [3]


def test_a_signature_of_other_names_is_no_classification(channel):
    with pytest.raises(grpc.RpcError) as caught:
        PredictionServiceStub(channel).Classify(
            ClassificationRequest(model_spec=ModelSpec(name="half_plus_two"), input=EXAMPLES)
        )
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "No classification inputs found in SignatureDef"


def test_a_client_may_say_which_models_there_are_and_label_their_versions(tmp_path):
    for version in (1, 2):
        save_half_plus(tmp_path / "m" / str(version), plus=float(version))
    (tmp_path / "other/1").mkdir(parents=True)
    config = text_format.Parse(
        f"""config {{ name: "m" base_path: "{tmp_path}/m" model_version_policy {{ all {{}} }}
        version_labels {{ key: "old" value: 1 }} }}""",
        ModelConfigList(),
    )
    with (
        embedded_server({"other": tmp_path / "other"}) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        request = ReloadConfigRequest(config={"model_config_list": config})
        assert ModelServiceStub(channel).HandleReloadConfigRequest(request).status.error_code == 0
        labelled = PredictRequest(model_spec={"name": "m", "version_label": "old"})
        labelled.inputs["x"].CopyFrom(tf.make_tensor_proto(floats(0)))
        answer = PredictionServiceStub(channel).Predict(labelled)
        assert (answer.model_spec.version.value, answer.outputs["y"].float_val) == (1, [1.0])
        assert predict(channel, "m", x=(0.0,)).outputs["y"].float_val == [2.0]
        with pytest.raises(grpc.RpcError) as caught:
            ModelServiceStub(channel).HandleReloadConfigRequest(ReloadConfigRequest())
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert predict(channel, "m", x=(0.0,), version=1).outputs["y"].float_val == [1.0]


@pytest.mark.parametrize("service", ["", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"])
def test_the_standard_health_service_says_serving(channel, service):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def request_of_size(size: int) -> PredictRequest:
    """Return a request for `many`, whose tag and the answer's are long, of exactly this many bytes."""
    request = PredictRequest(model_spec=ModelSpec(name="many", signature_name="text"))
    request.inputs["tag"].CopyFrom(tf.make_tensor_proto([b""]))
    for _ in range(3):  # the lengths are themselves written in one to five bytes
        request.inputs["tag"].string_val[0] = bytes(
            size - request.ByteSize() + len(request.inputs["tag"].string_val[0])
        )
    assert request.ByteSize() == size
    return request


def test_messages_up_to_the_limit_pass_both_ways(channel):
    request = request_of_size(LARGEST_REQUEST_BYTES)
    answer = PredictionServiceStub(channel).Predict(request, timeout=30)
    assert answer.outputs["text"].string_val[0] == request.inputs["tag"].string_val[0]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_one_byte_more_is_refused_even_if_it_comes_compressed(channel, compression):
    request = request_of_size(LARGEST_REQUEST_BYTES + 1)
    with pytest.raises(grpc.RpcError) as caught:
        PredictionServiceStub(channel).Predict(request, timeout=30, compression=compression)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert predict(channel).outputs


def test_a_compressed_request_is_answered(channel):
    answer = predict(channel, x=[1.0] * 1000, compression=grpc.Compression.Gzip)
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), 2.5)


def test_every_one_of_many_concurrent_requests_gets_its_own_answer(channel):
    def ask(i):
        x = np.arange(i, i + 5)
        return np.array_equal(tf.make_ndarray(predict(channel, x=x).outputs["y"]), x / 2 + 2)

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(500)))
