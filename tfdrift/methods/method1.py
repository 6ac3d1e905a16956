"""Method 1: from the noised first MRI to the second in one step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tfdrift.axes import first_channel
from tfdrift.diffusion.schedule import sampler_levels
from tfdrift.methods.method import Ask, Images, LevelAxis, Method, Shown
from tfdrift.methods.outputs import DRIFT_FORMS, OUTPUTS, as_answer

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Method1(Method):
    """The network predicts post and drift from the pre image at any level of noise.

    Args:
        schedule: noise at each level.
        estimate_level: the level an answer is made from.
        output: a name in `tfdrift.methods.outputs.OUTPUTS`.
        drift_form: a name in `tfdrift.methods.outputs.DRIFT_FORMS`.

    Source: paper, "Method 1 vs Method 2" and Fig. 2B.
    """

    label = "Method 1"
    summary = "Method 1: a U-Net that predicts the second MRI and the drift in one step from the noised first MRI"
    defaults: ClassVar[Mapping[str, Any]] = {
        "heads": "shared",
        "recon_ssim": 0.1,
        "drift_ssim": 0.0,
        "recon_weight": 1.0,
        "drift_weight": 3.0,
    }
    level_axis = LevelAxis(
        title="Which noise level predicts best",
        says="Method 1 answers at any level in one step.",
        label="noise level (0 is the cleanest)",
        falls=False,
    )

    estimate_level: int = 10
    output: str = "images"
    drift_form: str = "difference"

    def show(self, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Shown:
        """As `Method.show`, at a random level for each image."""
        from tfdrift.diffusion.noise import noised_batch

        noised = noised_batch(pre, seed, self.schedule)
        return Shown(noised.x_t, noised.t, {"recon": post, "drift": post - first_channel(pre)})

    def read(self, outputs: Images, pre: tf.Tensor) -> Images:
        """As `Method.read`."""
        return DRIFT_FORMS[self.drift_form].read(outputs, pre, OUTPUTS[self.output])

    @property
    def maps(self) -> Mapping[str, bool]:
        """As `Method.maps`."""
        return DRIFT_FORMS[self.drift_form].maps

    def turn_back(self, outputs: Images, number: tf.Tensor) -> Images:
        """As `Method.turn_back`."""
        return DRIFT_FORMS[self.drift_form].turn_back(outputs, number)

    def answer(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """As `Method.answer`, at `estimate_level`."""
        return self._at(ask, pre, seed, self.estimate_level)

    def levels(self) -> list[int | None]:
        """As `Method.levels`: all of them."""
        return list(self._levels())

    def at_levels(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """As `Method.at_levels`; each level answers by itself, with the same noise."""
        import tensorflow as tf

        def change(level: tf.Tensor) -> Images:
            answer = self._at(ask, pre, seed, level)
            return {name: answer[name] for name in ("post", "drift")}

        return tf.map_fn(
            change,
            tf.constant(self._levels()),
            fn_output_signature={"post": pre.dtype, "drift": pre.dtype},
        )

    def _levels(self) -> list[int]:
        return sampler_levels(self.schedule.levels, self.schedule.levels)

    def _at(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor, level: int | tf.Tensor) -> Images:
        from tfdrift.diffusion.noise import noised, times

        outputs = ask(noised(pre, seed, level, self.schedule), times(level, self.schedule, like=pre))
        return as_answer(self.read(outputs, pre))
