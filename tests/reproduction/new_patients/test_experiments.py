import pytest

from tfdrift.cohort.folds import split
from tfdrift.config import TrainConfig, train_config
from tfdrift.reproduction.experiment import Run
from tfdrift.reproduction.experiments import EXPERIMENTS
from tfdrift.reproduction.new_patients.experiments import LESION_LAWS, PHANTOMS, SCORED_LAWS
from tfdrift.training.run_folder import load_config_samples

NEW = [
    name
    for name, experiment in EXPERIMENTS.items()
    if experiment.new_patients is not None and experiment.kind != "whole lesions"
]
WHOLE = [name for name, experiment in EXPERIMENTS.items() if experiment.kind == "whole lesions"]


def config_of(run: Run) -> TrainConfig:
    return train_config(run.method, preset=run.preset, **run.settings)


def test_the_learning_curve_trains_on_four_folds_of_five():
    config = train_config("direct", image_size=16, patients=PHANTOMS[0])
    assert len(set(split(load_config_samples(config), 0)[0].patient.tolist())) == PHANTOMS[0] - PHANTOMS[0] // 5 == 40


@pytest.mark.parametrize("name", NEW)
def test_methods_are_compared_at_equal_size_steps_and_patients_but_for_what_is_asked(name):
    configs = [config_of(run) for run in EXPERIMENTS[name].runs]
    steps, patients = {config.steps for config in configs}, {config.patients for config in configs}
    assert {(config.base_filters, config.batch_size) for config in configs} == {(8, 64)}
    assert {config.seed for config in configs} == (set(range(4)) if name == "training-seeds" else {0})
    assert steps == ({300} if name == "few-patients" else {1000})
    assert name == "learning-curve" or patients == ({10} if name == "few-patients" else {49})


def test_every_law_has_its_experiment_and_new_patients_are_the_same_in_all():
    laws = {config_of(run).law: name for name in NEW for run in EXPERIMENTS[name].runs if name[:3] in ("rec", "law")}
    assert laws == {"response": "recipes"} | {law: f"law-{law}" for law in SCORED_LAWS[1:]}
    among = [EXPERIMENTS[name].new_patients for name in NEW]
    assert {(new.patients, new.data_seed) for new in among if new} == {(150, 4242), (60, 4242)}


def test_lesions_are_seen_in_each_way_under_each_law_for_two_times():
    assert WHOLE == ["whole-lesion", "whole-growth", "whole-necrosis"]
    for name, law in zip(WHOLE, LESION_LAWS, strict=True):
        configs = [config_of(run) for run in EXPERIMENTS[name].runs]
        assert {config.law for config in configs} == {law}
        assert {config.lesion for config in configs} == {"slice", "context", "volume"}
        for kind in ("slice", "context", "volume"):
            steps = sorted({config.steps for config in configs if config.lesion == kind})
            assert steps[1] == 4 * steps[0]
