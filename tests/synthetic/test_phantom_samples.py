import itertools
from collections import Counter

import numpy as np
import pytest

from tfdrift.cohort.folds import split
from tfdrift.cohort.samples import COLUMNS, Samples
from tfdrift.errors import DataError
from tfdrift.synthetic.law import SESSIONS
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.phantom import (
    Patient,
    make_cohort,
)
from tfdrift.synthetic.phantom_samples import every_two, is_poor, phantom_samples

PATIENTS = 9  # three of them with several lesions; the first two carry the largest and the smallest


@pytest.fixture(scope="module")
def cohort() -> list[Patient]:
    return make_cohort()


@pytest.fixture(scope="module")
def samples() -> Samples:
    return phantom_samples(image_size=16, patients=PATIENTS, folds=3)


def test_the_same_seed_gives_the_same_bits(samples: Samples):
    again = phantom_samples(image_size=16, patients=PATIENTS, folds=3)
    assert again.fingerprint() == samples.fingerprint()


def test_another_seed_gives_other_lesions(samples: Samples):
    other = phantom_samples(image_size=16, patients=2, folds=2, seed=1)
    for name in ("phantom000", "phantom001"):
        ours, theirs = samples.pre[samples.patient == name], other.pre[other.patient == name]
        assert len(ours) != len(theirs) or not np.array_equal(ours, theirs)


def test_a_patient_does_not_depend_on_how_many_there_are(samples: Samples):
    few = phantom_samples(image_size=16, patients=3, folds=3)
    same = samples.take(np.isin(samples.patient, few.patient))
    for name in COLUMNS:
        if name != "fold":  # the deal of patients to folds is the cohort's
            np.testing.assert_array_equal(getattr(few, name), getattr(same, name))


def test_drift_is_zero_outside_both_gtvs_and_not_inside(samples: Samples):
    either = samples.pre_mask | samples.post_mask
    assert not samples.drift[~either].any()
    assert np.count_nonzero(samples.drift[either]) > 0.99 * either.sum()


def test_samples_carry_the_analytic_volumes(samples: Samples, cohort: list[Patient]):
    for number, lesion in enumerate(cohort[2].lesions):
        rows = samples.take(samples.lesion == f"phantom002-{number + 1}")
        for session in SESSIONS:
            values = getattr(rows, f"{session}_mm3")
            np.testing.assert_allclose(values, lesion.volume_mm3(session), rtol=1e-6)


def test_lesions_look_as_different_to_training_as_they_are(samples: Samples):
    for fold in range(3):
        split(samples, fold)  # refuses shared patients and shared images


def test_folds_are_balanced_in_size_and_response():
    full = phantom_samples(image_size=8)
    fold_of = dict(zip(full.patient.tolist(), full.fold.tolist(), strict=True))
    sizes = Counter(fold_of.values())
    assert sorted(sizes.values()) == [7, 8, 8, 8, 8]
    poor = {patient.name: np.mean([is_poor(lesion) for lesion in patient.lesions]) for patient in make_cohort()}
    shares = [sum(poor[name] for name, fold in fold_of.items() if fold == k) / sizes[k] for k in range(5)]
    assert max(shares) - min(shares) < 1 / 7  # no more than one patient of the smallest fold


def test_union_box_shows_at_least_as_many_millimetres(samples: Samples):
    union = phantom_samples(image_size=16, patients=3, folds=3, box="union")
    same = samples.take(np.isin(samples.patient, union.patient))
    assert (union.pixel_mm >= same.pixel_mm).all()
    assert (union.pixel_mm > same.pixel_mm).any()


def test_more_folds_than_patients_are_refused():
    with pytest.raises(DataError, match="3 patients cannot be dealt to 5 folds"):
        phantom_samples(image_size=8, patients=3)


def test_the_interval_between_the_two_mris_is_known(samples: Samples):
    assert set(samples.condition("interval_days")) == {21.0}
    assert samples.orientations() == ["axial"]


def test_the_phantom_is_the_one_that_models_were_trained_on():
    """The fingerprint in the facts of the runs behind saved_models and docs/results.md."""
    assert phantom_samples().fingerprint() == "2529b16cc629a35d89b3d94789389c52c6e6043609c1452767c6479253faf480"


