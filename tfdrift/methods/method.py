"""What a method is: how it is trained, and how it answers."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from tfdrift.axes import first_channel
from tfdrift.diffusion.schedule import Schedule
from tfdrift.errors import UsageError
from tfdrift.methods.dressing import Dressing, dressed
from tfdrift.methods.guidance import NO_CLASS, guided
from tfdrift.methods.outputs import AGREEMENTS, DRIFT_FORMS, OUTPUTS
from tfdrift.methods.symmetries import symmetric, undo_each
from tfdrift.model.inputs import ONE_IMAGE, Inputs

if TYPE_CHECKING:  # the command line reads labels and defaults, and TensorFlow takes seconds
    import keras
    import tensorflow as tf

Images = dict[str, "tf.Tensor"]


class Ask(Protocol):
    """A network that is asked."""

    def __call__(self, image: tf.Tensor, t: tf.Tensor, latent: tf.Tensor | None = None, /) -> Images:
        """Return `recon` and `drift`.

        Args:
            image: float32 [B, ..., C].
            t: float32 [B, 1] in [0, 1].
            latent: float32 [B, ..., L], noise that a method of `latents` L brings; None for zeros.
        """
        ...


class Shown(NamedTuple):
    """What a network is shown in training, and what each of its outputs is compared with.

    Args:
        image: float32 [B, S, S, C] or [B, D, S, S, C].
        t: float32 [B, 1] in [0, 1].
        targets: for `recon` and `drift`, float32 of the output's shape.
    """

    image: tf.Tensor
    t: tf.Tensor
    targets: Images


class Trial(NamedTuple):
    """What a network answered in training, and what it is compared with.

    Args:
        predicted: for `recon` and `drift`, float32 as the loss of that output takes it.
        targets: the same names.
    """

    predicted: Images
    targets: Images


class LevelAxis(NamedTuple):
    """What the levels of a method's answers are, for reports.

    Args:
        title: of the section.
        says: what answers at a level are, a sentence.
        label: of the axis of a plot.
        falls: whether the plot runs from the noisiest level to the cleanest.
    """

    title: str
    says: str
    label: str
    falls: bool


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Method(abc.ABC):
    """A way to predict the second MRI from the first: settings, and functions of tensors that know no file.

    A method of one's own is a subclass that is put into `tfdrift.methods.METHODS`. Its fields are named as those of
    `tfdrift.config.TrainConfig` that it needs; `docs/architecture.md` has an example.

    Attributes:
        label: what reports call it.
        summary: what it does, as a part of a sentence.
        draws: whether its answer depends on the seed, so that there are outcomes to draw.
        defaults: settings that differ from those of `TrainConfig`.
        ssim_share: the setting that says how much SSIM counts in its loss; None where it has none.
        level_axis: what the levels of `at_levels` are; None where there is one answer.
        latents: L, the maps of noise that its network is given beside the image.

    Args:
        schedule: noise at each level.
    """

    label: ClassVar[str]
    summary: ClassVar[str]
    draws: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, Any]] = {}
    ssim_share: ClassVar[str | None] = "recon_ssim"
    level_axis: ClassVar[LevelAxis | None] = None
    latents: ClassVar[int] = 0

    schedule: Schedule

    @classmethod
    def check(cls, settings: Mapping[str, Any]) -> None:
        """Refuse settings that do not go together in this method.

        Args:
            settings: fields of `TrainConfig`.

        Raises:
            UsageError: the message names the options.
        """
        for name, usual in (("drift_form", "difference"), ("output", "images")):
            if settings[name] != usual and name not in {field.name for field in dataclasses.fields(cls)}:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} {settings[name]}: {cls.label} has no such output; leave it out")
        form, output = settings["drift_form"], settings["output"]
        if DRIFT_FORMS[form].corrects and not OUTPUTS[output].starts_at_zero:
            raise UsageError(f"--output {output} with --drift-form {form}: nothing would be moved; leave --output out")

    @classmethod
    def output_channels(cls, channels: int) -> dict[str, int]:  # noqa: ARG003 - Method 2 asks
        """Return the channels of the network's `recon` and `drift`.

        Args:
            channels: C of the pre image.
        """
        return {"recon": 1, "drift": 1}

    @property
    def losses(self) -> dict[str, str]:
        """The loss of each output, a name in `tfdrift.training.losses.LOSSES`."""
        return {"recon": "image", "drift": "drift"}

    @abc.abstractmethod
    def show(self, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Shown:
        """Return what the network sees of a batch and what it is compared with.

        Args:
            pre: float32 [B, S, S, C] or [B, D, S, S, C], first MRI; the channel that changes is the first one.
            post: float32 [B, ..., 1], second MRI.
            seed: int64 [2], of all that is drawn.
        """

    def read(self, outputs: Images, pre: tf.Tensor) -> Images:  # noqa: ARG002 - what is a correction asks
        """Return the network's outputs as what they are compared with in training.

        Args:
            outputs: `recon` and `drift` of a network.
            pre: float32 [B, ..., C], the clean first MRI.
        """
        return outputs

    @property
    def maps(self) -> Mapping[str, bool]:
        """What it tells of a change beside `post` and `drift`, and whether that is in units of the image."""
        return {}

    def turn_back(self, outputs: Images, number: tf.Tensor) -> Images:
        """Return a network's outputs for a turned image as those for the image.

        Args:
            outputs: `recon` and `drift`.
            number: int [B], see `tfdrift.methods.symmetries.apply_symmetry`.
        """
        return undo_each(outputs, number)

    def attempt(self, ask: Ask, pre: tf.Tensor, post: tf.Tensor, seed: tf.Tensor) -> Trial:
        """Return what the network that is trained makes of a batch: what a loss is made of.

        Args:
            ask: the network.
            pre: see `show`.
            post: see `show`.
            seed: see `show`.
        """
        shown = self.show(pre, post, seed)
        return Trial(self.read(ask(shown.image, shown.t), pre), shown.targets)

    @abc.abstractmethod
    def answer(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """Return `post` and `drift`, float32 [B, ..., 1]; the same image and seed give the same bits.

        What more it tells, its `maps`, stands beside them, images of any channels that are 0 where nothing changes.

        Args:
            ask: the trained network.
            pre: float32 [B, S, S, C] or [B, D, S, S, C], the largest signal of each image being 1.
            seed: int64 [B, 2], one for each image.
        """

    def levels(self) -> list[int | None]:
        """Return the L levels that `at_levels` answers at, the noisiest first; [None] for a method without any."""
        return [None]

    def at_levels(self, ask: Ask, pre: tf.Tensor, seed: tf.Tensor) -> Images:
        """Return `post` and `drift` at each of `levels`, float32 [L, B, ..., 1].

        Args:
            ask: see `answer`.
            pre: see `answer`.
            seed: see `answer`.
        """
        return {name: image[None] for name, image in self.answer(ask, pre, seed).items()}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """A trained network and its method; the trainer validates, the evaluation scores, the SavedModel serves with it.

    Args:
        network: see `tfdrift.model.unet.build_unet`.
        method: how it is asked.
        inputs: what the network is given beside the time.
        symmetries: a number in `tfdrift.methods.symmetries.SYMMETRIES`, over which the network is averaged.
        agree: a name in `tfdrift.methods.outputs.AGREEMENTS`.
        shrinkage: what the predicted change is multiplied by, in [0, 1]; at 0 every answer is "no change".
        dressing: how far its answers err, drawn on each; None leaves them bare.
    """

    network: keras.Model
    method: Method
    inputs: Inputs = ONE_IMAGE
    symmetries: int = 1
    agree: str = "apart"
    shrinkage: float = 1.0
    dressing: Dressing | None = None

    @property
    def draws(self) -> bool:
        """Whether an answer depends on the seed, so that there are outcomes to draw."""
        return self.method.draws or self.dressing is not None

    def __call__(
        self,
        pre: tf.Tensor,
        seed: tf.Tensor,
        condition: tf.Tensor | None = None,
        guidance: tf.Tensor | None = None,
    ) -> Images:
        """As `Method.answer`.

        Args:
            pre: see there.
            seed: see there.
            condition: float32 [B, numbers] of `Conditions.values`, NaN where unknown; None where nothing is known.
            guidance: float32 [B, 1], see `tfdrift.methods.guidance.guided`; None for 1, which is plain.
        """
        answer = self._settled(self.method.answer(self.ask(pre, condition, guidance), pre, seed), pre)
        return answer if self.dressing is None else dressed(answer, seed, self.dressing)

    def levels(self) -> list[int | None]:
        """As `Method.levels`."""
        return self.method.levels()

    def at_levels(self, pre: tf.Tensor, seed: tf.Tensor, condition: tf.Tensor | None = None) -> Images:
        """As `Method.at_levels`, without dressing.

        Args:
            pre: see there.
            seed: see there.
            condition: see `__call__`.
        """
        return self._settled(self.method.at_levels(self.ask(pre, condition), pre, seed), pre)

    def ask(self, pre: tf.Tensor, condition: tf.Tensor | None, guidance: tf.Tensor | None = None) -> Ask:
        """Return the network as a function of image and time.

        Args:
            pre: float32 [B, ...], gives B.
            condition: see `__call__`.
            guidance: see `__call__`.

        Raises:
            UsageError: it is to be guided, and has no class.
        """
        import tensorflow as tf

        conditions = self.inputs.conditions
        if guidance is not None and not conditions.has_classes:
            raise UsageError(f"--guidance: {NO_CLASS}")
        if not conditions.names:
            ask = asking(self.network, latents=self.method.latents)
        else:
            unknown = tf.fill([tf.shape(pre)[0], conditions.numbers], math.nan)
            values = unknown if condition is None else condition

            def given(values: tf.Tensor) -> Ask:
                return asking(self.network, conditions.encode(values), latents=self.method.latents)

            ask = given(values)
            if guidance is not None:
                ask = guided(ask, given(conditions.without_classes(values)), guidance)
        return ask if self.symmetries == 1 else symmetric(ask, self.method.turn_back)

    def _settled(self, answer: Images, pre: tf.Tensor) -> Images:
        post, drift = AGREEMENTS[self.agree](answer["post"], answer["drift"], pre)
        if self.shrinkage == 1:
            return {**answer, "post": post, "drift": drift}
        first = first_channel(pre)
        maps = {name: self.shrinkage * image for name, image in {**answer, "drift": drift}.items()}
        return {**maps, "post": first + self.shrinkage * (post - first)}


def asking(network: keras.Model, condition: tf.Tensor | None = None, *, latents: int = 0, **call: Any) -> Ask:
    """Return a network as a function of image and time: the one place that makes its dict of inputs.

    Args:
        network: see `Predictor`.
        condition: float32 [B, K], the same at every call, whose images are B or copies of B; None for a network without
            conditions.
        latents: `Method.latents`.
        **call: further arguments of the network's call.
    """
    import tensorflow as tf

    def given(image: tf.Tensor) -> dict[str, tf.Tensor]:
        if condition is None:
            return {}
        # A method may show an image several times, one copy of the batch after the other.
        copies = tf.shape(image)[0] // tf.maximum(tf.shape(condition)[0], 1)
        return {"condition": tf.tile(condition, tf.stack([copies, 1]))}

    def ask(image: tf.Tensor, t: tf.Tensor, latent: tf.Tensor | None = None, /) -> Images:
        if latents and latent is None:
            latent = tf.concat([tf.zeros_like(first_channel(image))] * latents, axis=-1)
        noise = {"latent": latent} if latents else {}
        return network({"image": image, "t": t, **given(image), **noise}, **call)

    return ask
