import gc
import http.client
import itertools
import json
import shutil
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import psutil
import pytest

from tests.serving.tiny_models import floats, save_half_plus, save_many
from tfdrift.errors import DataError, ResourceError
from tfdrift.serving.client import Client
from tfdrift.serving.configuration import config_of, models_under
from tfdrift.serving.served_models import ServedModels
from tfdrift.serving.server import Listening, Polling, embedded_server, running_server

POLL_SECONDS = 0.05


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two versions of a model, to copy from: y = x / 2 + version / 8, so that y tells both for whole numbers x."""
    base = tmp_path_factory.mktemp("saved")
    return {version: save_half_plus(base / str(version), plus=version / 8) for version in (1, 2)}


@pytest.fixture
def base(saved, tmp_path):
    """Return the folder of a model with version 1."""
    shutil.copytree(saved[1], tmp_path / "m" / "1")
    return tmp_path / "m"


def client_of(server) -> Client:
    return Client(f"127.0.0.1:{server.grpc_port}")


def answering(client) -> float:
    """Return which version answers."""
    return 8 * client.predict("m", {"x": floats(0)})["y"][0]


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def test_it_returns_when_every_model_is_loaded_or_has_failed(base, tmp_path):
    (tmp_path / "broken" / "1").mkdir(parents=True)
    lines = []
    models = {"m": base, "broken": tmp_path / "broken"}
    with embedded_server(models, report=lines.append) as server, client_of(server) as client:
        assert answering(client) == 1
        assert client.status("broken")[0].state == "END"
    assert [line.split(":")[0] for line in lines] == ["m", "broken"]


def test_a_new_version_is_found_and_takes_over(base, saved):
    with embedded_server({"m": base}, poll_seconds=POLL_SECONDS) as server, client_of(server) as client:
        shutil.copytree(saved[2], base / "2")
        wait_for(lambda: answering(client) == 2)
        assert [(status.version, status.state) for status in client.status("m")] == [(2, "AVAILABLE"), (1, "END")]


@contextmanager
def running(config, models=None, **settings):
    """A server as `tfdrift serve` runs it, on free ports unless told otherwise."""
    where = Listening(**{name: settings.pop(name) for name in Listening._fields if name in settings})
    models = ServedModels(lambda _line: None) if models is None else models
    with running_server(models, config, where=where, polling=Polling(POLL_SECONDS, POLL_SECONDS)) as server:
        yield server


@pytest.mark.usefixtures("base")
def test_a_new_folder_under_the_root_is_served(saved, tmp_path):
    models = ServedModels(lambda _line: None, source=lambda: models_under(tmp_path))
    with running(models_under(tmp_path), models) as server, client_of(server) as client:
        shutil.copytree(saved[2], tmp_path / "new.staging")
        (tmp_path / "new").mkdir()
        (tmp_path / "new.staging").rename(tmp_path / "new/2")

        def answers():
            try:
                return client.predict("new", {"x": floats(0)})["y"][0] == 2 / 8
            except ResourceError:
                return False

        wait_for(answers)
        assert answering(client) == 1


@pytest.mark.parametrize(("seconds", "served"), [(POLL_SECONDS, ["m", "n"]), (0.0, ["m"])], ids=["polled", "read once"])
def test_the_source_of_the_configuration_is_read_again_if_it_is_polled(base, tmp_path, seconds, served):
    shutil.copytree(base, tmp_path / "n")
    models = ServedModels(lambda _line: None, source=lambda: config_of({"m": base, "n": tmp_path / "n"}))
    polling = Polling(versions_seconds=POLL_SECONDS, config_seconds=seconds)
    with running_server(models, config_of({"m": base}), where=Listening(rest_port=None), polling=polling):
        if seconds:
            wait_for(lambda: len(list(models)) == 2)
        else:
            time.sleep(8 * POLL_SECONDS)
        assert sorted(models) == served


def test_options_of_grpc_are_passed_on(base):
    """Such as a limit on requests, which is lower here than the server's own."""
    where = Listening(rest_port=None, grpc_options=(("grpc.max_receive_message_length", 1000),))
    with running_server(
        ServedModels(lambda _line: None), config_of({"m": base}), where=where, polling=Polling()
    ) as server, client_of(server) as client:  # fmt: skip
        assert answering(client) == 1
        with pytest.raises(DataError):
            client.predict("m", {"x": floats(*range(1000))})


def test_grpc_answers_on_a_unix_socket_and_nothing_else_does(base):
    def listening():
        ours = psutil.Process().net_connections(kind="inet")
        return {one.laddr for one in ours if one.status == psutil.CONN_LISTEN}

    before = listening()  # what gRPC has not yet closed of an earlier server
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket is at most about 100 bytes
        path = f"{folder}/grpc"
        with running(config_of({"m": base}), grpc_port=None, rest_port=None, grpc_socket=path) as server:
            assert server == (None, None)
            with Client(f"unix:{path}") as client:
                assert answering(client) == 1
            assert listening() <= before


