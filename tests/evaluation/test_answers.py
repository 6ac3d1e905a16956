import dataclasses

import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.cohort.folds import split
from tfdrift.config import train_config
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation import baselines
from tfdrift.evaluation.answers import answer, join, load_shared_samples, refuse_misfit, refuse_training_seed
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.evaluation.response import fit_cut, fit_exponent
from tfdrift.model.conditions import Conditions
from tfdrift.model.inputs import Inputs
from tfdrift.synthetic.new_patients import NewPatients


def test_answers_are_about_the_held_out_fold_and_learn_from_the_others(tiny_run, phantom):
    found = answer([tiny_run("method1")], phantom, count=2)
    training, held_out = split(phantom, 0)
    np.testing.assert_array_equal(found.held_out.post, held_out.post)
    np.testing.assert_array_equal(found.mean_drift, baselines.mean_drift(training, held_out))
    np.testing.assert_array_equal(found.nearest_lesion, baselines.nearest_lesion(training, held_out))
    assert set(found.exponent) == {fit_exponent(training)}
    assert set(found.cut) == {fit_cut(training)}
    assert found.post.shape == (2, *held_out.post.shape)


def test_answers_about_new_patients_learn_from_the_training_patients_of_the_run(tiny_run, phantom):
    drawn = NewPatients(patients=3, data_seed=5).draw(8)
    found = answer([tiny_run("method1")], phantom, count=2, drawn=drawn)
    training, _ = split(phantom, 0)
    np.testing.assert_array_equal(found.held_out.post, drawn.post)
    np.testing.assert_array_equal(found.mean_drift, baselines.mean_drift(training, drawn))
    np.testing.assert_array_equal(found.nearest_lesion, baselines.nearest_lesion(training, drawn))
    assert found.post.shape == (2, *drawn.post.shape)
    assert found.fingerprint == drawn.fingerprint()


def test_new_patients_that_the_run_was_trained_on_are_refused(tiny_run, phantom):
    with pytest.raises(DataError, match="share an image"):
        answer([tiny_run("direct")], phantom, count=1, drawn=NewPatients(patients=9, data_seed=0).draw(8))


def test_a_method_without_noise_has_one_outcome(tiny_run, phantom):
    found = answer([tiny_run("direct")], phantom, count=16)
    assert (len(found.drift), found.levels) == (1, [None])


def test_the_level_shown_is_of_the_slice_that_changes_most(tiny_run, phantom):
    found = answer([tiny_run("method2")], phantom, count=1)
    change = np.sum(found.held_out.drift**2, axis=(1, 2, 3))
    assert change[found.shown_row] == change.max()


def test_members_of_an_ensemble_share_the_outcomes(tiny_run, phantom):
    members = [tiny_run("method1", seed=seed) for seed in (0, 1)]
    alone = [answer([member], phantom, count=2) for member in members]
    together = answer(members, phantom, count=3)
    np.testing.assert_allclose(together.post, np.concatenate([part.post for part in alone]), atol=1e-6)
    np.testing.assert_allclose(together.shown, (alone[0].shown + alone[1].shown) / 2, atol=1e-6)
    assert together.label == "Method 1, 2 runs"


def test_an_ensemble_of_one_run_twice_is_refused(tiny_run, phantom):
    run = tiny_run("direct")
    with pytest.raises(UsageError, match="the settings and the seed of another member"):
        answer([run, run], phantom, count=1)


def test_an_ensemble_of_two_methods_is_refused(tiny_run, phantom):
    with pytest.raises(UsageError, match="of another method or levels"):
        answer([tiny_run("direct"), tiny_run("method1")], phantom, count=1)


def test_a_run_that_was_trained_on_the_patients_tested_is_refused(tiny_run, phantom):
    with pytest.raises(DataError, match="holds out fold 1 and was trained on patients of fold 0"):
        load_shared_samples([tiny_run("direct"), tiny_run("direct", fold=1)], phantom)


def test_a_run_on_other_data_is_refused(tiny_run, phantom, tmp_path):
    run = tiny_run("direct")
    fingerprint = phantom.fingerprint()
    text = (run / "config.json").read_text()
    assert fingerprint in text
    (tmp_path / "config.json").write_text(text.replace(fingerprint, "0" * 64))
    with pytest.raises(DataError, match="was trained on other data"):
        load_shared_samples([run, tmp_path], phantom)


