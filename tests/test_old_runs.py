"""A run folder that version 0.1.0 wrote, see tests/golden/record_run.py."""

import json
import shutil
from pathlib import Path

import pytest

from tfdrift.evaluation.report import evaluate_run
from tfdrift.synthetic.phantom_samples import phantom_samples
from tfdrift.training.run_folder import is_trained, load_predictor

FOLDER = Path(__file__).parent / "golden/run_0.1.0"


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(FOLDER, tmp_path / "run"))


@pytest.fixture(scope="module")
def samples():
    return phantom_samples(image_size=8, patients=6, folds=2)


def test_it_loads_and_scores_as_it_did(run, samples):
    before = json.loads((run / "metrics.json").read_text())
    scores = evaluate_run(run, samples=samples)
    for name in ("skill", "drift_skill"):
        assert getattr(scores, name).value == pytest.approx(before[name]["value"], abs=1e-6)


def test_it_counts_as_trained_for_the_command_that_made_it(run, samples):
    config, _, _ = load_predictor(run)
    assert is_trained(config, run, samples)
