"""Scores of courses, on a predictor that takes away one column more of a lesion the later the day that it is told."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import make_predictor
from tfdrift.cohort.context import columns_of
from tfdrift.config import train_config
from tfdrift.evaluation.response import lesions_of
from tfdrift.model.conditions import fit_conditions
from tfdrift.model.inputs import Inputs
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.new_patients.course_scores import as_course_table, draw_courses, score_courses, score_day
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.phantom_samples import every_two, phantom_samples

RUN = Run(label="shrinks", method="direct", settings={"condition": "interval_days"})
NEW = NewPatients(patients=6, data_seed=5, days=(10, 40, 90))
SIZE = 16


@pytest.fixture(scope="module")
def training():
    return phantom_samples(image_size=SIZE, patients=3, folds=3, pairs=every_two([10, 90]))


@pytest.fixture(scope="module")
def row(training):
    config = train_config("direct", image_size=SIZE, depth=1, condition="interval_days", visit_days="10,90")
    return score_courses(RUN, config, shrinking(training), training, NEW)


def shrinking(training):
    """Return a predictor that leaves ever less of a lesion, from the right, the later the day."""
    conditions = fit_conditions(["interval_days"], columns_of(training))

    def network(inputs):
        late = inputs["condition"][:, 0][:, None, None, None]  # standardised: about -1 to 1.5
        place = tf.reshape(tf.cast(tf.range(SIZE), tf.float32), [1, 1, SIZE, 1])
        gone = tf.cast(place > 8 - 2 * late, tf.float32)
        return {"recon": inputs["image"] * (1 - gone), "drift": -inputs["image"] * gone}

    return dataclasses.replace(make_predictor(network, "direct"), inputs=Inputs(conditions=conditions))


def test_who_always_shrinks_goes_the_way_of_lesions_that_do(row):
    true = [lesions_of(dataclasses.replace(NEW, days=(day,)).draw(SIZE)) for day in NEW.days]
    shrinks = np.diff([one.ratio for one in true], axis=0) < 0
    assert 0 < shrinks.mean() < 1
    assert row["forward"]["value"] == pytest.approx(shrinks.mean())
    assert row["forward_all"]["value"] == pytest.approx(shrinks.all(axis=0).mean())


def test_each_day_has_its_own_truth(row):
    assert [day["day"] for day in row["days"]] == list(NEW.days)
    last = row["courses"][-1]
    true = lesions_of(dataclasses.replace(NEW, days=(90,)).draw(SIZE)).ratio
    assert last["true"][-1] == pytest.approx(true.max())
    assert np.diff(last["mean"]).max() < 0


def test_one_who_knows_the_law_is_nearer_on_every_day(row):
    for ours, oracle in zip(row["days"], row["oracle"], strict=True):
        assert oracle["volume_error"]["value"] < ours["volume_error"]["value"]
    assert row["oracle"][0]["width"]["value"] < row["oracle"][-1]["width"]["value"]  # chance goes on, too


def test_a_day_is_scored_as_it_is_defined():
    ratios = np.array([[0.7, 1.0], [0.9, 1.2]])
    found = score_day(ratios, np.array([0.7, 0.5]), np.array(["a", "b"]))
    assert found["volume_error"]["value"] == pytest.approx((0.1 + 0.6) / 2)
    assert found["volume_bias"]["value"] == pytest.approx((0.1 + 0.6) / 2)
    assert found["width"]["value"] == pytest.approx(0.9 * 0.2)
    assert found["covered"]["value"] == 0  # 0.71 to 0.89 leaves out 0.7
    assert found["poor_brier"]["value"] == pytest.approx((0.5**2 + 1) / 2)


def test_a_row_is_json_a_table_and_a_picture(row):
    assert json.loads(json.dumps(row)) == row
    table = as_course_table([row])
    assert table.count("| shrinks |") == len(NEW.days) + 1
    assert table.count("| *oracle* |") == len(NEW.days)
    assert len(draw_courses([row, row], "title").axes) == 12
