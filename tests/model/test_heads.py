"""Heads put together from parts that only tell how they were asked."""

import pytest

from tfdrift.model.heads import HEADS


class Telling:
    def encoder(self, inputs, name):
        return f"{name}({inputs})", [name]

    def decoder(self, x, skips, name):
        return f"{name}<{x}|{skips[0]}"


@pytest.mark.parametrize(
    ("heads", "recon", "drift"),
    [
        ("shared", "decoder<encoder(i)|encoder", "decoder<encoder(i)|encoder"),
        ("decoupled", "recon_decoder<encoder(i)|encoder", "drift_decoder<encoder(i)|encoder"),
        (
            "independent",
            "recon_decoder<recon_encoder(i)|recon_encoder",
            "drift_decoder<drift_encoder(i)|drift_encoder",
        ),
    ],
)
def test_what_the_outputs_share_is_what_the_name_says(heads, recon, drift):
    assert HEADS[heads](Telling(), "i") == (recon, drift)  # pyright: ignore[reportArgumentType]
