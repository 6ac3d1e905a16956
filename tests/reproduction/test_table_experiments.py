"""Our tables against the choices there are."""

import itertools

from tfdrift.config import differences, train_config
from tfdrift.diffusion.predictions import PREDICTIONS
from tfdrift.diffusion.schedule import SCHEDULES
from tfdrift.methods import METHODS
from tfdrift.methods.balances import BALANCES
from tfdrift.model.heads import HEADS
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.experiments import EXPERIMENTS

WITH_SSIM = [name for name, method in METHODS.items() if method.ssim_share is not None]


def config_of(run: Run):
    return train_config(run.method, preset=run.preset, **run.settings)


def configs(name: str):
    return [config_of(run) for run in EXPERIMENTS[name].runs]


def test_the_table_crosses_all_methods_heads_and_losses():
    crossed = {(c.method, c.heads, max(c.recon_ssim, c.drift_ssim)) for c in configs("table")}
    assert crossed == set(itertools.product(WITH_SSIM, HEADS, (0.0, 0.1)))
    assert EXPERIMENTS["table"].every_fold


def test_readings_change_one_thing_of_the_first_reading_of_their_method():
    first = {}
    for run in EXPERIMENTS["readings"].runs:
        config = config_of(run)
        changed = {line.split(":")[0] for line in differences(config, first.setdefault(run.method, config))}
        changed |= set(run.asked) - {"sample_steps"}  # which follows from where the sampler starts
        assert len(changed - {"drift_weight"} or changed) <= 1, run.label


def test_the_first_readings_are_the_defaults_but_for_what_their_table_changed():
    first = {run.method: config_of(run) for run in reversed(EXPERIMENTS["readings"].runs)}
    assert differences(first["method1"], train_config("method1")) == []
    assert [line.split(":")[0] for line in differences(first["method2"], train_config("method2"))] == ["clip_x0"]


def test_readings_try_every_choice_of_the_paper_that_can_be_read_in_two_ways():
    runs = EXPERIMENTS["readings"].runs
    tried = [config_of(run) for run in runs]
    assert {c.prediction for c in tried if c.method == "method2"} == set(PREDICTIONS)
    assert {c.schedule for c in tried} == set(SCHEDULES)
    assert {c.balance for c in tried} == set(BALANCES)
    assert {c.noise_level for c in tried} == {0.1, 0.2, 0.5}
    assert {c.ema > 0 for c in tried} == {True, False}
    asked = {name for run in runs for name in run.asked}
    assert asked == {"estimate_level", "start_level", "sample_steps", "drift_from", "clip_x0"}


def test_a_sampler_that_starts_at_a_level_has_no_more_steps_than_levels_below_it():
    for run in EXPERIMENTS["readings"].runs:
        start = run.asked.get("start_level", config_of(run).start_level)
        assert run.asked.get("sample_steps", config_of(run).sample_steps) <= start + 1


def test_the_first_row_of_a_method_has_its_default_heads():
    first = {config.method: config for config in reversed(configs("table"))}
    assert {name: config.heads for name, config in first.items()} == {
        name: train_config(name).heads for name in WITH_SSIM
    }
