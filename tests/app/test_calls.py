import asyncio
import json
import logging
from typing import Any

import pytest

from tests.app.asking import talk
from tfdrift.app import calls
from tfdrift.app.access import REPORT_POLICY, Access


def ask(desk, path: str, body: bytes = b"{}", method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    """Return the answer to a request that has the cookie."""
    access = Access(8000)
    cookie = access.enter(access.token).headers["set-cookie"].split(";")[0]
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http", "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"cookie", cookie.encode())],
    }  # fmt: skip
    sent: list[Any] = []

    async def send(message) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    asyncio.run(calls.make_app(desk, access)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def test_the_page_begins_with_facts(desk):
    status, _, body = ask(desk, "/api/start")
    assert status == 200
    assert next(one["name"] for one in json.loads(body)["methods"]) == "method1"


@pytest.mark.parametrize("body", [b"", b"[1]", b"nonsense", b"\xff", b"x" * (calls.LARGEST_BODY_BYTES + 1)])
def test_a_body_that_is_no_request_is_an_empty_one(desk, body):
    assert ask(desk, "/api/start", body)[0] == 200


def test_what_a_user_can_act_on_is_one_line(desk):
    status, _, body = ask(desk, "/api/folder", b'{"path": "gone"}')
    assert status == 422
    assert json.loads(body)["error"].startswith("this folder or file is not there any more")


def test_a_fault_of_ours_names_no_patient_anywhere(desk, monkeypatch, caplog):
    async def fault(_desk, _request):
        raise KeyError("Zyxwvut^Anna")

    monkeypatch.setitem(calls.CALLS, "fault", fault)
    with caplog.at_level(logging.DEBUG):
        status, _, body = ask(desk, "/api/fault")
    assert status == 500
    assert b"KeyError" in body
    assert b"Zyxwvut" not in body
    assert "KeyError" in caplog.text
    assert "Zyxwvut" not in caplog.text


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/api/nothing", "POST", 404),
        ("/api/start", "GET", 405),
        ("/api/files/x/mri.nii", "GET", 404),
        ("/x", "GET", 404),
    ],
)
def test_what_is_not_there_is_refused(desk, path, method, status):
    assert ask(desk, path, method=method)[0] == status


def test_a_report_has_a_policy_without_scripts():
    assert "script-src" not in REPORT_POLICY
    assert REPORT_POLICY.startswith("default-src 'none'")
    assert "sandbox" in REPORT_POLICY


def test_a_command_can_be_asked_after_and_stopped(desk):
    import sys

    async def conversation(ask):
        started = desk.start("test", [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"])
        while not desk.job(started["id"]).lines:
            await asyncio.sleep(0.02)
        running = await calls.CALLS["job"](desk, {"job": started["id"]})
        stopped = await calls.CALLS["stop"](desk, {"job": started["id"]})
        return (await ask("jobs"))["jobs"], running, stopped

    jobs, running, stopped = talk(desk, conversation)
    assert [job["state"] for job in jobs] == ["stopped"]
    assert (running["state"], running["lines"], running["files"]) == ("running", ["1"], [])
    assert stopped["state"] == "stopped"
