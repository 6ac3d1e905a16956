"""The definitions against the numbers the paper states."""

import pytest

from tfdrift.config import train_config
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.experiments import EXPERIMENTS


def config_of(run: Run):
    return train_config(run.method, preset=run.preset, **run.settings)


def configs(name: str):
    return [config_of(run) for run in EXPERIMENTS[name].runs]


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
