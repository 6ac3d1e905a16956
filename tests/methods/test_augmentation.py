import numpy as np
import pytest
import tensorflow as tf

from tfdrift.methods.augmentation import AUGMENTATIONS, warp
from tfdrift.methods.symmetries import apply_symmetry

RNG = np.random.default_rng(0)
SEEDS = tf.constant(np.stack([np.full(200, 3), np.arange(200)], axis=1), tf.int64)


def disc(radius: float, size: int = 32) -> np.ndarray:
    """Return float32 [200, S, S, 1], the same disc in the middle of each image."""
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    return np.repeat((np.hypot(row, column) < radius).astype(np.float32)[None, ..., None], 200, axis=0)


@pytest.mark.parametrize("name", ["rotations", "symmetries"])
def test_the_exact_looks_differ_and_the_first_is_the_image_itself(name):
    augmentation = AUGMENTATIONS[name]
    image = tf.constant(RNG.random((1, 3, 3, 1), np.float32))
    looks = [
        augmentation.look(image, tf.constant([number]), SEEDS[:1]).numpy() for number in range(augmentation.copies)
    ]
    np.testing.assert_array_equal(looks[0], image)
    assert len({look.tobytes() for look in looks}) == augmentation.copies


@pytest.mark.parametrize("elastic", [False, True])
def test_no_value_is_made_up(elastic):
    image = RNG.integers(1, 1000, (200, 16, 16, 1)).astype(np.float32)
    warped = warp(tf.constant(image), SEEDS, elastic=elastic).numpy()
    for before, after in zip(image, warped, strict=True):
        assert set(after.ravel()) <= {*before.ravel(), 0.0}


@pytest.mark.parametrize("elastic", [False, True])
def test_a_disc_keeps_its_area_but_for_the_scale_that_is_drawn(elastic):
    area = warp(tf.constant(disc(9.0)), SEEDS, elastic=elastic).numpy().sum(axis=(1, 2, 3)) / disc(9.0)[0].sum()
    # Log area is twice a normal number of standard deviation 0.07; knots bend it a little more.
    assert abs(np.log(area).mean()) < 4 * 0.14 / np.sqrt(200) + 0.01
    assert np.log(area).std() == pytest.approx(0.14, rel=0.25)


def test_every_angle_is_as_likely_as_another():
    size = 33
    image = np.zeros((200, size, size, 1), np.float32)
    image[:, 13:20, 26:31] = 1.0  # a spot to the right of the middle
    warped = warp(tf.constant(image), SEEDS).numpy()[..., 0]
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.arctan2((warped * row).sum(axis=(1, 2)), (warped * column).sum(axis=(1, 2)))
    # Of n even angles |mean of exp(i angle)| is Rayleigh with sigma 1 / sqrt(2 n).
    for harmonic in (1, 2, 4):
        assert abs(np.exp(1j * harmonic * angle).mean()) < 4 / np.sqrt(2 * 200)


def test_an_images_warp_depends_on_its_own_seed_and_both_of_a_pair_are_warped_alike():
    pre, post = (RNG.random((200, 16, 16, 1)).astype(np.float32) for _ in range(2))
    alone = warp(tf.constant(pre[7:8]), SEEDS[7:8], elastic=True)
    np.testing.assert_array_equal(warp(tf.constant(pre), SEEDS, elastic=True)[7:8], alone)
    both = warp(tf.constant(np.concatenate([pre, post], axis=-1)), SEEDS, elastic=True).numpy()
    np.testing.assert_array_equal(both[..., 1:], warp(tf.constant(post), SEEDS, elastic=True))


def test_slices_of_a_stack_are_warped_one_as_the_other():
    stack = RNG.random((3, 4, 16, 16, 2)).astype(np.float32)
    warped = warp(tf.constant(stack), SEEDS[:3], elastic=True).numpy()
    for place in range(4):
        np.testing.assert_array_equal(warped[:, place], warp(tf.constant(stack[:, place]), SEEDS[:3], elastic=True))


def test_the_looks_of_affine_are_mirrored_as_often_as_not():
    images = tf.constant(RNG.random((8, 8, 8, 1)).astype(np.float32))
    numbers = tf.range(8)
    expected = warp(apply_symmetry(images, numbers), SEEDS[:8])
    np.testing.assert_array_equal(AUGMENTATIONS["affine"].look(images, numbers, SEEDS[:8]), expected)
    assert AUGMENTATIONS["affine"].copies == 8


@pytest.mark.parametrize("shape", [(16, 16), (8, 8, 8)])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_look_moves_all_channels_alike_and_the_second_mri_with_them(name, shape):
    pre = RNG.random((16, *shape, 3)).astype(np.float32)
    numbers, look = tf.range(16) % AUGMENTATIONS[name].copies, AUGMENTATIONS[name].look
    together = look(tf.constant(pre), numbers, SEEDS[:16]).numpy()
    for channel in range(3):
        alone = look(tf.constant(pre[..., channel : channel + 1]), numbers, SEEDS[:16])
        np.testing.assert_array_equal(together[..., channel : channel + 1], alone)
