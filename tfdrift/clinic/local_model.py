"""A model in this process: a version that `tfdrift export` wrote."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfdrift.clinic.models import About, Told, crops_of
from tfdrift.errors import DataError
from tfdrift.export.members import SIGNATURE
from tfdrift.export.model_folder import CONFIG_FILE, versions
from tfdrift.serving.client import Signature, TensorInfo


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
            function = self._model.signatures[SIGNATURE]
            sha256 = folder_sha256(folder)
            card = folder / "assets.extra/model_card.md"
            text = card.read_text(encoding="utf-8") if card.is_file() else None
        except (OSError, ValueError, TypeError, LookupError, AttributeError, DecodeError, tf.errors.OpError) as error:
            kind = type(error).__name__
            raise DataError(
                f"{where} cannot be loaded ({kind}): it is half copied, damaged or no model that `tfdrift export` "
                "wrote; copy or export it again"
            ) from None
        inputs, outputs = function.structured_input_signature[1], function.structured_outputs
        image_size, lesion = crops_of(Signature(_infos(inputs), _infos(outputs)), where, facts)
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
            lesion=lesion,
        )
        named = {self.about.signature(member) for member in range(self.about.members)}
        if not named <= set(self._model.signatures):
            raise DataError(f"{where} does not answer for what its config.json names; export it again")

    def predict(
        self, image: np.ndarray, seed: np.ndarray, member: int = 0, told: Told | None = None
    ) -> dict[str, np.ndarray]:
        """As `Model.predict`.

        Args:
            image: float32 [N, S, S, C], see there.
            seed: int64 [N, 2], see there.
            member: see there.
            told: see there.

        Raises:
            DataError: the model does not answer to what it is told.
        """
        signature = self.about.signature(member, told)
        if signature not in self._model.signatures:
            raise DataError(f"the model {self.about.name} has no signature {signature}; export it again")
        more = {} if told is None else {name: tf.constant(value) for name, value in told.inputs.items()}
        answer = self._model.signatures[signature](image=tf.constant(image), seed=tf.constant(seed), **more)
        return {name: value.numpy() for name, value in answer.items()}

    def close(self) -> None:
        """Do nothing; the memory is freed with the object."""


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


def _infos(specs: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(spec.dtype.name, None if spec.shape.rank is None else tuple(spec.shape.as_list()))
        for name, spec in specs.items()
    }
