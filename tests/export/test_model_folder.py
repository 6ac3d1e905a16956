import json
from pathlib import Path

import pytest

from tfdrift.errors import DataError
from tfdrift.export.model_folder import (
    as_table,
    default_target,
    list_models,
    list_versions,
    newest_version,
    read_version,
    versions,
)

SKILL = {"value": 0.43, "low": 0.21, "high": 0.65}
CONFIG = {"tfdrift": "0.1", "step": 1500, "train": {"method": "method1"}, "metrics": {"skill": SKILL, "patients": 8}}


def make_version(target: Path, number: int, config: object = CONFIG, *, blessed: bool | None = True) -> None:
    for name in ("assets", "assets.extra"):
        (target / str(number) / name).mkdir(parents=True)
    (target / str(number) / "assets/config.json").write_text(json.dumps(config))
    if blessed is not None:
        record = {"blessed": blessed, "forced": not blessed, "checks": []}
        (target / str(number) / "assets.extra/blessing.json").write_text(json.dumps(record))


def test_only_whole_numbers_are_versions_in_their_order(tmp_path):
    for name in ("10", "9", ".staging-11", "8.5", "latest"):
        (tmp_path / name).mkdir()
    (tmp_path / "12").write_text("a file")
    assert versions(tmp_path) == [9, 10]


def test_the_newest_version_is_the_largest_number(tmp_path):
    assert newest_version(tmp_path) is None
    for number in (9, 10):
        make_version(tmp_path, number)
    newest = newest_version(tmp_path)
    assert newest is not None
    assert newest.number == 10
    assert newest.config == CONFIG


@pytest.mark.parametrize("content", ["{", "[]", '{"metrics": {"accuracy": 1}}', None])
def test_a_version_of_another_program_is_listed_without_scores(tmp_path, content):
    (tmp_path / "model/3/assets").mkdir(parents=True)
    if content is not None:
        (tmp_path / "model/3/assets/config.json").write_text(content)
    assert read_version(tmp_path / "model", 3).config is None
    row = as_table(list_versions(tmp_path / "model")).splitlines()[1]
    assert row.split() == ["model", "3", "1970-01-01", "00:00", "-", "-", "-", "-", "-"]


def test_the_table_shows_versions_blessing_and_scores(tmp_path):
    make_version(tmp_path / "first", 1700000000)
    make_version(tmp_path / "first", 1700000060, blessed=False)
    make_version(tmp_path / "second", 99999999999999, {**CONFIG, "metrics": None}, blessed=None)
    (tmp_path / "models.config").write_text("")
    head, *rows = as_table(list_models(tmp_path)).splitlines()
    assert " ".join(head.split()) == "MODEL VERSION WRITTEN (UTC) BLESSING METHOD STEP SKILL [95%] PATIENTS"
    assert [" ".join(row.split()) for row in rows] == [
        "first 1700000060 2023-11-14 22:14 FORCED method1 1500 0.430 [0.210, 0.650] 8",
        "first 1700000000 2023-11-14 22:13 BLESSED method1 1500 0.430 [0.210, 0.650] 8",
        "second 99999999999999 - - method1 1500 - -",
    ]


def test_a_model_is_named_after_its_run(tmp_path, monkeypatch):
    (tmp_path / "runs/first").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "runs/first")
    assert default_target(Path()) == Path("saved_models/first")


@pytest.mark.parametrize("listing", [list_versions, list_models])
def test_a_missing_folder_is_refused(listing, tmp_path):
    with pytest.raises(DataError, match=r"is no folder; .*export a run first"):
        listing(tmp_path / "none")
