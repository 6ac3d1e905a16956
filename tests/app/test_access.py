import asyncio
import json
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from tfdrift.app.access import POLICY, Access, Guard


def ask(access: Access, path: str = "/api/x", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a guarded application that answers everything."""
    given = {"host": f"127.0.0.1:{access.port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    sent: list[Any] = []

    async def send(message) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    asyncio.run(Guard(PlainTextResponse("inside"), access)(scope, receive, send))
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:])


def cookie_of(access: Access) -> str:
    return access.enter(access.token).headers["set-cookie"]


def test_a_token_becomes_a_cookie_that_no_script_reads_and_no_other_site_sends():
    said = cookie_of(Access(8000))
    assert said.startswith("tfdrift-8000=")
    assert "HttpOnly" in said
    assert "SameSite=strict" in said
    assert "Domain" not in said


@pytest.mark.parametrize("token", ["", "x", None, 7, ["x"]])
def test_another_token_opens_nothing(token):
    answer = Access(8000).enter(token)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_every_server_has_a_token_and_a_cookie_of_its_own():
    one, other = Access(8000), Access(8000)
    assert one.token != other.token
    assert cookie_of(one) != cookie_of(other)
    assert ask(other, cookie=cookie_of(one).split(";")[0])[0] == 401


def test_a_call_needs_the_cookie_and_the_page_itself_does_not():
    access = Access(8000)
    assert ask(access)[0] == 401
    assert ask(access, cookie="tfdrift-8000=x")[0] == 401
    assert ask(access, cookie=cookie_of(access).split(";")[0])[2] == b"inside"
    assert ask(access, "/")[2] == b"inside"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:8001", ""])
@pytest.mark.parametrize("path", ["/", "/api/x", "/api/session"])
def test_another_host_is_refused_everywhere(host, path):
    access = Access(8000)
    status, _, body = ask(access, path, host=host, cookie=cookie_of(access).split(";")[0])
    assert status == 403
    assert json.loads(body) == {"error": "This server answers its own page alone."}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_page_of_another_origin_is_refused_with_the_cookie_too(headers):
    access = Access(8000)
    assert ask(access, cookie=cookie_of(access).split(";")[0], **headers)[0] == 403
    assert ask(access, "/api/session", **headers)[0] == 403


@pytest.mark.parametrize("path", ["/", "/api/x"])
def test_every_answer_is_sealed(path):
    headers = ask(Access(8000), path)[1]
    assert headers["content-security-policy"] == POLICY
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_policy_lets_nothing_leave_the_machine():
    assert POLICY.startswith("default-src 'none'")
    assert "http" not in POLICY
    assert "unsafe" not in POLICY
    assert "*" not in POLICY
