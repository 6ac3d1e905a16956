"""Cohorts on disk come back to the bit or not at all; batches show every slice in every rotation once an epoch."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfdrift.cohort.samples import Samples
from tfdrift.training.batches import make_batches


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
