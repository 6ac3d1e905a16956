import asyncio
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from tfdrift.app import server as module
from tfdrift.app.access import Access
from tfdrift.errors import DataError, ResourceError


def test_a_server_listens_on_this_machine_alone_and_opens_for_its_token(desk):
    listener = module._listening(0)
    assert listener.getsockname()[0] == "127.0.0.1"
    access = Access(listener.getsockname()[1])
    server = module.make_server(desk, access)
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        base = f"http://127.0.0.1:{access.port}"
        page = urllib.request.urlopen(base)
        assert b"<title>tfdrift</title>" in page.read()
        assert "server" not in page.headers
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{base}/api/start", data=b"{}")
        opened = urllib.request.urlopen(f"{base}/api/session", data=json.dumps({"token": access.token}).encode())
        headers = {"Cookie": opened.headers["set-cookie"].split(";")[0]}
        asked = urllib.request.Request(f"{base}/api/start", data=b"{}", headers=headers)
        assert json.loads(urllib.request.urlopen(asked).read())["root"] == "root"
        unknown = urllib.request.Request(f"{base}/api/files/x/y", headers=headers)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(unknown)
    finally:
        server.should_exit = True
        thread.join()
    assert list(desk.folders.root.parent.glob("tfdrift-app-*")) == []


def test_the_address_holds_the_token_where_no_browser_sends_it():
    access = Access(8000)
    assert access.address == f"http://127.0.0.1:8000/#{access.token}"


def test_the_door_leads_to_the_address(tmp_path):
    access = Access(8000)
    assert access.address in module.door(tmp_path, access).read_text()


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError, match=f"port {port} cannot be had"):
            module.serve(tmp_path, models=tmp_path, runs=tmp_path, port=port, browser=False, echo=print)


def test_a_root_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        module.serve(tmp_path / "x", models=tmp_path, runs=tmp_path, port=0, browser=False, echo=print)
