"""A run folder that version 0.1.0 wrote, see tests/golden/record_run.py."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdrift.cohort.folds import split
from tfdrift.diffusion.noise import example_seeds
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
    """That version drew a noise for each slice, which now is one for each lesion; so it is asked as it was then."""
    before = json.loads((run / "metrics.json").read_text())
    config, _, predictor = load_predictor(run)
    _, held_out = split(samples, config.fold)
    answer = predictor(tf.constant(held_out.pre), example_seeds(len(held_out), config.seed))
    change = np.sum((held_out.post - held_out.pre) ** 2, dtype=np.float64)
    for name, answered, truth in (("skill", "post", held_out.post), ("drift_skill", "drift", held_out.drift)):
        error = np.sum((answer[answered] - truth) ** 2, dtype=np.float64)
        assert 1 - error / change == pytest.approx(before[name]["value"], abs=1e-6)
    assert evaluate_run(run, samples=samples).patients == before["patients"]


def test_it_counts_as_trained_for_the_command_that_made_it(run, samples):
    config, _, _ = load_predictor(run)
    assert is_trained(config, run, samples)
