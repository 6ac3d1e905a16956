import json

import numpy as np
import pytest

from tests.clinic.patients import CALIBRATION, SIZE, noisy, write_formula
from tests.serving.tiny_models import save_half_plus
from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.served_model import ServedModel
from tfdrift.errors import DataError, ResourceError
from tfdrift.serving.server import embedded_server


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """Version 7 of a model called chancy, whose answers depend on the seed."""
    return write_formula(tmp_path_factory.mktemp("models") / "chancy", noisy)


@pytest.fixture(scope="module")
def target(version):
    with embedded_server({"chancy": version.parent}) as server:
        yield f"127.0.0.1:{server.grpc_port}"


def crops(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    return rng.random((count, SIZE, SIZE, 1), np.float32), rng.integers(0, 2**32, (count, 2))


def test_a_server_gives_the_answer_of_the_version_on_disk(version, target):
    served = ServedModel(target, "chancy")
    assert served.about._replace(sha256=None, facts={}) == LocalModel(version).about._replace(sha256=None, facts={})
    request = crops(5)
    ours = LocalModel(version).predict(*request)
    for name, value in served.predict(*request).items():
        np.testing.assert_allclose(value, ours[name], rtol=1e-6)
    served.close()


def test_a_server_without_the_model_is_refused(target):
    with pytest.raises(ResourceError, match="does not serve what was asked of model 'other'"):
        ServedModel(target, "other")


def test_an_absent_server_is_refused():
    with pytest.raises(ResourceError, match="no answer from a server"):
        ServedModel("127.0.0.1:1", "chancy")


def test_another_programs_model_on_a_server_is_refused(tmp_path):
    save_half_plus(tmp_path / "half/1")
    with (
        embedded_server({"half": tmp_path / "half"}) as server,
        pytest.raises(DataError, match=r"model 'half' on 127\.0\.0\.1:.* not square crops and seeds"),
    ):
        ServedModel(f"127.0.0.1:{server.grpc_port}", "half")


def test_a_model_of_which_no_version_is_ready_is_refused(tmp_path):
    (tmp_path / "broken/1").mkdir(parents=True)
    with (
        embedded_server({"broken": tmp_path / "broken"}) as server,
        pytest.raises(ResourceError, match="has no version of model 'broken' that is ready"),
    ):
        ServedModel(f"127.0.0.1:{server.grpc_port}", "broken")


def test_a_server_passes_on_what_the_model_says_of_itself(tmp_path):
    config = {"step": 3, "train": {"image_size": SIZE}, "calibration": CALIBRATION}
    served = serve_about(tmp_path, json.dumps(config))
    assert (served.about.facts, served.about.card, served.about.sha256) == (config, "# Card", None)


@pytest.mark.parametrize("told", ["", "{", "[]", "{}", '{"train": 1}'])
def test_a_model_that_says_of_itself_what_cannot_be_read_is_refused(tmp_path, told):
    with pytest.raises(DataError, match=r"what model 'm' on 127\.0\.0\.1:.* says of itself cannot be read"):
        serve_about(tmp_path, told)


def serve_about(folder, told: str) -> ServedModel:
    """Return a model on a server that is up while it is asked what it is."""
    write_formula(folder / "m", noisy, about=(told, "# Card"))
    with embedded_server({"m": folder / "m"}) as server:
        served = ServedModel(f"127.0.0.1:{server.grpc_port}", "m")
        served.close()
        return served
