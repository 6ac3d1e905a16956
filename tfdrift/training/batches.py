"""From samples in memory to training batches on the device."""

from collections.abc import Callable

import tensorflow as tf

from tfdrift.cohort.samples import Samples
from tfdrift.methods.augmentation import AUGMENTATIONS
from tfdrift.model.conditions import NO_CONDITIONS, Conditions


def make_batches(
    samples: Samples,
    *,
    batch_size: int,
    seed: int,
    conditions: Conditions = NO_CONDITIONS,
    augment: str = "rotations",
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return the batch of step k as a function of k, so that a resumed run needs no state of the data.

    An epoch is every slice in each look of the augmentation, in an order that depends on (seed, epoch) alone.

    Args:
        samples: what to train on.
        batch_size: B; it need not divide the epoch.
        seed: of the order.
        conditions: what the network is given beside the images.
        augment: a name in `tfdrift.methods.augmentation.AUGMENTATIONS`.

    Returns:
        A function of an int64 scalar step, giving `pre` float32 [B, ..., C], `post` float32 [B, ..., 1] and, where
        there are conditions, `condition` float32 [B, K].

    Source: paper, "Data augmentation" (rotations by 0, 90, 180 and 270 degrees).
    """
    pre, post = tf.constant(samples.pre), tf.constant(samples.post)
    context = conditions.encode(conditions.values(samples.conditions, len(samples))) if conditions.names else None
    augmentation = AUGMENTATIONS[augment]
    epoch_size = augmentation.copies * len(samples)
    epochs_touched = (batch_size - 1) // epoch_size + 2

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
        return images if context is None else {**images, "condition": tf.gather(context, row)}

    return batch
