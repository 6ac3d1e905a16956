"""The server of the page: on this machine's own address, until Ctrl-C."""

import asyncio
import html
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from tfdrift.app.access import Access
from tfdrift.app.calls import make_app
from tfdrift.app.desk import Desk
from tfdrift.errors import DataError, ResourceError

_HOST = "127.0.0.1"


def serve(root: Path, *, models: Path, runs: Path, port: int, browser: bool, echo: Callable[[str], None]) -> None:
    """Serve the page until a signal asks for the end; commands that still run are stopped then.

    Args:
        root: the page sees nothing of the disk outside of it, but models and runs.
        models: folder of models.
        runs: folder of run folders.
        port: to listen on; 0 is any free.
        browser: whether to open the page in the user's browser.
        echo: takes a line of text.

    Raises:
        DataError: the root is no folder.
        ResourceError: the port is taken.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; give --root one that exists")
    with _listening(port) as listener:
        access = Access(listener.getsockname()[1])
        desk = Desk(root, models, runs)
        server = make_server(desk, access)
        try:
            echo(f"open        {access.address}")
            echo(f"shows       {root.resolve()}")
            echo("stop        Ctrl-C")
            if browser:
                webbrowser.open(door(desk.new_folder(), access).as_uri())
            asyncio.run(server.serve(sockets=[listener]))
        except KeyboardInterrupt:  # the way to end it, which uvicorn tells once more at its end
            pass
        finally:
            desk.clear()  # where it ended before it began


def make_server(desk: Desk, access: Access) -> uvicorn.Server:
    """Return the server; it logs no request, as nothing that is asked for shall be on record.

    Args:
        desk: is closed when the server ends.
        access: what opens it.
    """
    app = make_app(desk, access)
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=5, lifespan="on"
    )
    return uvicorn.Server(config)


def door(folder: Path, access: Access) -> Path:
    """Return a file that leads a browser to the page: a command line, which all users see, would show the token.

    Args:
        folder: that the user alone may read.
        access: what opens the page.
    """
    file = folder / "open.html"
    address = html.escape(access.address)
    file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">\n', encoding="utf-8")
    return file


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ResourceError(f"port {port} cannot be had: {error.strerror}; choose another --port") from None
    return listener
