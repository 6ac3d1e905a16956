"""From a prepared TFDS dataset to samples in memory, and from those to training batches on the device."""

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf.json_format import ParseError

from tfdrift.cohort.prepared import read_description, read_parts
from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.synthetic.digits import digit_samples
from tfdrift.synthetic.phantom import phantom_samples

NAME, VERSION = "lesion_slices", "1.0.0"


def load_samples(data: str, *, image_size: int, mnist_file: str | None = None, mnist_change: str = "mix") -> Samples:
    """Return the samples that `--data` names.

    Args:
        data: `phantom`, `mnist`, or the folder of a cohort.
        image_size: side S of the crops in pixels.
        mnist_file: a file in the layout of Keras' own mnist.npz; without it Keras' loader is asked.
        mnist_change: `mix`, `grow` or `shrink`.

    Raises:
        DataError: it is none of these, the data cannot be had, or a cohort's files are missing, cut or altered.
        UsageError: the cohort has crops of another size; the message names it.
    """
    if data == "phantom":
        return phantom_samples(image_size=image_size)
    if data == "mnist":
        file = Path(mnist_file) if mnist_file else None
        return digit_samples(image_size=image_size, change=mnist_change, mnist_file=file)
    if not Path(data).exists():
        raise DataError(f"--data {data}: choose phantom, mnist or a folder that `tfdrift cohort import` wrote")
    return _read_cohort(Path(data), image_size)


def write_slices(folder: Path, parts: Sequence[Path], folds: Mapping[str, int]) -> None:
    """Write the slices of a cohort as a TFDS dataset with a split for each fold: fold0 .. fold<K-1>.

    `tfds.load("lesion_slices", data_dir=folder)` reads it without tfdrift. The same parts give the same bytes; one
    patient is in memory at a time. The metadata come last: without them a dataset is not whole.

    Args:
        folder: takes `lesion_slices/<version>/`, which must not exist.
        parts: a file of `tfdrift.cohort.samples.save_samples` for each patient.
        folds: fold of each pseudonym; it replaces the one in the file.

    Raises:
        DataError: see `tfdrift.cohort.prepared.read_parts`.
        ResourceError: the dataset exists already or cannot be written.
    """
    target = folder / NAME / VERSION
    try:
        target.mkdir(parents=True)
        try:
            _write_dataset(target, parts, folds)
        except BaseException:
            shutil.rmtree(target)
            raise
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message.splitlines()[0]
        raise ResourceError(f"cannot write {target} ({reason}); choose an empty folder you may write to") from None


def _write_dataset(target: Path, parts: Sequence[Path], folds: Mapping[str, int]) -> None:
    features, splits = None, []
    for fold, patients in itertools.groupby(read_parts(parts, folds), key=lambda samples: int(samples.fold[0])):
        records = num_bytes = 0
        with tf.io.TFRecordWriter(str(target / f"{NAME}-fold{fold}.tfrecord-00000-of-00001")) as writer:
            for samples in patients:
                features = features or _features(samples.image_size)
                for row in range(len(samples)):
                    record = _record(features, samples, row)
                    writer.write(record)
                    records, num_bytes = records + 1, num_bytes + len(record)
        splits.append(tfds.core.SplitInfo(name=f"fold{fold}", shard_lengths=[records], num_bytes=num_bytes))
    if features is None:
        raise DataError("there is no part to write; import at least one patient")
    tfds.folder_dataset.write_metadata(
        data_dir=target,
        features=features,
        split_infos=splits,
        version=VERSION,
        check_data=False,
        disable_shuffling=True,
        description="Slices of lesions before and after radiosurgery, a split for each fold.",
    )


def _features(image_size: int) -> tfds.features.FeaturesDict:
    """Return the types of a stored slice: the fields of `Samples` but the fold, which is its split."""
    image = (image_size, image_size, 1)
    of_name = {
        **{name: tfds.features.Tensor(shape=image, dtype=np.float32) for name in ("pre", "post")},
        **{name: tfds.features.Tensor(shape=image, dtype=np.bool_) for name in ("pre_mask", "post_mask")},
        **{name: tfds.features.Text() for name in ("patient", "lesion")},
    }
    names = [field.name for field in dataclasses.fields(Samples) if field.name != "fold"]
    return tfds.features.FeaturesDict({name: of_name.get(name, np.float32) for name in names})


def _record(features: tfds.features.FeaturesDict, samples: Samples, row: int) -> bytes:
    values = {name: getattr(samples, name)[row] for name in features}
    values = {name: str(value) if isinstance(value, np.str_) else value for name, value in values.items()}
    # TFDS leaves the order of the features to chance.
    return tf.train.Example.FromString(features.serialize_example(values)).SerializeToString(deterministic=True)


