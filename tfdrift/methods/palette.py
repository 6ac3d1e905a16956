"""The comparator of the literature: the second MRI from noise by DDIM, given the clean first one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tfdrift.axes import first_channel
from tfdrift.diffusion.schedule import sampler_levels
from tfdrift.methods.method import Ask, Images, LevelAxis, Method, Shown, Trial
from tfdrift.methods.outputs import OUTPUTS

if TYPE_CHECKING:
    import tensorflow as tf

    from tfdrift.diffusion.sampler import Trajectory


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Palette(Method):
    """Conditional diffusion of post: the network sees the noised second MRI beside the clean first one.

    It predicts the clean second MRI at every level. The schedule must leave no signal at the last level, where an
    answer starts from noise alone: a start that in training held some of the second MRI would be another distribution.

    Args:
        schedule: noise at each level.
        output: a name in `tfdrift.methods.outputs.OUTPUTS`.
        sample_steps: number of DDIM steps, spread evenly over all levels.
        eta: 0 for DDIM, 1 for the variance of DDPM.

    Source: Saharia et al. (2022), Palette, sec. 3; Lin et al. (2024) for the last level.
    """

    label = "palette"
    summary = "conditional diffusion: a U-Net that walks by DDIM from noise to the second MRI, given the first"
    defaults: ClassVar[Mapping[str, Any]] = {
        "heads": "shared",
        "schedule": "linear-beta",
        "recon_ssim": 0.0,
        "drift_ssim": 0.0,
        "recon_weight": 1.0,
        "drift_weight": 1.0,
        "output": "correction",
        "augment": "symmetries",
    }
    level_axis = LevelAxis(
        title="Second MRI along the sampling",
        says="Palette estimates the second MRI at every step on its way from noise.",
        label="level, along the sampling",
        falls=True,
    )
    latents = 1

    output: str = "correction"
    sample_steps: int = 21
    eta: float = 0.0

    @property
    def losses(self) -> dict[str, str]:
        """As `Method.losses`."""
        return {"recon": "image", "drift": "drift"}

    def show(self, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Shown:
        """As `Method.show`, at a random level for each image; the noised second MRI is what `attempt` adds.

        Source: paper, eq. 2, of post.
        """
        from tfdrift.diffusion.noise import noised_batch

        t = noised_batch(post, seed, self.schedule).t
        return Shown(pre, t, {"recon": post, "drift": post - first_channel(pre)})

    def read(self, outputs: Images, pre: tf.Tensor) -> Images:
        """As `Method.read`."""
        return {**outputs, "recon": OUTPUTS[self.output].post(outputs["recon"], pre)}

    def attempt(self, ask: Ask, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Trial:
        """As `Method.attempt`."""
        from tfdrift.diffusion.noise import noised_batch

        shown, noised = self.show(pre, post, seed), noised_batch(post, seed, self.schedule)
        return Trial(self.read(ask(shown.image, shown.t, noised.x_t), pre), shown.targets)

    def answer(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """As `Method.answer`: one outcome."""
        path = self.sample(ask, pre, seed)
        return {"post": path.x0_hat[-1], "drift": path.drift_hat[-1]}

    def levels(self) -> list[int | None]:
        """As `Method.levels`: those of the sampler."""
        return list(self._levels())

    def at_levels(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """As `Method.at_levels`: the estimates along one path."""
        path = self.sample(ask, pre, seed)
        return {"post": path.x0_hat, "drift": path.drift_hat}

    def sample(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Trajectory:
        """Return the path from noise to a second MRI.

        Args:
            ask: see `Method.answer`.
            pre: see there.
            seed: see there.

        Source: paper, eqs. 4 and 5, of post.
        """
        from tfdrift.diffusion.noise import times, unit_normal
        from tfdrift.diffusion.process import x0_and_eps
        from tfdrift.diffusion.sampler import ddim_sample

        first = first_channel(pre)

        def estimate(x_t: tf.Tensor, level: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            outputs = self.read(ask(pre, times(level, self.schedule, like=pre), x_t), pre)
            x0_hat, eps_hat = x0_and_eps("x0", outputs["recon"], x_t, level, self.schedule)
            return x0_hat, eps_hat, outputs["drift"]

        levels = self._levels()
        return ddim_sample(
            estimate,
            self.schedule.noise_rate[levels[0]].item() * unit_normal(seed, first),
            schedule=self.schedule,
            levels=levels,
            eta=self.eta,
            draw=lambda step: unit_normal(seed, first, stream=step + 1),
        )

    def _levels(self) -> list[int]:
        return sampler_levels(self.schedule.levels, self.sample_steps)
