"""An entry put into a table is chosen, checked, trained, scored and shown, with no other file touched."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdrift.config import train_config
from tfdrift.diffusion.schedule import SCHEDULES
from tfdrift.errors import UsageError
from tfdrift.evaluation.metrics import METRICS, Metric
from tfdrift.evaluation.report import evaluate
from tfdrift.methods import METHODS
from tfdrift.methods.direct import Direct
from tfdrift.model.heads import HEADS
from tfdrift.synthetic.phantom_samples import phantom_samples
from tfdrift.training.losses import LOSSES, Loss
from tfdrift.training.run_folder import load_predictor
from tfdrift.training.train import train

TINY = {"image_size": 8, "base_filters": 2, "depth": 1, "levels": 3, "batch_size": 4, "steps": 2, "log_every": 1}


def crossed(parts, inputs):
    """Give recon the drift's decoder and the drift that of recon."""
    recon, drift = HEADS["decoupled"](parts, inputs)
    return drift, recon


def absolute(predicted, target, _share):
    return {"loss": tf.reduce_mean(tf.abs(predicted - target))}


class Robust(Direct):
    """`direct`, by mean absolute error."""

    label = "robust"

    @property
    def losses(self):
        return {"recon": "absolute", "drift": "absolute"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    worst = Metric(
        of="post", function=lambda predicted, true, _gtv: np.abs(predicted - true).reshape(len(true), -1).max(axis=1),
        better="low", words="worst pixel", meaning="largest error of a pixel",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCHEDULES, "halving", lambda levels: 0.9 * 0.5 ** np.arange(levels))
        patch.setitem(HEADS, "crossed", crossed)
        patch.setitem(LOSSES, "absolute", Loss(compare=absolute, measures=("loss",)))
        patch.setitem(METRICS, "worst_pixel", worst)
        patch.setitem(METHODS, "robust", Robust)
        folder = tmp_path_factory.mktemp("tables")
        samples = phantom_samples(image_size=8, patients=6, folds=2)
        config = train_config("robust", heads="crossed", schedule="halving", **TINY)  # pyright: ignore[reportArgumentType]
        train(config, folder / "run", echo=lambda _line: None, samples=samples)
        evaluate([folder / "run"], folder / "report", samples=samples)
        yield folder


def test_the_run_has_the_schedule_and_the_heads(folder):
    _, _, predictor = load_predictor(folder / "run")
    np.testing.assert_allclose(predictor.method.schedule.signal_rate**2, [0.9, 0.45, 0.225])
    assert predictor.network.name == "unet_crossed"


def test_the_loss_is_what_is_minimised_and_logged(folder):
    rows = [json.loads(line) for line in (folder / "run/history.jsonl").read_text().splitlines()]
    (first, *_) = [row for row in rows if row["part"] == "train"]
    assert first["loss"] == pytest.approx(first["recon_loss"] + 3 * first["drift_loss"])
    assert "recon_mse" not in first


def test_the_metric_is_in_the_files_and_on_the_page(folder):
    scores = json.loads((folder / "report/metrics.json").read_text())
    assert 0 < scores["methods"]["robust"]["scores"]["worst_pixel"]["value"] <= 2
    assert "worst_pixel" in (folder / "report/metrics.csv").read_text().splitlines()[0]
    assert "worst pixel" in (folder / "report/report.html").read_text()


@pytest.mark.parametrize("setting", ["method", "heads", "schedule"])
def test_a_name_in_no_table_is_refused_with_those_that_are(setting):
    given = {"method": "direct", setting: "crossed-out"}
    with pytest.raises(UsageError, match=r"crossed-out: choose from .*(direct|shared|linear)"):
        train_config(**given)
