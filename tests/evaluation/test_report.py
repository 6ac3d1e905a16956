import csv
import json

import numpy as np
import pytest
from skimage.io import imread

from tfdrift.errors import DataError, ResourceError
from tfdrift.evaluation.heldout import evaluate_run
from tfdrift.evaluation.report import evaluate, write_report

FILES = {
    "metrics.json", "metrics.csv", "lesions.csv", "report.md", "report.html", "skills.png", "reliability.png",
    "lesions.png", "levels.png", "snapshots.png", "spread.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(tiny_run, phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    metrics = evaluate([tiny_run("method1")], folder, against=[tiny_run("direct")], count=2, samples=phantom)
    return folder, metrics


def test_the_folder_holds_every_file_and_nothing_half_written(evaluated):
    folder, metrics = evaluated
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_pictures_have_something_on_them(evaluated):
    folder, _ = evaluated
    assert all(imread(path).std() > 5 for path in folder.glob("*.png"))


def test_the_skill_is_the_one_that_training_prints(evaluated, tiny_run, phantom):
    _, metrics = evaluated
    quick = evaluate_run(tiny_run("method1"), samples=phantom)
    for name in ("skill", "drift_skill"):
        assert metrics[name] == pytest.approx(quick[name], abs=1e-5)
    assert metrics["ssim"] == pytest.approx(quick["ssim"], abs=1e-5)
    assert metrics["mean_drift"]["skill"] == pytest.approx(quick["mean_drift"]["skill"], abs=1e-5)
    assert [entry["level"] for entry in metrics["levels"]] == [entry["level"] for entry in quick["levels"]]


def test_the_tables_can_be_read_back(evaluated):
    folder, metrics = evaluated
    with (folder / "metrics.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["method"] == "direct"]
    mse = np.array([float(row["mse"]) for row in rows])
    assert mse.mean() == pytest.approx(metrics["methods"]["direct"]["scores"]["mse"]["value"])


def test_a_second_run_of_the_same_method_gets_a_name_of_its_own(tiny_run, phantom, tmp_path):
    other = tiny_run("direct", seed=1)
    metrics = evaluate([tiny_run("direct")], tmp_path, against=[other], count=1, samples=phantom)
    assert metrics["comparisons"][1]["second"] == f"direct ({other.name})"


def test_a_run_of_another_fold_cannot_be_compared(tiny_run, phantom, tmp_path):
    with pytest.raises(DataError, match="holds out fold 1"):
        evaluate([tiny_run("direct")], tmp_path, against=[tiny_run("direct", fold=1)], count=1, samples=phantom)
    assert list(tmp_path.iterdir()) == []


def test_the_same_evaluation_writes_the_same_bytes(assessed, make_answers, tmp_path):
    for name in ("one", "two"):
        write_report(tmp_path / name, assessed, make_answers())
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_folder_that_cannot_be_made_is_refused(assessed, make_answers, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="cannot write to"):
        write_report(tmp_path / "file" / "report", assessed, make_answers())
