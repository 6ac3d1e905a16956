import json

import pytest

from tests.command_line import exit_code
from tests.conftest import METRICS
from tests.random_samples import make_samples
from tfdrift.config import train_config
from tfdrift.training.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    config = train_config("direct", steps=2, image_size=8, base_filters=2, depth=1, batch_size=4)
    train(config, folder, echo=lambda _: None, samples=make_samples())
    return folder


def score(run, low: float) -> None:
    skill = {**METRICS["skill"], "low": low}
    (run / "metrics.json").write_text(json.dumps({**METRICS, "skill": skill}))


def test_a_run_becomes_a_version_and_is_listed(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    score(run, 0.25)
    assert exit_code(["export", str(run)]) == 0
    (version,) = [folder for folder in (tmp_path / "saved_models/first").iterdir() if folder.name.isdigit()]
    output = capsys.readouterr().out
    assert f"SavedModel       {version.relative_to(tmp_path)}" in output
    assert "blessing         BLESSED" in output
    assert "calibration      none; intervals of predictions will be far too narrow" in output
    assert "passed           skill over copy 0.500 [0.250, 0.750]" in output
    assert (version / "saved_model.pb").is_file()
    tables = []
    for arguments in ([], [str(run)], ["--to", "saved_models/first"]):
        assert exit_code(["export", "--list", *arguments]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] == tables[2]
    assert tables[0].splitlines()[1].split()[:2] == ["first", version.name]


def test_a_run_that_is_not_blessed_ends_with_1_and_names_the_threshold(run, tmp_path, capsys):
    score(run, -0.25)
    assert exit_code(["export", str(run), "--to", str(tmp_path / "models/first")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: NOT_BLESSED")
    assert "the lower end of its interval must be above 0" in error
    assert exit_code(["export", str(run), "--to", str(tmp_path / "models/first"), "--force"]) == 0
    output = capsys.readouterr().out
    assert "blessing         FORCED" in output
    assert "not passed       skill over copy 0.500 [-0.250, 0.750]" in output


def test_a_folder_without_calibration_ends_with_3_and_nothing_is_written(run, tmp_path, capsys):
    score(run, 0.25)  # a run folder has scores, but no calibration
    source = ["--calibration", str(run), "--to", str(tmp_path / "models/first")]
    assert exit_code(["export", str(run), *source]) == 3
    error = capsys.readouterr().err
    assert "holds no calibration" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_neither_run_nor_list_ends_with_2(capsys):
    assert exit_code(["export"]) == 2
    assert "give the RUN to export, or --list" in capsys.readouterr().err


def test_a_folder_that_is_no_run_ends_with_3_and_nothing_is_written(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert exit_code(["export", str(tmp_path / "run"), "--to", str(tmp_path / "models")]) == 3
    assert capsys.readouterr().err.startswith("Error: ")
    assert not (tmp_path / "models").exists()


def test_several_runs_need_to_be_called_an_ensemble(run, capsys):
    assert exit_code(["export", str(run), str(run)]) == 2
    assert "2 runs: add --runs to export them as one ensemble" in capsys.readouterr().err


def test_an_ensemble_of_the_same_run_twice_ends_with_2_and_nothing_is_written(run, tmp_path, capsys):
    assert exit_code(["export", "--runs", str(run), str(run), "--to", str(tmp_path / "models")]) == 2
    error = capsys.readouterr().err
    assert "has the settings and the seed of another member; give runs of other --seed" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "models").exists()
