"""Classifier-free guidance: an answer that leans further towards its class than the data did."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads what a method is, and TensorFlow takes seconds
    import tensorflow as tf

    from tfdrift.methods.method import Ask, Images

NO_CLASS = "the model has no class to be led by; train one with --condition response"
MAX_GUIDANCE = 20.0
"""The largest weight that is taken; samples of images are usually drawn with 1 to 10."""


def guided(told: Ask, untold: Ask, guidance: tf.Tensor) -> Ask:
    """Return a network whose outputs are those without the class plus W times what the class changes in them.

    At W = 1 they are those with the class, at 0 those without; above 1 the class counts more than in the data. It is
    the network's own outputs that are guided, at every level of a sampler.

    Args:
        told: the network, given the class.
        untold: the same network, of which the class is kept.
        guidance: W of each image, float32 [B, 1].

    Source: Ho and Salimans (2022), eq. 6, whose w is W - 1.

    Example:
        >>> import tensorflow as tf
        >>> told, untold = ((lambda image, *_, add=add: {"drift": image + add}) for add in (3.0, 1.0))
        >>> ask = guided(told, untold, tf.constant([[2.0]]))
        >>> float(ask(tf.zeros([1, 1, 1, 1]), tf.zeros([1, 1]))["drift"][0, 0, 0, 0])
        5.0
    """
    import tensorflow as tf

    def ask(image: tf.Tensor, t: tf.Tensor, latent: tf.Tensor | None = None, /) -> Images:
        with_class, without = told(image, t, latent), untold(image, t, latent)
        weight = tf.reshape(guidance, [-1, *[1] * (len(image.shape) - 1)])
        return {name: without[name] + weight * (with_class[name] - without[name]) for name in with_class}

    return ask
