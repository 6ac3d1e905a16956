import json

import pytest

from tests.conftest import METRICS
from tfdrift.app.runs import POINTS, list_runs, read_curves
from tfdrift.errors import DataError


def write_run(folder, name, steps=3, *, metrics=None):
    run = folder / name
    run.mkdir(parents=True)
    (run / "config.json").write_text(
        json.dumps({"train": {"method": "method1", "data": "../x", "steps": 9, "fold": 0}})
    )
    lines = [{"step": step, "part": "train", "loss": 1 / step, "learning_rate": 1} for step in range(1, steps + 1)]
    lines.append({"step": steps, "part": "validation", "skill": 0.25})
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if metrics:
        (run / "metrics.json").write_text(json.dumps(metrics))
    return run


def test_a_run_is_told_with_its_scores_beside_no_change(tmp_path):
    write_run(tmp_path, "first", metrics=METRICS)
    (found,) = list_runs(tmp_path)
    assert (found["name"], found["data"], found["step"], found["steps"]) == ("first", "a cohort", 3, 9)
    assert (found["finished"], found["best"]) == (True, 0.25)
    assert found["scores"]["skill"] == METRICS["skill"]
    assert found["scores"]["ssim_copy"] == METRICS["copy"]["ssim"]


def test_a_run_that_has_just_begun_has_no_scores(tmp_path):
    run = write_run(tmp_path, "first")
    (run / "history.jsonl").unlink()
    (found,) = list_runs(tmp_path)
    assert (found["step"], found["scores"], found["best"], found["finished"]) == (0, None, None, False)
    assert read_curves(tmp_path, "first") == {}


def test_curves_grow_and_a_line_that_is_being_written_is_left_for_later(tmp_path):
    run = write_run(tmp_path, "first")
    with (run / "history.jsonl").open("a") as file:
        file.write('{"step": 4, "part": "tra')
    assert read_curves(tmp_path, "first") == {
        "train loss": [[1.0, 1.0], [2.0, 0.5], [3.0, 1 / 3]], "validation skill": [[3.0, 0.25]]
    }  # fmt: skip


def test_a_long_curve_is_thinned_and_keeps_its_last_point(tmp_path):
    write_run(tmp_path, "first", steps=2 * POINTS + 1)
    points = read_curves(tmp_path, "first")["train loss"]
    assert len(points) <= POINTS
    assert points[-1][0] == 2 * POINTS + 1


def test_other_folders_are_no_runs(tmp_path):
    (tmp_path / "notes").mkdir()
    assert list_runs(tmp_path) == []
    assert list_runs(tmp_path / "nowhere") == []
    with pytest.raises(DataError, match="not there any more"):
        read_curves(tmp_path, "../first")
