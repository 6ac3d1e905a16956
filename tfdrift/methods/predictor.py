"""From a clean pre-treatment image to the predicted post-treatment image and drift, for each method."""

import dataclasses

import keras
import tensorflow as tf

from tfdrift.diffusion.noise import unit_normal
from tfdrift.diffusion.process import add_noise, t_unit, x0_and_eps
from tfdrift.diffusion.sampler import Trajectory, ddim_sample
from tfdrift.diffusion.schedule import Schedule, sampler_levels


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """A trained network and how to ask it; the trainer validates, the evaluation scores, the SavedModel serves with it.

    The same (image, seed) gives the same bits: all noise comes from the seed.

    Args:
        network: see `tfdrift.model.unet.build_unet`.
        method: `method1`, `method2` or `direct`.
        schedule: the one the network was trained with.
        prediction: what the network predicts in Method 2, `eps`, `x0` or `v`.
        estimate_level: the level Method 1 noises the image to.
        start_level: the level Method 2 noises the image to; T-1 in the paper. What the noise hides there no sampler
            brings back, so a lower start keeps more of this very image (Meng et al. 2022, SDEdit, sec. 3).
        sample_steps: number of DDIM steps of Method 2, spread evenly from `start_level` to 0.
        eta: 0 for DDIM, 1 for the variance of DDPM.
        drift_from: Method 2's drift is the `mean` over the levels or that of the `last`.
        clip_x0: clip Method 2's estimate of the pre image to [0, 1] at each level.

    Source: paper, "Method 1 vs Method 2" and Fig. 2.
    """

    network: keras.Model
    method: str
    schedule: Schedule
    prediction: str = "eps"
    estimate_level: int = 10
    start_level: int = 20
    sample_steps: int = 21
    eta: float = 0.0
    drift_from: str = "mean"
    clip_x0: bool = False

    def __call__(self, pre: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `post` and `drift`, float32 [B, S, S, 1].

        Args:
            pre: float32 [B, S, S, 1], the largest signal of each image being 1.
            seed: int64 [B, 2], one for each image.
        """
        if self.method == "direct":
            return self._direct(pre)
        if self.method == "method1":
            return self._one_step(pre, seed, self.estimate_level)
        path = self.sample(pre, seed)
        drift = path.drift_hat[-1] if self.drift_from == "last" else tf.reduce_mean(path.drift_hat, axis=0)
        return {"post": path.x0_hat[-1] + drift, "drift": drift}

    def levels(self) -> list[int | None]:
        """Return the L levels that `at_levels` answers at, the noisiest first; [None] for `direct`."""
        if self.method == "direct":
            return [None]
        return list(self._method1_levels() if self.method == "method1" else self._method2_levels())

    def at_levels(self, pre: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `post` and `drift` at each of `levels`, float32 [L, B, S, S, 1].

        Method 1 answers at every level by itself; Method 2's answers are the snapshots of one path,
        x0_hat + drift_hat.

        Args:
            pre: see `__call__`.
            seed: see `__call__`.
        """
        if self.method == "direct":
            return {name: image[None] for name, image in self._direct(pre).items()}
        if self.method == "method1":
            return tf.map_fn(
                lambda level: self._one_step(pre, seed, level),
                tf.constant(self._method1_levels()),
                fn_output_signature={"post": pre.dtype, "drift": pre.dtype},
            )
        path = self.sample(pre, seed)
        return {"post": path.x0_hat + path.drift_hat, "drift": path.drift_hat}

    def sample(self, pre: tf.Tensor, seed: tf.Tensor) -> Trajectory:
        """Return Method 2's path from the image noised to `start_level` back to a clean one.

        Args:
            pre: see `__call__`.
            seed: see `__call__`.

        Source: paper, eqs. 4 and 5 and Fig. 2C.
        """

        def estimate(x_t, level):
            outputs = self.network({"image": x_t, "t": self._times(level, like=x_t)})
            x0_hat, eps_hat = x0_and_eps(self.prediction, outputs["recon"], x_t, level, self.schedule)
            return x0_hat, eps_hat, outputs["drift"]

        levels = self._method2_levels()
        return ddim_sample(
            estimate,
            add_noise(pre, unit_normal(seed, pre), levels[0], self.schedule),
            schedule=self.schedule,
            levels=levels,
            eta=self.eta,
            draw=lambda step: unit_normal(seed, pre, stream=step + 1),
            clip=(0.0, 1.0) if self.clip_x0 else None,
        )

    def _one_step(self, pre: tf.Tensor, seed: tf.Tensor, level: int | tf.Tensor) -> dict[str, tf.Tensor]:
        x_t = add_noise(pre, unit_normal(seed, pre), level, self.schedule)
        outputs = self.network({"image": x_t, "t": self._times(level, like=pre)})
        return {"post": outputs["recon"], "drift": outputs["drift"]}

    def _direct(self, pre: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = self.network({"image": pre, "t": self._times(0, like=pre)})
        return {"post": outputs["recon"], "drift": outputs["drift"]}

    def _method1_levels(self) -> list[int]:
        return sampler_levels(self.schedule.levels, self.schedule.levels)

    def _method2_levels(self) -> list[int]:
        return sampler_levels(self.start_level + 1, self.sample_steps)

    def _times(self, level: int | tf.Tensor, *, like: tf.Tensor) -> tf.Tensor:
        return tf.fill([tf.shape(like)[0], 1], t_unit(level, self.schedule.levels))
