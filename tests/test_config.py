import dataclasses
from pathlib import Path

import pytest

from tfdrift import __version__
from tfdrift.config import TrainConfig, differences, read_config, train_config, write_config
from tfdrift.errors import DataError, UsageError
from tfdrift.methods import METHODS


def test_the_papers_numbers_are_in_the_paper_preset():
    paper = train_config("method1", preset="paper")
    assert (paper.steps, paper.batch_size, paper.learning_rate, paper.weight_decay) == (5000, 64, 1e-4, 1e-4)
    assert (paper.schedule, paper.levels, paper.noise_level) == ("linear", 21, 0.2)
    assert (paper.recon_weight, paper.drift_weight, paper.recon_ssim, paper.drift_ssim) == (1, 3, 0.1, 0)


def test_method_2_in_the_paper_predicts_eps_with_decoupled_heads_and_ssim_in_the_drift_loss():
    paper = train_config("method2", preset="paper")
    assert (paper.prediction, paper.heads, paper.drift_ssim, paper.recon_ssim) == ("eps", "decoupled", 0.1, 0)


def test_method_2_clips_its_estimate_by_default_and_not_in_the_paper():
    assert train_config("method2").clip_x0
    assert not train_config("method2", preset="paper").clip_x0


@pytest.mark.parametrize("method", METHODS)
def test_a_configuration_comes_back_from_its_file(method, tmp_path):
    config = train_config(method, seed=7, noise_level=0.5)
    path = tmp_path / "config.json"
    write_config(path, config, data={"slices": 3})
    assert read_config(path) == (config, {"tfdrift": __version__, "data": {"slices": 3}})
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_the_middle_level_follows_the_number_of_levels():
    assert train_config("method1", levels=11).estimate_level == 5


def test_the_sampler_visits_every_level_from_its_start_on():
    config = train_config("method2", start_level=6)
    assert (config.start_level, config.sample_steps) == (6, 7)
    assert train_config("method2", levels=11).start_level == 5


def test_the_papers_sampler_starts_at_the_noisiest_level():
    paper = train_config("method2", preset="paper", levels=11)
    assert (paper.start_level, paper.sample_steps) == (10, 11)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fold", -1, "--fold -1: must be 0 or more"),
        ("image_size", 30, "--image-size 30: .* 24 or 32 would do"),
        ("image_size", 2, "--image-size 2: must be between 4 and 1024"),
        ("base_filters", 0, "--base-filters 0: must be between 1 and 1024"),
        ("levels", 1, "--levels 1: must be between 2 and 1000"),
        ("noise_level", -0.1, "--noise-level -0.1: must be between 0 and 10"),
        ("noise_level", float("nan"), "--noise-level nan: must be between 0 and 10"),
        ("estimate_level", 21, "--estimate-level 21: must be below --levels 21"),
        ("start_level", 21, "--start-level 21: must be below --levels 21"),
        ("sample_steps", 12, "--sample-steps 12: from --start-level 10 down to 0 there are 11 levels; use 1 to 11"),
        ("eta", 1.1, "--eta 1.1: must be between 0"),
        ("law", "shrink", "--law shrink: choose from response, chance, growth, necrosis, dose, mixed"),
        ("patients", 1, "--patients 1: must be between 2 and 100000"),
        ("recon_ssim", 1.5, "--recon-ssim 1.5: must be between 0"),
        ("drift_ssim", -0.5, "--drift-ssim -0.5: must be between 0"),
        ("steps", 0, "--steps 0: must be 1 or more"),
        ("batch_size", 0, "--batch-size 0: must be 1 or more"),
        ("learning_rate", 0, "--learning-rate 0: must be above 0 and at most 1"),
        ("weight_decay", 2, "--weight-decay 2: must be between 0 and 1"),
        ("ema", 1.0, r"--ema 1.0: must be 0 \(off\) or below 1"),
        ("seed", -1, "--seed -1: must be between 0 and 2147483647"),
        ("schedule", "sigmoid", "--schedule sigmoid: choose from linear, "),
        ("heads", "two", "--heads two: choose from shared, "),
        ("prediction", "mu", "--prediction mu: choose from eps, x0, v"),
        ("precision", "float8", "--precision float8: choose from float32, "),
        ("colour", "red", "unknown setting colour"),
    ],
)
def test_values_out_of_range_are_refused_by_the_options_name(name, value, message):
    with pytest.raises(UsageError, match=message):
        train_config("method1", **{name: value})


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="method method3: choose from method1, method2, direct"):
        train_config("method3")


def test_an_unknown_preset_is_refused():
    with pytest.raises(UsageError, match="--preset best: choose from default, paper"):
        train_config("method1", preset="best")


def test_weights_that_train_nothing_are_refused():
    with pytest.raises(UsageError, match="nothing would be trained"):
        train_config("method1", recon_weight=0.0, drift_weight=0.0)


def test_ssim_on_noise_is_refused():
    with pytest.raises(UsageError, match="SSIM compares images and eps is not one"):
        train_config("method2", prediction="eps", recon_ssim=0.1)
    assert train_config("method2", prediction="x0", recon_ssim=0.1).recon_ssim == 0.1


