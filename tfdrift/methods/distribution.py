"""What may happen: second MRIs drawn from the distribution that the first one leaves open."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tfdrift.axes import spatial_axes
from tfdrift.errors import UsageError
from tfdrift.methods.direct import Direct, time_zero
from tfdrift.methods.method import Ask, Images, Trial
from tfdrift.methods.outputs import as_answer

if TYPE_CHECKING:
    import tensorflow as tf

WHOLE, SMOOTH = 4, 4
"""Maps of latent noise: of one value over the image, and smooth over a quarter of it."""
DRAWS = 3
"""Outcomes of each image in a training step; the fair score needs two."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Distribution(Direct):
    """The plain U-Net, given latent noise beside the clean first MRI: an outcome for each noise, by a proper score.

    Method 1 noises what it is shown, so its spread tells how the answer depends on that noise. Here the noise is a
    channel of its own and the loss is smallest where outcomes are as far from the truth as from one another.

    Args:
        schedule: not used.
        output: a name in `tfdrift.methods.outputs.OUTPUTS`.
        drift_form: a name in `tfdrift.methods.outputs.DRIFT_FORMS`.

    Source: Shen and Meinshausen (2024), engression; Gneiting and Raftery (2007), sec. 4.2, for the score.
    """

    label = "distribution"
    draws = True
    summary = "a U-Net that draws second MRIs from latent noise beside the clean first one, trained with a proper score"
    defaults: ClassVar[Mapping[str, Any]] = {
        "heads": "shared",
        "recon_ssim": 0.0,
        "drift_ssim": 0.0,
        "recon_weight": 1.0,
        "drift_weight": 1.0,
        "output": "correction",
        "agree": "averaged",
        "augment": "symmetries",
    }
    ssim_share = None
    latents = WHOLE + SMOOTH

    @classmethod
    def check(cls, settings: Mapping[str, Any]) -> None:
        """As `Method.check`."""
        super().check(settings)
        for name in ("recon_ssim", "drift_ssim"):
            if settings[name] > 0:
                raise UsageError(f"--{name.replace('_', '-')} {settings[name]}: {cls.label} has no SSIM in its loss")

    @property
    def losses(self) -> dict[str, str]:
        """As `Method.losses`."""
        return {"recon": "outcomes", "drift": "outcomes"}

    def attempt(self, ask: Ask, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Trial:
        """As `Method.attempt`: `DRAWS` outcomes of each image, as channels."""
        import tensorflow as tf

        shown = self.show(pre, post, seed)
        images = tf.concat([shown.image] * DRAWS, axis=0)
        seeds = tf.random.split(seed, tf.shape(images)[0], alg="philox")  # pyright: ignore[reportArgumentType]
        outputs = self.read(ask(images, time_zero(images), latent_noise(seeds, images)), images)
        return Trial(
            {name: tf.concat(tf.split(outcome, DRAWS), axis=-1) for name, outcome in outputs.items()}, shown.targets
        )

    def answer(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """As `Method.answer`: one outcome."""
        return as_answer(self.read(ask(pre, time_zero(pre), latent_noise(seed, pre)), pre))


def latent_noise(seed: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Return unit normal maps of noise, `WHOLE` of one value an image and `SMOOTH` that change over a quarter of it.

    Args:
        seed: int64 [B, 2], one for each image.
        like: float32 [B, ..., C], gives the size.

    Returns:
        float32 [B, ..., `Distribution.latents`].

    Example:
        >>> import tensorflow as tf
        >>> latent_noise(tf.constant([[0, 1]], tf.int64), tf.zeros([1, 8, 8, 1])).shape.as_list()
        [1, 8, 8, 8]
    """
    import tensorflow as tf

    from tfdrift.diffusion.noise import unit_normal

    batch, sides = tf.shape(like)[0], [int(like.shape[axis]) for axis in spatial_axes(like)]  # pyright: ignore[reportArgumentType]
    windows = [max(2, side // 4) for side in sides]
    whole = unit_normal(seed, tf.zeros([batch, *[1] * len(sides), WHOLE]), 0)
    padded = [side + window - 1 for side, window in zip(sides, windows, strict=True)]
    white = unit_normal(seed, tf.zeros([batch, *padded, SMOOTH]), 1)
    # The mean of n numbers varies by 1 / n.
    smooth = tf.nn.avg_pool(white, windows, 1, "VALID") * math.sqrt(math.prod(windows))
    return tf.concat([tf.zeros([batch, *sides, WHOLE]) + whole, smooth], axis=-1)
