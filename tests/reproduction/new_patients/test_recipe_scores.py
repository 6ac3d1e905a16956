"""A run with its first weights on three new patients: what a row says, and that the pictures show it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.io import imread

from tests.untrained_runs import leave_untrained
from tfdrift.config import read_config
from tfdrift.evaluation.document import read_metrics
from tfdrift.evaluation.report import evaluate, score
from tfdrift.reproduction import cached_runs, reproduce
from tfdrift.reproduction.cached_runs import CachedRuns
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.experiments import EXPERIMENTS
from tfdrift.reproduction.new_patients.recipe_scores import as_table, draw_learning_curve, draw_trade, score_rows
from tfdrift.synthetic.new_patients import NewPatients

TINY = {"steps": 2, "image_size": 16, "base_filters": 2, "depth": 1, "batch_size": 4, "levels": 3, "patients": 5}
NEW = NewPatients(patients=3, data_seed=5)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """An experiment of one run, what it said, and the run's folder."""
    folder = tmp_path_factory.mktemp("new")
    law = EXPERIMENTS["law-growth"]
    experiment = dataclasses.replace(law, new_patients=NEW, runs=law.runs[:1])
    said: list[str] = []
    runs = CachedRuns(folder / "runs", overrides=TINY, echo=said.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached_runs, "train", leave_untrained)
        patch.setitem(EXPERIMENTS, "law-growth", experiment)
        reproduce.reproduce(["law-growth"], folder / "out", runs, echo=said.append)
    (run,) = (folder / "runs").iterdir()
    return folder / "out", said, run


def test_an_experiment_leaves_a_table_a_picture_and_numbers(done):
    out, said, _ = done
    assert {path.name for path in out.iterdir()} == {f"law-growth.{ending}" for ending in ("md", "png", "json")}
    assert imread(out / "law-growth.png").std() > 10
    assert said[-1].strip().startswith("Method 1, law growth: skill ")


def test_a_row_has_the_numbers_of_the_evaluation_of_its_run(done, tmp_path):
    out, _, run = done
    (row,) = json.loads((out / "law-growth.json").read_text())["rows"]
    evaluate([run], tmp_path, new_patients=dataclasses.replace(NEW, law="growth"))
    metrics = read_metrics(tmp_path)
    ours: Any = metrics.ours
    attainable: Any = metrics.attainable
    oracle: Any = metrics.methods["oracle"]
    assert row["scores"]["skill"]["value"] == pytest.approx(ours.scores["skill"].value)
    assert row["scores"]["crps"]["value"] == pytest.approx(ours.uncertainty.drift.crps.value)
    assert row["scores"]["decided"]["value"] == pytest.approx(ours.decisions.by_outcomes.share.value)
    assert row["oracle"]["skill"]["value"] == pytest.approx(oracle.scores["skill"].value)
    assert row["attainable"]["skill"] == pytest.approx(attainable.skill)
    assert (row["law"], row["trained_on"], row["seeds"]) == ("growth", 4, 1)
    assert row["against_first"] is None


def test_an_ensemble_has_a_run_for_each_seed():
    recipes = EXPERIMENTS["recipes"]
    (ensemble,) = [run for run in recipes.runs if run.seeds == 3]
    configs = CachedRuns(Path("runs"), overrides=TINY, echo=print).configs(ensemble, recipes)
    assert [config.seed for config in configs] == [0, 1, 2]
    assert {config.fold for config in configs} == {0}


def make_row(label: str, law: str, *, trained_on: int = 39, skill: float = 0.6, against: dict | None = None) -> dict:
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    names = [
        "drift_skill",
        "crps",
        "drift_coverage",
        "volume_coverage",
        "volume_error",
        "rank_volume",
        "decided",
        "movement_error",
    ]
    scores = {name: estimate for name in names} | {"volume_width": 0.2}
    oracle = {**scores, "skill": {"value": 0.8, "low": 0.7, "high": 0.9}, "wrong": estimate}
    ours = {**scores, "skill": {**estimate, "value": skill}, "wrong": {"value": None, "low": None, "high": None}}
    attainable = {"skill": 0.75, "standard_error": 0.0}
    return {
        "label": label, "law": law, "method": "direct", "trained_on": trained_on, "scores": ours, "oracle": oracle,
        "attainable": attainable, "against_first": against,
    }  # fmt: skip


def test_a_table_has_the_oracle_after_the_rows_of_each_law_and_the_share_of_what_is_attainable():
    worse = {"difference": {"value": -0.3, "low": -0.4, "high": -0.2}}
    rows = [
        make_row("one", "growth"),
        make_row("two", "growth", skill=0.3, against=worse),
        make_row("one", "chance"),
    ]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in as_table(rows).splitlines()[2:]]
    assert [line[:3] for line in lines] == [
        ["growth", "one", "0.80"], ["growth", "two", "0.40"], ["growth", "*oracle*", "1"], ["chance", "one", "0.80"],
        ["chance", "*oracle*", "1"],
    ]  # fmt: skip
    assert lines[0][3] == "0.600 [0.40, 0.60]"
    assert (lines[0][5], lines[2][5]) == ("0.500 (1.00)", "0.500")  # CRPS; the oracle is no share of itself
    assert (lines[0][-2], lines[2][-2]) == ("–", "0.500")
    assert [line[-1] for line in lines] == ["", "-0.300 [-0.400, -0.200]", "", "", ""]


def test_a_run_is_compared_with_the_first_of_its_law_on_the_same_patients(done):
    _, _, folder = done
    config, _ = read_config(folder / "config.json")
    found = score([folder], new_patients=dataclasses.replace(NEW, law="growth"))[0]
    halved = [{**row, "mse": row["mse"] / 2} if row["method"] == "Method 1" else row for row in found.slices]
    rows = score_rows(
        [
            (Run(label="one", method="method1"), config, found),
            (Run(label="two", method="method1"), config, found._replace(slices=halved)),
            (Run(label="three", method="method1"), dataclasses.replace(config, law="chance"), found),
        ]
    )
    against = rows[1]["against_first"]
    assert (against["first"], against["second"]) == ("two", "one")
    skill = rows[0]["scores"]["skill"]["value"]
    assert against["difference"]["value"] == pytest.approx((1 - skill) / 2)  # half the error, the same reference
    assert rows[0]["against_first"] is rows[2]["against_first"] is None


def test_pictures_show_each_law_and_each_number_of_patients():
    trade = draw_trade([make_row("one", "growth"), make_row("one", "chance")], "title")
    assert [axes.get_title(loc="left") or axes.get_title() for axes in trade.axes] == ["growth", "chance"]
    curve = draw_learning_curve(
        [make_row(str(count), "response", trained_on=count, skill=count / 1000) for count in (312, 39, 78)], "title"
    )
    line = np.asarray(curve.axes[0].lines[0].get_xydata())
    np.testing.assert_allclose(line, [[39, 0.039], [78, 0.078], [312, 0.312]])
