"""A model on a server."""

import json
from typing import Any

import numpy as np

from tfdrift.clinic.models import ABOUT, EXPORTED, About, Told, crops_of
from tfdrift.errors import DataError, ResourceError
from tfdrift.export.members import SIGNATURE
from tfdrift.serving.client import Client


class ServedModel:
    """A model on `tfdrift serve` or TF Serving; only crops, seeds and conditions are sent to it.

    All requests go to the version that was the newest at the first one. What it was trained on, its calibration and its
    card come from the signature `about`, which models have since they are exported with it.

    Args:
        target: host and gRPC port, such as `localhost:8500`.
        name: the model's name on the server.

    Raises:
        DataError: it has other inputs and outputs, or does not say what it is in a way this version can read.
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
                raise DataError(f"{where} has no signature {SIGNATURE}; {EXPORTED}")
            facts, card = self._told(where) if ABOUT in signatures else ({}, None)
            image_size, lesion = crops_of(signatures[SIGNATURE], where, facts)
        except BaseException:
            self.close()
            raise
        self.about = About(
            name=name, version=self._version, image_size=image_size, sha256=None, facts=facts, card=card, lesion=lesion
        )

    def _told(self, where: str) -> tuple[dict[str, Any], str]:
        asked = {"asked": np.zeros(1, np.int64)}
        answer = self._client.predict(self._name, asked, signature=ABOUT, version=self._version)
        try:
            facts, card = json.loads(answer["config"][0]), answer["card"][0].decode()
            if not isinstance(facts["train"], dict):
                raise TypeError
        except (ValueError, LookupError, TypeError, AttributeError):
            raise DataError(f"what {where} says of itself cannot be read; {EXPORTED}") from None
        return facts, card

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
            DataError: the server refuses the request.
            ResourceError: the server has gone.
        """
        asked, signature = {"image": image, "seed": seed}, self.about.signature(member, told)
        if told is not None:
            asked |= told.inputs
        return self._client.predict(self._name, asked, signature=signature, version=self._version)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
