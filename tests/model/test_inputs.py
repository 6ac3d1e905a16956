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
