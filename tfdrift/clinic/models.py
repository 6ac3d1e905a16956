"""A model that answers: a version on this machine, or one on a server."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfdrift.errors import DataError, ResourceError
from tfdrift.export.model_folder import CONFIG_FILE, versions
from tfdrift.serving.client import Client, Signature, TensorInfo

SIGNATURE = "serving_default"
BATCH = 64
BATCH_PIXELS = 2**22  # 16 MB a request, of the 64 that the embedded server takes at most


class About(NamedTuple):
    """What is known of a model.

    Args:
        name: of the model.
        version: its number; None for a folder that is not called by one.
        image_size: side S of its crops in pixels.
        sha256: of the version's files, see `folder_sha256`; None on a server, which does not show them.
        facts: the `assets/config.json` beside it; empty on a server.
        card: the model card, Markdown; None where there is none.
    """

    name: str
    version: int | None
    image_size: int
    sha256: str | None
    facts: Mapping[str, Any]
    card: str | None


class Model(Protocol):
    """What answers, wherever it is."""

    about: About

    def predict(self, image: np.ndarray, seed: np.ndarray) -> dict[str, np.ndarray]:
        """Return `post` and `drift`, float32 [N, S, S, 1], in the units of `image`.

        Args:
            image: float32 [N, S, S, 1], pre crops, zero outside the GTV.
            seed: int64 [N, 2].
        """
        ...


class LocalModel:
    """A SavedModel in this process.

    Args:
        folder: a version's folder, or that of the versions, of which the newest is taken.

    Raises:
        DataError: it holds no model, one that is only half there, or one with other inputs and outputs.
    """

    def __init__(self, folder: Path) -> None:
        folder = version_folder(folder)
        where = f"the model version {folder.name}"
        try:
            facts = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            trained_size = facts["train"]["image_size"]
            # Kept, because the signature does not keep the weights alive.
            self._model = tf.saved_model.load(str(folder))
            self._function = self._model.signatures[SIGNATURE]
            sha256 = folder_sha256(folder)
            card = folder / "assets.extra/model_card.md"
            text = card.read_text(encoding="utf-8") if card.is_file() else None
        except (OSError, ValueError, TypeError, LookupError, AttributeError, DecodeError, tf.errors.OpError) as error:
            kind = type(error).__name__
            raise DataError(
                f"{where} cannot be loaded ({kind}): it is half copied, damaged or no model that `tfdrift export` "
                "wrote; copy or export it again"
            ) from None
        inputs, outputs = self._function.structured_input_signature[1], self._function.structured_outputs
        image_size = image_size_of(Signature(_infos(inputs), _infos(outputs)), where)
        if image_size != trained_size:
            raise DataError(
                f"{where} takes images of {image_size} pixels and its config.json says {trained_size}; export it again"
            )
        numbered = folder.name.isdecimal()
        self.about = About(
            name=folder.parent.name if numbered else folder.name,
            version=int(folder.name) if numbered else None,
            image_size=image_size,
            sha256=sha256,
            facts=facts,
            card=text,
        )

    def predict(self, image: np.ndarray, seed: np.ndarray) -> dict[str, np.ndarray]:
        """As `Model.predict`."""
        answer = self._function(image=tf.constant(image), seed=tf.constant(seed))
        return {name: answer[name].numpy() for name in ("post", "drift")}

    def close(self) -> None:
        """Do nothing; the memory is freed with the object."""


class ServedModel:
    """A model on `tfdrift serve` or TF Serving; only crops and seeds are sent to it.

    All requests go to the version that was the newest at the first one.

    Args:
        target: host and gRPC port, such as `localhost:8500`.
        name: the model's name on the server.

    Raises:
        DataError: it has other inputs and outputs.
        ResourceError: there is no server, or it does not have the model.
    """

    def __init__(self, target: str, name: str) -> None:
        self._client, self._name = Client(target), name
        try:
            ready = [status.version for status in self._client.status(name) if status.state == "AVAILABLE"]
            if not ready:
                raise ResourceError(f"{target} has no version of model {name!r} that is ready; look at its log")
            self._version = max(ready)
            where = f"model {name!r} on {target}"
            signatures = self._client.metadata(name, version=self._version)
            if SIGNATURE not in signatures:
                raise DataError(f"{where} has no signature {SIGNATURE}; {_EXPORTED}")
            image_size = image_size_of(signatures[SIGNATURE], where)
        except BaseException:
            self.close()
            raise
        self.about = About(name=name, version=self._version, image_size=image_size, sha256=None, facts={}, card=None)

    def predict(self, image: np.ndarray, seed: np.ndarray) -> dict[str, np.ndarray]:
        """As `Model.predict`.

        Raises:
            DataError: the server refuses the request.
            ResourceError: the server has gone.
        """
        return self._client.predict(self._name, {"image": image, "seed": seed}, version=self._version)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def version_folder(folder: Path) -> Path:
    """Return the folder itself if it holds a SavedModel, or the newest version in it.

    Raises:
        DataError: it is no folder, or holds neither.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give a model that `tfdrift export` wrote")
    if (folder / "saved_model.pb").is_file():
        return folder.resolve()
    found = versions(folder)
    if not found:
        raise DataError(f"{folder} holds no saved_model.pb and no version; give a model that `tfdrift export` wrote")
    return (folder / str(found[-1])).resolve()


