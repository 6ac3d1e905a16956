import json

import numpy as np
import pytest

from tests.command_line import exit_code
from tests.prepared_cohort import write_cohort
from tests.random_samples import make_samples

TINY = [
    "--steps",
    "2",
    "--image-size",
    "16",
    "--depth",
    "1",
    "--base-filters",
    "2",
    "--batch-size",
    "4",
    "--levels",
    "3",
]


def write_digits(path):
    """Write a file in MNIST's layout with 14 zeros of several sizes."""
    rows, columns = np.mgrid[:28, :28]
    rings = []
    for number in range(14):
        distance = np.hypot(rows - 13.5, columns - 13.5)
        rings.append(np.clip(255 * (2 - abs(distance - 4 - 0.4 * number)), 0, 255))
    images = np.array(rings).astype(np.uint8)
    labels = np.zeros(14, np.uint8)
    np.savez(path, x_train=images[4:], y_train=labels[4:], x_test=images[:4], y_test=labels[:4])
    return path


def test_a_run_prints_its_skill_and_where_everything_lies(tmp_path, capsys):
    digits = write_digits(tmp_path / "mnist.npz")
    folder = tmp_path / "run"
    arguments = ["train", "method1", "--data", "mnist", "--mnist-file", str(digits), "--out", str(folder), *TINY]
    assert exit_code(arguments) == 0
    output = capsys.readouterr().out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"skill over copy  {metrics['skill']['value']:.3f}" in output
    assert f"mean drift     {metrics['mean_drift']['skill']['value']:.3f}" in output
    assert f"picture          {folder}/preview.png" in output
    assert f"tensorboard --logdir {folder}/tensorboard" in output
    assert f"tfdrift export {folder}" in output
    assert (folder / "preview.png").stat().st_size > 0
    assert metrics["patients"] == 4


def test_a_run_on_a_cohort_is_scored_and_exported_without_its_path(tmp_path, capsys):
    cohort = write_cohort(tmp_path / "someones cohort", make_samples(count=24, size=16))
    run, models = tmp_path / "run", tmp_path / "models"
    assert exit_code(["train", "method1", "--data", str(cohort), "--out", str(run), *TINY]) == 0
    assert "held out fold 0: 4 patients, 8 lesions, 8 slices" in capsys.readouterr().out
    assert json.loads((run / "metrics.json").read_text())["data"] == "cohort"
    assert exit_code(["export", str(run), "--to", str(models), "--force"]) == 0
    files = [path for path in models.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"someones cohort" in path.read_bytes()] == []


def test_a_cohort_of_another_size_is_refused_before_anything_is_written(tmp_path, capsys):
    cohort = write_cohort(tmp_path / "cohort", make_samples(size=8))
    run = tmp_path / "run"
    assert exit_code(["train", "method1", "--data", str(cohort), "--out", str(run), *TINY]) == 2
    assert "use --image-size 8, or import again with --image-size 16" in capsys.readouterr().err
    assert not run.exists()


def test_the_same_command_again_trains_no_further(tmp_path, capsys):
    digits = write_digits(tmp_path / "mnist.npz")
    arguments = [
        "train",
        "direct",
        "--data",
        "mnist",
        "--mnist-file",
        str(digits),
        "--out",
        str(tmp_path / "run"),
        *TINY,
    ]
    assert exit_code(arguments) == 0
    first = (tmp_path / "run" / "metrics.json").read_text()
    capsys.readouterr()
    assert exit_code(arguments) == 0
    assert "is trained already: 2 steps" in capsys.readouterr().out
    assert (tmp_path / "run" / "metrics.json").read_text() == first


def test_a_dry_run_prints_the_settings_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code(["train", "method2", "--dry-run", "--preset", "paper", "--seed", "5"]) == 0
    settings = json.loads(capsys.readouterr().out)["train"]
    assert (settings["method"], settings["steps"], settings["seed"]) == ("method2", 5000, 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--steps", "0"], 2, "--steps 0: must be 1 or more"),
        (["--image-size", "30"], 2, "24 or 32 would do"),
        (["--schedule", "sigmoid"], 2, "'sigmoid' is not one of"),
        (["--noise-level", "-1"], 2, "--noise-level -1.0: must be between 0 and 10"),
        (
            ["--data", "nothing"],
            3,
            "--data nothing: choose phantom, mnist or a folder that `tfdrift cohort import` wrote",
        ),
        (["--data", "mnist", "--mnist-file", "missing.npz"], 3, "missing.npz"),
        (["--data", "mnist", "--mnist-file", "wrong.npz"], 3, "wrong.npz"),
        (["--fold", "7", *TINY], 3, "fold 7 cannot be held out"),
        (["--out", "file/run", *TINY], 4, "cannot write to file/run"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(arguments, code, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "wrong.npz", images=np.zeros(3))
    (tmp_path / "file").write_text("in the way")
    before = sorted(tmp_path.rglob("*"))
    assert exit_code(["train", "method1", *arguments]) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in captured.err
    assert sorted(tmp_path.rglob("*")) == before
