"""Scores of drawn classes, on a predictor that obeys: it takes away half of a lesion that is to respond well."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import make_predictor
from tests.random_samples import make_samples
from tfdrift.cohort.context import columns_of
from tfdrift.config import train_config
from tfdrift.evaluation.response import lesions_of
from tfdrift.model.conditions import fit_conditions
from tfdrift.model.inputs import Inputs
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.new_patients.class_scores import (
    as_class_table,
    class_values,
    draw_classes,
    score_classes,
    told_apart,
)

RUN = Run(label="obeys", method="direct", settings={"condition": "response,size"})


def responding_samples():
    """Return 12 lesions of two in three patients; those that respond well lose half of their columns."""
    samples = make_samples()
    good = np.arange(12) % 2 == 0
    post, mask = samples.pre.copy(), samples.pre_mask.copy()
    post[good, :, :4], mask[good, :, :4] = 0, False
    left = np.where(good, 0.5, 1.0).astype(np.float32)
    return dataclasses.replace(samples, post=post, post_mask=mask, post_mm3=left, follow_up_mm3=left)


def obedient(samples):
    """Return a predictor that knows the classes, and of nothing told leaves the lesion as it is."""
    conditions = fit_conditions(["response", "size"], columns_of(samples))

    def network(inputs):
        good = inputs["condition"][:, 2][:, None, None, None]  # after the size and whether it is known
        half = tf.reshape(tf.cast(tf.range(8) < 4, tf.float32), [1, 1, 8, 1])
        drift = -inputs["image"] * half * good
        return {"recon": inputs["image"] + drift, "drift": drift}

    return dataclasses.replace(make_predictor(network, "direct"), inputs=Inputs(conditions=conditions))


@pytest.fixture(scope="module")
def row():
    samples = responding_samples()
    config = train_config("direct", image_size=8, depth=1, condition="response,size")
    anew: Any = SimpleNamespace(draw=lambda _: samples)
    return score_classes(RUN, config, obedient(samples), samples, anew)


def test_who_obeys_draws_the_true_difference_and_no_error(row):
    plain, true = row["weights"]["1"], row["true"]["difference"]["value"]
    assert true == pytest.approx(0.5)
    assert plain["difference"]["value"] == pytest.approx(true, abs=0.1)  # pixels of nearly no signal do not count
    assert (plain["auc"]["value"], plain["ordered"]["value"], row["true"]["auc"]) == (1.0, 1.0, 1.0)
    assert plain["error"]["value"] < row["told_nothing"]["value"]


def test_the_forecast_is_told_what_was_measured_and_no_class():
    samples = responding_samples()
    values = class_values(obedient(samples), samples, "")
    assert np.isnan(values[:, 0]).all()
    assert np.isfinite(values[:, 1]).all()
    assert set(class_values(obedient(samples), samples, "poor")[:, 0]) == {1.0}


def test_classes_are_counted_by_their_true_follow_up(row):
    assert row["lesions"] == {"good": 6, "poor": 6}
    assert lesions_of(responding_samples()).poor.sum() == 6


def test_chance_tells_nobody_apart():
    drawn = np.linspace(0, 1, 6).reshape(2, 3)
    assert told_apart(drawn, drawn) == 0.5
    assert told_apart(drawn, drawn + 2) == 1.0


def test_a_row_is_json_a_table_and_a_picture(row):
    assert json.loads(json.dumps(row)) == row
    assert as_class_table([row]).count("\n") == 3 + len(row["weights"])
    assert len(draw_classes([row, row], "title").axes) == 8
