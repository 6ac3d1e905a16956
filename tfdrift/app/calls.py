"""Every call of the page by name, and the web application that answers them."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tfdrift import __version__
from tfdrift.app import cohort_calls, patient_calls, training_calls
from tfdrift.app.access import REPORT_POLICY, Access, Guard, refusal
from tfdrift.app.desk import Desk
from tfdrift.errors import TfdriftError

Call = Callable[[Desk, dict[str, Any]], Awaitable[dict[str, Any]]]

PAGE = Path(__file__).parent / "page"
LARGEST_BODY_BYTES = 2**20
_LOG = logging.getLogger(__name__)


async def start(desk: Desk, _request: dict[str, Any]) -> dict[str, Any]:
    """Return what the page begins with."""
    return {
        "version": __version__,
        "root": desk.folders.root.name or "/",
        "models": desk.models.name,
        "runs": desk.runs.name,
        "methods": training_calls.methods(),
    }


async def folder(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Return what is in a folder.

    Args:
        desk: what the page works on.
        request: what the page sends: `path`.
    """
    return await asyncio.to_thread(desk.folders.listing, request.get("path", ""))


async def jobs(desk: Desk, _request: dict[str, Any]) -> dict[str, Any]:
    """Return all commands."""
    return {"jobs": [job.document() for job in desk.jobs.list()]}


async def job(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Return a command.

    Args:
        desk: what the page works on.
        request: what the page sends: `job`.
    """
    found = desk.job(request.get("job"))
    return {**found.document(), "files": desk.file_names(found.id)}


async def stop(desk: Desk, request: dict[str, Any]) -> dict[str, Any]:
    """Stop a command, and return it once it has ended.

    Args:
        desk: what the page works on.
        request: what the page sends: `job`.
    """
    found = desk.job(request.get("job"))
    await found.stop()
    return found.document()


CALLS: dict[str, Call] = {
    "start": start,
    "folder": folder,
    "jobs": jobs,
    "job": job,
    "stop": stop,
    **patient_calls.CALLS,
    **training_calls.CALLS,
    **cohort_calls.CALLS,
}


def make_app(desk: Desk, access: Access) -> Starlette:
    """Return the ASGI application.

    Args:
        desk: is closed when the application ends.
        access: what opens it.
    """

    async def session(request: Request) -> Response:
        return access.enter((await _body(request)).get("token"))

    async def answer(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in CALLS:
            return refusal(404, "there is no such call")
        try:
            return JSONResponse(await CALLS[name](desk, await _body(request)))
        except TfdriftError as error:
            return refusal(422, " ".join(str(error).splitlines()))
        except Exception as error:  # noqa: BLE001 - a fault of ours is an answer too; its text could name a patient
            _LOG.error("the call %s met a fault: %s", name, type(error).__name__)
            return refusal(500, f"a fault of tfdrift's own ({type(error).__name__}); please report it")

    async def file(request: Request) -> Response:
        name = request.path_params["file"]
        path = desk.file(request.path_params["job"], name)
        if path is None:
            return refusal(404, "this is not there any more")
        is_report = name.endswith(".html")
        headers = {"Content-Security-Policy": REPORT_POLICY} if is_report else None
        return FileResponse(path, media_type="text/html" if is_report else "application/octet-stream", headers=headers)

    async def index(_request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    @asynccontextmanager
    async def lifespan(_app: Starlette):
        yield
        await desk.close()

    return Starlette(
        routes=[
            Route("/", index),
            Mount("/page", StaticFiles(directory=PAGE)),
            Route("/api/session", session, methods=["POST"]),
            Route("/api/files/{job}/{file}", file),
            Route("/api/{name}", answer, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, access=access)],
        lifespan=lifespan,
    )


async def _body(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY_BYTES:
            return {}
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
