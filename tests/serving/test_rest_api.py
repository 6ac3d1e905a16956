import gzip
import http.client
import json
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.tiny_models import save_estimator, save_half_plus, save_half_plus_tf1, save_many, save_tf_examples
from tfdrift.serving import rest_api
from tfdrift.serving.rest_api import LARGEST_BODY_BYTES
from tfdrift.serving.server import embedded_server

HALF = "/v1/models/half_plus_two"
MANY = "/v1/models/many"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The REST port of a server with five models."""
    base = tmp_path_factory.mktemp("models")
    save_half_plus(base / "half_plus_two" / "00000123")
    save_half_plus_tf1(base / "of_tf1" / "1", plus=3.0)
    save_many(base / "many" / "1")
    save_estimator(base / "estimator" / "1")
    save_tf_examples(base / "of_tf2" / "1")
    with embedded_server({folder.name: folder for folder in base.iterdir()}) as server:
        yield server.rest_port


@pytest.fixture
def connection(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    yield connection
    connection.close()


def ask(connection, path, body=None, *, method=None, **headers):
    """Return (status, what the JSON of the answer says)."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
    response = connection.getresponse()
    content = response.read()
    assert response.headers["content-type"] == "application/json"
    return response.status, json.loads(content)


@pytest.mark.parametrize("path", [f"{HALF}:predict", f"{HALF}/versions/123:predict"])
def test_predict_answers_rows(connection, path):
    assert ask(connection, path, {"instances": [1.0, 2.0, 5.0]}) == (200, {"predictions": [2.5, 3.0, 4.5]})


def test_predict_answers_columns(connection):
    assert ask(connection, f"{HALF}:predict", {"inputs": [1.0, 2.0, 5.0]}) == (200, {"outputs": [2.5, 3.0, 4.5]})


def test_a_model_of_tensorflow_1_answers(connection):
    asked = {"signature_name": "serving_default", "instances": [1.0, 2.0, 5.0]}
    assert ask(connection, "/v1/models/of_tf1:predict", asked) == (200, {"predictions": [3.5, 4.0, 5.5]})


@pytest.mark.parametrize(
    ("method", "signature", "results"),
    [
        ("regress", "", [101.5, 3.25]),
        ("classify", "classes", [[["low", 1.5], ["high", 100]], [["low", 1], ["high", 2.25]]]),
    ],
)
def test_examples_are_classified_and_regressed(connection, method, signature, results):
    body = {"signature_name": signature, "examples": [{"x": 1.5}, {"x": [1.0], "y": 2.25}]}
    assert ask(connection, f"/v1/models/estimator:{method}", body) == (200, {"results": results})


@pytest.mark.parametrize(
    ("method", "signature", "results"),
    [
        ("regress", "regress_tf_examples", [3, 2]),
        ("classify", "serve_tf_examples", [[["low", 1.5], ["high", 3]], [["low", 1], ["high", 2]]]),
    ],
)
def test_signatures_of_tensorflow_2_answer_by_their_names(connection, method, signature, results):
    body = {"signature_name": signature, "examples": [{"x": 1.5}, {"x": [1.0]}]}
    assert ask(connection, f"/v1/models/of_tf2:{method}", body) == (200, {"results": results})


def test_several_inputs_and_outputs_with_strings(connection):
    instances = [{"tag": "a", "signal": [1, 2, 3]}, {"tag": {"b64": "AP8="}, "signal": [4, 5, 6]}]
    status, answer = ask(connection, f"{MANY}:predict", {"instances": instances})
    assert status == 200
    assert answer["predictions"] == [
        {"tag_bytes": {"b64": "YQ=="}, "total": 6.0},
        {"tag_bytes": {"b64": "AP8="}, "total": 15.0},
    ]


def test_nan_and_infinity_go_in_and_out(connection):
    connection.request("POST", f"{HALF}:predict", b'{"instances": [NaN, Infinity, -Infinity]}')
    assert connection.getresponse().read() == b'{"predictions": [NaN, Infinity, -Infinity]}'


