"""The baseline: the same network, shown the clean image at time 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tfdrift.axes import first_channel
from tfdrift.methods.method import Ask, Images, Method, Shown
from tfdrift.methods.method1 import Method1
from tfdrift.methods.outputs import DRIFT_FORMS, OUTPUTS, as_answer

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Direct(Method):
    """A plain U-Net from the first MRI to the second, without noise or time: what diffusion has to beat.

    Args:
        schedule: not used.
        output: a name in `tfdrift.methods.outputs.OUTPUTS`.
        drift_form: a name in `tfdrift.methods.outputs.DRIFT_FORMS`.
    """

    label = "direct"
    summary = "the baseline without diffusion: the same U-Net, given the first MRI without noise"
    draws = False
    defaults: ClassVar[Mapping[str, Any]] = Method1.defaults  # a control differs in one thing

    output: str = "images"
    drift_form: str = "difference"

    def show(self, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Shown:  # noqa: ARG002 - no draw
        """As `Method.show`; nothing is drawn."""
        return Shown(pre, time_zero(pre), {"recon": post, "drift": post - first_channel(pre)})

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

    def answer(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:  # noqa: ARG002 - no draw
        """As `Method.answer`; the seed changes nothing."""
        return as_answer(self.read(ask(pre, time_zero(pre)), pre))


def time_zero(images: tf.Tensor) -> tf.Tensor:
    """Return the time of clean images, float32 [B, 1]."""
    import tensorflow as tf

    return tf.zeros([tf.shape(images)[0], 1])
