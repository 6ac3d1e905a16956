import os
import signal
import socket
import stat
from functools import partial

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from tensorflow_serving.apis.regression_pb2 import RegressionRequest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.serving.tiny_models import floats, save_half_plus, save_tf_examples
from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.serving.client import Client
from tfdrift.serving.configuration import embedded_models, models_under
from tfdrift.serving.engine import seconds_of, serve


@pytest.fixture
def root(tmp_path):
    """Return a folder with the models a and b and what is none."""
    for folder in ("b/1", "a/00000123", "no_versions/assets"):
        (tmp_path / "models" / folder).mkdir(parents=True)
    (tmp_path / "models" / "README.md").touch()
    return tmp_path / "models"


class Terminal:
    """Keeps the lines, and sends a signal to this process when one begins with `word`."""

    def __init__(self, word: str, number: signal.Signals, before=lambda _lines: None) -> None:
        self.lines: list[str] = []
        self._word, self._number, self._before = word, number, before

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if line.startswith(self._word):
            self._before(self.lines)
            os.kill(os.getpid(), self._number)


SETTINGS = {"grpc_port": 0, "rest_port": 0, "host": "127.0.0.1"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_embedded_server_says_where_it_listens_and_ends_at_a_signal(tmp_path, number):
    save_half_plus(tmp_path / "half" / "1")
    answers = []

    def ask(lines):
        (target,) = [line.split()[1] for line in lines if line.startswith("gRPC")]
        with Client(target) as client:
            answers.append(client.predict("half", {"x": floats(1)})["y"][0])

    before = signal.getsignal(number)
    terminal = Terminal("metrics", number, ask)
    serve(models_under(tmp_path), engine="embedded", echo=terminal, **SETTINGS)
    assert answers == [2.5]
    assert [line.split()[0] for line in terminal.lines] == ["half:", "gRPC", "REST", "metrics", "stopping;"]
    assert signal.getsignal(number) is before


def test_an_address_for_other_machines_is_pointed_out(tmp_path):
    save_half_plus(tmp_path / "half" / "1")
    terminal = Terminal("warning", signal.SIGTERM)
    serve(models_under(tmp_path), engine="embedded", echo=terminal, **{**SETTINGS, "host": "0.0.0.0"})
    assert "can be reached from other machines" in terminal.lines[-2]


def test_a_taken_port_is_a_resource_error_and_signals_are_as_before(root):
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {**SETTINGS, "rest_port": taken.getsockname()[1]}
        with pytest.raises(ResourceError, match="cannot listen on"):
            serve(models_under(root), engine="embedded", echo=print, **settings)
    assert signal.getsignal(signal.SIGTERM) is before


def install(folder, monkeypatch, script):
    """Put a program named tensorflow_model_server on the PATH: a shell script."""
    program = folder / "bin" / "tensorflow_model_server"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("engine", ["auto", "tensorflow_model_server"])
def test_tf_servings_program_runs_if_it_is_installed_and_gets_the_signal(root, tmp_path, monkeypatch, engine):
    script = f"""
        echo "$@" > {tmp_path}/arguments
        for argument; do case $argument in *_file=*) cat "${{argument#*=}}" >> {tmp_path}/files;; esac; done
        trap 'echo TERM > {tmp_path}/signal; exit 143' TERM
        kill -TERM $PPID
        while :; do sleep 0.01; done"""
    install(tmp_path, monkeypatch, script)
    lines = []
    settings = {"grpc_port": 8500, "rest_port": 8501, "host": "127.0.0.1", "flags": {"enable_batching": "true"}}
    serve(models_under(root), engine=engine, echo=lines.append, **settings)
    assert "listens on every address" in lines[0]
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:2] == ["--port=8500", "--rest_api_port=8501"]
    assert arguments[-1] == "--enable_batching=true"
    models, _, monitoring = (tmp_path / "files").read_text().partition("prometheus_config")
    assert embedded_models(text_format.Parse(models, ModelServerConfig())) == {"a": root / "a", "b": root / "b"}
    assert "enable: true" in monitoring
    assert (tmp_path / "signal").read_text() == "TERM\n"


def test_tf_servings_program_that_fails_is_a_resource_error(root, tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "exit 3")
    with pytest.raises(ResourceError, match="ended with code 3"):
        serve(models_under(root), engine="auto", echo=print, grpc_port=8500, rest_port=None, host="::1")


