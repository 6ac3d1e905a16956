"""Cohorts on disk come back to the bit or not at all; batches show every slice in every rotation once an epoch."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfdrift.cohort.context import columns_of
from tfdrift.cohort.samples import Samples
from tfdrift.model.conditions import Conditions, fit_conditions
from tfdrift.training.batches import drop_channels, drop_columns, make_batches


def numbered_samples(count: int) -> Samples:
    """Return slices that tell their number and rotation: pixel (0, 0) of slice i holds i + 1, the others 0."""
    pre = np.zeros((count, 4, 4, 1), np.float32)
    pre[:, 0, 0, 0] = np.arange(count) + 1
    ones = np.ones(count, np.float32)
    return Samples(
        pre=pre,
        post=pre * 2,
        pre_mask=pre > 0,
        post_mask=pre > 0,
        scale=ones,
        patient=np.arange(count).astype(str),
        lesion=np.arange(count).astype(str),
        fold=np.zeros(count, np.int32),
        pixel_mm=ones,
        pre_mm3=ones,
        post_mm3=ones,
        follow_up_mm3=ones,
    )


def seen(samples: Samples, *, batch_size: int, first: int, images: int, seed: int = 0) -> list[tuple[int, int]]:
    """Return (slice, flat place of its bright pixel) of the images from the `first` on, in order."""
    batch = tf.function(make_batches(samples, batch_size=batch_size, seed=seed))
    steps = range(first // batch_size, -(-(first + images) // batch_size))
    pre = np.concatenate([batch(tf.constant(step, tf.int64))["pre"] for step in steps]).reshape(-1, 16)
    pre = pre[first % batch_size :][:images]
    return [(int(image.max()), int(image.argmax())) for image in pre]


@pytest.mark.parametrize("batch_size", [1, 4, 5, 12, 20, 21, 64])
@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_an_epoch_shows_each_slice_in_each_rotation_once(batch_size, epoch):
    shown = seen(numbered_samples(5), batch_size=batch_size, first=20 * epoch, images=20)
    corners = (0, 3, 12, 15)
    assert Counter(shown) == Counter({(i + 1, corner): 1 for i in range(5) for corner in corners})


def test_an_epoch_of_symmetries_shows_each_slice_twice_in_each_corner():
    batch = make_batches(numbered_samples(5), batch_size=40, seed=0, augment="symmetries")(tf.constant(1, tf.int64))
    images = batch["pre"].numpy().reshape(-1, 16)
    shown = Counter((int(image.max()), int(image.argmax())) for image in images)
    assert shown == Counter({(i + 1, corner): 2 for i in range(5) for corner in (0, 3, 12, 15)})


def test_pre_and_post_are_rotated_together():
    batch = make_batches(numbered_samples(5), batch_size=20, seed=0)(tf.constant(3, tf.int64))
    np.testing.assert_array_equal(batch["post"], 2 * batch["pre"])


def test_the_order_differs_between_epochs_and_seeds_and_nothing_else():
    samples = numbered_samples(20)
    first = seen(samples, batch_size=8, first=0, images=80)
    assert first == seen(samples, batch_size=5, first=0, images=80)
    assert first != seen(samples, batch_size=8, first=80, images=80)
    assert first != seen(samples, batch_size=8, first=0, images=80, seed=1)


def test_every_slice_and_rotation_comes_equally_often_at_every_place_of_the_epoch():
    samples = numbered_samples(5)
    shown = np.array(seen(samples, batch_size=40, first=0, images=20 * 2000))
    number = (shown[:, 0] - 1) * 4 + np.searchsorted((0, 3, 12, 15), shown[:, 1])
    by_place = number.reshape(2000, 20)
    p_values = [stats.chisquare(np.bincount(by_place[:, place], minlength=20)).pvalue for place in range(20)]
    assert min(p_values) > 1e-3 / 20


def with_ages(count: int) -> tuple[Samples, Conditions]:
    """Return slices with two columns of numbers and one of classes, all known."""
    ages = np.arange(count, dtype=np.float32)
    conditions = {"age": ages, "dose": np.stack([ages, ages], axis=1)}
    sites = np.where(ages % 2 == 0, "north", "south")
    samples = dataclasses.replace(numbered_samples(count), conditions=conditions, facts={"site": sites})
    return samples, fit_conditions(["age", "dose", "site"], columns_of(samples))


def test_dropped_conditions_depend_on_seed_and_step_alone():
    samples, conditions = with_ages(5)

    def condition(step: int, seed: int = 0) -> np.ndarray:
        batch = make_batches(samples, batch_size=8, seed=seed, conditions=conditions, dropout=0.5)
        return batch(tf.constant(step, tf.int64))["condition"].numpy()

    np.testing.assert_array_equal(condition(3), condition(3))
    assert (condition(3) != condition(4)).any()
    assert (condition(3) != condition(3, seed=1)).any()


def test_a_column_is_dropped_as_a_whole_and_as_often_as_is_said():
    _, conditions = with_ages(5)
    values = drop_columns(conditions, tf.ones([20_000, 4]), 0.2, tf.constant([0, 1], tf.int64)).numpy()
    gone = np.isnan(values)
    np.testing.assert_array_equal(gone[:, 1], gone[:, 2])
    np.testing.assert_allclose(gone.mean(axis=0), 1 - 0.8**2, atol=0.015)  # five standard errors
    np.testing.assert_allclose(gone.all(axis=1).mean(), 0.2 + 0.8 * 0.2**3, atol=0.015)


def test_without_dropout_every_condition_is_shown_as_it_is():
    samples, conditions = with_ages(5)
    batch = make_batches(samples, batch_size=20, seed=0, conditions=conditions)(tf.constant(0, tf.int64))
    rows = batch["pre"].numpy().max(axis=(1, 2, 3)).astype(int) - 1
    expected = conditions.encode(conditions.values(columns_of(samples), 5)).numpy()
    np.testing.assert_array_equal(batch["condition"], expected[rows])


def with_channels(count: int, channels: tuple[str, ...]) -> Samples:
    """Return slices whose every channel holds ones."""
    samples = numbered_samples(count)
    pre = np.ones((count, 4, 4, len(channels)), np.float32)
    return dataclasses.replace(samples, pre=pre, channels=channels)


def test_a_channel_is_dropped_as_a_whole_and_as_often_as_is_said():
    shown = drop_channels(tf.ones([20_000, 2, 2, 3]), [False, True, True], 0.2, tf.constant([0, 1], tf.int64)).numpy()
    known = shown.mean(axis=(1, 2))
    assert set(known.ravel().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(known.mean(axis=0), [1, 0.8**2, 0.8**2], atol=0.015)  # five standard errors
    np.testing.assert_allclose((known[:, 1:] == 0).all(axis=1).mean(), 0.2 + 0.8 * 0.2**2, atol=0.015)


def test_dropped_channels_depend_on_seed_and_step_alone_and_never_are_the_first_or_its_neighbours():
    samples = with_channels(5, ("T1", "T1 below", "FLAIR", "dose"))

    def known(step: int, **options) -> np.ndarray:
        batch = make_batches(samples, batch_size=64, seed=0, channel_dropout=0.5, **options)
        return batch(tf.constant(step, tf.int64))["pre"].numpy().mean(axis=(1, 2))

    np.testing.assert_array_equal(known(3), known(3, augment="symmetries"))
    assert (known(3) != known(4)).any()
    np.testing.assert_array_equal(known(3)[:, :2], 1)
    np.testing.assert_array_equal(known(3).min(axis=0)[2:], 0)


def test_without_dropout_every_channel_is_shown():
    batch = make_batches(with_channels(5, ("T1", "dose")), batch_size=20, seed=0)(tf.constant(0, tf.int64))
    np.testing.assert_array_equal(batch["pre"], 1)
