import numpy as np
import pytest
import tensorflow as tf

from tests.methods.known_networks import PRE, SEED, make_predictor
from tfdrift.axes import first_channel
from tfdrift.config import train_config
from tfdrift.diffusion.noise import whole_and_smooth
from tfdrift.errors import UsageError
from tfdrift.methods.distribution import DRAWS, SMOOTH, WHOLE
from tfdrift.methods.method import asking
from tfdrift.model.unet import build_unet
from tfdrift.training.losses import LOSSES


def noise(inputs):
    """Answer with the first latent map, whatever the image."""
    return {"recon": inputs["latent"][..., :1], "drift": inputs["latent"][..., -1:]}


def test_the_network_sees_the_clean_image_and_the_noise_of_the_seed():
    predictor = make_predictor(noise, "distribution")
    answer, expected = predictor(PRE, SEED), whole_and_smooth(SEED, PRE, whole=WHOLE, smooth=SMOOTH).numpy()
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
