"""Who may ask the page's server: whoever has the address that it printed, from this machine and from its own page.

The address ends in `#` and a token, which a browser never sends by itself. The page posts it once, gets a cookie that
no script can read, and takes it out of the address. Every answer is sealed by a policy that lets nothing leave the
machine.
"""

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self' data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of the page; `data:` is where its viewer keeps its own font."""

REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
"""Of a report that a prediction wrote: one page with everything inside, and no script."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ASKED_OF = ("127.0.0.1", "localhost")
_OPEN = "/api/session"


class Access:
    """What opens a server.

    Args:
        port: that it listens on.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.token = secrets.token_urlsafe(32)
        # Cookies know no ports, so two servers of one machine need two names.
        self.cookie = f"tfdrift-{port}"
        self._session = secrets.token_urlsafe(32)

    @property
    def _hosts(self) -> set[str]:
        return {f"{name}:{self.port}" for name in _ASKED_OF}

    @property
    def address(self) -> str:
        """What the user opens."""
        return f"http://127.0.0.1:{self.port}/#{self.token}"

    def is_named(self, headers: Headers) -> bool:
        """Return whether a request names this server: a page whose name was turned to this machine names itself."""
        return headers.get("host") in self._hosts

    def is_of_its_page(self, headers: Headers) -> bool:
        """Return whether no page of another origin sent a request; a cookie does not tell ports apart."""
        origin = headers.get("origin")
        return (origin is None or origin in {f"http://{host}" for host in self._hosts}) and (
            headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        )

    def knows(self, request: Request) -> bool:
        """Return whether a request has the cookie."""
        return secrets.compare_digest(request.cookies.get(self.cookie, "").encode(), self._session.encode())

    def enter(self, token: object) -> Response:
        """Return the answer to a token: the cookie, or a refusal.

        Args:
            token: what was posted.
        """
        if not isinstance(token, str) or not secrets.compare_digest(token.encode(), self.token.encode()):
            return refusal(401, "This address is not that of the running tfdrift. Open the one that it printed last.")
        answer = JSONResponse({})
        answer.set_cookie(self.cookie, self._session, httponly=True, samesite="strict", path="/")
        return answer


def refusal(status: int, message: str) -> Response:
    """Return an answer that says why there is none.

    Args:
        status: of HTTP.
        message: for the user.
    """
    return JSONResponse({"error": message}, status)


class Guard:
    """Lets through what may pass, and seals every answer.

    Args:
        app: what answers.
        access: what opens it.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI calls it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def seal(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope, receive)
        path = request.url.path
        is_call = path.startswith("/api/")
        if not self._access.is_named(request.headers) or (is_call and not self._access.is_of_its_page(request.headers)):
            answer = refusal(403, "This server answers its own page alone.")
            await answer(scope, receive, seal)
        elif is_call and path != _OPEN and not self._access.knows(request):
            answer = refusal(401, "Open the address that tfdrift printed; it opens the page for this browser.")
            await answer(scope, receive, seal)
        else:
            await self._app(scope, receive, seal)
