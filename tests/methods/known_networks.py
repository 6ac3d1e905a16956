"""Networks whose right answer is known, and predictors around them."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfdrift.diffusion.sampler import Trajectory
from tfdrift.diffusion.schedule import make_schedule
from tfdrift.methods import METHODS
from tfdrift.methods.method import Predictor, asking
from tfdrift.methods.method2 import Method2

SCHEDULE = make_schedule("linear", levels=21, noise_level=0.2)
PRE = tf.constant(np.random.default_rng(0).random((3, 8, 8, 1), np.float32))
SEED = tf.constant([[0, 1], [0, 2], [5, 3]], tf.int64)


def echo(inputs):
    """Return the image and the time that the network was given."""
    return {"recon": inputs["image"], "drift": tf.zeros_like(inputs["image"]) + inputs["t"][:, :, None, None]}


def make_predictor(network: Any, method: str, **settings: Any) -> Predictor:
    return Predictor(network=network, method=METHODS[method](schedule=SCHEDULE, **settings))


def sample(predictor: Predictor) -> Trajectory:
    assert isinstance(predictor.method, Method2)
    return predictor.method.sample(asking(predictor.network), PRE, SEED)
