"""Scores of a third visit, on predictors that know the law of a lesion's size or nothing."""

import dataclasses
import json

import pytest
import tensorflow as tf

from tests.methods.known_networks import make_predictor
from tfdrift.cohort.context import columns_of
from tfdrift.config import train_config
from tfdrift.model.conditions import fit_conditions
from tfdrift.model.inputs import Inputs
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.new_patients.third_visit_scores import (
    as_visit_table,
    ask_third_visit,
    draw_visits,
    score_third_visit,
)
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.phantom_samples import every_two, phantom_samples

NEW = NewPatients(patients=6, data_seed=5, since=21, days=(45, 90))
SIZE = 16
TOLD = ("interval_days", "earlier_days", "earlier_ratio")


def shrinks_on(training, names):
    """Return a predictor that goes on as the lesion went: what shrank loses columns on its right; the rest stays."""
    conditions = fit_conditions(names, columns_of(training))

    def network(inputs):
        known = inputs["condition"][:, 2] if len(names) == 3 else tf.zeros([tf.shape(inputs["image"])[0]])
        place = tf.reshape(tf.cast(tf.range(SIZE), tf.float32), [1, 1, SIZE, 1])
        gone = tf.cast(place > 11 + 3 * known[:, None, None, None], tf.float32)  # standardised
        return {"recon": inputs["image"] * (1 - gone), "drift": -inputs["image"] * gone}

    return dataclasses.replace(make_predictor(network, "direct"), inputs=Inputs(conditions=conditions))


@pytest.fixture(scope="module")
def numbers():
    training = phantom_samples(image_size=SIZE, patients=3, folds=3, pairs=every_two([21, 90]))
    config = train_config("direct", image_size=SIZE, depth=1, visit_days="21,90")
    return score_third_visit(
        [
            ask_third_visit(Run(label=label, method="direct"), config, shrinks_on(training, names), training, NEW)
            for label, names in (("told", TOLD), ("never told", TOLD[:1]))
        ]
    )


def test_each_day_has_every_way_to_ask_and_the_network_that_was_never_told(numbers):
    assert [day["day"] for day in numbers["days"]] == [45, 90]
    for day in numbers["days"]:
        assert [row["label"] for row in day["rows"]] == [
            "told the earlier change", "told it, contours off by 10%", "told its days alone", "told nothing of it",
            "never told",
        ]  # fmt: skip


def test_a_gain_is_the_difference_of_two_rows(numbers):
    for day in numbers["days"]:
        told, days, nothing, never = (day["rows"][place] for place in (0, 2, 3, 4))
        for key, rival in (("over_nothing", nothing), ("over_days", days), ("over_never", never)):
            assert told[key]["skill"]["value"] == pytest.approx(told["skill"]["value"] - rival["skill"]["value"])
            saved = rival["volume_error"]["value"] - told["volume_error"]["value"]
            assert told[key]["volume_error"]["value"] == pytest.approx(saved)
        assert "over_nothing" not in nothing
        assert "over_never" not in never


def test_days_alone_say_nothing_to_a_network_that_looks_at_the_ratio(numbers):
    for day in numbers["days"]:
        alone, nothing = day["rows"][2], day["rows"][3]
        assert alone["volume_error"] == nothing["volume_error"]
        assert day["rows"][0]["volume_error"] != nothing["volume_error"]


def test_who_knows_the_law_and_the_change_so_far_is_nearer_than_who_does_not(numbers):
    for day in numbers["days"]:
        told, not_told = (day["oracle"][name]["volume_error"]["value"] for name in ("told", "not_told"))
        assert told < not_told / 3


def test_scores_are_json_a_table_and_a_picture(numbers):
    assert json.loads(json.dumps(numbers)) == numbers
    table = as_visit_table(numbers["days"])
    assert table.count("| told the earlier change |") == 2
    assert table.count("*oracle") == 4
    assert len({line.count("|") for line in table.strip().split("\n")}) == 1
    assert len(draw_visits(numbers["days"], "title").axes) == 2