def test_every_two_visits_are_a_pair_with_its_own_interval_and_volumes():
    days = (10, 21, 60)
    many = phantom_samples(image_size=8, patients=3, folds=3, pairs=every_two(days))
    usual = phantom_samples(image_size=8, patients=3, folds=3)
    lesion = make_cohort(3)[0].lesions[0]
    for first, second in itertools.combinations((0, *days), 2):
        name = "phantom000-1" if (first, second) == (0, 21) else f"phantom000-1-day{first}-day{second}"
        rows = many.lesion == name
        assert set(many.condition("interval_days")[rows].tolist()) == {second - first}
        seen = lesion.between(first, second)
        np.testing.assert_allclose(many.pre_mm3[rows], seen.volume_mm3("pre"), rtol=1e-6)
        np.testing.assert_allclose(many.post_mm3[rows], seen.volume_mm3("post"), rtol=1e-6)
    assert len(set(many.lesion.tolist())) == 6 * len(set(usual.lesion.tolist()))
    among = np.isin(many.lesion, usual.lesion)
    assert many.take(among).fingerprint() == usual.fingerprint()
    assert np.isnan(many.follow_up_mm3[~among]).all()


def test_a_later_pair_knows_the_change_since_the_first_mri_of_all():
    many = phantom_samples(image_size=8, patients=3, folds=3, pairs=every_two([10, 60]))
    first = many.lesion == "phantom000-1-day0-day10"
    later = many.lesion == "phantom000-1-day10-day60"
    assert set(many.condition("earlier_days")[later].tolist()) == {10.0}
    ratio = many.post_mm3[first][0] / many.pre_mm3[first][0]
    np.testing.assert_allclose(many.condition("earlier_ratio")[later], ratio, rtol=1e-6)
    before_treatment = np.char.find(many.lesion, "-day0-") >= 0
    for name in ("earlier_days", "earlier_ratio"):
        np.testing.assert_array_equal(np.isnan(many.condition(name)), before_treatment)


def test_a_later_pair_begins_with_the_image_that_an_earlier_one_ends_with():
    chain = phantom_samples(image_size=32, patients=3, folds=3, box="union", pairs=[(0, 30), (30, 60)])
    largest = {
        name: max(np.flatnonzero(chain.lesion == name), key=lambda row: chain.pre_mask[row].sum())
        for name in ("phantom000-1-day0-day30", "phantom000-1-day30-day60")
    }
    first, second = largest.values()
    ended = chain.post[first][chain.post_mask[first]] * chain.scale[first]
    begun = chain.pre[second][chain.pre_mask[second]] * chain.scale[second]
    # The boxes differ, so that pixels do: the distribution of the signal is the same.
    np.testing.assert_allclose(np.quantile(ended, [0.1, 0.5, 0.9]), np.quantile(begun, [0.1, 0.5, 0.9]), rtol=0.05)
    assert chain.post_mm3[first] == chain.pre_mm3[second]


def test_a_volume_holds_the_lesion_as_its_law_says():
    whole = phantom_samples(image_size=16, patients=3, folds=3, lesion_as="volume")
    slices = phantom_samples(image_size=16, patients=3, folds=3)
    assert whole.pre.shape == (6, 16, 16, 16, 1)
    assert set(whole.lesion.tolist()) == set(slices.lesion.tolist())
    inside = whole.pre_mask.sum(axis=(1, 2, 3, 4)) * whole.pixel_mm**3
    large = whole.pre_mm3 > 500  # of the smallest, 3 mm across, half-covered voxels are a tenth
    np.testing.assert_allclose(inside[large], whole.pre_mm3[large], rtol=0.05)
    np.testing.assert_allclose(inside, whole.pre_mm3, rtol=0.15)
    ratios = whole.post_mask.sum(axis=(1, 2, 3, 4)) / whole.pre_mask.sum(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(ratios, whole.post_mm3 / whole.pre_mm3, atol=0.05)


def test_the_movement_of_a_volume_is_that_of_its_places():
    new = NewPatients(patients=2, data_seed=5, lesion="volume")
    true, foreseeable = new.movement(8)
    assert true.shape == foreseeable.shape == (*new.draw(8).pre.shape[:4], 2)
