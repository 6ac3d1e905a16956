import json

import pytest

from tests.cli.test_train import write_digits
from tests.command_line import exit_code
from tfdrift.config import train_config, write_config
from tfdrift.training.checkpoint import Checkpoints
from tfdrift.training.data import load_samples
from tfdrift.training.run_folder import build_network


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with two runs on a few digits."""
    base = tmp_path_factory.mktemp("runs")
    digits = write_digits(base / "mnist.npz")
    samples = load_samples("mnist", image_size=16, mnist_file=str(digits))
    for name, method in (("first", "method1"), ("baseline", "direct")):
        config = train_config(
            method, data="mnist", mnist_file=str(digits), image_size=16, base_filters=2, depth=1, levels=3
        )
        # First weights, untrained, are as good to be scored as any.
        Checkpoints(base / name / "checkpoints", network=build_network(config)).save(config.steps)
        write_config(base / name / "config.json", config, data={"fingerprint": samples.fingerprint()})
    return base


def test_a_run_is_scored_beside_another_and_the_report_is_named(trained, capsys):
    capsys.readouterr()
    run = trained / "first"
    assert exit_code(["evaluate", str(run), "--against", str(trained / "baseline"), "--samples", "2"]) == 0
    output = capsys.readouterr().out
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())
    assert all(entry["sentence"] in output for entry in metrics["comparisons"])
    assert f"report           {run / 'evaluation' / 'report.html'}" in output
    assert metrics["outcomes"] == 2


def test_json_is_one_document_and_nothing_else(trained, capsys, tmp_path):
    capsys.readouterr()
    assert exit_code(["evaluate", str(trained / "baseline"), "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "metrics.json").read_text())


def test_new_patients_are_drawn_by_number_and_seed(trained, capsys, tmp_path):
    capsys.readouterr()
    new = ["--data", "phantom", "--patients", "3", "--data-seed", "5"]
    assert exit_code(["evaluate", str(trained / "baseline"), *new, "--out", str(tmp_path), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["new_patients"] == {
        "patients": 3,
        "data_seed": 5,
        "law": "response",
        "days": [21],
        "since": 0,
        "lesion": "slice",
    }
    assert (metrics["patients"], metrics["data"]) == (3, "phantom")
    assert metrics["attainable"]["skill"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["first", "baseline"], 2, "2 runs: add --runs to score them as one ensemble"),
        (["--runs", "first", "baseline"], 2, "is of another method or levels"),
        (["--runs", "first", "first"], 2, "the settings and the seed of another member"),
        (["nothing"], 3, "nothing/config.json does not exist; give a run folder"),
        (["first", "--samples", "0"], 2, "0 is not in the range"),
        (["first", "--patients", "3"], 2, "--patients without --data phantom"),
        (["first", "--patients", "3", "--data-seed", "5"], 2, "--patients and --data-seed without --data phantom"),
        (["first", "--data", "mnist"], 2, "'mnist' is not 'phantom'"),
        (["first", "--out", "mnist.npz/report"], 4, "cannot write to"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, code, message, trained, capsys, monkeypatch):
    monkeypatch.chdir(trained)
    before = sorted(trained.glob("*"))
    assert exit_code(["evaluate", *arguments]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert sorted(trained.glob("*")) == before


def test_new_patients_are_imaged_on_days_of_choice(trained, capsys, tmp_path):
    capsys.readouterr()
    new = ["--data", "phantom", "--patients", "2", "--visit-days", "14,60"]
    assert exit_code(["evaluate", str(trained / "baseline"), *new, "--out", str(tmp_path), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["new_patients"]["days"] == [14, 60]
    assert metrics["lesions"] == 4


def test_days_that_do_not_ascend_are_refused(trained, capsys):
    assert exit_code(["evaluate", str(trained / "baseline"), "--data", "phantom", "--visit-days", "60,14"]) == 2
    assert "--visit-days 60,14: give the days" in capsys.readouterr().err
