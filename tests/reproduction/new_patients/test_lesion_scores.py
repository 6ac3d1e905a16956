"""Untrained runs of each kind of crop on three new patients: what a table, a picture and the numbers say."""

import dataclasses
import json

import numpy as np
import pytest

from tests.untrained_runs import leave_untrained
from tfdrift.reproduction import cached_runs, reproduce
from tfdrift.reproduction.cached_runs import CachedRuns
from tfdrift.reproduction.experiments import EXPERIMENTS
from tfdrift.reproduction.new_patients.lesion_scores import as_lesion_table, draw_lesions, training_seconds
from tfdrift.synthetic.new_patients import NewPatients

TINY = {"image_size": 8, "base_filters": 2, "depth": 1, "batch_size": 4, "patients": 5, "symmetries": 1, "steps": 2}
LAW = "growth"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The experiment's context and volume, their table and numbers."""
    folder = tmp_path_factory.mktemp("whole")
    whole = EXPERIMENTS["whole-growth"]
    chosen = tuple(run for run in whole.runs if run.label in ("context", "volume"))[:2]
    experiment = dataclasses.replace(whole, new_patients=NewPatients(patients=2, data_seed=5), runs=chosen)

    def leave(config, folder, **given):
        leave_untrained(config, folder, **given)
        lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        timed = [{**line, "images_per_second": 2.0} for line in lines]
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in timed))

    runs = CachedRuns(folder / "runs", overrides=TINY, echo=print)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached_runs, "train", leave)
        patch.setitem(EXPERIMENTS, "whole-growth", experiment)
        reproduce.reproduce(["whole-growth"], folder / "out", runs, echo=print)
    return folder / "out"


def test_each_kind_of_crop_stands_beside_its_own_oracle(done):
    rows = json.loads((done / "whole-growth.json").read_text())["rows"]
    assert [(row["lesion"], row["law"], row["trained_on"]) for row in rows] == [
        ("context", LAW, 4), ("volume", LAW, 4)
    ]  # fmt: skip
    context, volume = rows
    assert context["oracle"]["skill"] != volume["oracle"]["skill"]
    first = [line.split("|")[2].strip() for line in (done / "whole-growth.md").read_text().splitlines()[2:]]
    assert first == ["context", "*oracle, context*", "volume", "*oracle, volume*"]
    assert (done / "whole-growth.png").stat().st_size > 5_000


def test_seconds_are_those_of_the_steps(done):
    rows = json.loads((done / "whole-growth.json").read_text())["rows"]
    assert [row["seconds"] for row in rows] == [4.0, 4.0]  # 2 steps of 4 images, 2 images a second


def test_looks_between_the_steps_do_not_count(tmp_path):
    lines = [
        {"step": 10, "part": "train", "images_per_second": 20.0},
        {"step": 10, "part": "validation", "skill": 0.5},
        {"step": 30, "part": "train", "images_per_second": 10.0},
    ]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert training_seconds(tmp_path, 4) == 4 * 10 / 20 + 4 * 20 / 10


def test_a_curve_joins_the_runs_of_a_label(done):
    rows = json.loads((done / "whole-growth.json").read_text())["rows"]
    longer = [{**row, "seconds": 16.0} for row in rows]
    figure = draw_lesions([*longer, *rows], "title")
    curves = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [np.asarray(line.get_xdata()).tolist() for line in curves] == [[4.0, 16.0], [4.0, 16.0]]
    assert "| 16 |" in as_lesion_table(longer)