def _read_cohort(folder: Path, image_size: int) -> Samples:
    """Return every slice that `write_slices` wrote, in its order, checked against the metadata and `import.json`."""
    description = read_description(folder)
    if description.image_size != image_size:
        raise UsageError(
            f"--image-size {image_size}: the cohort's crops have {description.image_size} pixels a side; use "
            f"--image-size {description.image_size}, or import again with --image-size {image_size}"
        )
    splits = _read_splits(folder / NAME / VERSION)
    names = [f"fold{fold}" for fold in range(description.folds)]
    slices = sum(split.num_examples for split in splits.values())
    if sorted(splits) != sorted(names) or slices != description.slices:
        raise DataError(
            f"{folder}: the dataset holds {slices} slices in {len(splits)} folds, import.json says "
            f"{description.slices} in {description.folds}; import the cohort again"
        )
    features = _features(image_size)
    shards = [
        {**_read_shard(Path(file), length, features), "fold": np.full(length, fold, np.int32)}
        for fold, name in enumerate(names)
        for file, length in zip(splits[name].filepaths, splits[name].shard_lengths, strict=True)
    ]
    samples = Samples(**{name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]})
    if samples.fingerprint() != description.fingerprint:
        raise DataError(f"{folder}: the slices are not those that import.json describes; import the cohort again")
    return samples


def _read_splits(folder: Path) -> Mapping[str, tfds.core.SplitInfo]:
    if not folder.is_dir():
        raise DataError(f"{folder} is missing; copy the whole cohort, or import it again")
    try:
        return tfds.builder_from_directory(folder).info.splits
    except (OSError, ValueError, TypeError, ParseError) as error:  # what damaged JSON has been seen to raise
        raise DataError(
            f"the metadata in {folder} cannot be read ({type(error).__name__}); copy the cohort again or import again"
        ) from None


def _read_shard(file: Path, length: int, features: tfds.features.FeaturesDict) -> dict[str, np.ndarray]:
    """Return the columns of a shard, which must hold `length` records."""
    # A file that ends between two records reads without an error, so one record more is asked for and all are counted.
    records = tf.data.TFRecordDataset(str(file)).map(features.deserialize_example).batch(length + 1)
    try:
        batches = list(records.as_numpy_iterator())
    except tf.errors.OpError as error:
        what = "is missing" if isinstance(error, tf.errors.NotFoundError) else "is cut or damaged"
        raise DataError(f"{file} {what}; copy the cohort again or import again") from None
    found = len(batches[0]["pre"]) if len(batches) == 1 else "no" if not batches else f"more than {length}"
    if found != length:
        raise DataError(f"{file} holds {found} slices instead of {length}; copy the cohort again or import again")
    return {
        name: np.array([text.decode() for text in values]) if values.dtype.kind == "O" else values
        for name, values in batches[0].items()
    }


def make_batches(samples: Samples, *, batch_size: int, seed: int) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return the batch of step k as a function of k, so that a resumed run needs no state of the data.

    An epoch is every slice in each of the four right-angle rotations, in an order that depends on (seed, epoch) alone.

    Args:
        samples: what to train on.
        batch_size: B; it need not divide the epoch.
        seed: of the order.

    Returns:
        A function of an int64 scalar step, giving `pre` and `post` float32 [B, S, S, 1].

    Source: paper, "Data augmentation" (rotations by 0, 90, 180 and 270 degrees).
    """
    pre, post = tf.constant(samples.pre), tf.constant(samples.post)
    epoch_size = 4 * len(samples)
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
        row, turns = index // 4, index % 4
        return {name: rotate(tf.gather(images, row), turns) for name, images in (("pre", pre), ("post", post))}

    return batch


def rotate(images: tf.Tensor, quarter_turns: tf.Tensor) -> tf.Tensor:
    """Return each image turned counter-clockwise by its number of quarter turns.

    Args:
        images: [B, S, S, 1].
        quarter_turns: int [B], 0 to 3.

    Example:
        >>> image = tf.reshape(tf.range(4), [1, 2, 2, 1])
        >>> rotate(image, tf.constant([1]))[0, :, :, 0].numpy().tolist() == np.rot90([[0, 1], [2, 3]]).tolist()
        True
    """
    once = tf.reverse(tf.transpose(images, [0, 2, 1, 3]), [1])
    images = tf.where(tf.reshape(tf.math.floormod(quarter_turns, 2) == 1, [-1, 1, 1, 1]), once, images)
    return tf.where(tf.reshape(quarter_turns >= 2, [-1, 1, 1, 1]), tf.reverse(images, [1, 2]), images)


def example_seeds(count: int, seed: int) -> tf.Tensor:
    """Return int64 [count, 2], one noise seed an example: (seed, row)."""
    return tf.constant(np.stack([np.full(count, seed), np.arange(count)], axis=1), tf.int64)
