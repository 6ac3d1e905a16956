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


# What TF Serving's program publishes (its main.cc), but for the ports and the models.
PUBLISHED = {
    "grpc_socket_path", "rest_api_num_threads", "rest_api_timeout_in_ms", "rest_api_enable_cors_support",
    "enable_batching", "allow_version_labels_for_unavailable_models", "batching_parameters_file",
    "enable_per_model_batching_parameters", "model_config_file_poll_wait_seconds", "num_load_threads",
    "num_unload_threads", "max_num_load_retries", "load_retry_interval_micros", "file_system_poll_wait_seconds",
    "flush_filesystem_caches", "tensorflow_session_parallelism", "tensorflow_session_config_file",
    "tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism", "use_alts_credentials", "ssl_config_file",
    "platform_config_file", "per_process_gpu_memory_fraction", "saved_model_tags", "grpc_channel_arguments",
    "grpc_max_threads", "enable_model_warmup", "num_request_iterations_for_warmup", "monitoring_config_file",
    "remove_unused_fields_from_bundle_metagraph", "prefer_tflite_model", "num_tflite_pools",
    "num_tflite_interpreters_per_pool", "enable_signature_method_name_check", "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled", "enable_profiler", "thread_pool_factory_config_file", "mixed_precision",
    "skip_initialize_tpu", "enable_grpc_healthcheck_service", "enable_serialization_as_tensor_content",
}  # fmt: skip


def test_every_flag_that_tf_serving_publishes_is_an_option():
    named = {name.removeprefix("--") for parameter in serve.params for name in parameter.opts}
    ours_too = {"port", "rest_api_port", "model_name", "model_base_path", "model_config_file", "version"}
    assert PUBLISHED | ours_too <= named


def test_flags_of_tf_serving_are_taken_and_those_of_no_use_here_named_once(tmp_path, capsys):
    (tmp_path / "m" / "1").mkdir(parents=True)
    flags = ["--rest_api_timeout_in_ms=30000", "--num_load_threads=2", "--grpc_channel_arguments", "a=1,b=2"]
    with socket.create_server(("127.0.0.1", 0)) as taken:  # so that the server does not stay
        port = str(taken.getsockname()[1])
        assert (
            exit_code(
                ["serve", *flags, "--port", port, "--engine", "embedded", "--model_base_path", str(tmp_path / "m")]
            )
            == 4
        )
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "warning: the embedded server has no use for --num_load_threads, --rest_api_timeout_in_ms"
    assert len(said) == 2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--ssl_config_file=x", "--ssl_config_file: the embedded server has no encryption"),
        ("--use_alts_credentials", "--use_alts_credentials: the embedded server has no encryption"),
        ("--no_such_flag", "--no_such_flag"),
        ("--enable_batching=models", "--enable_batching models: must be true or false"),
        (
            "--batching_parameters_file=x",
            "batching_parameters_file is set without setting server_options.enable_batching",
        ),
        ("--grpc_channel_arguments=a", "--grpc_channel_arguments a: must be name=value"),
    ],
)
def test_a_flag_that_cannot_be_done_or_is_none_is_refused(tmp_path, capsys, flag, message):
    (tmp_path / "1").mkdir()
    assert exit_code(["serve", flag, "--engine", "embedded", "--model_base_path", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_the_version_is_that_of_the_server_and_of_tensorflow(capsys):
    assert exit_code(["serve", "--version"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["tfdrift", "TensorFlow Library"]


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
