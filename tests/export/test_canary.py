import numpy as np
import pytest
import tensorflow as tf

from tfdrift.errors import NotBlessedError
from tfdrift.export import canary
from tfdrift.export.canary import differences, try_on_server
from tfdrift.export.warmup import synthetic_requests

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


def test_a_small_spread_is_compared_with_the_images_it_is_of():
    expected = {"drift_mean": np.array([100.0]), "drift_std": np.array([1.0])}
    assert differences({"drift_mean": np.array([100.0]), "drift_std": np.array([1.0005])}, expected) == ""
