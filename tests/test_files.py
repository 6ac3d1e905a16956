import errno
import os
import subprocess
import sys

import pytest

from tfdrift.errors import ResourceError, UsageError
from tfdrift.files import staged, whole_file, write_whole, writing


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
    assert names(tmp_path) == [".out.staging"]
    with staged(tmp_path / "out") as (whole, _):
        assert names(whole) == []
    assert names(tmp_path) == ["out"]


def test_a_folder_that_is_being_filled_is_refused(tmp_path):
    with (
        staged(tmp_path / "out"),
        pytest.raises(ResourceError, match=r"another process is writing .*out"),
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
    with pytest.raises(ResourceError, match=r"cannot write to .*: Not a directory"), staged(tmp_path / "file" / "out"):
        pass


def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    def fill():
        with staged(tmp_path / "out") as (whole, _):
            (whole / "half").write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ResourceError, match=r"cannot write to .*out: No space left on device; free space"):
        fill()
    assert names(tmp_path) == []


def test_the_folder_to_fill_is_called_like_the_one_it_becomes_and_alone(tmp_path):
    with staged(tmp_path / "7") as (whole, _):
        assert names(whole.parent) == ["7"]


def test_one_area_takes_one_folder_at_a_time_and_sweeps_what_was_to_become_another(tmp_path):
    (tmp_path / "area/left/whole/1").mkdir(parents=True)
    with staged(tmp_path / "2", area=tmp_path / "area"):
        assert "left" not in names(tmp_path / "area")
        with pytest.raises(ResourceError, match="another process"), staged(tmp_path / "3", area=tmp_path / "area"):
            pass
    assert names(tmp_path) == ["2"]


@pytest.mark.parametrize("content", [b"\x00\r\n", "\u00e4\r\n"])
def test_what_is_written_as_a_whole_reads_back(tmp_path, content):
    write_whole(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert names(tmp_path) == ["a"]


def test_a_file_is_as_it_was_until_the_block_ends(tmp_path):
    write_whole(tmp_path / "a.nii.gz", "before")
    with whole_file(tmp_path / "a.nii.gz") as part:
        part.write_text("after")
        assert part.name == "a.nii.gz"
        assert (tmp_path / "a.nii.gz").read_text() == "before"
    assert (tmp_path / "a.nii.gz").read_text() == "after"


def test_a_file_is_as_it_was_when_the_block_fails(tmp_path):
    def fail():
        with whole_file(tmp_path / "a") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    write_whole(tmp_path / "a", "before")
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "a").read_text() == "before"
    assert names(tmp_path) == ["a"]


def test_two_that_write_one_file_do_not_mix_it_up(tmp_path):
    with whole_file(tmp_path / "a") as first, whole_file(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"  # whose block ended last


def test_others_may_read_what_the_user_lets_them_read(tmp_path):
    write_whole(tmp_path / "a", "a")
    (tmp_path / "b").write_text("b")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_a_library_says_of_a_failed_write_is_one_line():
    with pytest.raises(ResourceError, match=r"^cannot write to there: disk lost; buy one$"):
        fail_in_a_library()


def fail_in_a_library():
    with writing("there", to_do="buy one", also=(LookupError,)):
        raise LookupError("disk lost\nat 0x1f")


def test_other_errors_pass_a_write():
    def fail():
        with writing("there"):
            raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        fail()
