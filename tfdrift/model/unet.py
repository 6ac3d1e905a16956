"""The U-Net of the paper: an image and a time in, a reconstruction and a drift map out."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from tfdrift.errors import UsageError
from tfdrift.model.heads import HEADS
from tfdrift.model.limits import PRECISIONS, check_image_size

EMBEDDING_UNITS = 64
ONE_IMAGE_EACH = {"recon": 1, "drift": 1}


def build_unet(
    image_size: int,
    *,
    channels: int = 1,
    slices: int | None = None,
    conditions: int = 0,
    outputs: Mapping[str, int] = ONE_IMAGE_EACH,
    base_filters: int = 16,
    depth: int = 3,
    heads: str = "shared",
    precision: str = "float32",
    zero_outputs: bool = False,
    latents: int = 0,
    seed: int = 0,
) -> keras.Model:
    """Build the network: functional API, built-in layers only.

    An encoder of two 3x3 convolutions and a 2x2 max-pooling a stage, the filters doubling at each stage; at the
    bottleneck the time, embedded by Dense(64, relu) and broadcast over the image, is concatenated; a decoder of 2x2
    transposed convolutions with skip connections; a last 1x1 convolution without activation. Conditions are embedded
    and concatenated as the time is. With slices, the same in three dimensions.

    Args:
        image_size: side S of the images in pixels, a multiple of 2**depth and at least twice that.
        channels: C of the images.
        slices: D of the images, the same multiple; None for images of one slice.
        conditions: K, how many numbers of context a network is given; 0 for none.
        outputs: channels of `recon` and `drift`.
        base_filters: filters of the first stage.
        depth: number of poolings.
        heads: a name in `tfdrift.model.heads.HEADS`.
        precision: Keras dtype policy of the layers; the outputs are float32 whatever it is.
        zero_outputs: whether the weights of the last layers start at zero, so that the untrained network answers 0.
        latents: L, maps of noise that are given beside the image; 0 for none.
        seed: of the initial weights (Glorot uniform), which depend on nothing else.

    Returns:
        A model with inputs `image` float32 [B, S, S, C] or [B, D, S, S, C], `t` float32 [B, 1] in [0, 1] and, where
        there are any, `condition` float32 [B, K] and `latent` float32 [B, ..., L]; and outputs `{"recon", "drift"}`
        float32 of the image's size.

    Raises:
        UsageError: S or D does not fit the depth (the message names sizes that do), or an unknown head or precision.

    Source: paper, "Diffusion model architecture and drift prediction" and Fig. 2.

    Example:
        >>> model = build_unet(16, base_filters=4, depth=2)
        >>> {name: output.shape for name, output in model.output.items()}
        {'recon': (None, 16, 16, 1), 'drift': (None, 16, 16, 1)}
        >>> build_unet(16, base_filters=4, depth=2, slices=8, channels=3, conditions=2).input["image"].shape
        (None, 8, 16, 16, 3)
    """
    shape = (image_size, image_size) if slices is None else (slices, image_size, image_size)
    for side in sorted(set(shape)):
        check_image_size(side, depth)
    if heads not in HEADS:
        raise UsageError(f"--heads {heads}: choose from {', '.join(HEADS)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: choose from {', '.join(PRECISIONS)}")
    inputs = {"image": keras.Input((*shape, channels), name="image"), "t": keras.Input((1,), name="t")}
    if conditions:
        inputs["condition"] = keras.Input((conditions,), name="condition")
    if latents:
        inputs["latent"] = keras.Input((*shape, latents), name="latent")
    parts = _UNetParts(rank=len(shape), base_filters=base_filters, depth=depth, precision=precision, seed=seed)
    recon, drift = HEADS[heads](parts, inputs)
    answers = {
        "recon": parts.output(recon, outputs["recon"], "recon", zero=zero_outputs),
        "drift": parts.output(drift, outputs["drift"], "drift", zero=zero_outputs),
    }
    return keras.Model(inputs, answers, name=f"unet_{heads}")


class _UNetParts:
    """Encoder, decoder and output, with the settings all of their layers share and a seed of its own for each."""

    def __init__(self, *, rank: int, base_filters: int, depth: int, precision: str, seed: int) -> None:
        self._convolution = {2: layers.Conv2D, 3: layers.Conv3D}[rank]
        self._transposed = {2: layers.Conv2DTranspose, 3: layers.Conv3DTranspose}[rank]
        self._pooling = {2: layers.MaxPooling2D, 3: layers.MaxPooling3D}[rank]
        self._filters = [base_filters * 2**stage for stage in range(depth + 1)]
        self._precision = precision
        self._rng = np.random.default_rng(seed)

    def encoder(self, inputs: dict[str, Any], name: str) -> tuple[Any, list[Any]]:
        """As `tfdrift.model.heads.Parts.encoder`."""
        x, skips = inputs["image"], []
        if "latent" in inputs:
            x = layers.Concatenate(dtype=self._precision, name=f"{name}_with_latent")([x, inputs["latent"]])
        for stage, filters in enumerate(self._filters[:-1]):
            x = self._convolutions(x, filters, f"{name}{stage}")
            skips.append(x)
            x = self._pooling(2, dtype=self._precision, name=f"{name}{stage}_pool")(x)
        embedded = [self._embedded(inputs["t"], x.shape[1:-1], f"{name}_time")]
        if "condition" in inputs:
            embedded.append(self._embedded(inputs["condition"], x.shape[1:-1], f"{name}_condition"))
        x = layers.Concatenate(dtype=self._precision, name=f"{name}_with_time")([x, *embedded])
        return self._convolutions(x, self._filters[-1], f"{name}_bottleneck"), skips

    def decoder(self, x: Any, skips: list[Any], name: str) -> Any:
        """As `tfdrift.model.heads.Parts.decoder`."""
        for stage, filters in reversed(list(enumerate(self._filters[:-1]))):
            x = self._transposed(
                filters, 2, strides=2, activation="relu", name=f"{name}{stage}_up", **self._weighted()
            )(x)
            x = layers.Concatenate(dtype=self._precision, name=f"{name}{stage}_skip")([x, skips[stage]])
            x = self._convolutions(x, filters, f"{name}{stage}")
        return x

    def output(self, x: Any, channels: int, name: str, *, zero: bool) -> Any:
        """Return an image in float32, so that mixed precision never leaves the network.

        Args:
            x: features.
            channels: of the image.
            name: of the layer.
            zero: whether its weights start at zero.
        """
        start = {"kernel_initializer": "zeros"} if zero else {}
        return self._convolution(channels, 1, name=name, **{**self._weighted(), **start, "dtype": "float32"})(x)

    def _embedded(self, numbers: Any, shape: tuple[int, ...], name: str) -> Any:
        """Return the same embedding at every place of the bottleneck."""
        x = layers.Dense(EMBEDDING_UNITS, activation="relu", name=name, **self._weighted())(numbers)
        x = layers.RepeatVector(int(np.prod(shape)), dtype=self._precision, name=f"{name}_repeat")(x)
        return layers.Reshape((*shape, EMBEDDING_UNITS), dtype=self._precision, name=f"{name}_map")(x)

    def _convolutions(self, x: Any, filters: int, name: str) -> Any:
        for i in (1, 2):
            x = self._convolution(
                filters, 3, padding="same", activation="relu", name=f"{name}_conv{i}", **self._weighted()
            )(x)
        return x

    def _weighted(self) -> dict[str, Any]:
        initializer = keras.initializers.GlorotUniform(int(self._rng.integers(2**31)))
        return {"dtype": self._precision, "kernel_initializer": initializer}
