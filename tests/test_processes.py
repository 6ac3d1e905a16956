import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from tfdrift.errors import DataError, ResourceError
from tfdrift.processes import Outcome, run_each


def act(what: str, value: Any = None) -> Any:
    """What a task of these tests does, in its own process."""
    if what == "return":
        return value
    if what == "data":
        raise DataError(value)
    if what == "disk":
        raise ResourceError(value)
    if what == "bug":
        return {}[value]
    if what == "exit":
        os._exit(value)
    if what == "signal":
        os.kill(os.getpid(), value)
    if what == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        return "still here"
    if what == "print":
        os.write(1, value)
        os.write(2, value)
        return None
    if what == "until told":
        told = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: told.set())
        value.touch()
        return "told" if told.wait(30) else "forgotten"
    time.sleep(60)
    return None


def outcomes(*tasks, workers=2, **given):
    ended = run_each(act, tasks, workers=workers, **{"time_limit_seconds": 30.0, **given})
    return sorted(ended, key=lambda outcome: outcome.task)


def test_one_that_fails_costs_no_other():
    ended = outcomes(
        ("return", 1),
        ("data", "file 1 is cut off"),
        ("bug", "Doe^Jane"),
        ("exit", 7),
        ("signal", signal.SIGKILL),
        ("return", 2),
    )
    assert ended == [
        Outcome(task=0, value=1),
        Outcome(task=1, fault="file 1 is cut off"),
        Outcome(task=2, fault="unexpected KeyError"),
        Outcome(task=3, fault="its process ended with code 7"),
        Outcome(task=4, fault="its process was killed by signal 9, perhaps for want of memory"),
        Outcome(task=5, value=2),
    ]


def test_a_task_is_taken_when_a_process_is_free():
    taken = []

    def tasks():
        for number in range(3):
            taken.append(number)
            yield "return", number

    ended = run_each(act, tasks(), workers=1)
    for number in range(3):
        assert next(ended) == Outcome(task=number, value=number)
        assert taken == list(range(number + 1))
    assert list(ended) == []


def test_one_that_hangs_is_stopped():
    ended = outcomes(("hang",), ("return", 1), workers=2, time_limit_seconds=4.0)
    assert ended == [Outcome(task=0, fault="stopped after 4 seconds"), Outcome(task=1, value=1)]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a process that is terminated cannot heed it")
def test_stopping_has_running_tasks_end_in_their_own_time_and_no_other_start(tmp_path):
    ended = outcomes(
        ("until told", tmp_path / "running"), ("return", 1), workers=1, stopping=(tmp_path / "running").exists
    )
    assert ended == [Outcome(task=0, value="told")]


def test_a_full_disk_ends_all():
    with pytest.raises(ResourceError, match="No space left"):
        outcomes(("disk", "No space left on device"), ("return", 1), workers=1)


@pytest.mark.skipif(os.name != "posix", reason="signal masks are those of POSIX")
def test_a_task_does_not_heed_ctrl_c_which_is_the_parents():
    assert outcomes(("interrupt",)) == [Outcome(task=0, value="still here")]


def test_what_a_task_prints_is_dropped(capfd):
    assert outcomes(("print", b"Doe^Jane")) == [Outcome(task=0)]
    assert capfd.readouterr() == ("", "")


def test_tasks_end_with_the_process_that_started_them(tmp_path):
    """The parent writes its child's number and is killed."""
    code = (
        "import multiprocessing, os, pathlib, sys, threading, time\n"
        "from tests.test_processes import act\n"
        "from tfdrift.processes import run_each\n"
        "def kill():\n"
        "    while not multiprocessing.active_children(): time.sleep(0.05)\n"
        "    time.sleep(2)\n"
        "    pathlib.Path(sys.argv[1]).write_text(str(multiprocessing.active_children()[0].pid))\n"
        "    os.kill(os.getpid(), 9)\n"
        "if __name__ == '__main__':\n"
        "    threading.Thread(target=kill, daemon=True).start()\n"
        "    list(run_each(act, [('hang',)], workers=1, time_limit_seconds=60))\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, script, tmp_path / "pid"], check=False, env=environment)
    assert ended.returncode == -signal.SIGKILL
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
