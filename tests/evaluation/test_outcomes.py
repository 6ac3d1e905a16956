import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tests.evaluation.conftest import TINY
from tests.random_samples import make_samples
from tfdrift.cohort.samples import join_samples
from tfdrift.config import train_config
from tfdrift.evaluation.outcomes import BATCH, draw_levels, draw_outcomes, lesion_seeds
from tfdrift.training.run_folder import build_network, inputs_of, load_predictor, make_predictor


def test_every_outcome_has_its_own_noise_and_the_first_is_a_single_requests(tiny_run, phantom):
    _, _, trained = load_predictor(tiny_run("method1"))
    outcomes = draw_outcomes(trained, phantom, count=3, seed=4)  # several batches
    single, levels = draw_outcomes(trained, phantom, count=1, seed=4), draw_levels(trained, phantom, seed=4)
    np.testing.assert_allclose(outcomes["post"][0], single["post"][0], atol=1e-6)
    np.testing.assert_allclose(levels["drift"][1], outcomes["drift"][0], atol=1e-6)  # the middle level of three
    assert len({outcome.tobytes() for outcome in outcomes["drift"]}) == 3


def test_the_slices_of_a_lesion_share_the_noise_of_each_outcome(tiny_run, phantom):
    _, _, trained = load_predictor(tiny_run("method1"))
    few = phantom.take(np.arange(4))
    few = dataclasses.replace(few, lesion=np.array(["b", "a", "b", "c"]))
    outcomes = draw_outcomes(trained, few, count=2, seed=4)
    for k in range(2):
        seeds = tf.constant([[4, 3 * k + lesion] for lesion in (1, 0, 1, 2)], tf.int64)
        expected = trained(tf.constant(few.pre), seeds)
        np.testing.assert_allclose(outcomes["post"][k], expected["post"], atol=1e-6)
    np.testing.assert_array_equal(lesion_seeds(few, 2, 4)[:4], [[4, 1], [4, 0], [4, 1], [4, 2]])


def test_levels_come_noisiest_first(tiny_run, phantom):
    _, _, trained = load_predictor(tiny_run("method2"))
    assert draw_levels(trained, phantom.take(np.arange(1)), seed=0)["post"].shape == (len(trained.levels()), 1, 8, 8, 1)


def test_batches_do_not_show_in_the_predictions(tiny_run, phantom):
    for method in ("method1", "method2", "direct"):
        _, _, trained = load_predictor(tiny_run(method))
        many = join_samples([phantom, phantom])
        assert len(many) > BATCH
        post, levels = draw_outcomes(trained, many, count=1, seed=3)["post"], draw_levels(trained, many, seed=3)
        few, few_levels = (
            draw(trained, many.take(np.arange(4)), seed=3)
            for draw in (functools.partial(draw_outcomes, count=1), draw_levels)
        )
        np.testing.assert_allclose(post[0, :4], few["post"][0], atol=1e-6)
        np.testing.assert_allclose(levels["drift"][:, :4], few_levels["drift"], atol=1e-6)


def test_a_network_is_told_the_conditions_of_each_image_and_what_is_unknown():
    samples = make_samples(count=BATCH + 6, conditions=True)  # the days of each fourth are not known
    config = train_config("direct", **TINY, condition="interval_days")
    inputs = inputs_of(config, samples)
    trained = make_predictor(config, build_network(config, inputs), inputs)
    outcomes, levels = draw_outcomes(trained, samples, count=1, seed=0), draw_levels(trained, samples, seed=0)
    known = inputs.conditions.values(samples.conditions, len(samples))
    expected = trained(tf.constant(samples.pre), lesion_seeds(samples, 1, 0), tf.constant(known))
    np.testing.assert_allclose(outcomes["post"][0], expected["post"], atol=1e-6)
    np.testing.assert_allclose(levels["post"][0], expected["post"], atol=1e-6)
    unlike = trained(tf.constant(samples.pre), lesion_seeds(samples, 1, 0))
    assert np.abs(unlike["post"] - expected["post"]).max() > 1e-4
