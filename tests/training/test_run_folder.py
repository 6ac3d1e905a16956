"""Whole runs: resumed to the same bits after every kind of end, refused where they must be, readable afterwards."""

from pathlib import Path

import pytest

from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.training.run_folder import is_trained, load_predictor, load_run_samples
from tfdrift.training.train import train

RUNS = {"method1": {"ema": 0.9}, "method2": {}}


def no_echo(_line: str) -> None:
    """Show nothing."""


@pytest.mark.parametrize(("steps", "expected"), [(8, True), (12, True), (13, False)])
def test_a_run_is_trained_once_it_has_the_steps_that_are_asked_for(
    finished, make_samples, tiny_config, steps, expected
):
    config = tiny_config("method1", **{**RUNS["method1"], "steps": steps})
    assert is_trained(config, finished("method1"), make_samples()) is expected


def test_a_run_that_is_not_there_is_not_trained(make_samples, tiny_config, tmp_path):
    assert not is_trained(tiny_config("method1"), tmp_path / "nothing", make_samples())


@pytest.mark.parametrize(
    ("learning_rate", "seed", "message"),
    [(0.5, 0, "learning_rate: 0.5, not 0.001"), (1e-3, 1, "the data have changed")],
)
def test_another_run_does_not_count_as_trained(finished, make_samples, tiny_config, learning_rate, seed, message):
    config = tiny_config("method1", **{**RUNS["method1"], "learning_rate": learning_rate})
    with pytest.raises(UsageError, match=message):
        is_trained(config, finished("method1"), make_samples(seed=seed))


def test_a_run_whose_data_have_changed_is_not_evaluated(finished, make_samples, monkeypatch):
    config, facts, _ = load_predictor(finished("method1"))
    monkeypatch.setattr("tfdrift.training.run_folder.load_samples", lambda *_, **__: make_samples())
    assert len(load_run_samples(config, facts)) == 12
    monkeypatch.setattr("tfdrift.training.run_folder.load_samples", lambda *_, **__: make_samples(seed=1))
    with pytest.raises(DataError, match="--data phantom no longer gives the data this run was trained on"):
        load_run_samples(config, facts)


def test_a_run_finds_its_cohort_again_when_both_are_moved(cohort_run, first_cohort_run):
    config, facts, _ = load_predictor(cohort_run)
    assert len(load_run_samples(config, facts)) == 12
    assert not Path(config.data).is_relative_to(first_cohort_run)


def test_a_run_whose_cohort_is_gone_says_where_it_was(cohort_run, tmp_path):
    (tmp_path / "cohorts/mine").rename(tmp_path / "away")
    config, facts, _ = load_predictor(cohort_run)
    with pytest.raises(DataError, match=r"no longer at .*cohorts/mine; put it back there"):
        load_run_samples(config, facts)


def test_a_folder_that_is_no_run_is_no_predictor(tmp_path):
    with pytest.raises(DataError, match=r"config.json does not exist; give a run folder"):
        load_predictor(tmp_path)


def test_a_run_without_a_checkpoint_is_no_predictor(make_samples, tiny_config, tmp_path):
    def fail(_line: str) -> None:
        raise BrokenPipeError("the reader of the progress is gone")

    with pytest.raises(BrokenPipeError):  # not taken for a folder that cannot be written
        train(tiny_config("direct"), tmp_path, echo=fail, samples=make_samples())
    with pytest.raises(DataError, match="holds no checkpoint yet; train it first"):
        load_predictor(tmp_path)


def test_two_trainers_at_once_are_refused(make_samples, tiny_config, tmp_path, read_weights):
    config, refusals = tiny_config("direct", steps=2), []

    def start_another(_line: str) -> None:
        with pytest.raises(ResourceError, match="is in use by another training process") as refused:
            train(config, tmp_path, echo=no_echo, samples=make_samples())
        refusals.append(refused.value.exit_code)

    train(config, tmp_path, echo=start_another, samples=make_samples())
    assert refusals == [4]
    assert read_weights(tmp_path)["step/.ATTRIBUTES/VARIABLE_VALUE"] == 2  # the first one is not disturbed


@pytest.mark.parametrize("name", ["file/run", "n" * 300])
def test_a_folder_that_cannot_be_made_is_refused(make_samples, tiny_config, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"cannot write to .*choose another --out") as refused:
        train(tiny_config("direct"), tmp_path / name, echo=no_echo, samples=make_samples())
    assert refused.value.exit_code == 4
