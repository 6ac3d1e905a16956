"""Batches as a function of the step: every slice in every rotation once an epoch, whatever the batch size."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfdrift.cohort.dataset import example_seeds, load_samples, make_batches, rotate
from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError


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


@pytest.mark.parametrize("turns", range(4))
def test_rotation_is_that_of_numpy(turns):
    images = np.random.default_rng(0).random((3, 6, 6, 1), np.float32)
    turned = rotate(tf.constant(images), tf.fill([3], turns))
    np.testing.assert_array_equal(turned, np.rot90(images, turns, axes=(1, 2)))


def test_each_image_of_a_batch_has_its_own_rotation():
    images = np.random.default_rng(0).random((4, 6, 6, 1), np.float32)
    turned = rotate(tf.constant(images), tf.constant([3, 0, 2, 1]))
    for image, after, turns in zip(images, turned.numpy(), (3, 0, 2, 1), strict=True):
        np.testing.assert_array_equal(after, np.rot90(image, turns))


def test_each_example_has_a_seed_of_its_own():
    np.testing.assert_array_equal(example_seeds(3, 7), [[7, 0], [7, 1], [7, 2]])


def test_data_of_another_name_are_refused():
    with pytest.raises(DataError, match="--data brats: choose phantom or mnist"):
        load_samples("brats", image_size=32)
