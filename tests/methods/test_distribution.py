import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SEED, make_predictor
from tfdrift.axes import first_channel, spatial_axes
from tfdrift.config import train_config
from tfdrift.errors import UsageError
from tfdrift.methods.distribution import DRAWS, WHOLE, latent_noise
from tfdrift.methods.method import asking
from tfdrift.model.unet import build_unet
from tfdrift.training.losses import LOSSES

drawn = tf.function(latent_noise)


def noise(inputs):
    """Answer with the first latent map, whatever the image."""
    return {"recon": inputs["latent"][..., :1], "drift": inputs["latent"][..., -1:]}


def test_the_noise_is_unit_normal_at_every_place_the_border_too():
    seeds = tf.constant(np.stack([np.zeros(4000), np.arange(4000)], axis=1), tf.int64)
    maps = drawn(seeds, tf.zeros([4000, 8, 8, 1])).numpy()
    np.testing.assert_allclose(maps.mean(axis=0), 0, atol=5 / np.sqrt(4000))
    np.testing.assert_allclose(maps.var(axis=0), 1, atol=5 * np.sqrt(2 / 4000))


def test_the_first_maps_have_one_value_an_image_and_the_others_change_over_a_quarter_of_it():
    seeds = tf.constant(np.stack([np.zeros(4000), np.arange(4000)], axis=1), tf.int64)
    maps = drawn(seeds, tf.zeros([4000, 16, 16, 1])).numpy()
    assert np.ptp(maps[..., :WHOLE], axis=spatial_axes(maps)).max() == 0
    smooth = maps[..., WHOLE:]
    for shift in range(6):  # means of 4 numbers a side share 4 - shift of them
        together = (smooth[:, 8, 4] * smooth[:, 8, 4 + shift]).mean()
        assert together == pytest.approx(max(0, 1 - shift / 4), abs=5 / np.sqrt(4000))


def test_an_images_noise_does_not_depend_on_its_batch():
    alone = latent_noise(SEED[1:2], PRE[1:2])
    np.testing.assert_array_equal(latent_noise(SEED, PRE)[1:2], alone)


def test_the_network_sees_the_clean_image_and_the_noise_of_the_seed():
    predictor = make_predictor(noise, "distribution")
    answer, expected = predictor(PRE, SEED), latent_noise(SEED, PRE).numpy()
    np.testing.assert_array_equal(answer["post"], expected[..., :1])
    np.testing.assert_array_equal(answer["drift"], expected[..., -1:])


def test_a_training_step_compares_outcomes_of_noise_of_their_own_with_the_truth():
    method = make_predictor(noise, "distribution").method
    seen = []

    def ask(image, t, latent=None):
        assert latent is not None
        seen.append((image, t))
        return {"recon": tf.gather(latent, [0], axis=-1), "drift": tf.gather(latent, [DRAWS], axis=-1)}

    trial = method.attempt(ask, PRE, PRE / 2, tf.constant([0, 1], tf.int64))
    ((image, t),) = seen
    np.testing.assert_array_equal(image, np.concatenate([PRE] * DRAWS))
    np.testing.assert_array_equal(t, 0)
    for name, target in (("recon", PRE / 2), ("drift", -PRE / 2)):
        np.testing.assert_array_equal(trial.targets[name], target)
        drawn = trial.predicted[name].numpy()
        assert drawn.shape == (*PRE.shape[:-1], DRAWS)
        assert len(np.unique(drawn[:, 0, 0])) == len(PRE) * DRAWS


def test_ssim_is_refused():
    with pytest.raises(UsageError, match=r"--recon-ssim 0\.1: distribution has no SSIM"):
        train_config("distribution", recon_ssim=0.1)


def test_outcomes_of_stacks_of_slices_are_scored_as_well():
    pre = tf.random.stateless_uniform([2, 4, 8, 8, 2], (0, 1))
    method = make_predictor(noise, "distribution").method
    network = build_unet(8, channels=2, slices=4, base_filters=2, depth=1, latents=method.latents)
    trial = method.attempt(
        asking(network, latents=method.latents), pre, first_channel(pre), tf.constant([0, 1], tf.int64)
    )
    for name, loss in method.losses.items():
        assert trial.predicted[name].shape == (2, 4, 8, 8, DRAWS)
        parts = LOSSES[loss].compare(trial.predicted[name], trial.targets[name], 0.0)
        assert all(np.isfinite(value) for value in parts.values())
