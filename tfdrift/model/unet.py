"""The two-input U-Net of the paper: an image and a time in, a reconstruction and a drift map out."""

import keras
from keras import layers

from tfdrift.config import HEADS, PRECISIONS, check_image_size
from tfdrift.errors import UsageError

TIME_UNITS = 64


def build_unet(
    image_size: int, *, base_filters: int = 16, depth: int = 3, heads: str = "shared", precision: str = "float32"
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
    policy = keras.DTypePolicy(precision)
    image = keras.Input((image_size, image_size, 1), name="image")
    t = keras.Input((1,), name="t")

    def encode(name: str):
        return _encoder(image, t, base_filters=base_filters, depth=depth, policy=policy, name=name)

    def decode(encoded, name: str):
        return _decoder(*encoded, base_filters=base_filters, policy=policy, name=name)

    if heads == "shared":
        recon = drift = decode(encode("encoder"), "decoder")
    elif heads == "decoupled":
        encoded = encode("encoder")
        recon, drift = decode(encoded, "recon_decoder"), decode(encoded, "drift_decoder")
    else:
        recon = decode(encode("recon_encoder"), "recon_decoder")
        drift = decode(encode("drift_encoder"), "drift_decoder")
    outputs = {
        name: layers.Conv2D(1, 1, dtype="float32", name=name)(features)
        for name, features in (("recon", recon), ("drift", drift))
    }
    return keras.Model({"image": image, "t": t}, outputs, name=f"unet_{heads}")


def _convolutions(x, filters: int, *, policy, name: str):
    for i in (1, 2):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", dtype=policy, name=f"{name}_conv{i}")(x)
    return x


def _encoder(image, t, *, base_filters: int, depth: int, policy, name: str):
    """Return (bottleneck features, skip features from the finest to the coarsest)."""
    x, skips = image, []
    for stage in range(depth):
        x = _convolutions(x, base_filters * 2**stage, policy=policy, name=f"{name}{stage}")
        skips.append(x)
        x = layers.MaxPooling2D(2, dtype=policy, name=f"{name}{stage}_pool")(x)
    side = x.shape[1]
    embedding = layers.Dense(TIME_UNITS, activation="relu", dtype=policy, name=f"{name}_time")(t)
    embedding = layers.RepeatVector(side * side, dtype=policy, name=f"{name}_time_repeat")(embedding)
    embedding = layers.Reshape((side, side, TIME_UNITS), dtype=policy, name=f"{name}_time_map")(embedding)
    x = layers.Concatenate(dtype=policy, name=f"{name}_with_time")([x, embedding])
    return _convolutions(x, base_filters * 2**depth, policy=policy, name=f"{name}_bottleneck"), skips


def _decoder(x, skips, *, base_filters: int, policy, name: str):
    for stage in reversed(range(len(skips))):
        filters = base_filters * 2**stage
        x = layers.Conv2DTranspose(filters, 2, strides=2, activation="relu", dtype=policy, name=f"{name}{stage}_up")(x)
        x = layers.Concatenate(dtype=policy, name=f"{name}{stage}_skip")([x, skips[stage]])
        x = _convolutions(x, filters, policy=policy, name=f"{name}{stage}")
    return x
