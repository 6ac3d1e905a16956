"""What is shown on a terminal and elsewhere."""

import contextlib
import io
import os
import pty
import re
import select
import termios

import pytest

from tfdrift.training.progress import Progress


@contextlib.contextmanager
def terminal():
    """A terminal in place of standard error; gives a function that reads what it shows."""
    main, screen = pty.openpty()
    termios.tcsetwinsize(screen, (24, 160))
    with os.fdopen(screen, "w") as stream, contextlib.redirect_stderr(stream):

        def read() -> str:
            shown = b""
            while select.select([main], [], [], 0.2)[0]:  # a terminal hands over what it has, not all that was written
                shown += os.read(main, 65536)
            return shown.decode()

        yield read
    os.close(main)


def never(line: str) -> None:
    raise AssertionError(f"a plain line on a terminal: {line}")


def test_a_terminal_shows_a_bar_with_loss_skill_speed_and_time_left():
    with terminal() as read:
        progress = Progress(100, start=0, echo=never)
        progress.validated(0.625)
        progress.show(50, loss=0.1234567, images_per_second=987.6)
        progress.close()
        shown = read()
    assert " 50%|" in shown
    assert "50/100" in shown
    for words in ("loss=0.1235", "images/s=988", "skill=0.625"):
        assert words in shown
    assert re.search(r"\d\d:\d\d<\d\d:\d\d", shown)  # elapsed < left


def test_a_bar_goes_on_where_the_run_does():
    with terminal() as read:
        progress = Progress(100, start=40, echo=never)
        progress.show(60, loss=1.0, images_per_second=1.0)
        progress.close()
        shown = read()
    assert "40/100" in shown
    assert "60/100" in shown


@pytest.fixture
def lines():
    """The list the plain lines go to; standard error is no terminal."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield []


def test_elsewhere_a_plain_line_says_the_same(lines):
    progress = Progress(100, start=0, echo=lines.append)
    progress.validated(0.625)
    progress.show(50, loss=0.1234567, images_per_second=987.6)
    progress.close()
    assert re.fullmatch(r"step 50/100  loss 0\.1235  images/s 988  skill 0\.625  left \d\d:\d\d", lines[0])
    assert len(lines) == 1


def test_the_skill_is_not_shown_before_it_is_known(lines):
    progress = Progress(100, start=0, echo=lines.append)
    progress.show(1, loss=1.0, images_per_second=1.0)
    assert "skill" not in lines[0]


def test_the_time_left_counts_only_the_steps_done_since_the_start(lines, monkeypatch):
    seconds = iter([1000.0, 1010.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))
    progress = Progress(100, start=40, echo=lines.append)
    progress.show(50, loss=1.0, images_per_second=1.0)  # 10 steps in 10 s, 50 to go
    assert lines[0].endswith("left 00:50")
