"""What may happen: second MRIs drawn from the distribution that the first one leaves open."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

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
        outputs = self.read(ask(images, time_zero(images), _latents(seeds, images)), images)
        return Trial(
            {name: tf.concat(tf.split(outcome, DRAWS), axis=-1) for name, outcome in outputs.items()}, shown.targets
        )

    def answer(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """As `Method.answer`: one outcome."""
        return as_answer(self.read(ask(pre, time_zero(pre), _latents(seed, pre)), pre))


def _latents(seed: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    from tfdrift.diffusion.noise import whole_and_smooth

    return whole_and_smooth(seed, like, whole=WHOLE, smooth=SMOOTH)
