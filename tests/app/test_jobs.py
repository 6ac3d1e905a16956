import asyncio
import sys

import pytest

from tfdrift.app.jobs import Job, Jobs, progress_of


def ended(code: str, *, stop_after: str = "", **settings) -> Job:
    """Run a program, ask it to stop once it has said something, and return the job when it has ended."""

    async def run() -> Job:
        jobs = Jobs()
        job = jobs.start(Job("test", [sys.executable, "-c", code], **settings))
        while stop_after and stop_after not in job.lines:
            await asyncio.sleep(0.02)
        if stop_after:
            await jobs.stop_all()
        await job.ended.wait()
        return job

    return asyncio.run(run())


@pytest.mark.parametrize("line", ["", "step", "patient x of 3", "imported 3 of 4 patients", "skill over copy  0.3"])
def test_other_lines_say_nothing_of_progress(line):
    assert progress_of(line) is None


def test_a_command_is_followed_to_its_end():
    job = ended("import sys\nprint('patient 1 of 2')\nprint('patient 2 of 2', file=sys.stderr)\nprint('done')")
    assert job.state == "done"
    assert job.progress is not None
    assert (job.progress.done, job.progress.total, job.progress.unit) == (2, 2, "patient")
    assert sorted(job.lines) == ["done", "patient 1 of 2", "patient 2 of 2"]
    assert job.document()["state"] == "done"


def test_a_command_that_fails_says_its_error():
    job = ended("import sys\nprint('Error: no such series', file=sys.stderr)\nsys.exit(3)")
    assert (job.state, job.error, job.code) == ("failed", "no such series", 3)


def test_a_command_that_is_killed_says_so():
    assert "killed by signal 9" in ended("import os\nos.kill(os.getpid(), 9)").error


def test_a_program_that_is_not_there_is_a_failure():
    async def run() -> Job:
        job = Jobs().start(Job("test", ["/nowhere/tfdrift"]))
        await job.ended.wait()
        return job

    assert asyncio.run(run()).error == "the command cannot be started: No such file or directory"


def test_a_document_on_standard_output_is_kept_apart():
    job = ended("print('{}')\nimport sys\nprint('said', file=sys.stderr)", shows_output=False)
    assert (job.output, job.lines) == ("{}\n", ["said"])


def test_stopping_is_ctrl_c():
    code = (
        "import time\ntry:\n print('on', flush=True); time.sleep(60)\nexcept KeyboardInterrupt:\n raise SystemExit(130)"
    )
    job = ended(code, stop_after="on")
    assert (job.state, job.code) == ("stopped", 130)


def test_what_does_not_heed_ctrl_c_is_killed_and_swept_away(tmp_path):
    out = tmp_path / "out"
    code = (
        f"import pathlib, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"pathlib.Path({str(out.with_name('.out.staging'))!r}).mkdir()\nprint('on', flush=True)\ntime.sleep(60)"
    )
    job = ended(code, stop_after="on", out=out, patience_seconds=0.2)
    assert (job.state, job.code) == ("stopped", -9)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("code", "seen"), [("", ["then"]), ("raise SystemExit(3)", [])])
def test_what_belongs_to_a_job_is_done_before_it_has_ended_well(code, seen):
    found = []
    ended(code, then=lambda: found.append("then"))
    assert found == seen


def test_a_job_whose_output_cannot_be_read_has_failed():
    def then() -> None:
        raise RuntimeError("of a patient's file")

    job = ended("", then=then)
    assert (job.state, job.error) == ("failed", "what it wrote cannot be read again (RuntimeError)")
