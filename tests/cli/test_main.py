import platform
import subprocess
import sys
from importlib import metadata

import pytest

from cli import main as module
from tfdrift import __version__, errors


def run(arguments, capsys):
    """Return (exit code, standard output, standard error)."""
    try:
        module.main(arguments)
        code = 0
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_version(capsys):
    assert run(["--version"], capsys) == (0, f"tfdrift, version {__version__}\n", "")


def test_a_report_of_a_fault_names_what_it_needs(capsys):
    code, output, _ = run(["--version", "--verbose"], capsys)
    first, second, *packages = output.splitlines()
    assert (code, first) == (0, f"tfdrift, version {__version__}")
    assert second.startswith(f"Python {platform.python_version()}, ")
    assert f"tensorflow {metadata.version('tensorflow')}" in packages
    assert len(packages) == len(module.REPORTED) + 1


def test_help_lists_every_command_of_the_table(capsys):
    _, output, _ = run(["--help"], capsys)
    for name, (_, text) in module.COMMANDS.items():
        assert name in output
        assert text in output


@pytest.mark.parametrize(
    "arguments", [["fly"], ["train"], ["train", "method3"], ["train", "method1", "--steps", "few"]]
)
def test_wrong_usage_ends_with_2_and_says_what(arguments, capsys):
    code, output, error = run(arguments, capsys)
    assert (code, output) == (2, "")
    assert "Error: " in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.NotBlessedError("what"), 1),
        (errors.UsageError("what"), 2),
        (errors.DataError("what"), 3),
        (errors.ResourceError("what"), 4),
        (errors.DivergedError("what"), 5),
        (errors.StoppedError("what", 15), 143),
    ],
)
def test_an_error_becomes_one_line_and_its_exit_code(raised, code, capsys, monkeypatch):
    def fail(*_args, **_settings):
        raise raised

    monkeypatch.setattr(module.cli, "main", fail)
    assert run([], capsys) == (code, "", "Error: what\n")


def test_a_message_of_several_lines_is_shown_as_one(capsys, monkeypatch):
    def fail(*_args, **_settings):
        raise errors.DataError("the file is broken:\nline 2 is empty")

    monkeypatch.setattr(module.cli, "main", fail)
    assert run([], capsys) == (3, "", "Error: the file is broken: line 2 is empty\n")


def test_ctrl_c_ends_with_130_without_a_traceback(capsys, monkeypatch):
    def interrupt(*_args, **_settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.cli, "main", interrupt)
    assert run([], capsys) == (130, "", "Error: stopped\n")


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m tfdrift_cli train --help | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("Usage: tfdrift train")
    assert result.stderr == ""
