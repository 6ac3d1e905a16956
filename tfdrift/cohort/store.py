"""The slices of a cohort on disk: a TFDS dataset, written once and read with suspicion."""

import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf.json_format import ParseError

from tfdrift.cohort.prepared import read_description, read_parts
from tfdrift.cohort.samples import COLUMNS, GROUPS, Samples, join_samples
from tfdrift.errors import DataError, UsageError
from tfdrift.files import writing

NAME, VERSION = "lesion_slices", "1.0.0"


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
    with writing(target, to_do="choose an empty folder you may write to", also=(tf.errors.OpError,)):
        target.mkdir(parents=True)
        try:
            _write_dataset(target, parts, folds)
        except BaseException:
            shutil.rmtree(target)
            raise


def _write_dataset(target: Path, parts: Sequence[Path], folds: Mapping[str, int]) -> None:
    features, splits = None, []
    for fold, patients in itertools.groupby(read_parts(parts, folds), key=lambda samples: int(samples.fold[0])):
        records = num_bytes = 0
        with tf.io.TFRecordWriter(str(target / f"{NAME}-fold{fold}.tfrecord-00000-of-00001")) as writer:
            for samples in patients:
                features = features or _features(samples)
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


def _features(samples: Samples) -> tfds.features.FeaturesDict:
    """Return the types of a stored row: the columns of `Samples` but the fold, which is its split."""
    types: dict[str, Any] = {name: _feature(getattr(samples, name)) for name in COLUMNS if name != "fold"}
    for group in GROUPS:
        columns = getattr(samples, group)
        if columns:
            types[group] = {name: _feature(values) for name, values in columns.items()}
    return tfds.features.FeaturesDict(types)


def _feature(column: np.ndarray) -> Any:
    if column.dtype.kind == "U":
        return tfds.features.Text()
    shape, dtype = column.shape[1:], column.dtype.type
    return tfds.features.Tensor(shape=shape, dtype=dtype) if shape else dtype


def _record(features: tfds.features.FeaturesDict, samples: Samples, row: int) -> bytes:
    columns = {name: getattr(samples, name) for name in features}
    values = tf.nest.map_structure(
        lambda column: str(column[row]) if column.dtype.kind == "U" else column[row], columns
    )
    # TFDS leaves the order of the features to chance.
    return tf.train.Example.FromString(features.serialize_example(values)).SerializeToString(deterministic=True)


def read_cohort(folder: Path, image_size: int) -> Samples:
    """Return every slice that `write_slices` wrote, in its order, checked against the metadata and `import.json`.

    Of a cohort written before there were conditions, none is known.

    Args:
        folder: of the cohort.
        image_size: S, that of its crops.

    Raises:
        UsageError: the crops have another size.
        DataError: a file is missing, cut, damaged or of another import.
    """
    description = read_description(folder)
    if description.image_size != image_size:
        raise UsageError(
            f"--image-size {image_size}: the cohort's crops have {description.image_size} pixels a side; use "
            f"--image-size {description.image_size}, or import again with --image-size {image_size}"
        )
    splits, features = _read_metadata(folder / NAME / VERSION)
    names = [f"fold{fold}" for fold in range(description.folds)]
    slices = sum(split.num_examples for split in splits.values())
    if sorted(splits) != sorted(names) or slices != description.slices:
        raise DataError(
            f"{folder}: the dataset holds {slices} slices in {len(splits)} folds, import.json says "
            f"{description.slices} in {description.folds}; import the cohort again"
        )
    shards = [
        Samples(
            **_read_shard(Path(file), length, features),
            fold=np.full(length, fold, np.int32),
            channels=description.channels,
        )
        for fold, name in enumerate(names)
        for file, length in zip(splits[name].filepaths, splits[name].shard_lengths, strict=True)
    ]
    samples = join_samples(shards)
    if samples.fingerprint() != description.fingerprint:
        raise DataError(f"{folder}: the slices are not those that import.json describes; import the cohort again")
    return samples


def _read_metadata(folder: Path) -> tuple[Mapping[str, tfds.core.SplitInfo], tfds.features.FeaturesDict]:
    if not folder.is_dir():
        raise DataError(f"{folder} is missing; copy the whole cohort, or import it again")
    try:
        info = tfds.builder_from_directory(folder).info
    except (OSError, ValueError, TypeError, ParseError) as error:  # what damaged JSON has been seen to raise
        raise DataError(
            f"the metadata in {folder} cannot be read ({type(error).__name__}); copy the cohort again or import again"
        ) from None
    features = info.features
    if not isinstance(features, tfds.features.FeaturesDict) or {*COLUMNS} - {"fold"} - {*features}:
        raise DataError(f"the metadata in {folder} lack a column; copy the cohort again or import again")
    return info.splits, features


def _read_shard(file: Path, length: int, features: tfds.features.FeaturesDict) -> dict[str, Any]:
    """Return the columns of a shard, which must hold `length` records; conditions and facts are mappings of columns."""
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
    return tf.nest.map_structure(
        lambda column: np.array([text.decode() for text in column]) if column.dtype.kind == "O" else column, batches[0]
    )
