import os
import signal
import subprocess
import sys

from tests.command_line import exit_code


def test_in_an_empty_folder_the_boxed_models_come_and_the_address_is_printed_and_ctrl_c_ends_it(tmp_path):
    command = [sys.executable, "-m", "tfdrift_cli", "app", "--root", str(tmp_path), "--no-browser"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    ) as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(4)]
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert lines[0] == "models      saved_models is new and holds those that come with tfdrift\n"
    assert (tmp_path / "saved_models/direct").is_dir()
    assert lines[1].startswith("open        http://127.0.0.1:")
    assert lines[2] == f"shows       {tmp_path}\n"
    assert said == ""
    assert list(tmp_path.glob("tfdrift-app-*")) == []


def test_a_root_that_is_no_folder_is_one_line(tmp_path, capsys):
    assert exit_code(["app", "--root", str(tmp_path / "x"), "--no-browser"]) == 3
    assert "is no folder" in capsys.readouterr().err
