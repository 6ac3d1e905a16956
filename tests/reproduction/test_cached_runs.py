import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.random_samples import make_samples
from tests.reproduction.random_predictions import TINY
from tfdrift.config import TrainConfig
from tfdrift.evaluation.outcomes import lesion_seeds
from tfdrift.reproduction import cached_runs
from tfdrift.reproduction.cached_runs import CachedRuns
from tfdrift.reproduction.experiment import Experiment, Run
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.training.run_folder import load_predictor

SAMPLES = make_samples(count=12, size=8, folds=2)
METHOD2 = Run(label="Method 2", method="method2")


def experiment(**settings) -> Experiment:
    return Experiment(name="x", kind="lesions", title="", purpose="", expect="", **settings)


def cached(folder, said=None, **overrides) -> CachedRuns:
    echo = (lambda _: None) if said is None else said.append
    return CachedRuns(folder, overrides={**TINY, **overrides}, echo=echo, samples={"lesions": SAMPLES})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def every_fold(folder):
    runs = cached(folder)
    return runs, runs.predictions(METHOD2, experiment(every_fold=True))


def test_with_every_fold_each_slice_is_predicted_once_by_a_run_that_has_not_seen_its_patient(every_fold):
    _, predicted = every_fold
    assert sorted(predicted.samples.lesion.tolist()) == sorted(SAMPLES.lesion.tolist())
    held_out = 0
    for path in predicted.folders:
        config, _, predictor = load_predictor(path)
        rows = np.flatnonzero(predicted.samples.fold == config.fold)
        seeds = lesion_seeds(predicted.samples.take(rows), 1, config.seed)
        expected = predictor(tf.constant(predicted.samples.pre[rows]), seeds)["post"]
        np.testing.assert_allclose(predicted.final["post"][rows], expected, atol=1e-5)
        held_out += len(rows)
    assert held_out == len(SAMPLES)


def test_levels_and_baseline_belong_to_the_same_slices(every_fold):
    _, predicted = every_fold
    assert predicted.by_level["drift"].shape == (len(predicted.levels), *predicted.samples.pre.shape)
    # The mean drift is that of the other fold's patients, the only ones that training has seen.
    row = int(np.flatnonzero(predicted.samples.fold == 0)[0])
    mean = SAMPLES.drift[SAMPLES.fold == 1].mean(axis=0)
    turned = np.mean([np.rot90(mean, k) for k in range(4)], axis=0)
    np.testing.assert_allclose(predicted.mean_drift[row], predicted.samples.pre[row] + turned, atol=1e-6)


def test_a_run_that_is_there_is_shared_and_not_trained_again(every_fold, folder):
    _, predicted = every_fold
    history = (predicted.folders[0] / "history.jsonl").read_text()
    said = []
    one_fold = cached(folder, said).predictions(dataclasses.replace(METHOD2, label="another name"), experiment())
    assert one_fold.folders == predicted.folders[:1]
    assert one_fold.run.label == "another name"
    assert said == [f"{predicted.folders[0].name}: another name, fold 0 held out, 2 steps"]
    assert (predicted.folders[0] / "history.jsonl").read_text() == history


def test_several_workers_are_given_every_run_once(folder, every_fold, monkeypatch):
    _, predicted = every_fold
    given = []
    monkeypatch.setattr(cached_runs, "train_all", lambda jobs, **settings: given.append((jobs, settings["workers"])))
    runs = CachedRuns(folder, overrides=TINY, workers=3, echo=print, samples={"lesions": SAMPLES})
    asked = dataclasses.replace(METHOD2, asked={"drift_from": "last"})
    runs.train_ahead([experiment(runs=(METHOD2, asked), every_fold=True), experiment(runs=(METHOD2,))])
    ((jobs, workers),) = given
    assert workers == 3
    assert [(config.fold, path) for config, path, _ in jobs] == list(enumerate(predicted.folders))
    assert all(samples is SAMPLES for *_, samples in jobs)


