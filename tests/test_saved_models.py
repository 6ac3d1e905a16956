"""The demo models that come with the repository."""

import json
from pathlib import Path

import numpy as np
import pytest

from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.models import predict_batches

FOLDER = Path(__file__).parents[1] / "saved_models"
MODELS = ("method1", "method2", "direct")


@pytest.mark.parametrize("name", MODELS)
def test_a_demo_model_is_blessed_and_calibrated(name):
    version = max(
        (path for path in (FOLDER / name).iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)
    )
    blessing = json.loads((version / "assets.extra/blessing.json").read_text())
    assert (blessing["blessed"], blessing["forced"]) == (True, False)
    settings = json.loads((version / "assets/config.json").read_text())
    assert settings["train"]["method"] == name
    assert settings["calibration"]["volume_margin"] > 0


@pytest.mark.parametrize("name", MODELS)
def test_a_demo_model_answers(name):
    rows, columns = np.indices((32, 32)) - 15.5
    disc = (900.0 * (np.hypot(rows, columns) < 9))[np.newaxis, ..., np.newaxis].astype(np.float32)
    model = LocalModel(FOLDER / name)
    try:
        answer = predict_batches(model, disc, np.array([[0, 1]], np.int64))
    finally:
        model.close()
    assert 200 < answer["post"][0, 10:22, 10:22].mean() < 1200
    assert np.abs(answer["drift"][0, :4]).mean() < 50  # nothing changes where nothing is


def test_the_demo_models_are_small():
    files = [path for name in MODELS for path in (FOLDER / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6e6
