import json

import pytest

from tfdrift.export.blessing import bless, write_blessing
from tfdrift.export.model_folder import Version


def scores(value: float, low: float, *, patients: int = 8, fold: int = 0) -> dict:
    return {"patients": patients, "fold": fold, "skill": {"value": value, "low": low, "high": value + 0.2}}


def served(value: float, *, fingerprint: str = "ours", fold: int = 0) -> Version:
    return told({"data": {"fingerprint": fingerprint}, "metrics": scores(value, 0.1, fold=fold)})


def told(config: dict | None) -> Version:
    return Version("model", 1700000000, config, None)


def refused(checks) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_a_first_version_above_copy_is_blessed():
    assert refused(bless(scores(0.3, 0.001), "ours", None)) == []


@pytest.mark.parametrize("low", [0.0, -0.1, float("nan")])
def test_skill_whose_interval_reaches_copy_is_not_enough(low):
    assert refused(bless(scores(0.3, low), "ours", None)) == ["above copy"]


def test_one_patient_is_not_enough():
    assert refused(bless(scores(0.3, 0.3, patients=1), "ours", None)) == ["patients"]


# 0.25 less 0.0625 is exact in binary, so the threshold itself can be tried.
@pytest.mark.parametrize(("value", "names"), [(0.1875, []), (0.1874, ["no worse than served"]), (0.9, [])])
def test_a_version_may_lose_the_tolerance_and_no_more(value, names):
    assert refused(bless(scores(value, 0.1), "ours", served(0.25), tolerance=0.0625)) == names


@pytest.mark.parametrize(
    "other",
    [
        served(0.1, fingerprint="theirs"),
        served(0.1, fold=1),
        told({"data": {"fingerprint": "ours"}, "metrics": None}),
        told(None),
    ],
    ids=["other data", "other fold", "not scored", "unreadable"],
)
def test_scores_that_cannot_be_compared_do_not_bless(other):
    assert refused(bless(scores(0.9, 0.8), "ours", other)) == ["no worse than served"]


def test_the_sentences_name_value_and_threshold():
    said = [check.said for check in bless(scores(0.31, -0.02), "ours", served(0.4))]
    assert said == [
        "8 held-out patients (must be at least 2)",
        "skill over copy 0.310 [-0.020, 0.510] (the lower end of its interval must be above 0)",
        "skill 0.310 (must be at least 0.380: that of version 1700000000, less 0.02)",
    ]


@pytest.mark.parametrize(("low", "blessed"), [(0.1, True), (-0.1, False)])
def test_the_record_tells_what_was_checked(tmp_path, low, blessed):
    (tmp_path / "assets.extra").mkdir()
    checks = bless(scores(0.3, low), "ours", None)
    write_blessing(tmp_path, checks, forced=not blessed)
    record = json.loads((tmp_path / "assets.extra/blessing.json").read_text())
    assert (record["blessed"], record["forced"]) == (blessed, not blessed)
    assert [check["name"] for check in record["checks"]] == ["patients", "above copy", "no worse than served"]
