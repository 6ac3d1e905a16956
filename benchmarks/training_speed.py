"""Training speed against plain Keras `fit`: the same network, loss, batch and data, in pairs in one process.

    python benchmarks/training_speed.py [--rounds 7] [--steps 40] [--base-filters 16] [--any-order]

Prints images per second of both and the ratio (ours / fit) of each pair; above 1 ours is faster. Pairs, because other
work on the machine slows both alike.
"""

import argparse
import dataclasses
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from tfdrift.config import train_config
from tfdrift.diffusion.process import add_noise, t_unit
from tfdrift.methods import make_method
from tfdrift.training.batches import make_batches
from tfdrift.training.data import load_samples
from tfdrift.training.loop import compile_steps, run_steps
from tfdrift.training.losses import DRIFT_RANGE, IMAGE_RANGE, image_loss
from tfdrift.training.run_folder import build_network, make_run_loss
from tfdrift.training.step import make_optimizer, make_train_step, metric_names

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--base-filters", type=int)
parser.add_argument(
    "--any-order", action="store_true", help="without op determinism, which the trainer always asks for"
)
arguments = parser.parse_args()

config = train_config("method1", base_filters=arguments.base_filters)
samples = load_samples(config.data, image_size=config.image_size)
method = make_method(config.method, dataclasses.asdict(config))
schedule = method.schedule

tf.random.set_seed(0)
if not arguments.any_order:
    tf.config.experimental.enable_op_determinism()
network = build_network(config)
loss = make_run_loss(config, network)
optimizer = make_optimizer(learning_rate=config.learning_rate, weight_decay=config.weight_decay)
batches = make_batches(samples, batch_size=config.batch_size, seed=0)
steps = compile_steps(make_train_step(network, optimizer, loss, batches, seed=0), metric_names(method))


def noised(pre, post):
    """Do per batch what our step does: rotate, choose levels, add noise."""
    turns = tf.random.uniform([], 0, 4, tf.int32)
    pre, post = tf.image.rot90(pre, turns), tf.image.rot90(post, turns)
    level = tf.random.uniform([config.batch_size], 0, config.levels, tf.int32)
    shown = add_noise(pre, tf.random.normal(tf.shape(pre)), level, schedule)
    return {"image": shown, "t": t_unit(level, config.levels)[:, None]}, {"recon": post, "drift": post - pre}


plain = build_network(config)
plain.compile(
    optimizer=make_optimizer(learning_rate=config.learning_rate, weight_decay=config.weight_decay),
    loss={
        "recon": lambda target, predicted: image_loss(
            predicted, target, ssim_share=config.recon_ssim, data_range=IMAGE_RANGE
        )["loss"],
        "drift": lambda target, predicted: image_loss(
            predicted, target, ssim_share=config.drift_ssim, data_range=DRIFT_RANGE
        )["loss"],
    },
    loss_weights={"recon": config.recon_weight, "drift": config.drift_weight},
)
data = tf.data.Dataset.from_tensor_slices((samples.pre, samples.post)).cache().shuffle(len(samples), seed=0).repeat()
data = data.batch(config.batch_size, drop_remainder=True).map(noised).prefetch(2)


def seconds(call) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def run_ours():
    """Train ours for a round."""
    run_steps(steps, 0, arguments.steps)


def run_fit():
    """Train by `fit` for a round."""
    plain.fit(data, steps_per_epoch=arguments.steps, verbose=0)  # pyright: ignore[reportArgumentType]


run_ours()
run_fit()
ratios, speeds = [], {"ours": [], "fit": []}
for round_number in range(arguments.rounds):
    order = (("ours", run_ours), ("fit", run_fit))
    for name, call in order if round_number % 2 == 0 else reversed(order):
        speeds[name].append(arguments.steps * config.batch_size / seconds(call))
    ratios.append(speeds["ours"][-1] / speeds["fit"][-1])
print(f"tensorflow {tf.__version__}, keras {keras.__version__}, numpy {np.__version__}")
print(f"method1, {config.image_size} px, {config.base_filters} filters, {network.count_params():,} parameters")
for name, values in speeds.items():
    print(f"{name:5} images/s  median {statistics.median(values):.0f}  min {min(values):.0f}  max {max(values):.0f}")
print(f"ours / fit       median {statistics.median(ratios):.3f}  min {min(ratios):.3f}  max {max(ratios):.3f}")
