import dataclasses

import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.cohort.folds import assign_folds, check_no_leak, split
from tfdrift.cohort.samples import COLUMNS, GROUPS, Samples, join_samples
from tfdrift.errors import DataError


@pytest.fixture
def stacks() -> Samples:
    """Stacks of three slices with two channels, conditions and facts."""
    return make_samples(depth=3, channels=("T1", "FLAIR"), conditions=True)


def assert_equal(one: Samples, other: Samples) -> None:
    assert one.channels == other.channels
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for group in GROUPS:
        assert set(getattr(one, group)) == set(getattr(other, group))
        for name, column in getattr(one, group).items():
            np.testing.assert_array_equal(column, getattr(other, group)[name], err_msg=name)


def test_parts_joined_are_the_whole(stacks):
    cuts = np.split(np.arange(len(stacks)), [2, 6])
    assert_equal(join_samples([stacks.take(rows) for rows in cuts]), stacks)


def test_split_holds_out_whole_patients_and_loses_no_slice():
    training, held_out = split(make_samples(), 1)
    assert len(training) + len(held_out) == 12
    assert set(held_out.fold) == {1}
    assert not set(training.patient) & set(held_out.patient)


def test_a_fold_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match=r"fold 7 cannot be held out; the data have folds \[0, 1, 2\]"):
        split(make_samples(), 7)


def test_a_planted_patient_leak_is_refused():
    samples = make_samples()
    with pytest.raises(DataError, match="patient p0 is in the training and in the held-out data"):
        check_no_leak(samples.take(np.arange(0, 6)), samples.take(np.arange(0, 3)))


def test_an_image_under_another_patients_name_is_refused():
    samples = make_samples()
    pre = samples.pre.copy()
    pre[2] = pre[0] + 1e-5  # patient p1 in fold 1 carries an image of p0 in fold 0
    with pytest.raises(DataError, match=r"patient p1 \(held out\) and patient p0 \(training\) share an image"):
        split(dataclasses.replace(samples, pre=pre), 1)


def test_folds_are_even_and_balanced_by_response():
    patients = [f"p{i}" for i in range(39)]
    poor = [float(i % 2) for i in range(39)]
    folds = assign_folds(patients, poor, num_folds=5, seed=3)
    sizes = np.bincount(list(folds.values()))
    assert sizes.max() - sizes.min() <= 1
    poor_sizes = np.bincount([folds[p] for p, share in zip(patients, poor, strict=True) if share], minlength=5)
    assert poor_sizes.max() - poor_sizes.min() <= 1


def test_folds_depend_on_the_seed_alone():
    patients = [f"p{i}" for i in range(20)]
    first = assign_folds(patients, [0.5] * 20, num_folds=4, seed=1)
    assert first == assign_folds(patients, [0.5] * 20, num_folds=4, seed=1)
    assert first != assign_folds(patients, [0.5] * 20, num_folds=4, seed=2)


def test_more_folds_than_patients_are_refused():
    with pytest.raises(DataError, match="3 patients cannot be dealt to 5 folds"):
        assign_folds(["a", "b", "c"], [0.5] * 3, num_folds=5, seed=0)


def test_a_leak_is_found_in_stacks_too(stacks):
    pre = stacks.pre.copy()
    pre[2] = pre[0]
    with pytest.raises(DataError, match="share an image"):
        split(dataclasses.replace(stacks, pre=pre), 1)
