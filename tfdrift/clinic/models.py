"""A model that answers, wherever it is: what is known of it, what it takes, and asking it in batches."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfdrift.cohort.crop import CONTEXT, SLICE, VOLUME
from tfdrift.cohort.samples import DEFAULT_CHANNELS
from tfdrift.errors import DataError
from tfdrift.export.members import CONDITIONED, FIELD, GUIDED, SIGNATURE, member_signature, told_signature
from tfdrift.model.channels import has_neighbours
from tfdrift.model.conditions import Conditions
from tfdrift.model.inputs import Inputs, read_inputs
from tfdrift.serving.client import Signature, TensorInfo

ABOUT = "about"
"""Signature in which a model of ours tells its `config.json` and its card."""

EXPORTED = "give a model that `tfdrift export` wrote"
BATCH = 64
BATCH_PIXELS = 2**22  # 16 MB a request, of the 64 that the embedded server takes at most


class Told(NamedTuple):
    """What a request holds beside crops and seeds.

    Args:
        condition: float32 [N, numbers] of `Conditions.values`, NaN where unknown.
        guidance: W, see `tfdrift.methods.guidance.guided`; 1 is plain.
    """

    condition: np.ndarray
    guidance: float = 1.0

    @property
    def kind(self) -> str:
        """Which signatures take it."""
        return CONDITIONED if self.guidance == 1 else GUIDED

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs of these signatures beside `image` and `seed`."""
        condition = {"condition": self.condition.astype(np.float32)}
        if self.kind == CONDITIONED:
            return condition
        return {**condition, "guidance": np.full([len(self.condition), 1], self.guidance, np.float32)}


class About(NamedTuple):
    """What is known of a model.

    Args:
        name: of the model.
        version: its number; None for a folder that is not called by one.
        image_size: side S of its crops in pixels.
        lesion: what a crop is, in `tfdrift.cohort.crop.LESIONS`.
        sha256: of the version's files, see `folder_sha256`; None on a server, which does not show them.
        facts: its `assets/config.json`; empty on a server where the model does not tell it.
        card: the model card, Markdown; None where there is none.
    """

    name: str
    version: int | None
    image_size: int
    sha256: str | None
    facts: Mapping[str, Any]
    card: str | None
    lesion: str = SLICE

    @property
    def members(self) -> int:
        """How many runs it holds, which share the outcomes: outcome k is drawn from member k mod that number."""
        return max(1, len(self.facts.get("members", [])))

    @property
    def tells_field(self) -> bool:
        """Whether it tells how a lesion moves, see `--drift-form`."""
        return self.facts.get("train", {}).get("drift_form") == FIELD

    @property
    def conditions(self) -> Conditions:
        """What it may be told beside image and seed; nothing where it does not say so."""
        return _inputs(self.facts, f"the model {self.name}").conditions

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels of its images."""
        return _inputs(self.facts, f"the model {self.name}").names or DEFAULT_CHANNELS

    def signature(self, member: int, told: Told | None = None) -> str:
        """Return the name of the signature in which a member answers alone, with all that it tells.

        Args:
            member: its number.
            told: what the request holds beside crops and seeds.
        """
        name = FIELD if self.tells_field else SIGNATURE
        name = member_signature(member) if self.members > 1 else name
        return name if told is None else told_signature(name, told.kind)


def _inputs(facts: Mapping[str, Any], name: str) -> Inputs:
    try:
        return read_inputs(facts.get("data", {}).get("inputs", {}))
    except (TypeError, AttributeError, ValueError):
        raise DataError(f"what {name} may be told cannot be read; {EXPORTED}") from None


class Model(Protocol):
    """What answers, wherever it is."""

    about: About

    def predict(
        self, image: np.ndarray, seed: np.ndarray, member: int = 0, told: Told | None = None
    ) -> dict[str, np.ndarray]:
        """Return `post` and `drift`, float32 [N, ..., S, S, 1], in the units of `image`, and what more the model tells.

        Args:
            image: float32 [N, S, S, C], or [N, S, S, S, C] of volumes, pre crops, zero outside the GTV.
            seed: int64 [N, 2].
            member: number of the run that answers, below `About.members`.
            told: what is known beside the images, of N.
        """
        ...


def crops_of(signature: Signature, where: str, facts: Mapping[str, Any] | None = None) -> tuple[int, str]:
    """Return the side S of the crops that a signature takes, in pixels, and what they are of, see `About`.

    Args:
        signature: of a model.
        where: the model is, for the message.
        facts: its `config.json`, which names the channels where there are several.

    Raises:
        DataError: it is not that of `ServingModule.predict`, or of other channels than a slice and its neighbours.
    """
    image = signature.inputs.get("image")
    rank = 0 if image is None or image.shape is None else len(image.shape) - 2
    side = image.shape[1] if image is not None and image.shape is not None and rank in (2, 3) else None
    names = _inputs(facts or {}, where).names
    context = rank == 2 and has_neighbours(names)
    images, answers = (TensorInfo("float32", (None, *[side] * rank, channels)) for channels in (len(names) or 1, 1))
    expected = Signature(
        {"image": images, "seed": TensorInfo("int64", (None, 2))}, dict.fromkeys(("post", "drift"), answers)
    )
    if side is None or signature != expected:
        shapes = ", ".join(f"{name} {info.dtype} {_shape(info)}" for name, info in signature.inputs.items())
        raise DataError(f"{where} takes {shapes or 'nothing'}, not square crops and seeds; {EXPORTED}")
    return side, VOLUME if rank == 3 else CONTEXT if context else SLICE


def predict_batches(
    model: Model, image: np.ndarray, seed: np.ndarray, member: int = 0, told: Told | None = None
) -> dict[str, np.ndarray]:
    """Return what a model answers to any number of crops, asked for in batches.

    Args:
        model: answers.
        image: float32 [N, ..., S, S, C].
        seed: int64 [N, 2].
        member: see `Model.predict`.
        told: see `Model.predict`.

    Raises:
        DataError: the model answers in another shape or with a value that is not finite.
    """
    batch = max(1, min(BATCH, BATCH_PIXELS // image[0].size))
    rows = [slice(start, start + batch) for start in range(0, len(image), batch)]
    if told is None:
        parts = [model.predict(image[row], seed[row], member) for row in rows]
    else:
        parts = [
            model.predict(image[row], seed[row], member, told._replace(condition=told.condition[row])) for row in rows
        ]
    answer = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name, values in answer.items():
        expected = (*image.shape[:-1], 1 if name in ("post", "drift") else values.shape[-1])
        if values.shape != expected or not np.isfinite(values).all():
            raise DataError(
                f"the model's {name} is not an image of finite numbers for each crop; train or export again"
            )
    return answer


def _shape(info: TensorInfo) -> str:
    return "of unknown shape" if info.shape is None else str(list(info.shape)).replace("None", "N")
