"""The two-input U-Net of the paper: an image and a time in, a reconstruction and a drift map out."""

import keras
import numpy as np
from keras import layers

from tfdrift.config import HEADS, PRECISIONS, check_image_size
from tfdrift.errors import UsageError

TIME_UNITS = 64


def build_unet(
    image_size: int,
    *,
    base_filters: int = 16,
    depth: int = 3,
    heads: str = "shared",
    precision: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """Build the network: functional API, built-in layers only.

    An encoder of two 3x3 convolutions and a 2x2 max-pooling a stage, the filters doubling at each stage; at the
    bottleneck the time, embedded by Dense(64, relu) and broadcast over the image, is concatenated; a decoder of 2x2
    transposed convolutions with skip connections; a last 1x1 convolution without activation.

    Args:
        image_size: side S of the images in pixels, a multiple of 2**depth and at least twice that.
        base_filters: filters of the first stage.
        depth: number of poolings.
        heads: `shared` is one decoder with two output convolutions, `decoupled` one encoder with two decoders,
            `independent` two networks that share their inputs alone (paper, Fig. 3C).
        precision: Keras dtype policy of the layers; the outputs are float32 whatever it is.
        seed: of the initial weights (Glorot uniform), which depend on nothing else.

    Returns:
        A model with inputs `image` float32 [B, S, S, 1] and `t` float32 [B, 1] in [0, 1], and outputs
        `{"recon", "drift"}` float32 [B, S, S, 1].

    Raises:
        UsageError: S does not fit the depth (the message names sizes that do), or an unknown head or precision.

    Source: paper, "Diffusion model architecture and drift prediction" and Fig. 2.

    Example:
        >>> model = build_unet(16, base_filters=4, depth=2)
        >>> {name: output.shape for name, output in model.output.items()}
        {'recon': (None, 16, 16, 1), 'drift': (None, 16, 16, 1)}
    """
    check_image_size(image_size, depth)
    if heads not in HEADS:
        raise UsageError(f"--heads {heads}: choose from {', '.join(HEADS)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: choose from {', '.join(PRECISIONS)}")
    image = keras.Input((image_size, image_size, 1), name="image")
    t = keras.Input((1,), name="t")
    parts = _Parts(base_filters=base_filters, depth=depth, precision=precision, seed=seed)
    if heads == "shared":
        recon = drift = parts.decoder(*parts.encoder(image, t, "encoder"), "decoder")
    elif heads == "decoupled":
        encoded = parts.encoder(image, t, "encoder")
        recon, drift = parts.decoder(*encoded, "recon_decoder"), parts.decoder(*encoded, "drift_decoder")
    else:
        recon = parts.decoder(*parts.encoder(image, t, "recon_encoder"), "recon_decoder")
        drift = parts.decoder(*parts.encoder(image, t, "drift_encoder"), "drift_decoder")
    outputs = {"recon": parts.output(recon, "recon"), "drift": parts.output(drift, "drift")}
    return keras.Model({"image": image, "t": t}, outputs, name=f"unet_{heads}")


class _Parts:
    """Encoder, decoder and output, with the settings all of their layers share and a seed of its own for each."""

    def __init__(self, *, base_filters: int, depth: int, precision: str, seed: int) -> None:
        self._filters = [base_filters * 2**stage for stage in range(depth + 1)]
        self._precision = precision
        self._rng = np.random.default_rng(seed)

    def encoder(self, image, t, name: str):
        """Return (bottleneck features, skip features from the finest to the coarsest)."""
        x, skips = image, []
        for stage, filters in enumerate(self._filters[:-1]):
            x = self._convolutions(x, filters, f"{name}{stage}")
            skips.append(x)
            x = layers.MaxPooling2D(2, dtype=self._precision, name=f"{name}{stage}_pool")(x)
        side = x.shape[1]
        time = layers.Dense(TIME_UNITS, activation="relu", name=f"{name}_time", **self._weighted())(t)
        time = layers.RepeatVector(side * side, dtype=self._precision, name=f"{name}_time_repeat")(time)
        time = layers.Reshape((side, side, TIME_UNITS), dtype=self._precision, name=f"{name}_time_map")(time)
        x = layers.Concatenate(dtype=self._precision, name=f"{name}_with_time")([x, time])
        return self._convolutions(x, self._filters[-1], f"{name}_bottleneck"), skips

    def decoder(self, x, skips, name: str):
        """Return features of the input's size."""
        for stage, filters in reversed(list(enumerate(self._filters[:-1]))):
            x = layers.Conv2DTranspose(
                filters, 2, strides=2, activation="relu", name=f"{name}{stage}_up", **self._weighted()
            )(x)
            x = layers.Concatenate(dtype=self._precision, name=f"{name}{stage}_skip")([x, skips[stage]])
            x = self._convolutions(x, filters, f"{name}{stage}")
        return x

    def output(self, x, name: str):
        """Return one image in float32, so that mixed precision never leaves the network."""
        return layers.Conv2D(1, 1, name=name, **{**self._weighted(), "dtype": "float32"})(x)

    def _convolutions(self, x, filters: int, name: str):
        for i in (1, 2):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"{name}_conv{i}", **self._weighted()
            )(x)
        return x

    def _weighted(self) -> dict:
        initializer = keras.initializers.GlorotUniform(int(self._rng.integers(2**31)))
        return {"dtype": self._precision, "kernel_initializer": initializer}