@pytest.mark.parametrize("path", ["/v1/models/of_tf1", "/v1/models/of_tf1/versions/1"])
def test_status_has_tf_servings_fields_and_versions_as_strings(connection, path):
    expected = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert ask(connection, path) == (200, {"model_version_status": [expected]})


@pytest.mark.parametrize("path", ["/v1/models/of_tf1/metadata", "/v1/models/of_tf1/versions/1/metadata"])
def test_metadata_has_tf_servings_fields(connection, path):
    status, answer = ask(connection, path)
    assert status == 200
    assert answer["model_spec"] == {"name": "of_tf1", "signature_name": "", "version": "1"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["inputs"] == {"x": {"dtype": "DT_FLOAT", "name": "x:0", "tensor_shape": shape}}
    assert signature["outputs"]["y"]["dtype"] == "DT_FLOAT"


ROW = {"instances": [1.0]}


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/v1/models/no:predict", ROW, 404, "Servable not found for request: Latest(no)"),
        (f"{HALF}/versions/5:predict", ROW, 404, "Servable not found for request: Specific(half_plus_two, 5)"),
        (f"{HALF}/labels/stable:predict", ROW, 400, "Unrecognized servable version label: stable"),
        (f"{HALF}/versions/99999999999999999999:predict", ROW, 400, "Failed to convert version: 9999"),
        (f"{HALF}/versions/{'9' * 5000}:predict", ROW, 400, "Failed to convert version: 9999"),
        (f"{HALF}:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        (f"{HALF}:predict", b"{", 400, "JSON Parse error"),
        (f"{HALF}:predict", b"", 400, "JSON Parse error"),
        (
            f"{HALF}:predict",
            {"signature_name": "no", **ROW},
            400,
            'Serving signature name: "no" not found in signature def',
        ),
        (f"{MANY}:predict", {"signature_name": "ragged", **ROW}, 400, "inconsistent batch size: 2 expecting: 1"),
        (f"{MANY}:predict", {"signature_name": "reshape", **ROW}, 400, "a tensor with 1 values"),
        (f"{HALF}:classify", ROW, 400, "When method is classify, key 'examples' is expected and was not found"),
        (f"{HALF}:regress", {"examples": [{}]}, 400, "No regression inputs found in SignatureDef"),
        ("/v1/models/no", None, 404, "Could not find any versions of model no"),
        (f"{HALF}/versions/5", None, 404, "Could not find version 5 of model half_plus_two"),
        ("/v1/models/no/metadata", None, 404, "Servable not found for request: Latest(no)"),
        (f"{HALF}:predict", None, 400, f"Malformed request: GET {HALF}:predict"),
        (HALF, ROW, 400, f"Malformed request: POST {HALF}"),
        (f"{HALF}:fly", ROW, 400, f"Malformed request: POST {HALF}:fly"),
        ("/v1/", None, 400, "Malformed request: GET /v1/"),
    ],
)  # fmt: skip
def test_errors_have_tf_servings_status_and_text(connection, path, body, status, error):
    found, answer = ask(connection, path, body)
    assert found == status
    assert answer.keys() == {"error"}
    assert error in answer["error"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_other_methods_are_malformed_requests(connection, method):
    status, answer = ask(connection, HALF, method=method)
    assert (status, answer) == (400, {"error": f"Malformed request: {method} {HALF}"})


def test_a_gzip_body_is_read(connection):
    body = gzip.compress(b'{"instances": [1.0]}')
    assert ask(connection, f"{HALF}:predict", body, **{"content-encoding": "gzip"}) == (200, {"predictions": [2.5]})


@pytest.mark.parametrize(
    ("encoding", "body", "error"),
    [
        ("gzip", b'{"instances": [1.0]}', "the body is not gzip"),
        # A time in the header would give the test another name in every process.
        ("gzip", gzip.compress(b'{"instances": [1.0]}', mtime=0)[:-4], "the body is not gzip"),
        ("br", b'{"instances": [1.0]}', "Content-Encoding br is not supported"),
    ],
)
def test_a_body_that_is_not_encoded_as_it_says_is_refused(connection, encoding, body, error):
    status, answer = ask(connection, f"{HALF}:predict", body, **{"content-encoding": encoding})
    assert status == 400
    assert error in answer["error"]


def body_of_size(size: int) -> bytes:
    """Return a good request, stretched to this many bytes."""
    return b'{"instances": [1.0]}'.ljust(size)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 400)])
