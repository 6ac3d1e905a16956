"""From samples in memory to training batches on the device."""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfdrift.axes import image_axes
from tfdrift.cohort.channels import scalings
from tfdrift.cohort.context import columns_of
from tfdrift.cohort.samples import Samples
from tfdrift.methods.augmentation import AUGMENTATIONS
from tfdrift.model.conditions import NO_CONDITIONS, Conditions

_DROPOUT_STREAM, _CHANNEL_STREAM = 0x636F6E64, 0x6368616E


def make_batches(
    samples: Samples,
    *,
    batch_size: int,
    seed: int,
    conditions: Conditions = NO_CONDITIONS,
    dropout: float = 0.0,
    channel_dropout: float = 0.0,
    augment: str = "rotations",
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return the batch of step k as a function of k, so that a resumed run needs no state of the data.

    An epoch is every slice in each look of the augmentation, in an order that depends on (seed, epoch) alone.

    Args:
        samples: what to train on.
        batch_size: B; it need not divide the epoch.
        seed: of the order.
        conditions: what the network is given beside the images.
        dropout: how often each column of these is shown as unknown, and how often all of them together are: so one
            network learns to answer with and without.
        channel_dropout: the same for the channels beyond the first, see `drop_channels`.
        augment: a name in `tfdrift.methods.augmentation.AUGMENTATIONS`.

    Returns:
        A function of an int64 scalar step, giving `pre` float32 [B, ..., C], `post` float32 [B, ..., 1] and, where
        there are conditions, `condition` float32 [B, K].

    Source: paper, "Data augmentation" (rotations by 0, 90, 180 and 270 degrees); Ho and Salimans (2022), algorithm 1,
    for the dropout.
    """
    pre, post = tf.constant(samples.pre), tf.constant(samples.post)
    known = tf.constant(conditions.values(columns_of(samples) if conditions.names else {}, len(samples)))
    context = conditions.encode(known) if conditions.names else None
    augmentation = AUGMENTATIONS[augment]
    epoch_size = augmentation.copies * len(samples)
    epochs_touched = (batch_size - 1) // epoch_size + 2
    may_be_dropped = [scaling != "first" for scaling in scalings(samples.channels)]

    def order_seed(epoch: tf.Tensor) -> tf.Tensor:
        # The shuffle keeps a few low bits of its seed: counted up, seeds would give orders that resemble and repeat.
        seeds = tf.stack([tf.constant(seed, tf.int64), epoch])
        return tf.random.stateless_uniform([3], seeds, 0, 2**31, tf.int64, alg="philox")

    def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
        position = tf.cast(step, tf.int64) * batch_size + tf.range(batch_size, dtype=tf.int64)
        epoch = position // epoch_size
        order_seeds = tf.stack([order_seed(epoch[0] + i) for i in range(epochs_touched)])
        # index_shuffle takes one seed for the whole batch only; the op itself takes one a row, of three numbers.
        index = tf.raw_ops.RandomIndexShuffle(
            index=position % epoch_size,
            seed=tf.gather(order_seeds, epoch - epoch[0]),
            max_index=tf.constant(epoch_size - 1, tf.int64),
        )
        row, number = index // augmentation.copies, index % augmentation.copies
        looks = tf.stack([tf.fill([batch_size], tf.constant(seed, tf.int64)), position], axis=1)
        images = {
            name: augmentation.look(tf.gather(side, row), number, looks)
            for name, side in (("pre", pre), ("post", post))
        }
        of_step = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
        if channel_dropout and any(may_be_dropped):
            images["pre"] = drop_channels(images["pre"], may_be_dropped, channel_dropout, of_step)
        if context is None:
            return images
        if not dropout:
            return {**images, "condition": tf.gather(context, row)}
        shown = drop_columns(conditions, tf.gather(known, row), dropout, of_step)
        return {**images, "condition": conditions.encode(shown)}

    return batch


def drop_columns(conditions: Conditions, values: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Return values of which some are made unknown: each column by chance, and by another chance all of a row.

    Args:
        conditions: whose they are.
        values: float32 [B, numbers].
        rate: probability of each of the chances; a column is unknown with 1 - (1 - rate)^2.
        seed: int64 [2], of what is drawn.
    """
    each, whole = _chances(tf.shape(values)[0], len(conditions.names), rate, seed, _DROPOUT_STREAM)
    dropped = tf.repeat(each, conditions.widths, axis=1) | whole
    return tf.where(dropped, tf.fill(tf.shape(values), math.nan), values)


def drop_channels(pre: tf.Tensor, may_be: Sequence[bool], rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Return images of which some channels are made unknown: each by chance, and by another chance all of an image.

    Args:
        pre: float32 [B, ..., C].
        may_be: of each of the C channels, whether it may be unknown.
        rate: probability of each of the chances; a channel is unknown with 1 - (1 - rate)^2.
        seed: int64 [2], of what is drawn.
    """
    batch = tf.shape(pre)[0]
    each, whole = _chances(batch, len(may_be), rate, seed, _CHANNEL_STREAM)
    dropped = (each | whole) & tf.constant(list(may_be))
    of_image = tf.reshape(dropped, [batch, *[1] * (len(image_axes(pre)) - 1), len(may_be)])
    return tf.where(of_image, tf.zeros_like(pre), pre)


def _chances(rows: tf.Tensor, columns: int, rate: float, seed: tf.Tensor, stream: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return which columns of each row are hit, bool [B, K], and which rows are hit as a whole, bool [B, 1]."""
    # Folded, as the noise of a step is drawn from the seed itself.
    own = tf.random.experimental.stateless_fold_in(seed, stream, alg="philox")
    hit = tf.random.stateless_uniform(tf.stack([rows, columns + 1]), own, alg="philox") < rate
    return hit[:, 1:], hit[:, :1]
