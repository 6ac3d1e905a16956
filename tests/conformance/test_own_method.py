"""A method of one's own, written in this very file, goes the whole way without a change to any other."""

import dataclasses
import json

import pytest
import tensorflow as tf

from tests.clinic.patients import write_patient
from tfdrift.axes import first_channel
from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.predict import predict_patient
from tfdrift.clinic.served_model import ServedModel
from tfdrift.config import train_config
from tfdrift.evaluation.report import evaluate, evaluate_run
from tfdrift.export.push import push_runs
from tfdrift.methods import METHODS
from tfdrift.methods.method import Ask, Images, Method, Shown
from tfdrift.serving.server import embedded_server
from tfdrift.synthetic.phantom_samples import phantom_samples
from tfdrift.training.train import train


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Flicker(Method):
    """The clean image at a random time in, the drift out; post is the pre image plus the drift."""

    label = "Flicker"
    summary = "a method of a test: the network is asked at a random time"
    defaults = {"heads": "shared", "recon_ssim": 0.0, "recon_weight": 0.0}  # noqa: RUF012 - a constant

    estimate_level: int = 10

    def show(self, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Shown:
        """See `Method.show`."""
        t = tf.random.stateless_uniform(tf.shape(pre)[:1], seed, alg="philox")[:, None]
        return Shown(pre, t, {"recon": post, "drift": post - first_channel(pre)})

    def answer(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """See `Method.answer`."""
        t = tf.cast(tf.math.floormod(seed[:, :1], self.estimate_level), tf.float32) / self.estimate_level
        drift = ask(pre, t)["drift"]
        return {"post": first_channel(pre) + drift, "drift": drift}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "flicker", Flicker)
        folder = tmp_path_factory.mktemp("flicker")
        samples = phantom_samples(image_size=16, patients=6, folds=2)
        config = train_config("flicker", image_size=16, base_filters=2, depth=1, levels=5, steps=30, batch_size=8)
        train(config, folder / "run", echo=lambda _line: None, samples=samples)
        evaluate_run(folder / "run", samples=samples)
        evaluate([folder / "run"], folder / "report", count=3, samples=samples)
        push_runs([folder / "run"], folder / "models/flicker", outcomes=4, force=True)
        yield folder


def test_it_is_scored_under_its_own_name(run):
    scores = json.loads((run / "report/metrics.json").read_text())
    assert (scores["method"], scores["label"], scores["outcomes"]) == ("flicker", "Flicker", 3)
    assert "Flicker" in (run / "report/report.html").read_text()


def test_its_card_says_what_it_does(run):
    (card,) = run.glob("models/flicker/*/assets.extra/model_card.md")
    assert Flicker.summary in card.read_text()


def test_a_patient_is_predicted_here_and_by_a_server(run, tmp_path):
    patient = write_patient(tmp_path)
    local = LocalModel(run / "models/flicker")
    with embedded_server({"flicker": run / "models/flicker"}) as server:
        served = ServedModel(f"127.0.0.1:{server.grpc_port}", "flicker")
        volumes = []
        for name, model in {"here": local, "there": served}.items():
            arguments = {"series_dir": patient.series, "rtstruct": patient.rtstruct, "outcomes": 4}
            document = predict_patient(model, out=tmp_path / name, **arguments)
            volumes.append(document["lesions"][0]["volume_predicted_mm3"]["samples"])
        served.close()
    assert volumes[0] == pytest.approx(volumes[1])