def test_the_largest_body_passes_and_one_byte_more_does_not(connection, compressed, more, status):
    body, headers = body_of_size(LARGEST_BODY_BYTES + more), {}
    if compressed:
        body, headers = gzip.compress(body, 1), {"content-encoding": "gzip"}
    found, answer = ask(connection, f"{HALF}:predict", body, **headers)
    assert found == status
    assert answer == {"predictions": [2.5]} if more == 0 else "larger than 64 MiB" in answer["error"]


def test_one_connection_carries_many_requests_and_errors_do_not_close_it(connection):
    connection.connect()
    local = connection.sock.getsockname()
    for body, status in ((ROW, 200), ({}, 400), (ROW, 200)):
        assert ask(connection, f"{HALF}:predict", body)[0] == status
        assert connection.sock.getsockname() == local


def test_small_answers_are_sent_at_once(connection):
    """A kernel that gathers small packets waits 40 ms for each, after the first ones of a connection."""
    seconds = []
    for _ in range(40):
        start = time.perf_counter()
        ask(connection, f"{HALF}:predict", ROW)
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.03


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
        b"POST /v1/models/half_plus_two:predict HT",
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 1_000_000,
    ],
    ids=["slow body", "slow head", "garbage", "endless head"],
)
def test_slow_and_malformed_requests_do_not_stop_others(port, connection, sent):
    with socket.create_connection(("127.0.0.1", port)) as stuck:
        stuck.sendall(sent)
        assert ask(connection, f"{HALF}:predict", ROW) == (200, {"predictions": [2.5]})


def test_a_client_that_goes_away_does_not_stop_others(port, connection):
    with socket.create_connection(("127.0.0.1", port)) as gone:
        gone.sendall(b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
    assert ask(connection, f"{HALF}:predict", ROW) == (200, {"predictions": [2.5]})


def test_metrics_count_what_was_asked(connection):
    ask(connection, f"{HALF}:predict", ROW)
    connection.request("GET", "/monitoring/prometheus/metrics")
    page = connection.getresponse().read().decode()
    assert ':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"}' in page
    assert list(text_string_to_metric_families(page))


def test_every_one_of_many_concurrent_requests_gets_its_own_answer(port):
    def ask_many(client):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for i in range(client, client + 20):
            assert ask(connection, f"{HALF}:predict", {"instances": [i, i + 1]})[1] == {
                "predictions": [i / 2 + 2, (i + 1) / 2 + 2]
            }
        connection.close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask_many, range(0, 1000, 50)))


def test_a_fault_of_the_server_is_an_error_in_json(connection, monkeypatch, caplog):
    def broken(*_arguments):
        raise KeyError("of ours")

    monkeypatch.setattr(rest_api, "read_predict", broken)
    assert ask(connection, f"{HALF}:predict", ROW) == (500, {"error": "Internal error: KeyError"})
    assert "a request met a fault of the server" in caplog.text


def test_half_a_surrogate_pair_is_a_bad_request(connection):
    asked = {"signature_name": "text", "instances": ["\ud83d"]}
    error = "JSON Parse error: The surrogate pair in string is invalid."
    assert ask(connection, f"{MANY}:predict", asked) == (400, {"error": error})


@pytest.mark.parametrize(
    ("number", "half"), [("16777216", "8388610.0"), ("1e39", "Infinity"), ("Inf", "Infinity"), ("-Inf", "-Infinity")]
)
def test_numbers_beyond_float32_are_rounded_as_tf_serving_does(connection, number, half):
    connection.request("POST", f"{HALF}:predict", b'{"instances": [' + number.encode() + b"]}")
    written = connection.getresponse().read().replace(b" ", b"")
    assert written == b'{"predictions":[' + half.encode() + b"]}"
