import grpc
import pytest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tests.serving.tiny_models import floats, save_half_plus
from tfdrift.serving.inference import Inference
from tfdrift.serving.monitoring import Monitoring
from tfdrift.serving.refusal import Refusal
from tfdrift.serving.versions import VersionedModel

VERSION = 2**62 + 1  # no float64


@pytest.fixture(scope="module")
def inference(tmp_path_factory):
    """Return the model `m` with one version that answers and a newer one that is broken."""
    base = tmp_path_factory.mktemp("m")
    save_half_plus(base / str(VERSION))
    (base / str(VERSION + 1)).mkdir()
    model = VersionedModel("m", base, lambda _line: None)
    model.look(at_once=True)
    return Inference({"m": model}, Monitoring())


def spec(name="m", version=None, label=""):
    found = ModelSpec(name=name, version_label=label)
    if version is not None:
        found.version.value = version
    return found


@pytest.mark.parametrize("version", [None, VERSION])
def test_the_latest_and_the_version_asked_for_answer(inference, version):
    serving = inference.serving(spec(version=version))
    signature = serving.model.signatures["serving_default"]
    assert serving.version == VERSION
    assert inference.run("m", serving, signature, {"x": floats(1)})["y"].tolist() == [2.5]


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (spec("n"), "NOT_FOUND", "Servable not found for request: Latest(n)"),
        (spec("n", 3), "NOT_FOUND", "Servable not found for request: Specific(n, 3)"),
        (spec("m", 3), "NOT_FOUND", "Servable not found for request: Specific(m, 3)"),
        (spec(label="stable"), "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
        (spec(""), "INVALID_ARGUMENT", "Missing ModelSpec"),
    ],
)
def test_what_is_not_served_is_refused_in_tf_servings_words(inference, asked, code, message):
    with pytest.raises(Refusal) as caught:
        inference.serving(asked)
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode[code], message)


def test_metadata_is_the_signatures(inference):
    answer = inference.metadata(GetModelMetadataRequest(model_spec=spec(), metadata_field=["signature_def"]))
    signatures = SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert [dim.size for dim in signature.inputs["x"].tensor_shape.dim] == [-1]
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("m", VERSION)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "GetModelMetadataRequest must specify at least one metadata_field"),
        (["weights"], "Metadata field weights is not supported"),
    ],
)
def test_other_metadata_is_refused(inference, fields, message):
    with pytest.raises(Refusal) as caught:
        inference.metadata(GetModelMetadataRequest(model_spec=spec(), metadata_field=fields))
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.INVALID_ARGUMENT, message)


def states(response):
    return [
        (status.version, status.State.Name(status.state), status.status.error_code)
        for status in response.model_version_status
    ]


def test_status_has_every_version_and_the_error_of_a_broken_one(inference):
    response = inference.status(GetModelStatusRequest(model_spec=spec()))
    not_found = grpc.StatusCode.NOT_FOUND.value[0]
    assert states(response) == [(VERSION + 1, "END", not_found), (VERSION, "AVAILABLE", 0)]
    assert response.model_version_status[0].status.error_message


def test_status_of_one_version(inference):
    response = inference.status(GetModelStatusRequest(model_spec=spec(version=VERSION)))
    assert states(response) == [(VERSION, "AVAILABLE", 0)]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (spec("n"), "Could not find any versions of model n"),
        (spec("m", 3), "Could not find version 3 of model m"),
    ],
)
def test_status_of_what_does_not_exist_is_refused(inference, asked, message):
    with pytest.raises(Refusal) as caught:
        inference.status(GetModelStatusRequest(model_spec=asked))
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.NOT_FOUND, message)


def test_names_that_clients_make_up_are_not_counted(tmp_path):
    monitoring = Monitoring()
    inference = Inference({"m": VersionedModel("m", tmp_path, lambda _line: None)}, monitoring)
    for name in ("m", "made_up"):
        with pytest.raises(Refusal), inference.counted(name, "REST"):
            inference.serving(spec(name))
    assert b'model_name="m"' in monitoring.page()
    assert b"made_up" not in monitoring.page()
