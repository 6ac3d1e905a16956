"""Turned and mirrored images: the group of the square, and networks averaged over it."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SCHEDULE, SEED
from tfdrift.methods.direct import Direct
from tfdrift.methods.method import Predictor, asking
from tfdrift.methods.symmetries import ALL, apply_symmetry, rotate, symmetric, turn_over, undo_symmetry
from tfdrift.model.unet import build_unet

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("turns", range(4))
def test_rotation_is_that_of_numpy(turns):
    images = RNG.random((3, 6, 6, 1), np.float32)
    turned = rotate(tf.constant(images), tf.fill([3], turns))
    np.testing.assert_array_equal(turned, np.rot90(images, turns, axes=(1, 2)))


def test_each_image_of_a_batch_has_its_own_rotation():
    images = RNG.random((4, 6, 6, 1), np.float32)
    turned = rotate(tf.constant(images), tf.constant([3, 0, 2, 1]))
    for image, after, turns in zip(images, turned.numpy(), (3, 0, 2, 1), strict=True):
        np.testing.assert_array_equal(after, np.rot90(image, turns))


@pytest.mark.parametrize("shape", [(6, 6, 1), (3, 6, 6, 2)])
def test_a_symmetry_is_undone(shape):
    images = tf.constant(RNG.random((ALL, *shape), np.float32))
    numbers = tf.range(ALL)
    np.testing.assert_array_equal(undo_symmetry(apply_symmetry(images, numbers), numbers), images)


def test_the_symmetries_are_eight_and_closed():
    image = RNG.random((1, 3, 3, 1), np.float32)
    looks = {n: apply_symmetry(tf.constant(image), tf.constant([n])).numpy().tobytes() for n in range(ALL)}
    assert len(set(looks.values())) == ALL
    for first in range(ALL):
        for second in range(ALL):
            both = apply_symmetry(apply_symmetry(tf.constant(image), tf.constant([first])), tf.constant([second]))
            assert both.numpy().tobytes() in looks.values()


def test_the_slices_of_a_stack_are_turned_alike_and_keep_their_order():
    stack = RNG.random((ALL, 5, 4, 4, 2), np.float32)
    numbers = tf.range(ALL)
    turned = apply_symmetry(tf.constant(stack), numbers)
    for place in range(5):
        np.testing.assert_array_equal(turned[:, place], apply_symmetry(tf.constant(stack[:, place]), numbers))


@pytest.mark.parametrize("slices", [None, 4])
@pytest.mark.parametrize("number", range(ALL))
def test_the_averaged_answer_of_a_turned_image_is_the_turned_answer(slices, number):
    network = build_unet(8, base_filters=2, depth=1, slices=slices)
    predictor = Predictor(network=network, method=Direct(schedule=SCHEDULE), symmetries=ALL)
    pre = tf.constant(RNG.random((2, *([slices] if slices else []), 8, 8, 1), np.float32))
    every = tf.fill([2], number)
    turned, answer = predictor(apply_symmetry(pre, every), SEED[:2]), predictor(pre, SEED[:2])
    for name in ("post", "drift"):
        np.testing.assert_allclose(turned[name], apply_symmetry(answer[name], every), rtol=0, atol=1e-5)


def test_a_plain_network_is_not_equivariant_by_itself():
    predictor = Predictor(network=build_unet(8, base_filters=2, depth=1), method=Direct(schedule=SCHEDULE))
    once = tf.ones([3], tf.int32)
    difference = predictor(apply_symmetry(PRE, once), SEED)["post"] - apply_symmetry(predictor(PRE, SEED)["post"], once)
    assert np.abs(difference).max() > 1e-3


def test_noise_in_the_image_is_turned_along():
    ask = symmetric(asking(build_unet(8, base_filters=2, depth=1)))
    noisy, t = PRE + tf.random.stateless_normal([3, 8, 8, 1], (0, 1)), tf.fill([3, 1], 0.5)
    numbers = tf.constant([1, 4, 6])
    turned, answer = ask(apply_symmetry(noisy, numbers), t), ask(noisy, t)
    np.testing.assert_allclose(turned["recon"], apply_symmetry(answer["recon"], numbers), rtol=0, atol=1e-5)


def test_a_network_that_is_equivariant_stays_as_it_is():
    predictor = Predictor(
        network=lambda inputs: {"recon": inputs["image"] ** 2, "drift": -inputs["image"]},  # pyright: ignore[reportArgumentType]
        method=Direct(schedule=SCHEDULE),
    )
    averaged = dataclasses.replace(predictor, symmetries=ALL)
    np.testing.assert_allclose(averaged(PRE, SEED)["post"], predictor(PRE, SEED)["post"], rtol=1e-6)


def test_a_cube_is_turned_over_into_its_48_looks_and_no_other():
    cube = RNG.random((1, 2, 2, 2, 1), np.float32)
    seeds = tf.stack([tf.range(400, dtype=tf.int64), tf.ones(400, tf.int64)], axis=1)
    turned = turn_over(tf.repeat(cube, 400, axis=0), seeds)
    looks = [apply_symmetry(turned, tf.fill([400], number)).numpy() for number in range(ALL)]
    every = {
        np.flip(np.transpose(cube[0, ..., 0], order), axes).tobytes()
        for order in itertools.permutations(range(3))
        for count in range(4)
        for axes in itertools.combinations(range(3), count)
    }
    assert len(every) == 48
    assert {look[row].tobytes() for look in looks for row in range(400)} == every


def test_both_images_of_a_pair_are_turned_over_alike():
    cubes = tf.constant(RNG.random((20, 4, 4, 4, 1), np.float32))
    seeds = tf.stack([tf.range(20, dtype=tf.int64)] * 2, axis=1)
    np.testing.assert_array_equal(turn_over(2 * cubes, seeds), 2 * turn_over(cubes, seeds))


@pytest.mark.parametrize("shape", [(3, 6, 6, 1), (3, 4, 6, 6, 1)], ids=["slices", "stacks"])
def test_what_is_no_cube_is_not_turned_over(shape):
    images = tf.constant(RNG.random(shape, np.float32))
    np.testing.assert_array_equal(turn_over(images, tf.zeros([3, 2], tf.int64)), images)
