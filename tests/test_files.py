import subprocess
import sys

import pytest

from tfdrift.errors import ResourceError, UsageError
from tfdrift.files import staged


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_the_block_ends_and_not_before(tmp_path):
    with staged(tmp_path / "out") as (whole, scratch):
        (whole / "a.txt").write_text("a")
        (scratch / "b.txt").write_text("b")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["a.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    with staged(tmp_path / "out") as (whole, _):
        (whole / "a.txt").write_text("a")
    assert names(tmp_path / "out") == ["a.txt"]


def test_a_block_that_fails_leaves_nothing(tmp_path):
    def fill_and_fail():
        with staged(tmp_path / "out") as (whole, _):
            (whole / "a.txt").write_text("a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_and_fail()
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    killed = "import os, pathlib, sys\nfrom tfdrift.files import staged\n"
    killed += (
        "with staged(pathlib.Path(sys.argv[1])) as (whole, _):\n    (whole / 'a').write_text('a')\n    os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", killed, str(tmp_path / "out")], check=False)
    assert names(tmp_path) == [".out.importing"]
    with staged(tmp_path / "out") as (whole, _):
        assert names(whole) == []
    assert names(tmp_path) == ["out"]


def test_a_folder_that_is_being_filled_is_refused(tmp_path):
    with (
        staged(tmp_path / "out"),
        pytest.raises(ResourceError, match=r"another import into .*out is running"),
        staged(tmp_path / "out"),
    ):
        pass
    assert names(tmp_path) == ["out"]


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder; give one that does not exist yet"), staged(tmp_path):
        pass
    assert names(tmp_path) == ["notes.txt"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"), staged(tmp_path / "out"):
        pass


def test_the_current_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the current folder cannot be replaced"), staged(tmp_path):
        pass


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ResourceError, match=r"cannot write .*: Not a directory"), staged(tmp_path / "file" / "out"):
        pass
