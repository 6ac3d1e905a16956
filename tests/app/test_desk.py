import asyncio
import sys

import pytest

from tests.app.asking import talk
from tfdrift.app.desk import Desk, sweep
from tfdrift.errors import DataError


def test_the_private_folder_is_the_owners_alone_and_goes_with_the_desk(desk, tmp_path):
    inside = desk.new_folder()
    assert inside.parent.parent == tmp_path
    assert inside.parent.stat().st_mode & 0o077 == 0
    asyncio.run(desk.close())
    assert not inside.parent.exists()


def test_what_a_killed_server_left_is_swept_away_and_what_runs_is_not(tmp_path, desk):
    inside = desk.new_folder()
    (tmp_path / "tfdrift-app-dead/patient").mkdir(parents=True)
    sweep(tmp_path)
    assert not (tmp_path / "tfdrift-app-dead").exists()
    assert inside.exists()


def test_files_are_there_once_their_command_has_ended_well(desk):
    out = desk.new_folder() / "x"
    code = f"open({str(out)!r}, 'w').close()"

    async def conversation(_ask):
        good = desk.start("test", [sys.executable, "-c", code], files={"x": out, "gone": out.with_name("y")})["id"]
        bad = desk.start("test", [sys.executable, "-c", "1/0"], files={"x": out})["id"]
        assert desk.file(good, "x") is None
        for name in (good, bad):
            await desk.job(name).ended.wait()
        with pytest.raises(DataError, match="Begin anew"):
            desk.job(bad, done=True)
        with pytest.raises(DataError, match="Begin anew"):
            desk.job(good, kind="other")
        return desk.file(good, "x"), desk.file(bad, "x"), desk.file(good, "gone"), desk.file_names(good)

    assert talk(desk, conversation) == (out, None, None, ["x"])


def test_commands_that_run_are_stopped_with_the_desk(desk):
    async def conversation(_ask):
        return desk.job(desk.start("test", [sys.executable, "-c", "import time; time.sleep(60)"])["id"])

    assert talk(desk, conversation).state in ("stopped", "failed")


@pytest.mark.parametrize("name", ["nothing", None, 3, ["x"]])
def test_a_command_that_never_was_is_not_there(desk: Desk, name):
    with pytest.raises(DataError, match="Begin anew"):
        desk.job(name)