def folder_sha256(folder: Path) -> str:
    """Return the SHA-256 over the path below `folder`, a zero byte, the size and the content of each of its files.

    Paths have `/` between their parts and stand in order; the size is 8 bytes, the lowest first. Hidden files, such as
    a file manager's, do not count.
    """
    digest = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(name for name in files if not any(part.startswith(".") for part in name.split("/"))):
        content = files[name].read_bytes()
        digest.update(name.encode() + b"\0" + len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def image_size_of(signature: Signature, where: str) -> int:
    """Return the side S of the crops that a signature takes.

    Raises:
        DataError: it is not that of `ServingModule.predict`.
    """
    image = signature.inputs.get("image")
    side = image.shape[1] if image is not None and image.shape is not None and len(image.shape) == 4 else None
    expected = Signature(
        {"image": TensorInfo("float32", (None, side, side, 1)), "seed": TensorInfo("int64", (None, 2))},
        {name: TensorInfo("float32", (None, side, side, 1)) for name in ("post", "drift")},
    )
    if side is None or signature != expected:
        shapes = ", ".join(f"{name} {info.dtype} {_shape(info)}" for name, info in signature.inputs.items())
        raise DataError(f"{where} takes {shapes or 'nothing'}, not square crops and seeds; {_EXPORTED}")
    return side


def predict_batches(model: Model, image: np.ndarray, seed: np.ndarray) -> dict[str, np.ndarray]:
    """Return `post` and `drift` of any number of crops, asked for in batches.

    Args:
        model: answers.
        image: float32 [N, S, S, 1].
        seed: int64 [N, 2].

    Raises:
        DataError: the model answers in another shape or with a value that is not finite.
    """
    batch = max(1, min(BATCH, BATCH_PIXELS // image[0].size))
    starts = range(0, len(image), batch)
    parts = [model.predict(image[start : start + batch], seed[start : start + batch]) for start in starts]
    answer = {name: np.concatenate([part[name] for part in parts]) for name in ("post", "drift")}
    for name, values in answer.items():
        if values.shape != image.shape or not np.isfinite(values).all():
            raise DataError(
                f"the model's {name} is not an image of finite numbers for each crop; train or export again"
            )
    return answer


def _infos(specs: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(spec.dtype.name, None if spec.shape.rank is None else tuple(spec.shape.as_list()))
        for name, spec in specs.items()
    }


def _shape(info: TensorInfo) -> str:
    return "of unknown shape" if info.shape is None else str(list(info.shape)).replace("None", "N")


_EXPORTED = "give a model that `tfdrift export` wrote"
