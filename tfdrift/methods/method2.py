"""Method 2: from the noised first MRI to a clean one by DDIM, and the drift beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tfdrift.axes import first_channel
from tfdrift.diffusion.predictions import PREDICTIONS
from tfdrift.diffusion.schedule import sampler_levels
from tfdrift.errors import UsageError
from tfdrift.methods.method import Ask, Images, LevelAxis, Method, Shown

if TYPE_CHECKING:
    import tensorflow as tf

    from tfdrift.diffusion.sampler import Trajectory


def _mean(drifts: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.reduce_mean(drifts, axis=0)


DRIFT_FROM: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {"mean": _mean, "last": lambda drifts: drifts[-1]}
"""What `--drift-from` may be: the drift, from the drift [L, B, ...] at each level."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Method2(Method):
    """The network predicts the noise of the pre image, and the drift; post is the denoised pre image plus the drift.

    Args:
        schedule: noise at each level.
        prediction: what the network predicts, a name in `tfdrift.diffusion.predictions.PREDICTIONS`.
        start_level: the level the image is noised to; T-1 in the paper. What the noise hides there no sampler brings
            back, so a lower start keeps more of this very image (Meng et al. 2022, SDEdit, sec. 3).
        sample_steps: number of DDIM steps, spread evenly from `start_level` to 0.
        eta: 0 for DDIM, 1 for the variance of DDPM.
        drift_from: a name in `DRIFT_FROM`.
        clip_x0: clip the estimate of the pre image to [0, 1] at each level.

    Source: paper, "Method 1 vs Method 2" and Fig. 2C.
    """

    label = "Method 2"
    summary = "Method 2: a U-Net that walks from the noised first MRI to a clean one by DDIM and predicts the drift"
    defaults: ClassVar[Mapping[str, Any]] = {
        "heads": "decoupled",
        "recon_ssim": 0.0,
        "drift_ssim": 0.1,
        "recon_weight": 1.0,
        "drift_weight": 1.0,
        "clip_x0": True,
    }
    ssim_share = "drift_ssim"
    level_axis = LevelAxis(
        title="Drift along the sampling",
        says="Method 2 gives a drift map at every step on its way from the noised image to a clean one.",
        label="level, along the sampling",
        falls=True,
    )

    prediction: str = "eps"
    start_level: int = 20
    sample_steps: int = 21
    eta: float = 0.0
    drift_from: str = "mean"
    clip_x0: bool = False

    @classmethod
    def check(cls, settings: Mapping[str, Any]) -> None:
        """As `Method.check`: SSIM compares images alone."""
        super().check(settings)
        prediction, share = settings["prediction"], settings["recon_ssim"]
        if share > 0 and not PREDICTIONS[prediction].is_image:
            raise UsageError(
                f"--recon-ssim {share} with --prediction {prediction}: SSIM compares images and {prediction} is not "
                "one; use --recon-ssim 0 or --prediction x0"
            )

    @classmethod
    def output_channels(cls, channels: int) -> dict[str, int]:
        """As `Method.output_channels`: the noise is that of every channel."""
        return {"recon": channels, "drift": 1}

    @property
    def losses(self) -> dict[str, str]:
        """As `Method.losses`."""
        return {"recon": "image" if PREDICTIONS[self.prediction].is_image else "noise", "drift": "drift"}

    def show(self, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Shown:
        """As `Method.show`, at a random level for each image.

        Source: paper, eq. 3.
        """
        from tfdrift.diffusion.noise import noised_batch
        from tfdrift.diffusion.process import training_target

        noised = noised_batch(pre, seed, self.schedule)
        target = training_target(self.prediction, pre, noised.eps, noised.level, self.schedule)
        return Shown(noised.x_t, noised.t, {"recon": target, "drift": post - first_channel(pre)})

    def answer(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """As `Method.answer`."""
        path = self.sample(ask, pre, seed)
        drift = DRIFT_FROM[self.drift_from](path.drift_hat)
        return {"post": first_channel(path.x0_hat[-1]) + drift, "drift": drift}

    def levels(self) -> list[int | None]:
        """As `Method.levels`: those of the sampler."""
        return list(self._levels())

    def at_levels(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """As `Method.at_levels`: the snapshots x0_hat + drift_hat of one path."""
        path = self.sample(ask, pre, seed)
        return {"post": first_channel(path.x0_hat) + path.drift_hat, "drift": path.drift_hat}

    def sample(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Trajectory:
        """Return the path from the image noised to `start_level` back to a clean one.

        Args:
            ask: see `Method.answer`.
            pre: see there.
            seed: see there.

        Source: paper, eqs. 4 and 5 and Fig. 2C.
        """
        from tfdrift.diffusion.noise import noised, times, unit_normal
        from tfdrift.diffusion.process import x0_and_eps
        from tfdrift.diffusion.sampler import ddim_sample

        def estimate(x_t: tf.Tensor, level: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            outputs = ask(x_t, times(level, self.schedule, like=x_t))
            x0_hat, eps_hat = x0_and_eps(self.prediction, outputs["recon"], x_t, level, self.schedule)
            return x0_hat, eps_hat, outputs["drift"]

        levels = self._levels()
        return ddim_sample(
            estimate,
            noised(pre, seed, levels[0], self.schedule),
            schedule=self.schedule,
            levels=levels,
            eta=self.eta,
            draw=lambda step: unit_normal(seed, pre, stream=step + 1),
            clip=(0.0, 1.0) if self.clip_x0 else None,
        )

    def _levels(self) -> list[int]:
        return sampler_levels(self.start_level + 1, self.sample_steps)
