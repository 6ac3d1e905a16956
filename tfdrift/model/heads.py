"""What the two outputs of the network share: the ways to put encoders and decoders together."""

from collections.abc import Callable
from typing import Any, Protocol


class Parts(Protocol):
    """What a network is put together from; a name gives its layers theirs."""

    def encoder(self, inputs: dict[str, Any], name: str) -> tuple[Any, list[Any]]:
        """Return (bottleneck features, skip features from the finest to the coarsest).

        Args:
            inputs: the network's Keras inputs.
            name: of its layers.
        """
        ...

    def decoder(self, x: Any, skips: list[Any], name: str) -> Any:
        """Return features of the input's size.

        Args:
            x: bottleneck features.
            skips: of the encoder.
            name: of its layers.
        """
        ...


Features = tuple[Any, Any]


def _shared(parts: Parts, inputs: dict[str, Any]) -> Features:
    features = parts.decoder(*parts.encoder(inputs, "encoder"), "decoder")
    return features, features


def _decoupled(parts: Parts, inputs: dict[str, Any]) -> Features:
    encoded = parts.encoder(inputs, "encoder")
    return parts.decoder(*encoded, "recon_decoder"), parts.decoder(*encoded, "drift_decoder")


def _independent(parts: Parts, inputs: dict[str, Any]) -> Features:
    recon = parts.decoder(*parts.encoder(inputs, "recon_encoder"), "recon_decoder")
    return recon, parts.decoder(*parts.encoder(inputs, "drift_encoder"), "drift_decoder")


HEADS: dict[str, Callable[[Parts, dict[str, Any]], Features]] = {
    "shared": _shared,
    "decoupled": _decoupled,
    "independent": _independent,
}
"""What `--heads` may be: features of `recon` and of `drift` from the network's parts and inputs.

`shared` is one decoder with two output convolutions, `decoupled` one encoder with two decoders, `independent` two
networks that share their inputs alone (paper, Fig. 3C).
"""
