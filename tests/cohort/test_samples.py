import dataclasses

import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.cohort.samples import assign_folds, check_no_leak, read_samples, save_samples, split
from tfdrift.errors import DataError


def test_drift_is_post_minus_pre():
    samples = make_samples()
    np.testing.assert_allclose(samples.pre + samples.drift, samples.post, atol=1e-6)


def test_split_holds_out_whole_patients_and_loses_no_slice():
    training, held_out = split(make_samples(), 1)
    assert len(training) + len(held_out) == 12
    assert set(held_out.fold) == {1}
    assert not set(training.patient) & set(held_out.patient)


def test_a_fold_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match=r"fold 7 cannot be held out; the data have folds \[0, 1, 2\]"):
        split(make_samples(), 7)


def test_a_patient_in_two_folds_is_refused():
    samples = make_samples()
    fold = samples.fold.copy()
    fold[0] += 1
    with pytest.raises(DataError, match="patient p0 stands in more than one fold"):
        dataclasses.replace(samples, fold=fold)


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


def test_ranges_are_those_of_the_pixels_and_of_the_signal_inside_the_gtv():
    samples = make_samples(count=4)
    pre, mask = np.zeros_like(samples.pre), np.zeros_like(samples.pre_mask)
    mask[:, :2] = True
    pre[:, :2], pre[:, 2:] = 0.5, 0.9  # signal outside the GTV must not count
    pre[3, :2] = 0.7
    pixel_mm = np.array([0.25, 0.5, 1.0, 0.75], np.float32)
    ranges = dataclasses.replace(samples, pre=pre, pre_mask=mask, pixel_mm=pixel_mm).ranges()
    assert ranges["pixel_mm"] == [0.25, 1.0]
    assert ranges["mean_signal"] == pytest.approx([0.5, 0.7])


def test_fingerprint_sees_every_field():
    samples = make_samples()
    changed = dataclasses.replace(samples, pixel_mm=samples.pixel_mm * 2)
    assert samples.fingerprint() == make_samples().fingerprint()
    assert samples.fingerprint() != changed.fingerprint()


@pytest.mark.parametrize("field", ["post", "fold"])
def test_arrays_of_another_length_are_refused(field):
    samples = make_samples()
    with pytest.raises(DataError, match=f"{field} must have shape"):
        dataclasses.replace(samples, **{field: getattr(samples, field)[:-1]})


def test_saved_samples_come_back_to_the_bit(tmp_path):
    samples = make_samples()
    save_samples(tmp_path / "part.npz", samples)
    assert read_samples(tmp_path / "part.npz").fingerprint() == samples.fingerprint()


@pytest.mark.parametrize("keep", [0, 10, 1000, -10])
def test_a_cut_file_of_samples_is_refused(tmp_path, keep):
    file = tmp_path / "part.npz"
    save_samples(file, make_samples())
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"part\.npz holds no samples that can be read"):
        read_samples(file)
