import signal
import subprocess
import sys

from tests.command_line import exit_code


def test_it_tells_its_address_and_ends_with_0():
    command = [sys.executable, "-m", "tfdrift_cli", "workers", "--count", "1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert line.startswith("1 workers at tcp://127.0.0.1:")
    assert "use it with --scheduler tcp://127.0.0.1:" in line
    assert (process.returncode, errors) == (0, "")


def test_an_address_that_is_not_this_machines_is_told(capsys):
    assert exit_code(["workers", "--count", "1", "--host", "192.0.2.1", "--port", "0"]) == 4
    assert capsys.readouterr().err.startswith("Error: no workers on 192.0.2.1:0: ")


def test_none_is_refused(capsys):
    assert exit_code(["workers", "--count", "0"]) == 2
    assert "0 is not in the range" in capsys.readouterr().err
