import json

import pytest

from tfdrift.app.models import find_model, list_models
from tfdrift.errors import DataError

CONDITIONS = {
    "names": ["interval_days", "size", "response"], "widths": [1, 1, 1], "mean": [30, 1, 0], "std": [9, 1, 1],
    "low": [14, 2, 0], "high": [60, 9, 1], "logarithms": ["size"], "classes": [[], [], ["good", "poor"]],
}  # fmt: skip


def write_model(folder, name, **facts):
    version = folder / name / "7/assets"
    version.mkdir(parents=True)
    (version / "config.json").write_text(json.dumps({"tfdrift": "1", "train": {"method": "direct"}, **facts}))


def test_models_are_listed_with_what_they_may_be_told(tmp_path):
    write_model(tmp_path, "told", data={"patients": 32, "inputs": {"conditions": CONDITIONS}})
    (found,) = list_models(tmp_path)
    assert (found["name"], found["version"], found["patients"], found["calibrated"]) == ("told", "7", 32, False)
    days, response = found["conditions"]  # size is measured, so nobody is asked for it
    assert (days["name"], days["low"], days["high"], days["classes"]) == ("interval_days", 14, 60, [])
    assert [one["words"] for one in response["classes"]] == ["if it responds well", "if it responds poorly"]
    assert response["afterwards"]


def test_what_is_no_model_of_ours_is_not_listed(tmp_path):
    write_model(tmp_path, "ours")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other/1").mkdir(parents=True)
    (tmp_path / "README.md").touch()
    write_model(tmp_path, ".hidden")
    assert [one["name"] for one in list_models(tmp_path)] == ["ours"]
    assert list_models(tmp_path / "nowhere") == []


def test_a_model_whose_conditions_cannot_be_read_is_asked_without(tmp_path):
    write_model(tmp_path, "odd", data={"inputs": {"conditions": {"nonsense": [1]}}})
    assert list_models(tmp_path)[0]["conditions"] == []


@pytest.mark.parametrize("name", ["gone", "../ours", "", None, 3])
def test_only_what_is_listed_is_found(tmp_path, name):
    write_model(tmp_path / "models", "ours")
    assert find_model(tmp_path / "models", "ours") == tmp_path / "models/ours"
    with pytest.raises(DataError, match="not there any more"):
        find_model(tmp_path / "models", name)
