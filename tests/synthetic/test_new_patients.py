import numpy as np
import pytest

from tfdrift.cohort.folds import check_no_leak
from tfdrift.errors import UsageError
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.phantom import make_cohort
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
    ("given", "message"),
    [
        ({"patients": 1}, "--patients 1"),
        ({"data_seed": -1}, "--data-seed -1"),
        ({"days": ()}, "give days after the first"),
        ({"days": (0, 9)}, "give days after the first"),
        ({"since": 21, "days": (21,)}, "give days after the first, 22 or later"),
        ({"since": -1}, "first MRIs on day -1"),
    ],
)
def test_patients_that_cannot_be_drawn_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        NewPatients(**given)


@pytest.mark.parametrize("law", ["response", "chance"])
def test_tissue_that_moved_as_told_has_kept_its_depth(law):
    rng = np.random.default_rng(0)
    for patient in make_cohort(3, seed=5, law=law):
        for lesion in patient.lesions:
            places = lesion.center_mm + rng.uniform(-1, 1, (50, 3)) * lesion.radius_mm
            moved = places + lesion.movement_mm(places)
            np.testing.assert_allclose(lesion.depth(moved, "post"), lesion.depth(places, "pre"), rtol=1e-9)


@pytest.mark.parametrize("law", ["growth", "necrosis"])
def test_what_stays_where_it_is_does_not_move(law):
    true, foreseeable = NewPatients(patients=2, data_seed=5, law=law).movement(8)
    assert not true.any()
    assert not foreseeable.any()


def test_movement_is_along_rows_and_columns_and_shrinks_lesions_that_shrink():
    new = NewPatients(patients=6, data_seed=5)
    (true, foreseeable), drawn = new.movement(16), new.draw(16)
    assert true.shape == (*drawn.pre.shape[:3], 2)
    outwards = np.moveaxis(np.indices((16, 16)), 0, -1) - 7.5  # from the middle of the crop
    inside = drawn.pre_mask[..., 0]
    away = [np.mean((moved * outwards).sum(axis=-1)[mask]) for moved, mask in zip(true, inside, strict=True)]
    shrank = drawn.post_mask.sum(axis=(1, 2, 3)) < drawn.pre_mask.sum(axis=(1, 2, 3))
    assert np.mean((np.array(away) < 0) == shrank) > 0.8
    assert np.corrcoef(true[inside].ravel(), foreseeable[inside].ravel())[0, 1] > 0.8


def test_by_a_law_of_chance_nothing_of_the_movement_can_be_foreseen():
    true, foreseeable = NewPatients(patients=2, data_seed=5, law="chance").movement(8)
    assert true.any()
    assert not foreseeable.any()
