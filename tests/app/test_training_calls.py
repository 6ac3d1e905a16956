import json
import sys

import pytest

from tests.app.asking import talk
from tests.app.test_runs import write_run
from tfdrift.app import training_calls
from tfdrift.errors import DataError

TRAIN = "tfdrift.app.commands.TFDRIFT"


def test_runs_come_with_the_command_that_is_at_them(desk, monkeypatch):
    write_run(desk.runs, "old")
    # A training as the page sees it: a run folder that appears, and a line of progress.
    program = "print('step 5/9  loss 0.1')"
    monkeypatch.setattr(TRAIN, (sys.executable, "-c", program))

    async def conversation(ask):
        started = await ask("train", method="method1", name="new", steps=9)
        resumed = await ask("resume", run="old")
        exported = await ask("export", run="old")
        assert desk.job(exported["id"]).arguments[-4:] == [
            "export",
            str(desk.runs / "old"),
            "--to",
            str(desk.models / "old"),
        ]
        return started, resumed, (await ask("runs"))["runs"]

    started, resumed, runs = talk(desk, conversation)
    assert started["progress"]["done"] == 5
    assert resumed["told"]["run"] == "old"
    assert [(run["name"], run["job"]["state"]) for run in runs] == [("new", "done"), ("old", "done")]
    assert runs[1]["exported"]["state"] == "done"


def test_a_name_that_is_taken_is_refused(desk):
    write_run(desk.runs, "old")

    async def conversation(ask):
        await ask("train", method="method1", name="old")

    with pytest.raises(DataError, match="there is a run old already"):
        talk(desk, conversation)


def test_curves_are_those_of_the_history(desk):
    write_run(desk.runs, "old")

    async def conversation(ask):
        return await ask("curves", run="old")

    assert talk(desk, conversation)["curves"]["validation skill"] == [[3.0, 0.25]]


def test_every_method_is_offered_with_its_own_defaults():
    steps = {one["name"]: one["steps"] for one in training_calls.methods()}
    assert {"method1", "method2", "direct"} <= set(steps)
    assert json.dumps(steps)
