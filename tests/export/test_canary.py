import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.clinic.patients import write_patient
from tests.conftest import METRICS
from tfdrift.errors import NotBlessedError
from tfdrift.export import canary
from tfdrift.export.canary import differences, try_in_process, try_on_server
from tfdrift.export.warmup import synthetic_requests
from tfdrift.serving.client import Client
from tfdrift.serving.extra import MODULES
from tfdrift.serving.server import embedded_server

one_method = pytest.mark.parametrize("method", ["method2"], indirect=True, scope="session")
REQUESTS = synthetic_requests(8)


@pytest.fixture(scope="module")
def expected(exported) -> dict[str, dict[str, np.ndarray]]:
    model = tf.saved_model.load(str(exported.version))
    answers = {}
    for signature, inputs in REQUESTS.items():
        outputs = model.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        answers[signature] = {name: value.numpy() for name, value in outputs.items()}
    return answers


def test_a_model_that_answers_as_it_should_passes_over_both_protocols(exported, expected, monkeypatch):
    asked = []

    def noting(protocol, ask):
        return lambda server, signature, inputs: asked.append((protocol, signature)) or ask(server, signature, inputs)

    noted = {protocol: noting(protocol, ask) for protocol, ask in canary.PROTOCOLS.items()}
    monkeypatch.setattr(canary, "PROTOCOLS", noted)
    try_on_server(exported.version.parent, REQUESTS, expected)
    assert set(asked) == {(protocol, signature) for protocol in ("gRPC", "REST") for signature in REQUESTS}


@one_method
@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_another_answer_over_one_protocol_is_seen(exported, expected, protocol, monkeypatch):
    wrong = {**expected, "denoise": {name: 1.001 * value for name, value in expected["denoise"].items()}}
    monkeypatch.setattr(canary, "PROTOCOLS", {protocol: canary.PROTOCOLS[protocol]})
    with pytest.raises(NotBlessedError, match=f"denoise over {protocol} does not answer what the network does"):
        try_on_server(exported.version.parent, REQUESTS, wrong)


@one_method
@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_a_model_that_does_not_load_is_seen(exported, expected, protocol, tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes((exported.version / "saved_model.pb").read_bytes())  # no variables
    monkeypatch.setattr(canary, "PROTOCOLS", {protocol: canary.PROTOCOLS[protocol]})
    with pytest.raises(NotBlessedError, match=f"canary, not pushed: serving_default over {protocol} failed: "):
        try_on_server(tmp_path, REQUESTS, expected)


@one_method
def test_in_process_a_model_that_answers_as_it_should_passes(exported, expected):
    try_in_process(exported.version.parent, REQUESTS, expected)


@one_method
def test_in_process_another_answer_is_seen(exported, expected):
    wrong = {**expected, "denoise": {name: 1.001 * value for name, value in expected["denoise"].items()}}
    with pytest.raises(NotBlessedError, match="denoise over tensors does not answer what the network does"):
        try_in_process(exported.version.parent, REQUESTS, wrong)


@one_method
def test_in_process_a_request_that_the_model_refuses_is_seen(exported, expected):
    requests = {"denoise": {"image": REQUESTS["denoise"]["image"]}}
    with pytest.raises(NotBlessedError, match=r"denoise over tensors failed: .*Missing but required: .t"):
        try_in_process(exported.version.parent, requests, expected)


@one_method
def test_in_process_a_model_that_does_not_load_is_seen(exported, expected, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes((exported.version / "saved_model.pb").read_bytes())  # no variables
    with pytest.raises(NotBlessedError, match="canary, not pushed: it cannot be loaded"):
        try_in_process(tmp_path, REQUESTS, expected)


@one_method
def test_over_grpc_a_model_answers_with_the_bytes_that_it_has_in_process(exported):
    expected = tf.saved_model.load(str(exported.version)).signatures["serving_default"](
        **{name: tf.constant(value) for name, value in exported.request.items()}
    )
    with (
        embedded_server({"m": exported.version.parent}) as server,
        Client(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        outputs = client.predict("m", exported.request)
    assert outputs.keys() == {"post", "drift"}
    for name, value in outputs.items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"post": np.ones(2)}, "outputs post instead of drift"),
        ({"drift": np.ones(3)}, "drift has shape (3,) instead of (2,)"),
        ({"drift": np.array([1.0, np.nan])}, "drift is off by nan"),
        ({"drift": np.array([1.0, 1.0 + 2e-5])}, "drift is off by 2e-05 where 1e-05 is allowed"),
    ],
)
def test_a_difference_is_told(answer, said):
    assert differences(answer, {"drift": np.ones(2)}).startswith(said)


def test_another_text_is_told_whether_it_comes_as_bytes_or_as_text():
    expected = {"about": np.array([b"a", "\u00e4".encode()], object)}
    assert differences({"about": np.array(["a", "\u00e4"])}, expected) == ""
    assert differences({"about": np.array([b"a", b"b"], object)}, expected) == "about is another text"


def test_a_small_spread_is_compared_with_the_images_it_is_of():
    expected = {"drift_mean": np.array([100.0]), "drift_std": np.array([1.0])}
    assert differences({"drift_mean": np.array([100.0]), "drift_std": np.array([1.0005])}, expected) == ""


def test_without_the_extra_serve_a_run_is_trained_pushed_and_predicts(tmp_path):
    """In a process in which nothing that only a server needs can be imported."""
    write_patient(tmp_path / "patient")
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRA, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tried            in process only; over gRPC and REST too after pip install 'tfdrift[serve]'" in done.stdout
    assert (tmp_path / "prediction/report.html").is_file()


WITHOUT_EXTRA = f"""
import json, sys
from pathlib import Path
for name in {sorted(MODULES)}:
    sys.modules[name] = None
from tests.random_samples import make_samples
from tfdrift.config import train_config
from tfdrift.training.train import train
from tfdrift_cli.main import main
folder = Path(sys.argv[1])
config = train_config("method1", steps=2, image_size=8, base_filters=2, depth=1, levels=5, batch_size=4)
train(config, folder / "run", echo=lambda _line: None, samples=make_samples(size=8))
(folder / "run/metrics.json").write_text(json.dumps({METRICS}))
arguments = ["export", str(folder / "run"), "--to", str(folder / "models"), "--ensemble", "1"], [
    "predict", "--model", str(folder / "models"), "--series", str(folder / "patient/MR"), "--rtstruct",
    str(folder / "patient/RS.dcm"), "--samples", "2", "--out", str(folder / "prediction")]
for one in arguments:
    try:
        main(one)
    except SystemExit as end:
        assert end.code == 0, one
"""
