"""A scheduler and two workers on the loopback address, started as users start them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.local_workers import start_workers
from tests.test_processes import act, alive
from tfdrift import cluster
from tfdrift.cluster import check_scheduler, run_anywhere
from tfdrift.errors import ResourceError, UsageError
from tfdrift.processes import Outcome


@pytest.fixture(scope="module")
def scheduler():
    with start_workers() as (_, address):
        yield address


def outcomes(scheduler, *tasks, function=act, **given):
    ended = run_anywhere(function, tasks, workers=1, scheduler=scheduler, **{"time_limit_seconds": 30.0, **given})
    return sorted(ended, key=lambda outcome: outcome.task)


def kill_worker(folder: Path, value: str) -> str:
    """Write who works, and the first time kill the worker that this process works for."""
    tried = folder / f"{value}.tried"
    if not tried.exists():
        tried.write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(30)
    return value


def where() -> str:
    """Tell the folder that this task is in."""
    return str(Path.cwd())


def test_tasks_end_as_they_do_on_one_machine(scheduler):
    tasks = [("return", 1), ("data", "file 1 is cut off"), ("bug", "Doe^Jane"), ("exit", 7), ("return", 2)]
    assert outcomes(scheduler, *tasks) == outcomes(None, *tasks)


def test_a_worker_that_dies_costs_its_task_one_try_and_no_other_task_anything(scheduler, tmp_path):
    tasks = [(tmp_path, str(number)) for number in range(3)]
    (tmp_path / "0.tried").touch()
    (tmp_path / "2.tried").touch()
    ended = outcomes(scheduler, *tasks, function=kill_worker)
    assert ended == [Outcome(task=number, value=str(number)) for number in range(3)]
    left = int((tmp_path / "1.tried").read_text())
    until = time.monotonic() + 20  # it sees within seconds that its worker is gone
    while alive(left) and time.monotonic() < until:
        time.sleep(0.1)
    assert not alive(left)


def test_a_task_that_hangs_is_stopped(scheduler):
    ended = outcomes(scheduler, ("hang",), ("return", 1), time_limit_seconds=2.0)
    assert ended == [Outcome(task=0, fault="stopped after 2 seconds"), Outcome(task=1, value=1)]


def test_stopping_has_running_tasks_end_in_their_own_time_and_no_other_start(scheduler, tmp_path):
    tasks = [("until told", tmp_path / str(number)) for number in range(30)]
    ended = outcomes(scheduler, *tasks, stopping=(tmp_path / "0").exists)
    assert {outcome.value for outcome in ended} == {"told"}
    assert len(ended) <= 2


def test_a_full_disk_ends_all_and_nothing_runs_on(scheduler, tmp_path):
    before = time.monotonic()
    with pytest.raises(ResourceError, match="No space left"):
        outcomes(scheduler, ("until told", tmp_path / "other"), ("disk", "No space left on device"))
    assert time.monotonic() - before < 20  # the other would wait for 30 s


def test_a_task_runs_in_the_folder_of_the_command(scheduler, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert outcomes(scheduler, (), function=where) == [Outcome(task=0, value=str(tmp_path))]


def test_a_folder_that_a_worker_does_not_see_is_told(tmp_path):
    with pytest.raises(ResourceError, match=r"a worker does not see .*absent; every machine needs the same folders"):
        cluster._in_folder(tmp_path / "absent", act, ("return", 1))


def test_another_version_on_a_worker_is_refused():
    refused = cluster._work((), function=act, limit=1.0, folder=Path(), version="0.0.1", stop="")
    assert isinstance(refused, ResourceError)
    assert "this command is 0.0.1; install the same" in str(refused)


def test_a_scheduler_that_dies_is_told(tmp_path):
    with start_workers(count=1) as (process, address):
        threading.Thread(target=kill_when, args=(tmp_path / "running", process), daemon=True).start()
        with pytest.raises(ResourceError, match=r"the scheduler tcp://127.0.0.1:\d+ is gone; start it again"):
            outcomes(address, ("until told", tmp_path / "running"))


def kill_when(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        time.sleep(0.05)
    process.kill()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(UsageError, match="--scheduler nonsense: must be the address of a Dask scheduler, such as tcp"):
        check_scheduler("nonsense")


def test_an_address_where_nobody_answers_is_refused(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=rf"--scheduler {address}: no Dask scheduler answers there"):
            check_scheduler(address)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ResourceError, match=r"a cluster needs Dask; run: pip install 'tfdrift\[cluster\]'"):
        check_scheduler("tcp://127.0.0.1:8786")


def test_a_port_that_is_taken_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = rf"no workers on 127.0.0.1:{port}: .*; try another --port"
        with pytest.raises(ResourceError, match=message), cluster.local_cluster(count=1, host="127.0.0.1", port=port):
            pytest.fail("it started")
