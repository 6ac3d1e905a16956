from typing import Any

import numpy as np
import tensorflow as tf

from tests.methods.known_networks import PRE, SEED
from tfdrift.config import train_config
from tfdrift.diffusion.noise import unit_normal
from tfdrift.methods import make_method
from tfdrift.methods.method import Predictor, asking
from tfdrift.methods.palette import Palette

SETTINGS = {field: getattr(train_config("palette"), field) for field in train_config("palette").__dataclass_fields__}
MEAN, STD = 0.4, 0.1


def make_palette(**settings) -> Palette:
    method = make_method("palette", {**SETTINGS, **settings})
    assert isinstance(method, Palette)
    return method


def expected_post(inputs, method: Palette):
    """Answer E[x0 | x_t] where every pixel of the second MRI is normal with `MEAN` and `STD`, whatever the first."""
    level = tf.cast(tf.round(inputs["t"][0, 0] * (method.schedule.levels - 1)), tf.int32)
    signal = tf.gather(tf.constant(method.schedule.signal_rate, tf.float32), level)
    noise = tf.gather(tf.constant(method.schedule.noise_rate, tf.float32), level)
    gain = STD**2 * signal / (signal**2 * STD**2 + noise**2)
    return {"recon": MEAN + gain * (inputs["latent"] - signal * MEAN), "drift": inputs["latent"]}


def test_the_last_level_of_its_schedule_holds_no_signal():
    assert make_palette().schedule.signal_rate[-1] < 1e-3


def test_the_right_network_draws_from_the_right_distribution():
    """A Gaussian's posterior mean is linear: along the path DDIM scales deviations as their standard deviation goes."""
    method = make_palette(output="images", levels=201, sample_steps=201, schedule="cosine")
    predictor = Predictor(network=lambda inputs: expected_post(inputs, method), method=method)
    seeds = tf.constant(np.stack([np.zeros(64), np.arange(64)], axis=1), tf.int64)
    post = predictor(tf.zeros([64, 8, 8, 1]), seeds)["post"].numpy()
    signal, noise = method.schedule.signal_rate, method.schedule.noise_rate
    first, last = np.hypot(signal[[-1, 0]] * STD, noise[[-1, 0]])
    # From the last level to the clean image it is one jump, to the mean of what may be there.
    scale = (last / first) * STD**2 * signal[0] / last**2
    # This schedule leaves some signal at its start, which the noise lacks.
    assert abs(post.mean() - (MEAN - scale * signal[-1] * MEAN)) < 4 * STD / np.sqrt(post.size) + 0.003
    assert abs(post.std() / (scale * noise[-1]) - 1) < 4 / np.sqrt(2 * post.size) + 0.02


def test_an_answer_starts_from_the_noise_of_its_seed_alone_and_sees_the_clean_first_mri():
    method, seen = make_palette(), []

    def ask(image, t, latent=None):
        seen.append((image, t, latent))
        return {"recon": tf.zeros_like(image), "drift": tf.zeros_like(image)}

    with_tf = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        answer = method.answer(ask, PRE, SEED)
    finally:
        tf.config.run_functions_eagerly(with_tf)
    image, t, latent = seen[0]
    np.testing.assert_array_equal(image, PRE)
    np.testing.assert_array_equal(t, 1)
    np.testing.assert_allclose(latent, method.schedule.noise_rate[-1] * unit_normal(SEED, PRE), rtol=1e-6)
    np.testing.assert_array_equal(answer["post"], PRE)  # a correction of nothing is no change
    assert len(seen) == len(method.levels()) == SETTINGS["sample_steps"]


def test_training_shows_the_noised_second_mri_and_asks_for_the_clean_one():
    method, post, seen = make_palette(), PRE / 2, []

    def ask(image, t, latent=None):
        seen.append((image, t, latent))
        return {"recon": tf.zeros_like(image), "drift": tf.zeros_like(image)}

    trial = method.attempt(ask, PRE, post, tf.constant([0, 1], tf.int64))
    ((image, t, latent),) = seen
    np.testing.assert_array_equal(image, PRE)
    level = np.round(t.numpy()[:, 0] * (method.schedule.levels - 1)).astype(int)
    signal, noise = (
        rates[level][:, None, None, None] for rates in (method.schedule.signal_rate, method.schedule.noise_rate)
    )
    eps = (latent - signal * post) / noise
    assert abs(eps.numpy().mean()) < 4 / np.sqrt(eps.numpy().size)
    assert abs(eps.numpy().std() - 1) < 4 / np.sqrt(2 * eps.numpy().size)
    np.testing.assert_array_equal(trial.targets["recon"], post)
    np.testing.assert_array_equal(trial.targets["drift"], post - PRE)
    np.testing.assert_array_equal(trial.predicted["recon"], PRE)


def test_the_last_snapshot_is_the_answer():
    method = make_palette()
    network: Any = lambda inputs: expected_post(inputs, method)  # noqa: E731 - typed
    ask = asking(network, latents=1)
    np.testing.assert_array_equal(method.at_levels(ask, PRE, SEED)["post"][-1], method.answer(ask, PRE, SEED)["post"])