def test_a_patient_who_was_copied_into_the_training_data_is_refused(tiny_run, phantom):
    # The copy has another name and another rounding, and the run's folder says that it was trained with it.
    copied = phantom.take(np.append(np.arange(len(phantom)), np.flatnonzero(phantom.fold == 0)[0]))
    copied.patient[-1], copied.lesion[-1], copied.fold[-1] = "somebody", "somebody-1", 1
    copied.pre[-1] += np.float32(1e-4)
    run = tiny_run("direct", fold=2)
    leaky = run.parent / "leaky"
    leaky.mkdir(exist_ok=True)
    (leaky / "checkpoints").symlink_to(run / "checkpoints")
    text = (run / "config.json").read_text().replace(phantom.fingerprint(), copied.fingerprint())
    (leaky / "config.json").write_text(text.replace('"fold": 2', '"fold": 0'))
    with pytest.raises(DataError, match="share an image"):
        answer([leaky], load_shared_samples([leaky], copied), count=1)


def test_joined_folds_hold_every_patient_once_each_fold_a_group(tiny_run, phantom):
    folds = [answer([tiny_run("direct", fold=fold)], phantom, count=1) for fold in range(3)]
    joined = join(folds)
    assert sorted(joined.held_out.lesion) == sorted(phantom.lesion)
    np.testing.assert_array_equal(joined.group, joined.held_out.fold)
    np.testing.assert_array_equal(joined.drift[:, joined.group == 1], folds[1].drift)
    np.testing.assert_array_equal(joined.level_post_errors[:, joined.group == 2], folds[2].level_post_errors)
    np.testing.assert_array_equal(joined.nearest_lesion[joined.group == 2], folds[2].nearest_lesion)
    np.testing.assert_array_equal(joined.cut[joined.group == 2], folds[2].cut)


def test_a_single_request_gets_the_first_outcome(make_answers):
    answers = make_answers(count=4)
    single = answers.first_outcome()
    np.testing.assert_array_equal(single.post, answers.post[:1])
    np.testing.assert_array_equal(single.drift, answers.drift[:1])
    np.testing.assert_array_equal(single.ratios, answers.ratios[:1])


def test_no_change_is_measured_by_the_first_mri(make_answers, phantom):
    np.testing.assert_array_equal(make_answers().copy_mse, squared_errors(phantom.pre, phantom.post))


def test_the_seed_of_the_phantom_that_a_run_was_trained_on_is_refused():
    with pytest.raises(UsageError, match="--data-seed 0 draws the phantom that the run was trained on"):
        refuse_training_seed(NewPatients(data_seed=0), train_config("direct"))


def test_that_seed_is_as_good_as_any_for_a_run_on_other_data():
    refuse_training_seed(NewPatients(data_seed=0), train_config("direct", data="mnist"))


@pytest.fixture(scope="module")
def drawn():
    return NewPatients(patients=3, data_seed=5).draw(8)


DOSE = Conditions(names=("dose_gy",), widths=(1,), mean=(20.0,), std=(2.0,), low=(15.0,), high=(24.0,))
INTERVAL = dataclasses.replace(DOSE, names=("interval_days",))


@pytest.mark.parametrize(
    ("inputs", "channels", "words"),
    [
        (Inputs(channels=2), ("t1c", "flair"), "the channels t1c, flair"),
        (Inputs(slices=4), None, "volumes of 4 slices"),
        (Inputs(conditions=DOSE), None, "the condition dose_gy"),
    ],
    ids=["channels", "stacks", "condition"],
)
def test_a_network_that_asks_for_more_is_refused_in_one_line(inputs, channels, words, drawn, tmp_path):
    training = dataclasses.replace(
        drawn,
        channels=channels or drawn.channels,
        pre=np.repeat(drawn.pre, len(channels or drawn.channels), axis=-1),
        conditions={**drawn.conditions, "dose_gy": np.full(len(drawn), 20, np.float32)},
    )
    with pytest.raises(DataError, match=f"{words}, which patients of --data phantom do not have") as refused:
        refuse_misfit(tmp_path, inputs, training, drawn)
    assert "\n" not in str(refused.value)


def test_a_run_on_other_data_with_the_same_inputs_fits(drawn, tmp_path):
    refuse_misfit(tmp_path, Inputs(conditions=INTERVAL), make_samples(count=4, size=8), drawn)


def test_a_condition_that_was_unknown_in_training_need_not_be_known(drawn, tmp_path):
    """A run that started from one which was told more."""
    refuse_misfit(tmp_path, Inputs(conditions=DOSE), make_samples(count=4, size=8), drawn)
