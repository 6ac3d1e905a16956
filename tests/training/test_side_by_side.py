"""Trainings in processes of their own: the bits of one thread, stopped together, each end told by the run's name."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from tests.local_workers import start_workers
from tests.prepared_cohort import write_cohort
from tfdrift.errors import DivergedError, ResourceError, StoppedError, UsageError
from tfdrift.training import side_by_side
from tfdrift.training.checkpoint import newest_step
from tfdrift.training.data import load_samples
from tfdrift.training.side_by_side import train_all
from tfdrift.training.train import train

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def no_echo(_line: str) -> None:
    """Show nothing."""


@pytest.fixture(scope="module")
def cohort(make_samples, tmp_path_factory):
    """The folder of a cohort of six patients in three folds, as a process of its own can read it."""
    return str(write_cohort(tmp_path_factory.mktemp("cohorts") / "tiny", make_samples()))


@pytest.fixture(scope="module")
def samples(cohort):
    return load_samples(cohort, image_size=8)


@pytest.fixture(scope="module")
def trained(cohort, samples, tiny_config, tmp_path_factory):
    """Two runs that were trained side by side, and what was said."""
    out, said = tmp_path_factory.mktemp("runs"), []
    jobs = [(tiny_config("direct", data=cohort, fold=fold, steps=40), out / f"fold{fold}", samples) for fold in (0, 1)]
    with pytest.MonkeyPatch.context() as patch:
        for name in THREADS:
            patch.delenv(name, raising=False)
        train_all(jobs, workers=2, echo=said.append)
    return jobs, said


def test_the_weights_are_those_of_a_run_alone_on_one_thread(trained, read_weights, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from tfdrift.config import read_config\n"
        "from tfdrift.training.train import train\n"
        "ours, alone = map(Path, sys.argv[1:])\n"
        "train(read_config(ours / 'config.json')[0].resolved_from(ours), alone, echo=print)\n"
    )
    folder = trained[0][1][1]
    one_thread = {**os.environ, **dict.fromkeys(THREADS, "1")}
    subprocess.run([sys.executable, "-c", code, folder, tmp_path], check=True, env=one_thread, capture_output=True)
    ours, alone = read_weights(folder), read_weights(tmp_path)
    assert len(alone) > 20
    assert {name: value.tobytes() for name, value in ours.items()} == {
        name: value.tobytes() for name, value in alone.items()
    }


def test_a_line_tells_of_each_run_that_ends(trained):
    _, said = trained
    assert said[0] == "2 of 2 runs to train, 2 at a time"
    assert [line.split(":")[0] for line in said[1:]] == ["1 of 2 trained", "2 of 2 trained"]
    assert sorted(line.split(": ")[1] for line in said[1:]) == ["fold0", "fold1"]


def test_on_a_cluster_the_weights_are_the_same_after_a_worker_was_killed(trained, read_weights, tmp_path):
    (config, here, samples), _ = trained[0]
    there, killed = tmp_path / "there", []

    def kill(scheduler: psutil.Process) -> None:
        while newest_step(there / "checkpoints") == 0:
            time.sleep(0.01)
        for process in scheduler.children(recursive=True):
            if str(there / ".lock") in [file.path for file in process.open_files()]:
                worker = process.parent()
                assert worker is not None
                killed.append((worker.pid, newest_step(there / "checkpoints")))
                worker.kill()

    with start_workers() as (process, address):
        threading.Thread(target=kill, args=(psutil.Process(process.pid),), daemon=True).start()
        train_all([(config, there, samples)], workers=1, scheduler=address, echo=no_echo)
    ((_, step),) = killed
    assert 0 < step < 40
    ours, theirs = read_weights(here), read_weights(there)
    assert {name: value.tobytes() for name, value in ours.items()} == {
        name: value.tobytes() for name, value in theirs.items()
    }


def test_a_run_that_has_its_steps_is_not_started(trained, monkeypatch):
    jobs, _ = trained
    monkeypatch.setattr(side_by_side, "run_anywhere", lambda *_, **__: pytest.fail("a process was started"))
    train_all(jobs, workers=2, echo=lambda line: pytest.fail(line))


def test_other_settings_in_a_folder_are_refused_before_anything_is_trained(trained, tmp_path):
    (config, folder, samples), _ = trained[0]
    other = dataclasses.replace(config, learning_rate=0.5)
    with pytest.raises(UsageError, match=r"fold0 holds another run \(learning_rate: 0\.5, not 0\.001\)"):
        train_all([(other, tmp_path / "new", samples), (other, folder, samples)], workers=2, echo=no_echo)
    assert list(tmp_path.iterdir()) == []


def test_the_error_of_a_run_arrives_with_its_name_and_no_other_starts(
    cohort, samples, tiny_config, make_samples, tmp_path
):
    data = make_samples()
    bright = dataclasses.replace(data, post=np.where(data.fold[:, None, None, None] == 1, 1e30, data.post))
    broken = str(write_cohort(tmp_path / "cohorts/broken", bright))
    jobs = [
        (tiny_config("direct", data=broken), tmp_path / "bright", load_samples(broken, image_size=8)),
        (tiny_config("direct", data=cohort), tmp_path / "other", samples),
    ]
    with pytest.raises(DivergedError, match=r"^bright: step \d+: not a finite number") as diverged:
        train_all(jobs, workers=1, echo=no_echo)
    assert diverged.value.exit_code == 5
    assert not (tmp_path / "other").exists()


def test_a_process_that_is_killed_is_told_by_the_name_of_its_run(cohort, samples, tiny_config, tmp_path):
    def kill() -> None:
        while not multiprocessing.active_children():
            time.sleep(0.01)
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    message = r"^run7: its process was killed by signal 9.*same command goes on.*fewer --workers"
    with pytest.raises(ResourceError, match=message):
        train_all([(tiny_config("direct", data=cohort), tmp_path / "run7", samples)], workers=2, echo=no_echo)


def test_sigterm_has_a_run_write_a_checkpoint_from_which_it_goes_on(cohort, samples, tiny_config, tmp_path):
    endless = tiny_config("direct", data=cohort, steps=10**6, log_every=1, checkpoint_every=10**6)
    history, ended = tmp_path / "running/history.jsonl", threading.Event()

    def stop() -> None:
        while not (history.exists() and history.stat().st_size):
            if ended.wait(0.05):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    message = "^stopped by SIGTERM with 0 of 2 trained; the same command goes on from there$"
    with pytest.raises(StoppedError, match=message) as stopped:
        train_all([(endless, tmp_path / name, samples) for name in ("running", "waiting")], workers=1, echo=no_echo)
    ended.set()
    assert stopped.value.exit_code == 143
    assert not (tmp_path / "waiting").exists()
    reached = newest_step(tmp_path / "running/checkpoints")
    assert reached > 0
    said = []
    train(dataclasses.replace(endless, steps=reached + 1), tmp_path / "running", echo=said.append)
    assert [line.split()[1] for line in said] == [f"{reached + 1}/{reached + 1}"]