def test_more_steps_are_no_difference_and_another_seed_is():
    ours = train_config("method1")
    assert differences(ours, dataclasses.replace(ours, steps=9000, log_every=1)) == []
    assert differences(ours, dataclasses.replace(ours, seed=5)) == ["seed: 0, not 5"]


def test_the_place_of_a_cohort_is_no_difference_but_the_kind_of_data_is():
    ours = train_config("method1", data="here/cohort")
    assert differences(ours, dataclasses.replace(ours, data="../moved")) == []
    assert differences(ours, train_config("method1")) == ["data: cohort, not phantom"]


def test_a_cohorts_folder_is_found_again_from_the_run_folder_wherever_both_are_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored = train_config("method1", data="cohorts/mine").seen_from(Path("runs/first"))
    assert stored.data == "../../cohorts/mine"
    assert stored.resolved_from(tmp_path / "runs/first").data == str(tmp_path / "cohorts/mine")
    assert stored.resolved_from(Path("/mnt/runs/first")).data == "/mnt/cohorts/mine"


def test_built_in_data_have_no_folder():
    config = train_config("method1", data="mnist")
    assert config.seen_from(Path("runs/first")) == config == config.resolved_from(Path("runs/first"))


def test_no_path_is_left_where_none_may_be():
    config = train_config("method1", data="/home/someone/cohort", mnist_file="/home/someone/mnist.npz")
    assert "someone" not in str(config.without_paths())


def test_settings_cannot_be_changed_after_the_fact():
    with pytest.raises(dataclasses.FrozenInstanceError):
        train_config("method1").seed = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("name", "value"), [("law", "growth"), ("patients", 10)])
def test_a_setting_of_the_phantom_is_refused_for_other_data(name, value):
    with pytest.raises(UsageError, match=f"--{name} {value} with --data mnist: only the phantom takes it"):
        train_config("direct", data="mnist", **{name: value})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"train": 3}',
        '{"train": {"method": "method1", "colour": 3}}',
        '{"train": {"method": "method3"}}',
    ],
)
def test_a_file_that_is_no_configuration_is_refused(text, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(DataError, match="is not a configuration this version can read"):
        read_config(path)


def test_a_missing_configuration_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist; give a run folder"):
        read_config(tmp_path / "config.json")


def test_every_number_has_a_range():
    from tfdrift.config import _CHOICES, _RANGES

    numbers = {f.name for f in dataclasses.fields(TrainConfig) if f.type in (int, float, "int", "float")}
    assert numbers - set(_CHOICES) == set(_RANGES)


def test_the_file_of_digits_is_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/mnist.npz").touch()
    monkeypatch.chdir(tmp_path)
    stored = train_config("method1", data="mnist", mnist_file="digits/mnist.npz").seen_from(Path("runs/first"))
    monkeypatch.chdir("/")
    assert stored.resolved_from(tmp_path / "runs/first").mnist_file == str(tmp_path / "digits/mnist.npz")


def test_a_file_of_digits_that_an_old_run_tells_as_it_was_typed_is_found_from_the_same_folder(tmp_path, monkeypatch):
    (tmp_path / "mnist.npz").touch()
    monkeypatch.chdir(tmp_path)
    old = train_config("method1", data="mnist", mnist_file="mnist.npz")
    assert old.resolved_from(tmp_path / "runs/first").mnist_file == str(tmp_path / "mnist.npz")


def test_conditions_are_dropped_now_and_then_unless_it_is_said():
    assert train_config("direct", condition="size").condition_dropout == 0.1
    assert train_config("direct", condition="size", condition_dropout=0.0).condition_dropout == 0
    assert train_config("direct", condition=" , ").condition_dropout == train_config("direct").condition_dropout == 0


def test_nothing_is_dropped_where_there_is_no_condition():
    with pytest.raises(UsageError, match=r"--condition-dropout 0\.2: there is no --condition to drop"):
        train_config("direct", condition_dropout=0.2)


def test_channels_are_dropped_as_often_as_conditions_unless_it_is_said():
    assert train_config("direct").channel_dropout == train_config("direct", condition="size").condition_dropout
    assert train_config("direct", channel_dropout=0.0).channel_dropout == 0


@pytest.mark.parametrize("rate", [-0.1, 0.95, float("nan")])
def test_a_dropout_out_of_range_is_refused(rate):
    with pytest.raises(UsageError, match=r"--condition-dropout .*: must be between 0"):
        train_config("direct", condition="size", condition_dropout=rate)
    with pytest.raises(UsageError, match=r"--channel-dropout .*: must be between 0"):
        train_config("direct", channel_dropout=rate)


def test_a_run_of_a_version_without_dropout_dropped_nothing():
    assert TrainConfig(method="direct", condition="interval_days").condition_dropout == 0


@pytest.mark.parametrize("text", ["21,10", "0,10", "10,10", "10.5", "-3", "soon"])
def test_days_of_visits_ascend(text):
    with pytest.raises(UsageError, match=f"--visit-days {text}: give the days"):
        train_config("direct", visit_days=text)


def test_only_the_phantom_is_imaged_on_days_of_choice():
    assert train_config("direct", visit_days=" 10, 45 ").days_of_visits == (10, 45)
    with pytest.raises(UsageError, match="--visit-days 10 with --data mnist: only the phantom takes it"):
        train_config("direct", data="mnist", visit_days="10")