def test_without_rest_grpc_answers_alone(base):
    with running(config_of({"m": base}), rest_port=None) as server, client_of(server) as client:
        assert server.rest_port is None
        assert answering(client) == 1


def test_a_socket_that_cannot_be_made_is_a_resource_error(base):
    with pytest.raises(ResourceError, match="cannot listen on the socket /no/such/folder/s"):
        running(config_of({"m": base}), grpc_socket="/no/such/folder/s").__enter__()


@pytest.mark.parametrize("clients", [1, 8, 32, 128])
def test_no_request_fails_or_is_mixed_up_while_versions_change(base, saved, clients):
    """Half of the clients ask by gRPC, half by REST; each number is asked once, and tells its own answer."""
    numbers, swapped, wrong, answered = itertools.count(), threading.Event(), [], []

    def by_grpc(server):
        with client_of(server) as client:
            while not swapped.is_set():
                check(next(numbers), lambda x: float(client.predict("m", {"x": floats(x)})["y"][0]))

    def by_rest(server):
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)

        def ask(x):
            connection.request("POST", "/v1/models/m:predict", json.dumps({"instances": [x]}))
            return json.load(connection.getresponse())["predictions"][0]

        while not swapped.is_set():
            check(next(numbers), ask)
        connection.close()

    def check(x, ask):
        version = 8 * (ask(x) - x / 2)
        answered.append(version)
        if version not in (1, 2):
            wrong.append((x, version))

    with embedded_server({"m": base}, poll_seconds=POLL_SECONDS) as server, ThreadPoolExecutor(clients) as pool:
        running = [pool.submit((by_grpc, by_rest)[i % 2], server) for i in range(clients)]
        wait_for(lambda: len(answered) > clients)
        shutil.copytree(saved[2], base / "2")
        wait_for(lambda: 2 in answered[-50:])
        shutil.rmtree(base / "2")
        wait_for(lambda: 1 in answered[-5:])
        swapped.set()
        for client in running:
            client.result()  # raises what a request of it raised
    assert wrong == []
    assert {1, 2} == set(answered)


def test_requests_under_way_are_answered_before_it_ends(tmp_path):
    save_many(tmp_path / "m" / "1")
    with ThreadPoolExecutor(1) as pool:
        with embedded_server({"m": tmp_path / "m"}) as server:
            client = client_of(server)
            slow = pool.submit(client.predict, "m", {"x": np.array([100_000], np.int32)}, signature="wait")
            time.sleep(0.1)
            assert not slow.done()
        assert slow.result()["y"] == 100_000
        client.close()


def test_nothing_listens_after_the_end(base):
    with embedded_server({"m": base}) as server:
        pass
    for port in server:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("which", ["grpc_port", "rest_port"])
def test_a_taken_port_is_a_resource_error(base, which):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError, match=f"cannot listen on 127.0.0.1 port {port}"):
            embedded_server({"m": base}, **{which: port}).__enter__()


def test_the_grpc_port_of_another_server_is_not_shared_with_it(base):
    with embedded_server({"m": base}) as server:
        assert server.grpc_port is not None
        with pytest.raises(ResourceError):
            embedded_server({"m": base}, grpc_port=server.grpc_port).__enter__()


def test_an_address_of_another_machine_is_a_resource_error(base):
    with pytest.raises(ResourceError, match=r"cannot listen on 192\.0\.2\.1"):
        embedded_server({"m": base}, host="192.0.2.1").__enter__()


def test_it_listens_on_this_machine_alone_unless_told_otherwise(base):
    with embedded_server({"m": base}) as server:
        listening = {
            connection.laddr.ip.removeprefix("::ffff:")  # gRPC's socket takes IPv4 addresses in IPv6 form
            for connection in psutil.Process().net_connections()
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port in server
        }
    assert listening == {"127.0.0.1"}


def test_it_listens_on_ipv6(base):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    with embedded_server({"m": base}, host="::1") as server, Client(f"[::1]:{server.grpc_port}") as client:
        assert answering(client) == 1
        socket.create_connection(("::1", server.rest_port)).close()


def test_memory_does_not_grow_with_the_number_of_requests(base):
    """After 500 requests to warm up, 2,000 more take less than a tenth of what keeping their bodies would."""
    process, x = psutil.Process(), np.zeros(10_000, np.float32)
    with embedded_server({"m": base}) as server, client_of(server) as client:
        for _ in range(500):
            client.predict("m", {"x": x})
        gc.collect()
        before = process.memory_info().rss
        for _ in range(2000):
            client.predict("m", {"x": x})
        gc.collect()
        assert process.memory_info().rss - before < 2000 * x.nbytes / 10


def test_a_client_that_hangs_does_not_hold_up_the_end_for_longer_than_the_drain(base):
    with socket.socket() as stuck:
        with embedded_server({"m": base}, drain_seconds=1) as server:
            stuck.connect(("127.0.0.1", server.rest_port))
            stuck.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
            time.sleep(0.1)
            start = time.monotonic()
        assert 1 <= time.monotonic() - start < 10
