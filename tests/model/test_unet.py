import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdrift.errors import UsageError
from tfdrift.model.heads import HEADS
from tfdrift.model.unet import EMBEDDING_UNITS, build_unet


def network_inputs(size, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return {"image": rng.random((batch, size, size, 1), np.float32), "t": rng.random((batch, 1), np.float32)}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("heads", HEADS)
def test_outputs_are_float32_images_whatever_the_precision(heads, precision):
    outputs = build_unet(16, base_filters=4, depth=2, heads=heads, precision=precision)(network_inputs(16))
    assert {name: (output.shape, output.dtype) for name, output in outputs.items()} == {
        "recon": ((2, 16, 16, 1), "float32"),
        "drift": ((2, 16, 16, 1), "float32"),
    }


def test_mixed_precision_computes_in_bfloat16():
    model = build_unet(16, base_filters=4, depth=2, precision="mixed_bfloat16")
    assert model.get_layer("encoder0_conv1").compute_dtype == "bfloat16"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}


def convolution(inputs, outputs, kernel):
    return kernel * kernel * inputs * outputs + outputs


def counted_parameters(base, depth, heads):
    """The parameter count from the architecture's description, not from the model."""
    filters = [base * 2**stage for stage in range(depth + 1)]
    encoder = convolution(1, filters[0], 3) + convolution(filters[0], filters[0], 3)
    for below, here in itertools.pairwise(filters[:-1]):
        encoder += convolution(below, here, 3) + convolution(here, here, 3)
    encoder += convolution(filters[-2] + EMBEDDING_UNITS, filters[-1], 3) + convolution(filters[-1], filters[-1], 3)
    encoder += 2 * EMBEDDING_UNITS  # Dense(64) of one number
    decoder = sum(
        convolution(above, here, 2) + convolution(2 * here, here, 3) + convolution(here, here, 3)
        for here, above in itertools.pairwise(filters)
    )
    encoders, decoders = {"shared": (1, 1), "decoupled": (1, 2), "independent": (2, 2)}[heads]
    return encoders * encoder + decoders * decoder + 2 * convolution(base, 1, 1)


@pytest.mark.parametrize("heads", HEADS)
def test_parameter_count_follows_from_the_description(heads):
    assert build_unet(32, base_filters=8, depth=3, heads=heads).count_params() == counted_parameters(8, 3, heads)


def gradient_reaches(model, output_name, prefix):
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(network_inputs(16))[output_name] ** 2)
    gradients = tape.gradient(total, model.trainable_variables)
    names = [variable.path for variable in model.trainable_variables]
    return any(
        name.startswith(prefix) and gradient is not None for name, gradient in zip(names, gradients, strict=True)
    )


def test_shared_heads_share_all_but_the_last_convolution():
    model = build_unet(16, base_filters=4, depth=2, heads="shared")
    assert gradient_reaches(model, "recon", "decoder")
    assert gradient_reaches(model, "drift", "decoder")


def test_decoupled_heads_share_the_encoder_alone():
    model = build_unet(16, base_filters=4, depth=2, heads="decoupled")
    assert gradient_reaches(model, "drift", "encoder")
    assert gradient_reaches(model, "recon", "encoder")
    assert not gradient_reaches(model, "drift", "recon_decoder")
    assert not gradient_reaches(model, "recon", "drift_decoder")


def test_independent_heads_share_nothing():
    model = build_unet(16, base_filters=4, depth=2, heads="independent")
    assert not gradient_reaches(model, "drift", "recon_")
    assert not gradient_reaches(model, "recon", "drift_")


def test_the_time_changes_the_prediction():
    model = build_unet(16, base_filters=4, depth=2)
    inputs = network_inputs(16)
    early, late = (model({**inputs, "t": np.full((2, 1), t, np.float32)})["recon"].numpy() for t in (0.0, 1.0))
    assert np.abs(early - late).max() > 1e-6


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_any_size_the_depth_divides_is_taken(depth):
    size = 3 * 2**depth
    assert build_unet(size, base_filters=2, depth=depth)(network_inputs(size))["drift"].shape[1] == size


def test_other_sizes_are_refused_with_the_sizes_that_would_do():
    with pytest.raises(UsageError, match=r"--image-size 30: .* multiple of 8 and at least 16; 24 or 32 would do"):
        build_unet(30, depth=3)


def test_an_unknown_head_is_refused():
    with pytest.raises(UsageError, match="--heads both: choose from shared, decoupled, independent"):
        build_unet(16, heads="both")


def test_an_unknown_precision_is_refused():
    with pytest.raises(UsageError, match="--precision float8"):
        build_unet(16, precision="float8")


def test_only_layers_that_any_keras_can_load_are_used():
    model = build_unet(16, base_filters=4, depth=2, heads="independent")
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in model.layers)


def test_initial_weights_depend_on_the_seed_alone():
    def weights(seed):
        return [weight.numpy() for weight in build_unet(16, base_filters=4, depth=2, seed=seed).weights]

    first, again, other = weights(1), weights(1), weights(2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    kernels = [(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    assert all((a != b).any() for a, b in kernels)


def test_no_two_layers_start_alike():
    kernels = [w.numpy() for w in build_unet(16, base_filters=4, depth=2, heads="independent").weights if w.ndim > 1]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)
