"""The definitions against the numbers the paper states."""

import dataclasses
import itertools

import pytest

from tfdrift.config import differences, train_config
from tfdrift.diffusion.predictions import PREDICTIONS
from tfdrift.diffusion.schedule import SCHEDULES
from tfdrift.errors import UsageError
from tfdrift.methods import METHODS
from tfdrift.methods.balances import BALANCES
from tfdrift.model.heads import HEADS
from tfdrift.reproduction.experiments import EXPERIMENTS, FIGURES, METHOD2, MINUTES, Run, chosen_experiments


def config_of(run: Run):
    return train_config(run.method, preset=run.preset, **run.settings)


def configs(name: str):
    return [config_of(run) for run in EXPERIMENTS[name].runs]


def test_every_figure_of_the_paper_with_results_is_there():
    names = ["fig1b", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "s1", "s2", "s3", "s4", "s5"]
    assert [name for name in EXPERIMENTS if name.startswith(("fig", "s"))] == names


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name.startswith(("fig", "s"))])
def test_figures_are_trained_with_the_papers_numbers(name):
    for config in configs(name):
        assert (config.steps, config.batch_size, config.learning_rate) == (5000, 64, 1e-4)
        assert (config.schedule, config.levels) == ("linear", 21)


def test_fig5_weighs_drift_1_and_1_5_and_3_with_a_tenth_of_ssim_in_the_reconstruction():
    assert [(c.recon_weight, c.drift_weight) for c in configs("fig5")] == [(1, 1), (1, 1.5), (1, 3)]
    assert {(c.method, c.recon_ssim, c.drift_ssim, c.noise_level) for c in configs("fig5")} == {
        ("method1", 0.1, 0.0, 0.2)
    }


def test_fig6_is_method_2_decoupled_with_ssim_in_the_drift_loss_from_the_noisiest_level():
    (config,) = configs("fig6")
    assert (config.method, config.heads, config.prediction, config.start_level) == ("method2", "decoupled", "eps", 20)
    assert config.drift_ssim > 0


@pytest.mark.parametrize(
    ("name", "changed"),
    [("s3", {"noise_level": 0.5}), ("s4", {"heads": "shared"}), ("s5", {"drift_ssim": 0.0})],
)
def test_the_supplement_changes_one_thing_of_fig6(name, changed):
    plain, variant = configs(name)
    assert [plain] == configs("fig6")
    assert variant == train_config("method2", preset="paper", **changed)


def test_s1_is_fig5c_with_noise_of_half_the_largest_signal():
    plain, variant = configs("s1")
    assert plain == configs("fig5")[-1]
    assert (plain.noise_level, variant.noise_level) == (0.2, 0.5)


def test_fig3_is_the_toy_with_both_methods_and_two_networks():
    assert EXPERIMENTS["fig3"].data == "digits"
    assert [(c.method, c.heads) for c in configs("fig3")] == [
        ("method1", "shared"), ("method2", "decoupled"), ("method1", "independent"),
    ]  # fmt: skip


def test_figures_7_and_8_hold_out_every_patient_once():
    assert [(EXPERIMENTS[name].every_fold, EXPERIMENTS[name].group) for name in ("fig7", "fig8")] == [
        (True, "poor"), (True, "good"),
    ]  # fmt: skip


def test_the_table_crosses_all_methods_heads_and_losses():
    crossed = {(c.method, c.heads, max(c.recon_ssim, c.drift_ssim)) for c in configs("table")}
    assert crossed == set(itertools.product(METHODS, HEADS, (0.0, 0.1)))
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


def test_names_are_unique_within_an_experiment():
    for experiment in EXPERIMENTS.values():
        labels = [run.label for run in experiment.runs]
        assert len(labels) == len(set(labels))


def test_all_stands_for_the_figures_of_the_paper_in_order():
    assert [experiment.name for experiment in chosen_experiments(["all", "fig5", "table"])] == [*FIGURES, "table"]


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="fig9: choose from all, fig1b"):
        chosen_experiments(["fig9"])


def test_time_counts_a_shared_run_once_and_every_fold():
    assert EXPERIMENTS["fig5"].minutes() == 3 * MINUTES["shared"]
    assert EXPERIMENTS["fig7"].minutes(folds=3) == 3 * MINUTES["decoupled"]
    asked_twice = dataclasses.replace(METHOD2, label="again", asked={"drift_from": "last"})
    fig6 = dataclasses.replace(EXPERIMENTS["fig6"], runs=(METHOD2, asked_twice))
    assert fig6.minutes() == EXPERIMENTS["fig6"].minutes()
