import dataclasses

import numpy as np
import pytest

from tests.random_samples import make_samples
from tests.reproduction.random_predictions import make_predictions
from tfdrift.errors import DataError
from tfdrift.reproduction.drawings import DRAWINGS, NEW_PATIENTS, check_response
from tfdrift.reproduction.experiments import EXPERIMENTS


def test_every_kind_of_experiment_can_be_drawn():
    on_new = [experiment.new_patients is not None for experiment in EXPERIMENTS.values()]
    kinds = [experiment.kind for experiment in EXPERIMENTS.values()]
    assert {kind for kind, new in zip(kinds, on_new, strict=True) if not new} == set(DRAWINGS)
    assert {kind for kind, new in zip(kinds, on_new, strict=True) if new} == set(NEW_PATIENTS)


def test_a_figure_about_responses_is_refused_where_one_group_is_empty():
    samples = dataclasses.replace(make_samples(), follow_up_mm3=np.full(12, 2.0, np.float32))
    with pytest.raises(DataError, match="12 keep 80% of their volume and 0 do not"):
        check_response(EXPERIMENTS["fig7"], samples)


def test_other_figures_ask_for_no_response():
    check_response(EXPERIMENTS["fig5"], dataclasses.replace(make_samples(), follow_up_mm3=np.full(12, np.nan)))


def test_rows_of_a_table_are_compared_with_the_first_of_their_method():
    runs = [make_predictions("method1"), make_predictions("method2"), make_predictions("method2", error=0.2, seed=1)]
    drawn = DRAWINGS["table"](EXPERIMENTS["table"], runs[0].samples, runs)
    assert [(one["run"], one["than"]) for one in drawn.numbers["compared"]] == [
        ("method2 with 0.2", "method2 with 0.1")
    ]
    assert drawn.table is not None
