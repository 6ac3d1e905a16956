import json

import numpy as np
import pytest

from tfdrift.model.conditions import fit_conditions
from tfdrift.model.inputs import ONE_IMAGE, Inputs, read_inputs

SOME = fit_conditions(["age"], {"age": np.array([50.0, 60.0], np.float32)})


@pytest.mark.parametrize("inputs", [ONE_IMAGE, Inputs(channels=3, slices=8), Inputs(conditions=SOME)])
def test_inputs_come_back_from_json(inputs):
    assert read_inputs(json.loads(json.dumps(inputs.as_document()))) == inputs


def test_one_plain_image_leaves_no_trace_in_the_document_so_that_old_runs_are_equal():
    assert ONE_IMAGE.as_document() == {}


def test_classes_and_logarithms_come_back_and_plain_numbers_are_told_as_they_always_were():
    columns = {"size": np.array([1.0, 2.0]), "response": np.array(["good", "poor"]), "age": np.array([50.0, 60.0])}
    inputs = Inputs(conditions=fit_conditions(list(columns), columns))
    assert read_inputs(json.loads(json.dumps(inputs.as_document()))) == inputs
    plain = Inputs(conditions=fit_conditions(["age"], columns)).as_document()
    assert set(plain["conditions"]) == {"names", "widths", "mean", "std", "low", "high"}
