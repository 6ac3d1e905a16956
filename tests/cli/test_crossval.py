import json

import pytest

from tests.cli.test_train import TINY, write_digits
from tests.command_line import exit_code


def test_a_fold_is_trained_with_the_options_of_training(tmp_path, capsys):
    digits = write_digits(tmp_path / "mnist.npz")
    out = tmp_path / "direct"
    arguments = ["--data", "mnist", "--mnist-file", str(digits), "--folds", "1", "--seed", "3", *TINY]
    assert exit_code(["crossval", "direct", "--out", str(out), "--json", *arguments]) == 0
    captured = capsys.readouterr()
    metrics = json.loads(captured.out)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert (metrics["folds"], metrics["patients"]) == ([1], 2)
    assert "fold 1, seed 3 (1 of 1 folds)" in captured.err
    settings = json.loads((out / "fold1-seed3" / "config.json").read_text())["train"]
    assert (settings["method"], settings["fold"], settings["image_size"]) == ("direct", 1, 16)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--folds", "first"], 2, "--folds first: give numbers of folds with commas between them"),
        (["--folds", "0,9"], 2, "--folds 0,9: the data have folds 0,1,2,3,4,5,6"),
        (["--groups", "none.csv"], 3, "the groups table cannot be read: No such file or directory"),
        (["--members", "0"], 2, "0 is not in the range"),
        (["--workers", "0"], 2, "0 is not in the range"),
        (["--scheduler", "nonsense"], 2, "--scheduler nonsense: must be the address of a Dask scheduler"),
        (["--scheduler", "127.0.0.1:1", "--workers", "2"], 2, "--workers 2: how many run at a time is up to"),
        (["--steps", "0"], 2, "--steps 0: must be 1 or more"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(arguments, code, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "mnist.npz")
    arguments = ["--data", "mnist", "--mnist-file", "mnist.npz", *TINY, *arguments]
    assert exit_code(["crossval", "direct", *arguments]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.npz"]