def test_tf_servings_program_that_is_missing_is_a_resource_error(root, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ResourceError, match="is not on the PATH"):
        serve(models_under(root), engine="tensorflow_model_server", echo=print, **SETTINGS)


def test_tf_servings_program_cannot_choose_a_port(root, tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "exit 0")
    with pytest.raises(UsageError, match="does not choose a free port"):
        serve(models_under(root), engine="auto", echo=print, **SETTINGS)


def test_tf_servings_program_is_given_a_new_model_in_its_configuration(root, tmp_path, monkeypatch):
    script = f"""
        for argument; do case $argument in --model_config_file=*) file="${{argument#*=}}";; esac; done
        echo "$@" > {tmp_path}/arguments
        mkdir -p {root}/c/1
        until grep -q '"c"' "$file"; do sleep 0.01; done"""
    install(tmp_path, monkeypatch, script)
    settings = {"grpc_port": 8500, "rest_port": None, "host": "::1"}
    source = partial(models_under, root)
    serve(source(), engine="auto", echo=print, source=source, source_seconds=0.05, **settings)
    arguments = (tmp_path / "arguments").read_text()
    assert "--rest_api_port=0" in arguments
    assert "--model_config_file_poll_wait_seconds=1" in arguments


EMBEDDED = {"engine": "embedded", "echo": print, "host": "127.0.0.1"}


def test_without_any_way_to_reach_grpc_it_ends_in_tf_servings_words(root):
    with pytest.raises(UsageError, match=r"At least one of server_options\.grpc_port or"):
        serve(models_under(root), grpc_port=None, rest_port=0, **EMBEDDED)


def test_a_configuration_without_models_is_a_data_error():
    with pytest.raises(DataError, match="has no model_config_list with models"):
        serve(ModelServerConfig(), grpc_port=0, rest_port=None, **EMBEDDED)


def test_a_label_of_a_version_that_does_not_answer_ends_the_start_unless_a_flag_allows_it(tmp_path):
    save_half_plus(tmp_path / "half" / "1")
    config = models_under(tmp_path)
    config.model_config_list.config[0].version_labels["next"] = 2
    with pytest.raises(DataError, match="Request to assign label to version 2 of model half"):
        serve(config, grpc_port=0, rest_port=None, **EMBEDDED)
    flags = {"allow_version_labels_for_unavailable_models": "true"}
    terminal = Terminal("gRPC", signal.SIGTERM)
    serve(config, grpc_port=0, rest_port=None, flags=flags, **{**EMBEDDED, "echo": terminal})
    assert terminal.lines[-1].startswith("stopping")


@pytest.mark.parametrize(("flag", "code"), [(None, "OK"), ("true", "INVALID_ARGUMENT"), ("false", "OK")])
def test_the_method_name_of_a_signature_counts_only_if_a_flag_says_so(tmp_path, flag, code):
    save_tf_examples(tmp_path / "m" / "1")
    codes = []

    def ask(lines):
        (target,) = [line.split()[1] for line in lines if line.startswith("gRPC")]
        with grpc.insecure_channel(target) as channel:
            spec = ModelSpec(name="m", signature_name="regress_tf_examples")
            example = {"features": {"feature": {"x": {"float_list": {"value": [1]}}}}}
            request = RegressionRequest(model_spec=spec, input={"example_list": {"examples": [example]}})
            call = PredictionServiceStub(channel).Regress.with_call
            try:
                codes.append(call(request)[1].code().name)
            except grpc.RpcError as refused:
                codes.append(refused.code().name)

    flags = {"enable_signature_method_name_check": flag} if flag else {}
    echo = Terminal("gRPC", signal.SIGTERM, ask)
    warned = []
    settings = {**EMBEDDED, "echo": echo, "warn": warned.append}
    serve(models_under(tmp_path), grpc_port=0, rest_port=None, flags=flags, **settings)
    assert codes == [code]
    assert warned == []


@pytest.mark.parametrize("value", ["soon", "-1", "inf"])
def test_seconds_that_are_none_are_refused(value):
    with pytest.raises(UsageError, match=f"--file_system_poll_wait_seconds {value}: must be a number of seconds"):
        seconds_of({"file_system_poll_wait_seconds": value}, "file_system_poll_wait_seconds", 1.0)
