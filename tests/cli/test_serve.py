import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cli.serve import serve
from tests.command_line import exit_code
from tests.serving.tiny_models import save_many
from tfdrift.serving.client import Client
from tfdrift.serving.engine import ENGINES


def test_sigterm_lets_the_request_under_way_finish_and_ends_with_0(tmp_path):
    save_many(tmp_path / "models" / "many" / "1")
    command = [sys.executable, "-m", "tfdrift_cli", "serve", "--model_name", "named", "--engine", "embedded"]
    command += ["--model_base_path", str(tmp_path / "models" / "many"), "--grpc-port=0", "--rest_api_port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "named: version 1 answers\n"
    target = process.stdout.readline().split()[1]
    with Client(target) as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.predict, "named", {"x": np.array([200_000], np.int32)}, signature="wait")
        time.sleep(0.2)
        assert not slow.done()
        process.send_signal(signal.SIGTERM)
        assert slow.result()["y"] == 200_000
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "WARNING" not in errors


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing"], 3, "missing is no folder"),
        (["--model_base_path", "missing"], 3, "holds no version"),
        (["--model_config_file", "missing"], 3, "is no model configuration"),
        (["a", "--model_base_path", "b"], 2, "not two of them"),
        (["--model_name", "a"], 2, "--model_name needs --model_base_path"),
        (["--engine", "other"], 2, "other"),
        (["--port", "70000"], 2, "70000"),
        (["--port", "1", "--grpc-port", "2"], 2, "and not both"),
        (["--rest_api_port", "1", "--rest-port", "2"], 2, "and not both"),
        (
            ["--engine", "embedded", "--port", "0", "--model_config_file", "c"],
            2,
            "At least one of server_options.grpc_port",
        ),
        (["--model_config_file", "c", "--model_config_file_poll_wait_seconds", "x"], 2, "must be a number of seconds"),
        (["--engine", "embedded", "--model_config_file", "twice"], 3, "Illegal to list model m multiple times"),
        (["--engine", "embedded", "--model_config_file", "nowhere"], 3, "got base_path()=\n"),
    ],
)
def test_wrong_usage_and_missing_folders_end_with_their_codes(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    one = f'config {{ name: "m" base_path: "{tmp_path}" }}'
    for name, models in (("c", one), ("twice", one + one), ("nowhere", 'config { name: "m" }')):
        (tmp_path / name).write_text(f"model_config_list {{ {models} }}")
    assert exit_code(["serve", *arguments]) == code
    assert message in capsys.readouterr().err


def test_an_empty_default_folder_ends_with_3(tmp_path, monkeypatch, capsys):
    (tmp_path / "saved_models").mkdir()
    monkeypatch.chdir(tmp_path)
    assert exit_code(["serve"]) == 3
    assert capsys.readouterr().err == (
        "Error: saved_models holds no model; `tfdrift export RUN --to saved_models/NAME` makes one\n"
    )


def test_the_engines_offered_are_those_there_are():
    (engine,) = [parameter for parameter in serve.params if parameter.name == "engine"]
    assert tuple(engine.type.choices) == ENGINES


def test_a_taken_port_ends_with_4(tmp_path, capsys):
    (tmp_path / "m" / "1").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert exit_code(["serve", str(tmp_path), "--grpc-port", port, "--engine", "embedded"]) == 4
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


def test_flags_of_tf_serving_are_taken_and_those_of_no_use_here_named_once(tmp_path, capsys):
    (tmp_path / "m" / "1").mkdir(parents=True)
    flags = ["--rest_api_timeout_in_ms=30000", "--enable_batching", "--grpc_channel_arguments", "a=1,b=2"]
    with socket.create_server(("127.0.0.1", 0)) as taken:  # so that the server does not stay
        port = str(taken.getsockname()[1])
        assert (
            exit_code(
                ["serve", *flags, "--port", port, "--engine", "embedded", "--model_base_path", str(tmp_path / "m")]
            )
            == 4
        )
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        "warning: the embedded server has no use for "
        "--enable_batching, --grpc_channel_arguments, --rest_api_timeout_in_ms"
    )
    assert len(said) == 2


@pytest.mark.parametrize("flag", ["--ssl_config_file=x", "--use_alts_credentials", "--no_such_flag"])
def test_a_flag_that_asks_for_encryption_or_is_none_of_tf_servings_is_refused(tmp_path, capsys, flag):
    assert exit_code(["serve", flag, "--model_base_path", str(tmp_path)]) == 2
    assert flag.split("=")[0] in capsys.readouterr().err


def test_a_model_that_is_added_to_the_configuration_file_is_served(tmp_path):
    """And a REST port of 0 is none, as in TF Serving."""
    for name in ("a", "b"):
        save_many(tmp_path / name / "1")
    one, both = (
        "".join(f'config {{ name: "{name}" base_path: "{tmp_path}/{name}" }}' for name in n) for n in ("a", "ab")
    )
    file = tmp_path / "models.config"
    file.write_text(f"model_config_list {{ {one} }}")
    command = [sys.executable, "-m", "tfdrift_cli", "serve", "--engine", "embedded", "--grpc-port=0"]
    command += ["--rest_api_port=0", f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(2)]
    assert [line.split()[0] for line in said] == ["a:", "gRPC"]
    file.write_text(f"model_config_list {{ {both} }}")
    assert process.stdout.readline() == "b: version 1 answers\n"
    with Client(said[1].split()[1]) as client:
        assert client.status("b")[0].state == "AVAILABLE"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    assert rest == "stopping; requests under way are answered first\n"
    assert process.returncode == 0
