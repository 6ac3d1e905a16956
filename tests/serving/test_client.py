import socket

import numpy as np
import pytest

from tests.serving.tiny_models import floats, save_half_plus, save_many
from tfdrift.errors import DataError, ResourceError
from tfdrift.serving.client import Client, Signature, TensorInfo
from tfdrift.serving.server import embedded_server


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """Host and port of a server of two models, one of them with a broken newer version."""
    base = tmp_path_factory.mktemp("models")
    save_half_plus(base / "half" / "7")
    (base / "half" / "8").mkdir()
    save_many(base / "many" / "1")
    with embedded_server({folder.name: folder for folder in base.iterdir()}) as server:
        yield f"127.0.0.1:{server.grpc_port}"


@pytest.fixture
def client(target):
    with Client(target) as client:
        yield client


def test_predict_returns_arrays_by_name(client):
    outputs = client.predict("half", {"x": floats(1, 2, 5)})
    assert outputs.keys() == {"y"}
    np.testing.assert_array_equal(outputs["y"], floats(2.5, 3, 4.5))
    assert outputs["y"].dtype == np.float32


def test_a_server_on_this_machine_is_not_looked_for_behind_a_proxy(target, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    with Client(target) as client:
        assert client.predict("half", {"x": floats(1)})["y"].tolist() == [2.5]


def test_signature_and_version_may_be_chosen(client):
    outputs = client.predict("many", {"tag": np.array([b"\xff"], object)}, signature="text", version=1)
    assert outputs["text"].tolist() == [b"\xff"]


def test_arrays_of_more_than_4_mib_pass_both_ways(client):
    x = np.arange(3_000_000, dtype=np.float32)
    np.testing.assert_array_equal(client.predict("half", {"x": x})["y"], x / 2 + 2)


def test_metadata_tells_dtype_and_shape(client):
    assert client.metadata("half")["serving_default"] == Signature(
        {"x": TensorInfo("float32", (None,))}, {"y": TensorInfo("float32", (None,))}
    )
    assert client.metadata("many")["serving_default"].inputs["signal"] == TensorInfo("float32", (None, 3))


def test_status_tells_what_answers_and_what_is_broken(client):
    broken, answering = client.status("half")
    assert answering == (7, "AVAILABLE", "")
    assert (broken.version, broken.state) == (8, "END")
    assert broken.error
    assert client.status("half", version=7) == [answering]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.predict("half", {"x": np.array([1.0])}), "expects float32 but float64 is provided"),
        (lambda client: client.predict("half", {"z": floats(1)}), "Missing but required: {x}"),
        (lambda client: client.predict("half", {"x": floats(1)}, signature="no"), '"no" not found'),
        (lambda client: client.predict("half", {"x": np.zeros(2**24 + 1, np.float32)}), "larger than max"),
    ],
)
def test_a_request_that_does_not_fit_the_model_is_a_data_error_of_one_line(client, call, message):
    with pytest.raises(DataError) as caught:
        call(client)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.predict("no", {}), "Servable not found for request: Latest(no)"),
        (lambda client: client.predict("half", {}, version=8), "Servable not found for request: Specific(half, 8)"),
        (lambda client: client.metadata("no"), "Servable not found for request: Latest(no)"),
        (lambda client: client.status("no"), "Could not find any versions of model no"),
    ],
)
def test_a_model_that_is_not_there_is_a_resource_error(client, call, message):
    with pytest.raises(ResourceError) as caught:
        call(client)
    assert message in str(caught.value)


def test_a_server_that_is_not_there_is_a_resource_error_of_one_line():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Client(f"127.0.0.1:{port}") as client, pytest.raises(ResourceError, match="tfdrift serve") as caught:
        client.status("half")
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_answer_that_takes_too_long_is_a_resource_error(target):
    with Client(target, deadline_seconds=0.05) as client, pytest.raises(ResourceError, match=r"within 0\.05 s"):
        client.predict("many", {"x": np.array([50_000], np.int32)}, signature="wait")
