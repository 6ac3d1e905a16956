"""What the network's `recon` is to the second MRI: the image itself, or a correction of the first one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from tfdrift.axes import first_channel

if TYPE_CHECKING:  # the command line reads the tables' names, and TensorFlow takes seconds
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """How `recon` becomes the second MRI.

    Args:
        post: (recon [B, ..., 1], pre [B, ..., C]) to the second MRI [B, ..., 1].
        starts_at_zero: whether the weights of the last layers do, so that an untrained network answers 0.
    """

    post: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    starts_at_zero: bool


OUTPUTS: dict[str, Output] = {
    "images": Output(post=lambda recon, _pre: recon, starts_at_zero=False),
    "correction": Output(post=lambda recon, pre: first_channel(pre) + recon, starts_at_zero=True),
}
"""What `--output` may be.

`images` is the paper's. With `correction` an untrained run predicts no change, exactly, and few steps on few patients
stay near it (Zhang et al. 2019, Fixup, for last layers that start at zero).
"""


def _apart(post: tf.Tensor, drift: tf.Tensor, _pre: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return post, drift


def _averaged(post: tf.Tensor, drift: tf.Tensor, pre: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    change = (post - first_channel(pre) + drift) / 2
    return first_channel(pre) + change, change


AGREEMENTS: dict[str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]] = {
    "apart": _apart,
    "averaged": _averaged,
}
"""What `--agree` may be: (post, drift, pre) of an answer to its post and drift.

`post` and `pre + drift` are two answers to one question. `apart` leaves them as the paper has them, `averaged` takes
the mean of the two, after which post - pre is drift.
"""