def test_one_worker_trains_nothing_ahead(tmp_path):
    cached(tmp_path / "runs").train_ahead([experiment(runs=(METHOD2,))])
    assert list(tmp_path.iterdir()) == []


def test_another_way_of_asking_shares_the_weights(every_fold):
    runs, predicted = every_fold
    last = dataclasses.replace(METHOD2, asked={"drift_from": "last"})
    asked = runs.predictions(last, experiment())
    assert asked.folders == predicted.folders[:1]
    held_out = len(asked.samples)
    np.testing.assert_array_equal(asked.final["drift"], predicted.by_level["drift"][-1, :held_out])


@pytest.mark.parametrize("changed", [{"steps": 3}, {"learning_rate": 1e-3}, {"noise_level": 0.5}, {"seed": 1}])
def test_whatever_decides_the_weights_decides_the_folder(changed, tmp_path):
    def folder_of(**overrides):
        runs = cached(tmp_path, **overrides)
        return runs.folder_of(runs.configs(METHOD2, experiment())[0], SAMPLES)

    assert folder_of() != folder_of(**changed)


def test_a_setting_that_comes_later_does_not_move_a_run_as_long_as_it_is_at_its_default(tmp_path):
    later = dataclasses.make_dataclass(
        "Later", [("new", str, dataclasses.field(default="as before"))], bases=(TrainConfig,), frozen=True, kw_only=True
    )
    runs = cached(tmp_path)
    config = runs.configs(METHOD2, experiment())[0]
    same = later(**dataclasses.asdict(config))
    other = dataclasses.replace(same, new="otherwise")
    assert runs.folder_of(same, SAMPLES) == runs.folder_of(config, SAMPLES) != runs.folder_of(other, SAMPLES)


def test_other_data_have_another_folder(tmp_path):
    runs = cached(tmp_path)
    config = runs.configs(METHOD2, experiment())[0]
    assert runs.folder_of(config, SAMPLES) != runs.folder_of(config, make_samples(count=12, size=8, folds=2, seed=1))


def test_where_mnist_lies_does_not_decide_the_folder(tmp_path):
    here, there = (
        CachedRuns(tmp_path, mnist_file=tmp_path / name, overrides=TINY, echo=print, samples={"digits": SAMPLES})
        for name in ("a.npz", "b.npz")
    )
    digits = experiment(data="digits")
    first, second = (runs.folder_of(runs.configs(METHOD2, digits)[0], SAMPLES) for runs in (here, there))
    assert first == second


def test_a_loss_curve_has_two_hundred_points(tmp_path):
    config = cached(tmp_path, steps=5000).configs(METHOD2, experiment())[0]
    assert (config.steps, config.log_every) == (5000, 25)


def test_the_folder_of_a_cohort_is_named_nowhere():
    runs = CachedRuns(Path("runs"), lesions="/home/someone/cohort", echo=print)
    assert runs.data_name("lesions") == "cohort"
    assert runs.data_name("digits") == "mnist"


def test_what_a_run_starts_from_is_trained_before_it(folder, monkeypatch):
    given = []
    monkeypatch.setattr(cached_runs, "train_all", lambda jobs, **_settings: given.append(jobs))
    runs = CachedRuns(folder, overrides=TINY, workers=2, echo=print, samples={"lesions": SAMPLES})
    of_phantom = dataclasses.replace(experiment(), new_patients=NewPatients(patients=2))
    later = dataclasses.replace(METHOD2, pretrained=dataclasses.replace(METHOD2, settings={"law": "random"}))
    monkeypatch.setattr(runs, "samples_of", lambda _config, _experiment: SAMPLES)
    runs.train_ahead([dataclasses.replace(of_phantom, runs=(later,))])
    ((first, first_folder, _),), ((config, folder_of_it, _),) = given
    assert (first.law, first.pretrained, config.law) == ("random", None, "response")
    assert config.pretrained == str(first_folder)
    plain = dataclasses.replace(config, pretrained=None)
    assert runs.folder_of(plain, SAMPLES) != folder_of_it
