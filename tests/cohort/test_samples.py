import dataclasses

import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.cohort.samples import COLUMNS, GROUPS, Samples, join_samples, read_samples, save_samples
from tfdrift.errors import DataError


def test_drift_is_post_minus_pre():
    samples = make_samples()
    np.testing.assert_allclose(samples.pre + samples.drift, samples.post, atol=1e-6)


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


def test_drift_of_several_channels_is_that_of_the_first(stacks):
    np.testing.assert_array_equal(stacks.drift[..., 0], stacks.post[..., 0] - stacks.pre[..., 0])


def test_a_stack_has_the_ranges_of_its_first_channel(stacks):
    slices = dataclasses.replace(
        stacks,
        **{name: np.concatenate(np.moveaxis(getattr(stacks, name), 1, 0)) for name in COLUMNS[1:4]},
        pre=np.concatenate(np.moveaxis(stacks.pre[..., :1], 1, 0)),
        **{name: np.tile(getattr(stacks, name), 3) for name in COLUMNS[4:]},
        channels=("T1",), conditions={}, facts={},
    )  # fmt: skip
    low, high = slices.ranges()["mean_signal"]
    stack_low, stack_high = stacks.ranges()["mean_signal"]
    assert low < stack_low < stack_high < high  # a stack's mean lies between those of its slices


def test_what_a_part_does_not_know_is_unknown_in_the_whole():
    known, unknown = make_samples(conditions=True), make_samples(seed=1)
    whole = join_samples([known, unknown])
    for name, column in known.conditions.items():
        np.testing.assert_array_equal(whole.conditions[name][:12], column)
        assert np.isnan(whole.conditions[name][12:]).all()
    assert set(whole.facts["orientation"][12:]) == {""}
    assert whole.orientations() == ["axial"]


@pytest.mark.parametrize("other", [{"size": 4}, {"channels": ("T1", "T2")}, {"channels": ("T2",)}, {"depth": 2}])
def test_parts_of_another_kind_are_not_joined(other):
    with pytest.raises(DataError, match="samples of one shape and the same channels can be joined"):
        join_samples([make_samples(), make_samples(**other)])


def test_no_part_makes_no_whole():
    with pytest.raises(DataError, match="can be joined, got none"):
        join_samples([])


def test_conditions_of_two_widths_are_not_joined():
    one = make_samples(conditions=True)
    other = dataclasses.replace(one, conditions={"dose_gy": one.conditions["interval_days"]})
    with pytest.raises(DataError, match="condition dose_gy has several widths"):
        join_samples([one, other])


def test_a_patient_in_two_folds_is_refused():
    samples = make_samples()
    fold = samples.fold.copy()
    fold[0] += 1
    with pytest.raises(DataError, match="patient p0 stands in more than one fold"):
        dataclasses.replace(samples, fold=fold)


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


def test_conditions_and_facts_leave_the_fingerprint_as_it_is():
    assert make_samples(conditions=True).fingerprint() == make_samples().fingerprint()


def test_another_name_of_a_channel_is_another_fingerprint():
    assert make_samples(channels=("T2",)).fingerprint() != make_samples().fingerprint()


@pytest.mark.parametrize("channels", [(), ("T1", "T2"), ("T1", "T1")])
def test_channels_without_a_name_each_are_refused(channels):
    with pytest.raises(DataError, match="pre images have 1 channels, with the names"):
        dataclasses.replace(make_samples(), channels=channels)


@pytest.mark.parametrize("column", [np.zeros(11, np.float32), np.zeros(12), np.zeros((12, 2, 2), np.float32)])
def test_a_condition_of_another_shape_or_type_is_refused(column):
    with pytest.raises(DataError, match="condition days must be float32 of shape"):
        dataclasses.replace(make_samples(), conditions={"days": column})


def test_a_fact_without_a_text_for_each_row_is_refused():
    with pytest.raises(DataError, match="orientation must be a text for each of 12 rows"):
        dataclasses.replace(make_samples(), facts={"orientation": np.array(["axial"])})


@pytest.mark.parametrize("shape", [(12, 8, 8), (12, 8, 4, 1), (12, 2, 8, 4, 1), (12, 2, 2, 8, 8, 1)])
def test_images_that_are_no_squares_or_stacks_of_squares_are_refused(shape):
    with pytest.raises(DataError, match=r"pre images must have shape \[n, S, S, C\] or \[n, D, S, S, C\]"):
        dataclasses.replace(make_samples(), pre=np.zeros(shape, np.float32))


@pytest.mark.parametrize("field", ["post", "fold"])
def test_arrays_of_another_length_are_refused(field):
    samples = make_samples()
    with pytest.raises(DataError, match=f"{field} must have shape"):
        dataclasses.replace(samples, **{field: getattr(samples, field)[:-1]})


def test_saved_samples_come_back_to_the_bit(tmp_path, stacks):
    save_samples(tmp_path / "part.npz", stacks)
    assert_equal(read_samples(tmp_path / "part.npz"), stacks)


@pytest.mark.parametrize("keep", [0, 10, 1000, -10])
def test_a_cut_file_of_samples_is_refused(tmp_path, keep):
    file = tmp_path / "part.npz"
    save_samples(file, make_samples())
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"part\.npz holds no samples that can be read"):
        read_samples(file)
