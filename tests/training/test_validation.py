"""Whole runs: resumed to the same bits after every kind of end, refused where they must be, readable afterwards."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.plugin_event_accumulator import TENSORS, EventAccumulator
from tensorboard.util import tensor_util

from tfdrift.cohort.folds import split
from tfdrift.diffusion.noise import example_seeds
from tfdrift.training.run_folder import load_predictor

RUNS = {"method1": {"ema": 0.9}, "method2": {}}


def tensors(folder: Path, part: str) -> EventAccumulator:
    logdir = str(folder / "tensorboard" / part)
    return EventAccumulator(logdir, {TENSORS: 0}, {"scalars": 0, "images": 0}).Reload()


def history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_tensorboard_shows_a_picture_at_each_validation(finished):
    events = tensors(finished("method1"), "validation").Tensors("strips")
    assert [event.step for event in events] == [12]
    png = tensor_util.make_ndarray(events[0].tensor_proto)[2]
    image = np.asarray(Image.open(io.BytesIO(png)).convert("L"), np.float32)
    assert min(block.std() for block in np.array_split(image, 3)) > 10  # a row for each of the three levels


@pytest.mark.parametrize("method", RUNS)
def test_the_validation_scores_are_those_of_the_saved_predictor(finished, make_samples, method):
    _, facts, predictor = load_predictor(finished(method))
    _, held_out = split(make_samples(), 0)
    predicted = predictor(tf.constant(held_out.pre), example_seeds(len(held_out), 0))
    post, drift = predicted["post"].numpy(), predicted["drift"].numpy()
    logged = history(finished(method))[-1]
    copy_error = np.mean((held_out.post - held_out.pre) ** 2)
    assert (facts["step"], logged["step"], logged["part"]) == (12, 12, "validation")
    assert logged["skill"] == pytest.approx(1 - np.mean((post - held_out.post) ** 2) / copy_error, rel=1e-4)
    assert logged["drift_skill"] == pytest.approx(1 - np.mean((drift - held_out.drift) ** 2) / copy_error, rel=1e-4)
