import json

import pytest

from tests.command_line import exit_code
from tfdrift.reproduction.experiments import EXPERIMENTS


def test_the_list_names_every_experiment_with_purpose_time_and_expectation(capsys):
    assert exit_code(["reproduce", "--list"]) == 0
    output = capsys.readouterr().out
    for name, experiment in EXPERIMENTS.items():
        assert f"\n{name}" in f"\n{output}"
        assert experiment.purpose in output
        assert experiment.expect in output
    assert output.startswith("Times at most: 4 cores, 16 filters")
    assert "fig1b           Lesion volumes at three time points  (at once)" in output
    assert "(about 45 min)" in output


def test_a_figure_without_training_is_written_where_it_is_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code(["reproduce", "fig1b", "--out", "pictures"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "fig1b: Lesion volumes at three time points", "wrote pictures/fig1b.png", "wrote pictures/fig1b.json",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures"]
    assert json.loads((tmp_path / "pictures" / "fig1b.json").read_text())["poor_response"] == 32


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fig9"], 2, "'fig9' is not one of"),
        ([], 2, "Missing argument"),
        (["fig5", "--steps", "0"], 2, "--steps 0: must be 1 or more"),
        (["fig5", "--workers", "0"], 2, "0 is not in the range"),
        (["fig5", "--scheduler", "127.0.0.1:1", "--workers", "2"], 2, "--workers 2: how many run at a time is up to"),
        (["fig5", "--scheduler", "nonsense"], 2, "--scheduler nonsense: must be the address of a Dask scheduler"),
        (["fig5", "--data", "nothing"], 3, "--data nothing"),
        (["fig3", "--mnist-file", "missing.npz"], 3, "missing.npz"),
        (["fig1b", "--out", "file/out"], 4, "cannot write to file/out"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(arguments, code, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert exit_code(["reproduce", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
