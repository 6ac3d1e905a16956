"""Outcomes from errors: an answer, altered as answers erred about patients that were held out.

A network that is trained for the best image draws nothing, and the noise of Method 1 tells how much its answer depends
on that noise, not how far off it is. How far off is learned on held-out patients (`tfdrift.training.dressing`): the
lesion is larger or smaller, displaced, brighter or darker than was answered. Each seed draws such an error.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from tfdrift.axes import spatial_axes, split_channels
from tfdrift.methods.field import sample

if TYPE_CHECKING:
    import tensorflow as tf

    from tfdrift.methods.method import Images

DRESSINGS = ("none", "learned")
"""What `--dressing` may be."""
STREAM = 1000
"""Of the noise; methods draw from the first streams."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dressing:
    """How far answers err: standard deviations of independent normal errors.

    Args:
        growth: of the logarithm of the lesion's diameter.
        movement: of the displacement, in pixels along each axis; smooth over a quarter of the image.
        gain: of the logarithm of the lesion's brightness.
        texture: of the logarithm of the brightness of its parts, smooth over a quarter of the image.
    """

    growth: float
    movement: float
    gain: float
    texture: float


def dressed(answer: Images, seed: tf.Tensor, dressing: Dressing) -> Images:
    """Return an answer with an error drawn for each image; the same seed gives the slices of a lesion the same error.

    Args:
        answer: `post` and `drift`, float32 [B, ..., 1], and maps, which stay as they are.
        seed: int64 [B, 2].
        dressing: how far answers err.

    Source: Roulston and Smith (2003), dressing a forecast with errors of earlier ones.
    """
    from tfdrift.diffusion.noise import whole_and_smooth

    post = answer["post"]
    rank = len(spatial_axes(post))
    errors = whole_and_smooth(seed, post, whole=2, smooth=rank + 1, stream=STREAM)
    change = with_errors(post, errors, dressing) - post
    return {**answer, "post": post + change, "drift": answer["drift"] + change}


def with_errors(post: tf.Tensor, errors: tf.Tensor, dressing: Dressing) -> tf.Tensor:
    """Return second MRIs with given errors.

    The lesion grows about the middle of the crop, where it lies.

    Args:
        post: float32 [B, ..., 1].
        errors: float32 [B, ..., D + 3], of unit variance: growth, gain, movement along each of D axes, texture. A
            positive growth enlarges.
        dressing: what they are multiplied by.
    """
    import tensorflow as tf

    sides = [int(post.shape[axis]) for axis in spatial_axes(post)]  # pyright: ignore[reportArgumentType]
    whole, smooth = split_channels(errors, 2)
    growth, gain = split_channels(whole, 1)
    movement, texture = split_channels(smooth, len(sides))
    middle = (np.array(sides, np.float32) - 1) / 2
    from_middle = np.moveaxis(np.indices(sides, np.float32), 0, -1) - middle
    asked_at = from_middle * tf.math.expm1(-dressing.growth * growth) + dressing.movement * movement
    # The mean of exp(s z) is exp(s^2 / 2).
    brighter = dressing.gain * gain + dressing.texture * texture - (dressing.gain**2 + dressing.texture**2) / 2
    return sample(post, asked_at) * tf.exp(brighter)
