import numpy as np
import pytest

from tfdrift.cohort.folds import check_no_leak
from tfdrift.errors import UsageError
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.phantom_samples import phantom_samples
from tfdrift.training.data import load_samples


@pytest.fixture(scope="module")
def drawn():
    return NewPatients(patients=3, data_seed=5).draw(16)


def test_as_many_patients_as_asked_for_are_drawn_as_one_group(drawn):
    assert len(set(drawn.patient.tolist())) == 3
    assert set(drawn.fold.tolist()) == {0}


def test_the_patients_are_those_whose_attainable_skill_is_known_by_seed_and_number(drawn):
    np.testing.assert_array_equal(drawn.post, phantom_samples(image_size=16, patients=3, folds=3, seed=5).post)


def test_the_built_in_phantom_shares_no_patient_and_no_image_with_them(drawn):
    check_no_leak(load_samples("phantom", image_size=16), drawn)


def test_another_seed_draws_other_patients(drawn):
    other = NewPatients(patients=3, data_seed=6).draw(16)
    assert not set(other.patient.tolist()) & set(drawn.patient.tolist())
    check_no_leak(other, drawn)


def test_the_seed_of_the_built_in_phantom_draws_the_patients_that_runs_are_trained_on():
    known = load_samples("phantom", image_size=16)
    again = NewPatients(patients=3, data_seed=0).draw(16)
    np.testing.assert_array_equal(again.pre, known.pre[: len(again)])


@pytest.mark.parametrize(
    ("given", "message"), [({"patients": 1}, "--patients 1"), ({"data_seed": -1}, "--data-seed -1")]
)
def test_patients_that_cannot_be_drawn_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        NewPatients(**given)
