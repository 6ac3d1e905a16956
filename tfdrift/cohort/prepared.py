"""A prepared cohort: a part for each patient, dealt to folds, and what `import.json` says of the whole."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfdrift.cohort.samples import DEFAULT_CHANNELS, Samples, fingerprint_of, read_samples
from tfdrift.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What `import.json` must say so that a cohort can be checked when it is read; it may say more.

    Args:
        image_size: side S of the crops in pixels.
        folds: number of folds K.
        slices: number of slices in all folds.
        fingerprint: `Samples.fingerprint` of all slices, in the order of `read_parts`.
        channels: their names.
    """

    image_size: int
    folds: int
    slices: int
    fingerprint: str
    channels: tuple[str, ...] = DEFAULT_CHANNELS


def read_parts(parts: Sequence[Path], folds: Mapping[str, int]) -> Iterator[Samples]:
    """Yield the patients of a cohort by fold and pseudonym, one in memory at a time.

    Args:
        parts: a file of `save_samples` for each patient, in any order.
        folds: fold of each pseudonym; it replaces the one in the file.

    Raises:
        DataError: a file cannot be read, holds several patients, or one without a fold or met before; the crops have
            several sizes or channels; the folds are not 0 .. K-1.
    """
    by_patient: dict[str, Path] = {}
    kinds: set[tuple[tuple[str, ...], tuple[int, ...]]] = set()
    for part in parts:
        samples = read_samples(part)
        patient, *others = sorted(set(samples.patient.tolist()))
        if others:
            raise DataError(f"{part.name} holds {1 + len(others)} patients; a part is one patient")
        if patient in by_patient:
            raise DataError(f"patient {patient} stands in {by_patient[patient].name} and in {part.name}; merge the two")
        if patient not in folds:
            raise DataError(f"patient {patient} in {part.name} has no fold; assign folds to all patients")
        by_patient[patient] = part
        kinds.add((samples.channels, samples.pre.shape[1:]))
    if len(kinds) > 1:
        found = "; ".join(f"{list(shape)} of {', '.join(channels)}" for channels, shape in sorted(kinds))
        raise DataError(
            f"the parts have crops of several kinds ({found}); a cohort has one size and one list of channels"
        )
    used = sorted({folds[patient] for patient in by_patient})
    if used != list(range(len(used))):
        raise DataError(f"the patients stand in folds {used}; number them from 0 without a gap")
    for patient in sorted(by_patient, key=lambda patient: (folds[patient], patient)):
        samples = read_samples(by_patient[patient])
        yield dataclasses.replace(samples, fold=np.full(len(samples), folds[patient], np.int32))


def describe(parts: Sequence[Path], folds: Mapping[str, int]) -> Description:
    """Return what `import.json` must say of the parts of a cohort.

    Args:
        parts: see `read_parts`.
        folds: see `read_parts`.

    Raises:
        DataError: see `read_parts`; or there is no part.
    """
    size = fold = -1
    slices = 0
    channels = DEFAULT_CHANNELS

    def watched() -> Iterator[Samples]:
        nonlocal size, fold, slices, channels
        for samples in read_parts(parts, folds):
            channels = samples.channels
            size, fold, slices = samples.image_size, int(samples.fold[0]), slices + len(samples)
            yield samples

    fingerprint = fingerprint_of(watched())
    if not slices:
        raise DataError("no patient is left; nothing can be trained or evaluated")
    return Description(image_size=size, folds=fold + 1, slices=slices, fingerprint=fingerprint, channels=channels)


def read_description(folder: Path) -> Description:
    """Return what `import.json` says.

    Raises:
        DataError: the folder is no cohort, or its `import.json` is damaged.
    """
    file = folder / "import.json"
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        description = Description(
            **{name: stored[name] for name in ("image_size", "folds", "slices", "fingerprint")},
            channels=tuple(stored.get("channels", DEFAULT_CHANNELS)),  # older cohorts do not name their one
        )
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{folder} holds no import.json; give a folder that `tfdrift cohort import` wrote") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file} is damaged ({error!r}); import the cohort again") from None
    numbers = (description.image_size, description.folds, description.slices)
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise DataError(f"{file} is damaged (image_size, folds, slices: {numbers}); import the cohort again")
    return description
