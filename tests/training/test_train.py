"""Whole runs: resumed to the same bits after every kind of end, refused where they must be, readable afterwards."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import TENSORS, EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

from tests.prepared_cohort import write_cohort
from tfdrift.cohort.folds import split
from tfdrift.cohort.samples import save_samples
from tfdrift.errors import DivergedError, ResourceError, StoppedError, UsageError
from tfdrift.training.batches import make_batches
from tfdrift.training.run_folder import load_predictor
from tfdrift.training.train import train

RUNS = {"method1": {"ema": 0.9}, "method2": {}}


def no_echo(_line: str) -> None:
    """Show nothing."""


def tensors(folder: Path, part: str) -> EventAccumulator:
    logdir = str(folder / "tensorboard" / part)
    return EventAccumulator(logdir, {TENSORS: 0}, {"scalars": 0, "images": 0}).Reload()


def curve(folder: Path, part: str, tag: str) -> dict[int, float]:
    """Return step -> value, after checking that no step stands there twice."""
    events = tensors(folder, part).Tensors(tag)
    values = {event.step: float(tensor_util.make_ndarray(event.tensor_proto)) for event in events}
    assert len(values) == len(events)
    return values


def history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def everything_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def signal_at(step: int, number: signal.Signals):
    """Return an echo that sends this process a signal when the step is shown."""

    def echo(line: str) -> None:
        if line.startswith(f"step {step}/"):
            os.kill(os.getpid(), number)

    return echo


@pytest.fixture
def assert_same_run(read_weights):
    """A function that compares two runs: every tensor of the checkpoint, and the training curve."""

    def check(folder: Path, reference: Path) -> None:
        ours, theirs = read_weights(folder), read_weights(reference)
        assert set(ours) == set(theirs)
        assert len(ours) > 20
        for name, value in theirs.items():
            np.testing.assert_array_equal(ours[name], value, err_msg=name)
        assert curve(folder, "train", "loss") == curve(reference, "train", "loss")
        steps = [(line["step"], line["part"]) for line in history(folder) if line["part"] == "train"]
        assert steps == [(step, "train") for step in range(2, 13, 2)]

    return check


def test_a_run_goes_on_after_a_normal_end_and_after_sigterm(
    finished, make_samples, tiny_config, read_weights, tmp_path
):
    def go(steps: int, echo) -> None:
        train(
            tiny_config("method1", **{**RUNS["method1"], "steps": steps}), tmp_path, echo=echo, samples=make_samples()
        )

    go(3, no_echo)
    assert read_weights(tmp_path)["step/.ATTRIBUTES/VARIABLE_VALUE"] == 3
    with pytest.raises(StoppedError, match="stopped by SIGTERM at step 6 of 12; the same command goes on") as stopped:
        go(12, signal_at(6, signal.SIGTERM))
    assert stopped.value.exit_code == 143
    assert read_weights(tmp_path)["step/.ATTRIBUTES/VARIABLE_VALUE"] == 6
    go(12, no_echo)
    ours, theirs = read_weights(tmp_path), read_weights(finished("method1"))
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def test_a_run_whose_step_size_falls_goes_on_to_the_same_bits_and_no_further(
    make_samples, tiny_config, assert_same_run, tmp_path
):
    config = tiny_config("direct", decay="cosine", augment="elastic")
    train(config, tmp_path / "whole", echo=no_echo, samples=make_samples())
    with pytest.raises(StoppedError):
        train(config, tmp_path / "cut", echo=signal_at(6, signal.SIGTERM), samples=make_samples())
    train(config, tmp_path / "cut", echo=no_echo, samples=make_samples())
    assert_same_run(tmp_path / "cut", tmp_path / "whole")
    rates = list(curve(tmp_path / "whole", "train", "learning_rate").values())
    assert rates == pytest.approx([1e-3 * (1 + np.cos(np.pi * step / 12)) / 2 for step in range(2, 13, 2)], abs=1e-9)
    with pytest.raises(UsageError, match="steps: 24, not 12"):
        train(dataclasses.replace(config, steps=24), tmp_path / "whole", echo=no_echo, samples=make_samples())


def test_a_run_goes_on_after_sigint(finished, make_samples, tiny_config, assert_same_run, tmp_path):
    config = tiny_config("method2", **RUNS["method2"])
    with pytest.raises(StoppedError, match="SIGINT at step 2 of 12") as stopped:
        train(config, tmp_path, echo=signal_at(2, signal.SIGINT), samples=make_samples())
    assert stopped.value.exit_code == 130
    train(config, tmp_path, echo=no_echo, samples=make_samples())
    assert_same_run(tmp_path, finished("method2"))


KILLS = {
    "method1": {
        "between_steps": [],
        "during_save": ["step-4_temp"],
        "after_naming": ["checkpoint", "step-4.data-00000-of-00001", "step-4.index"],
        "during_steps": ["checkpoint", "step-4.data-00000-of-00001", "step-4.index"],
    },
    "method2": {
        "before_naming": ["step-4.data-00000-of-00001", "step-4.index"],
        "in_a_line": ["checkpoint", "step-4.data-00000-of-00001", "step-4.index"],
        "during_save": ["checkpoint", "step-4.data-00000-of-00001", "step-4.index", "step-8_temp"],
    },
}


def test_a_run_goes_on_after_sigkill_at_any_point(finished, make_samples, tiny_config, assert_same_run, tmp_path):
    samples = make_samples()
    save_samples(tmp_path / "samples.npz", samples)
    chains = {}
    for method, points in KILLS.items():
        settings = tmp_path / f"{method}.json"
        settings.write_text(json.dumps(dataclasses.asdict(tiny_config(method, **RUNS[method]))))
        script = Path(__file__).with_name("kill_chain.py")
        arguments = [settings, tmp_path / "samples.npz", tmp_path / method, *points]
        chains[method] = subprocess.Popen(
            [sys.executable, script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    for method, chain in chains.items():
        output, errors = chain.communicate(timeout=300)
        assert chain.returncode == 0, errors
        assert dict(zip(KILLS[method], json.loads(output), strict=True)) == KILLS[method]
        assert_same_run(tmp_path / method, finished(method))
        assert not list((tmp_path / method).rglob("*_temp"))


def test_tensorboard_shows_every_number_of_a_run(finished):
    folder = finished("method1")
    parts = [f"{group}/{name}" for group in ("recon", "drift") for name in ("loss", "mse", "ssim")]
    for tag in ("loss", *parts, "learning_rate", "gradient_norm", "images_per_second"):
        assert list(curve(folder, "train", tag)) == [2, 4, 6, 8, 10, 12], tag
    for tag in ("loss", "skill", "ssim", "drift/skill", "drift/ssim"):
        assert tag in tensors(folder, "validation").Tags()[TENSORS]
    assert list(curve(folder, "validation", "skill")) == [12]


def test_the_logged_loss_is_the_weighted_sum_of_the_logged_parts(finished):
    for line in (line for line in history(finished("method1")) if line["part"] == "train"):
        assert line["recon_loss"] == pytest.approx(0.9 * line["recon_mse"] + 0.1 * (1 - line["recon_ssim"]), rel=1e-5)
        assert line["loss"] == pytest.approx(line["recon_loss"] + 3 * line["drift_loss"], rel=1e-5)


def test_tensorboard_shows_the_settings_of_a_run(finished, tiny_config):
    metadata = tensors(finished("method1"), "train").SummaryMetadata("_hparams_/session_start_info")
    found = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    settings = dataclasses.asdict(tiny_config("method1", **RUNS["method1"]))
    assert {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()} == {
        name: value for name, value in settings.items() if value is not None
    }


@pytest.mark.parametrize(("method", "averaged"), [("method1", True), ("method2", False)])
def test_an_average_is_kept_where_one_is_asked_for(finished, read_weights, method, averaged):
    assert any(name.startswith("averaged/") for name in read_weights(finished(method))) == averaged


def test_a_finished_run_started_again_says_so_and_changes_nothing(finished, make_samples, tiny_config):
    folder, said = finished("method1"), []
    before = everything_below(folder)
    train(tiny_config("method1", **{**RUNS["method1"], "steps": 8}), folder, echo=said.append, samples=make_samples())
    assert said == [f"{folder} is trained already: 12 steps; more --steps would go on"]
    assert everything_below(folder) == before


def test_another_configuration_is_refused_with_what_differs(finished, make_samples, tiny_config):
    folder = finished("method1")
    before = everything_below(folder)
    other = tiny_config("method1", **{**RUNS["method1"], "learning_rate": 0.5, "seed": 3})
    with pytest.raises(UsageError, match=r"holds another run \(learning_rate: 0.5, not 0.001; seed: 3, not 0\)"):
        train(other, folder, echo=no_echo, samples=make_samples())
    assert everything_below(folder) == before


def test_other_data_are_refused(finished, make_samples, tiny_config):
    with pytest.raises(UsageError, match="the data have changed"):
        train(
            tiny_config("method1", **RUNS["method1"]), finished("method1"), echo=no_echo, samples=make_samples(seed=1)
        )


def test_a_run_on_a_cohort_is_the_run_on_its_samples(cohort_run, make_samples, tiny_config, tmp_path, read_weights):
    samples = make_samples().take(np.argsort(make_samples().fold, kind="stable"))
    train(tiny_config("method1", steps=4), tmp_path / "same", echo=no_echo, samples=samples)
    weights, same = read_weights(cohort_run), read_weights(tmp_path / "same")
    assert [name for name in same if not np.array_equal(weights[name], same[name])] == []


def test_a_run_on_a_cohort_goes_on_from_another_folder(cohort_run, tiny_config, monkeypatch):
    monkeypatch.chdir(cohort_run)
    train(tiny_config("method1", data="../../cohorts/mine", steps=6), Path(), echo=no_echo)
    _, facts, _ = load_predictor(cohort_run)
    assert (facts["step"], facts["data"]["slices"]) == (6, 8)


def test_another_cohort_in_the_same_run_folder_is_refused(cohort_run, make_samples, tiny_config, tmp_path):
    write_cohort(tmp_path / "cohorts/other", make_samples(seed=1))
    before = everything_below(cohort_run)
    with pytest.raises(UsageError, match=r"holds another run \(the data have changed\)"):
        train(tiny_config("method1", data=str(tmp_path / "cohorts/other"), steps=6), cohort_run, echo=no_echo)
    assert everything_below(cohort_run) == before


def test_no_file_of_a_run_on_a_cohort_says_where_on_the_machine_it_lies(first_cohort_run):
    files = [path for path in first_cohort_run.rglob("runs/**/*") if path.is_file()]
    assert [path.name for path in files if str(first_cohort_run).encode() in path.read_bytes()] == []
    assert [path.name for path in files if b"cohorts/mine" in path.read_bytes()] == ["config.json"]


def test_a_disk_that_fills_up_ends_the_run_and_keeps_the_last_checkpoint(make_samples, tiny_config, small_disk, fill):
    config, folder = tiny_config("direct"), small_disk / "run"

    def echo(line: str) -> None:
        if line.startswith("step 6/"):
            fill(small_disk)

    with pytest.raises(ResourceError, match=r"cannot write to .*No space left.* go on from the last checkpoint"):
        train(config, folder, echo=echo, samples=make_samples())
    assert load_predictor(folder)[1]["step"] == 4


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(
    make_samples, tiny_config, read_weights, tmp_path
):
    config, samples = tiny_config("direct", steps=100), make_samples(count=60)
    batch = make_batches(split(samples, 0)[0], batch_size=4, seed=0)
    late = batch(tf.constant(6, tf.int64))["post"].numpy().max(axis=(1, 2, 3))  # what step 7 shows
    early = np.concatenate([batch(tf.constant(k, tf.int64))["post"] for k in range(6)]).max(axis=(1, 2, 3))
    (first_shown, *_) = sorted(set(late.tolist()) - set(early.tolist()))
    post = np.where(samples.post == np.float32(first_shown), np.float32(1e30), samples.post)
    assert (post == 1e30).sum() == 1
    message = (
        r"^step 7: not a finite number \(loss .*recon_mse inf, .*drift_mse inf, .*the checkpoint of step 4 is kept"
    )
    with pytest.raises(DivergedError, match=message) as diverged:
        train(config, tmp_path, echo=no_echo, samples=dataclasses.replace(samples, post=post))
    assert diverged.value.exit_code == 5
    weights = read_weights(tmp_path)
    assert weights["step/.ATTRIBUTES/VARIABLE_VALUE"] == 4
    assert all(np.isfinite(value).all() for value in weights.values())
