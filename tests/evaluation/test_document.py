import json
from typing import Any

import numpy as np
import pytest

from tfdrift.errors import DataError
from tfdrift.evaluation.document import as_document, as_json, read_metrics
from tfdrift.statistics.intervals import Estimate


def test_the_document_is_json_with_the_fields_that_other_programs_read(assessed):
    document = json.loads(as_json(assessed.metrics))
    assert document == as_document(assessed.metrics)
    fields = "step method data fold patients lesions slices skill drift_skill ssim copy mean_drift levels best_level"
    assert set(fields.split()) <= set(document)
    assert set(document["skill"]) == {"value", "low", "high"}
    assert {"level", "skill", "drift_skill"} <= set(document["levels"][0])
    assert set(document["calibration"]) >= {"coverage", "volume_margin", "drift_margin", "patients", "settings"}


def test_what_was_written_is_read_back(assessed, tmp_path):
    (tmp_path / "metrics.json").write_text(as_json(assessed.metrics))
    again = read_metrics(tmp_path)
    assert type(again) is type(assessed.metrics)
    assert as_document(again) == as_document(assessed.metrics)
    assert again.comparisons == assessed.metrics.comparisons
    assert isinstance((again.methods["copy"].clinic or {})["volume_error"], Estimate)


def test_margins_that_adapt_are_a_key_only_where_there_are_patients_enough(assessed, many_assessed, tmp_path):
    assert "adaptive" not in as_document(assessed.metrics)["methods"][assessed.metrics.label]
    (tmp_path / "metrics.json").write_text(as_json(many_assessed.metrics))
    again = read_metrics(tmp_path)
    assert again.ours.adaptive == many_assessed.metrics.ours.adaptive
    assert again.calibration.adaptive == many_assessed.metrics.calibration.adaptive


def test_a_number_that_is_not_defined_is_null_and_read_as_nan(assessed, tmp_path):
    (tmp_path / "metrics.json").write_text(as_json(assessed.metrics))
    assert as_document(assessed.metrics)["methods"]["copy"]["scores"]["drift_correlation"]["value"] is None
    assert np.isnan(read_metrics(tmp_path).scored["copy"]["drift_correlation"].value)


def test_numbers_that_are_not_finite_are_none():
    found = as_document({"a": [Estimate(float("nan"), -np.inf, 1.0), np.float32(0.5)], "b": (True, None, "x", 3)})
    assert found == {"a": [{"value": None, "low": None, "high": 1.0}, 0.5], "b": [True, None, "x", 3]}


@pytest.mark.parametrize(
    "changed",
    [{"skill": 0.5}, {"patients": "many"}, {"levels": None}, {"unknown": 1}, {"methods": {"copy": {"scores": []}}}],
    ids=str,
)
def test_a_document_of_another_schema_is_refused(assessed, tmp_path, changed: dict[str, Any]):
    document = {**as_document(assessed.metrics), **changed}
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"holds no evaluation that can be read .*; evaluate it again"):
        read_metrics(tmp_path)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"], ids=str)
def test_a_folder_without_a_document_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match="holds no evaluation that can be read"):
        read_metrics(tmp_path)
