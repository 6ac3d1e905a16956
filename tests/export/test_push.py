"""A run becomes a version that is served only if it deserves it, as a whole or not at all."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.clinic.patients import ADAPTIVE
from tests.conftest import METRICS, SIZE
from tests.random_samples import make_samples
from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.predict import calibration_of
from tfdrift.config import read_config
from tfdrift.errors import DataError, NotBlessedError, ResourceError, UsageError
from tfdrift.evaluation.calibration import AdaptiveCalibration, Calibration
from tfdrift.evaluation.report import evaluate_run
from tfdrift.export import push
from tfdrift.export.canary import try_on_server
from tfdrift.export.model_card import NOT_CALIBRATED
from tfdrift.export.model_folder import read_version, versions
from tfdrift.export.push import push_runs
from tfdrift.export.server_configs import read_models_config
from tfdrift.statistics.adaptive import AdaptiveMargin

pytestmark = pytest.mark.parametrize("method", ["method1"], indirect=True, scope="session")


@pytest.fixture
def run(exported, tmp_path) -> Path:
    """A run that was scored well above copy."""
    folder = tmp_path / "run"
    shutil.copytree(exported.run, folder)
    score(folder)
    return folder


@pytest.fixture
def without_server(monkeypatch) -> None:
    """Leave out the trial on a server where a test is about something else."""
    monkeypatch.setattr(push, "try_out", lambda *_arguments: "not")


def score(run: Path, value: float = 0.5, low: float = 0.25) -> None:
    skill = {"value": value, "low": low, "high": value + 0.2}
    (run / "metrics.json").write_text(json.dumps({**METRICS, "skill": skill}))


def blessing(version: Path) -> dict[str, Any]:
    return json.loads((version / "assets.extra/blessing.json").read_text())


def test_a_good_run_is_pushed_with_its_record(run, tmp_path):
    target = tmp_path / "models/first"
    pushed = push_runs([run], target, outcomes=2)
    assert versions(target) == [int(pushed.version.name)]
    assert all(check.passed for check in pushed.checks)
    record = blessing(pushed.version)
    assert (record["blessed"], record["forced"]) == (True, False)
    document = json.loads((pushed.version / "assets/config.json").read_text())
    assert document["samples"] == 2
    assert document["metrics"]["skill"]["low"] == 0.25
    (listed,) = read_models_config(tmp_path / "models").model_config_list.config
    assert (listed.name, listed.base_path) == ("first", str(target))
    assert not list(target.glob(".staging"))


def test_a_run_no_better_than_copy_is_not_pushed(run, tmp_path):
    score(run, low=-0.01)
    with pytest.raises(
        NotBlessedError,
        match=r"NOT_BLESSED, not pushed: skill over copy 0.500 .*the lower end of its interval must be above 0",
    ):
        push_runs([run], tmp_path / "models/first")
    assert versions(tmp_path / "models/first") == []
    assert not (tmp_path / "models/models.config").exists()


@pytest.mark.usefixtures("without_server")
def test_force_pushes_it_and_is_recorded(run, tmp_path):
    score(run, low=-0.01)
    record = blessing(push_runs([run], tmp_path / "models/first", outcomes=1, force=True).version)
    assert (record["blessed"], record["forced"]) == (False, True)
    assert [check["name"] for check in record["checks"] if not check["passed"]] == ["above copy"]


@pytest.mark.usefixtures("without_server")
def test_a_calibration_of_the_same_settings_stands_in_the_model_and_its_card(run, tmp_path):
    found = calibrate_for(run, tmp_path)
    version = push_runs([run], tmp_path / "models/first", outcomes=1, calibration=tmp_path / "crossval").version
    assert json.loads((version / "assets/config.json").read_text())["calibration"] == found
    assert "measured on 39 patients" in (version / "assets.extra/model_card.md").read_text()


@pytest.mark.usefixtures("without_server")
def test_margins_that_adapt_come_from_an_evaluation_through_the_model_to_a_prediction(run, tmp_path):
    found = calibrate_for(run, tmp_path, adaptive=ADAPTIVE)
    assert found["adaptive"] == ADAPTIVE
    version = push_runs([run], tmp_path / "models/first", outcomes=1, calibration=tmp_path / "crossval").version
    assert json.loads((version / "assets/config.json").read_text())["calibration"] == found
    read = calibration_of(LocalModel(version).about)
    assert read is not None
    assert dataclasses.asdict(read) == found
    assert "learned on\n13 of the patients" in (version / "assets.extra/model_card.md").read_text()


@pytest.mark.usefixtures("without_server")
def test_a_calibration_of_before_there_were_margins_that_adapt_is_as_good(run, tmp_path):
    found = calibrate_for(run, tmp_path)
    old = {name: value for name, value in found.items() if name != "adaptive"}
    (tmp_path / "crossval/metrics.json").write_text(json.dumps({"calibration": old}))
    version = push_runs([run], tmp_path / "models/first", outcomes=1, calibration=tmp_path / "crossval").version
    read = calibration_of(LocalModel(version).about)
    assert read is not None
    assert dataclasses.asdict(read) == {**old, "adaptive": None}


@pytest.mark.usefixtures("without_server")
def test_without_it_the_model_has_none_and_its_card_says_so(run, tmp_path):
    version = push_runs([run], tmp_path / "models/first", outcomes=1).version
    assert json.loads((version / "assets/config.json").read_text())["calibration"] is None
    assert NOT_CALIBRATED in (version / "assets.extra/model_card.md").read_text()


def test_a_calibration_of_other_settings_is_refused_before_anything_is_written(run, tmp_path):
    calibrate_for(run, tmp_path, noise_level=0.5)
    with pytest.raises(DataError, match=r"noise_level: 0\.5, not 0\.2"):
        push_runs([run], tmp_path / "models/first", calibration=tmp_path / "crossval")
    assert not (tmp_path / "models").exists()


def calibrate_for(
    run: Path, folder: Path, *, adaptive: dict[str, Any] | None = None, **changed: float
) -> dict[str, Any]:
    """Write what a cross-validation of the run's settings would, but for those changed; return its calibration."""
    config, facts = read_config(run / "config.json")
    settings = {**dataclasses.asdict(config.without_paths()), **changed}
    found = dataclasses.asdict(
        Calibration(
            coverage=0.9, volume_margin=0.25, drift_margin=0.125, patients=39, outcomes=16, runs=1, step=2,
            fingerprint=facts["data"]["fingerprint"],
            settings={name: settings[name] for name in settings if name not in ("fold", "seed", "steps")},
            adaptive=None if adaptive is None else AdaptiveCalibration(
                **{name: AdaptiveMargin(**one) for name, one in adaptive.items()}
            ),
        )
    )  # fmt: skip
    (folder / "crossval").mkdir()
    (folder / "crossval/metrics.json").write_text(json.dumps({"calibration": found}))
    return found


