"""What the network's outputs are to the second MRI: images, a correction of the first one, or how it moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tfdrift.axes import first_channel, split_channels
from tfdrift.methods.field import moved, undo_vectors
from tfdrift.methods.symmetries import undo_each, undo_symmetry

if TYPE_CHECKING:  # the command line reads the tables' names, and TensorFlow takes seconds
    import tensorflow as tf

    from tfdrift.methods.method import Images


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftForm:
    """How a network tells the drift.

    Args:
        read: (`recon` and `drift` of a network, pre [B, ..., C], what `recon` is) to the second MRI as `recon`, the
            drift, both [B, ..., 1], and what more it tells.
        channels: (channels of the outputs of a network, dimensions of space) to those that this form needs.
        turn_back: (outputs of a network for a turned image, number of the symmetry [B]) to its outputs for the image.
        settings: of `tfdrift.config.TrainConfig` that go with it unless others are given.
        corrects: whether it needs one of `OUTPUTS` that starts at zero.
        maps: what more `read` tells, and whether that is in units of the image.
    """

    read: Callable[[Images, tf.Tensor, Output], Images]
    channels: Callable[[Mapping[str, int], int], dict[str, int]]
    turn_back: Callable[[Images, tf.Tensor], Images]
    settings: Mapping[str, Any]
    corrects: bool
    maps: Mapping[str, bool]


def _read_difference(outputs: Images, pre: tf.Tensor, output: Output) -> Images:
    return {**outputs, "recon": output.post(outputs["recon"], pre)}


def _read_field(outputs: Images, pre: tf.Tensor, output: Output) -> Images:
    maps = moved(outputs, pre)
    image = maps.pop("image")
    post = output.post(outputs["recon"], image)
    return {"recon": post, "drift": post - first_channel(pre), **maps, "residual": post - image}


def _turn_field_back(outputs: Images, number: tf.Tensor) -> Images:
    import tensorflow as tf

    velocity, log_gain = split_channels(outputs["drift"], -1)
    drift = tf.concat([undo_vectors(velocity, number), undo_symmetry(log_gain, number)], axis=-1)
    return {"recon": undo_symmetry(outputs["recon"], number), "drift": drift}


DRIFT_FORMS: dict[str, DriftForm] = {
    "difference": DriftForm(
        read=_read_difference,
        channels=lambda channels, _rank: dict(channels),
        turn_back=undo_each,
        settings={},
        corrects=False,
        maps={},
    ),
    "field": DriftForm(
        read=_read_field,
        channels=lambda channels, rank: {**channels, "drift": rank + 1},
        turn_back=_turn_field_back,
        settings={"output": "correction"},
        corrects=True,
        maps={"displacement": False, "log_jacobian": False, "log_gain": False, "residual": True},
    ),
}
"""What `--drift-form` may be.

`difference` is the paper's: the network's second output is the drift. With `field` it is a velocity and the logarithm
of a gain, "where to move" and "how to change intensity", and its first output what is new. So

    post = pre(flow of -velocity) * exp(log gain) + recon,    drift = post - pre,

and an untrained network, whose outputs are 0, predicts no change to the bit. The network's outputs are averaged over
symmetries as velocity, log gain and residual, before they act.
"""


def as_answer(outputs: Images) -> Images:
    """Return outputs as they were read as an answer, in which the second MRI is `post`."""
    return {"post" if name == "recon" else name: image for name, image in outputs.items()}


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
