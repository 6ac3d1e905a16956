import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from skimage.io import imread

from tests.random_samples import make_samples
from tfdrift.cohort.samples import split
from tfdrift.config import train_config, write_config
from tfdrift.errors import DataError
from tfdrift.evaluation.heldout import evaluate_run, predict
from tfdrift.training.checkpoint import Checkpoints
from tfdrift.training.run_folder import build_network, load_predictor

SAMPLES = make_samples(count=90, size=8)
TINY: dict[str, Any] = {"steps": 2, "image_size": 8, "base_filters": 2, "depth": 1, "batch_size": 8, "levels": 5}


@pytest.fixture(scope="module", params=["method1", "method2", "direct"])
def run_folder(request, tmp_path_factory):
    """A run with its first weights, untrained, which are as good to be scored as any."""
    folder = tmp_path_factory.mktemp(request.param)
    config = train_config(request.param, **TINY)
    Checkpoints(folder / "checkpoints", network=build_network(config)).save(config.steps)
    write_config(folder / "config.json", config, data={"fingerprint": SAMPLES.fingerprint()})
    return folder


def test_metrics_are_those_of_the_predictions_on_the_held_out_fold(run_folder):
    metrics = evaluate_run(run_folder, samples=SAMPLES)
    held_out = split(SAMPLES, 0)[1]
    _, _, predictor = load_predictor(run_folder)
    seeds = tf.stack([tf.zeros(30, tf.int64), tf.range(30, dtype=tf.int64)], axis=1)
    predicted = predictor(tf.constant(held_out.pre), seeds)
    change = np.sum((held_out.pre - held_out.post) ** 2, dtype=np.float64)
    for name, truth, score in (("post", held_out.post, "skill"), ("drift", held_out.drift, "drift_skill")):
        error = np.sum((predicted[name] - truth) ** 2, dtype=np.float64)
        assert metrics[score]["value"] == pytest.approx(1 - error / change, abs=1e-6)
    assert (metrics["patients"], metrics["slices"]) == (15, 30)


def test_the_file_says_what_was_returned_and_says_it_again(run_folder):
    metrics = evaluate_run(run_folder, samples=SAMPLES)
    assert json.loads((run_folder / "metrics.json").read_text()) == metrics == evaluate_run(run_folder, samples=SAMPLES)


def test_the_preview_is_a_picture_with_something_on_it(run_folder):
    evaluate_run(run_folder, samples=SAMPLES)
    assert imread(run_folder / "preview.png").std() > 10


def test_every_level_is_scored_and_the_best_is_the_best(run_folder):
    metrics = evaluate_run(run_folder, samples=SAMPLES)
    expected = {"method1": [4, 3, 2, 1, 0], "method2": [2, 1, 0], "direct": [None]}[metrics["method"]]
    assert [entry["level"] for entry in metrics["levels"]] == expected
    assert metrics["best_level"]["skill"] == max(entry["skill"] for entry in metrics["levels"])


def test_batches_of_the_evaluation_do_not_show_in_the_predictions(run_folder):
    _, _, predictor = load_predictor(run_folder)
    final, levels = predict(predictor, SAMPLES, seed=3)  # 90 slices: two batches
    alone, alone_levels = predict(predictor, SAMPLES.take(np.arange(4)), seed=3)
    np.testing.assert_allclose(final["post"][:4], alone["post"], atol=1e-6)
    np.testing.assert_allclose(levels["drift"][:, :4], alone_levels["drift"], atol=1e-6)


def test_other_data_than_the_run_was_trained_on_are_refused(run_folder):
    with pytest.raises(DataError, match="no longer gives the data this run was trained on"):
        evaluate_run(run_folder, samples=make_samples(count=90, size=8, seed=1))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"config\.json does not exist; give a run folder"):
        evaluate_run(tmp_path)