@pytest.mark.usefixtures("without_server")
def test_a_blessed_run_is_not_recorded_as_forced(run, tmp_path):
    assert not blessing(push_runs([run], tmp_path / "models/first", outcomes=1, force=True).version)["forced"]


@pytest.mark.usefixtures("without_server")
def test_a_run_worse_than_the_version_served_now_is_not_pushed(run, tmp_path):
    served = push_runs([run], tmp_path / "models/first", outcomes=1).version
    score(run, value=0.47)
    with pytest.raises(
        NotBlessedError, match=rf"skill 0.470 \(must be at least 0.480: that of version {served.name}, less 0.02"
    ):
        push_runs([run], tmp_path / "models/first", outcomes=1)
    assert versions(tmp_path / "models/first") == [int(served.name)]


def test_a_model_that_fails_on_a_server_is_not_pushed_even_by_force(run, tmp_path, monkeypatch):
    def spoil(versions_folder, requests, expected):
        (weights,) = versions_folder.glob("*/variables/variables.data*")
        content = bytearray(weights.read_bytes())
        content[: len(content) // 2] = bytes(len(content) // 2)  # weights that the disk lost
        weights.write_bytes(content)
        try_on_server(versions_folder, requests, expected)

    monkeypatch.setattr(push, "try_out", spoil)
    with pytest.raises(NotBlessedError, match="canary, not pushed: serving_default over gRPC"):
        push_runs([run], tmp_path / "models/first", outcomes=1, force=True)
    assert versions(tmp_path / "models/first") == []
    assert not list((tmp_path / "models/first").glob(".staging"))


@pytest.mark.usefixtures("without_server")
def test_a_run_that_was_not_scored_is_scored(run, tmp_path, monkeypatch):
    (run / "metrics.json").unlink()
    # The samples that the run was trained on are not those that its configuration names.
    monkeypatch.setattr(push, "evaluate_run", lambda folder: evaluate_run(folder, samples=make_samples(size=SIZE)))
    version = push_runs([run], tmp_path / "models/first", outcomes=1, force=True).version
    config = read_version(version.parent, int(version.name)).config
    assert config is not None
    assert config["metrics"]["skill"] == json.loads((run / "metrics.json").read_text())["skill"]


def test_a_run_whose_weights_change_meanwhile_is_refused(run, tmp_path, monkeypatch):
    (run / "metrics.json").unlink()
    monkeypatch.setattr(push, "evaluate_run", lambda folder: score_later_step(folder))
    with pytest.raises(ResourceError, match="is being trained; export it when that is done"):
        push_runs([run], tmp_path / "models/first")


def score_later_step(run: Path) -> None:
    (run / "metrics.json").write_text(json.dumps({**METRICS, "step": METRICS["step"] + 1}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"outcomes": 0}, "--ensemble 0: must be 1 or more"),
        ({"tolerance": -0.1}, "--tolerance -0.1: must be 0 or more"),
        ({"tolerance": float("nan")}, "--tolerance nan: must be 0 or more"),
    ],
)
def test_impossible_options_are_refused(run, tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        push_runs([run], tmp_path / "models/first", **options)


def test_a_damaged_list_of_models_is_refused_before_anything_is_written(run, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/models.config").write_text("{ nonsense")
    with pytest.raises(DataError, match=r"models.config is no configuration of TF Serving"):
        push_runs([run], tmp_path / "models/first")
    assert not (tmp_path / "models/first").exists()


def test_killed_at_any_moment_no_half_version_shows(exported, run, tmp_path):
    """Kill a push as soon as each of these shows on disk; the parent watches, so moments in between happen too."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tfdrift.export.push"])
    target, left_behind = tmp_path / "models/first", []
    whole = {file.relative_to(exported.version) for file in exported.version.rglob("*")}
    whole.add(Path("assets.extra/blessing.json"))
    for moment in (".staging/*/whole/*/variables/*", ".staging/*/whole/*/assets.extra/blessing.json", "[0-9]*"):
        process = processes.Process(target=push_runs, args=([run], target))
        process.start()
        while process.is_alive() and not list(target.glob(moment)):
            time.sleep(0.0005)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        left_behind += [path.name for path in target.glob(".staging")]
        for version in target.glob("[0-9]*"):
            assert {file.relative_to(version) for file in version.rglob("*")} == whole
    assert len(left_behind) >= 2  # else nothing was killed half-way
    assert len(versions(target)) == 1
    push_runs([run], target)
    assert len(versions(target)) == 2
    assert not list(target.glob(".staging"))
