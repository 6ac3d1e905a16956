"""The training pairs in memory: one row a slice, patients assigned to folds, never slices."""

import dataclasses
import hashlib
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tfdrift.errors import DataError

_SAME_IMAGE_RMS = 3e-3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Slices of lesions before and after treatment, on one standard grid, with where each comes from.

    Args:
        pre: float32 [n, S, S, 1], first MRI inside its GTV, zero outside, divided by `scale`.
        post: float32 [n, S, S, 1], second MRI inside its own GTV, zero outside, divided by the same `scale`.
        pre_mask: bool [n, S, S, 1], the GTV of the first MRI.
        post_mask: bool [n, S, S, 1], the GTV of the second MRI.
        scale: float32 [n], the largest signal of the pre crop, in scanner units.
        patient: str [n], pseudonym.
        lesion: str [n], unique over patients.
        fold: int32 [n], the same for every slice of a patient.
        pixel_mm: float32 [n], side of a crop pixel in mm.
        pre_mm3: float32 [n], volume of the whole lesion's GTV at the first MRI.
        post_mm3: float32 [n], at the second MRI.
        follow_up_mm3: float32 [n], at the follow-up, NaN where there is none.

    Raises:
        DataError: lengths, shapes or types disagree, a value is not finite, or a patient stands in two folds.
    """

    pre: np.ndarray
    post: np.ndarray
    pre_mask: np.ndarray
    post_mask: np.ndarray
    scale: np.ndarray
    patient: np.ndarray
    lesion: np.ndarray
    fold: np.ndarray
    pixel_mm: np.ndarray
    pre_mm3: np.ndarray
    post_mm3: np.ndarray
    follow_up_mm3: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.pre)
        if count == 0:
            raise DataError("the data hold no slice at all; nothing can be trained or evaluated")
        if self.pre.ndim != 4 or self.pre.shape[1] != self.pre.shape[2] or self.pre.shape[3] != 1:
            raise DataError(f"pre images must have shape [n, S, S, 1], got {list(self.pre.shape)}")
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            expected = self.pre.shape if field.name in ("post", "pre_mask", "post_mask") else (count,)
            if field.name != "pre" and values.shape != expected:
                raise DataError(f"{field.name} must have shape {list(expected)}, got {list(values.shape)}")
        for name in ("pre", "post", "scale", "pixel_mm"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(f"{name} holds a value that is not finite")
        pairs = {(p, f) for p, f in zip(self.patient.tolist(), self.fold.tolist(), strict=True)}
        patients = [p for p, _ in pairs]
        if len(patients) != len(set(patients)):
            twice = sorted(p for p in set(patients) if patients.count(p) > 1)
            raise DataError(f"patient {twice[0]} stands in more than one fold; folds are made of whole patients")

    def __len__(self) -> int:
        return len(self.pre)

    @property
    def drift(self) -> np.ndarray:
        """float32 [n, S, S, 1], post - pre (paper, eq. 1)."""
        return self.post - self.pre

    @property
    def image_size(self) -> int:
        """Side S of the crops in pixels."""
        return self.pre.shape[1]

    def ranges(self) -> dict[str, list[float]]:
        """Return the lowest and highest `pixel_mm` and `mean_signal`, the mean of a pre crop inside its GTV, in [0, 1].

        A model has seen nothing beyond them.
        """
        inside = np.maximum(self.pre_mask.sum(axis=(1, 2, 3)), 1)
        seen = {"pixel_mm": self.pixel_mm, "mean_signal": np.sum(self.pre * self.pre_mask, axis=(1, 2, 3)) / inside}
        return {name: [float(values.min()), float(values.max())] for name, values in seen.items()}

    def take(self, rows: np.ndarray) -> "Samples":
        """Return the samples at `rows` (bool [n] or int [m])."""
        return Samples(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def fingerprint(self) -> str:
        """Return a SHA-256 over every array, so that an artefact can say which data made it."""
        return fingerprint_of([self])


def fingerprint_of(parts: Iterable[Samples]) -> str:
    """Return the fingerprint of samples that come in parts: that of the whole, however it is cut.

    It goes row by row, so that the whole need not be in memory, and is the same for texts of any NumPy width.

    Args:
        parts: samples whose rows make up the whole, in order.
    """
    digest = hashlib.sha256()
    for part in parts:
        columns = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
        for row in range(len(part)):
            for name, values in columns.items():
                value = values[row]
                is_text = values.dtype.kind == "U"
                content = str(value).encode() if is_text else np.ascontiguousarray(value).tobytes()
                kind = "text" if is_text else values.dtype.str
                digest.update(f"{name} {kind} {np.shape(value)} {len(content)} ".encode())
                digest.update(content)
    return digest.hexdigest()


def save_samples(path: Path, samples: Samples) -> None:
    """Write samples as one `.npz` file, an array a field, without pickles."""
    np.savez_compressed(path, **{field.name: getattr(samples, field.name) for field in dataclasses.fields(samples)})


def read_samples(path: Path) -> Samples:
    """Return what `save_samples` wrote.

    Raises:
        DataError: the file is missing, cut or of another layout.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Samples(**{field.name: stored[field.name] for field in dataclasses.fields(Samples)})
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path.name} holds no samples that can be read ({error})") from None


def split(samples: Samples, fold: int) -> tuple[Samples, Samples]:
    """Return (training, held-out) samples: the patients of `fold` are held out.

    Raises:
        DataError: the fold does not exist, or nothing would be left to train on, or the two sides share a patient or
            an image (see `check_no_leak`).
    """
    folds = sorted(set(samples.fold.tolist()))
    if fold not in folds or len(folds) < 2:
        raise DataError(f"fold {fold} cannot be held out; the data have folds {folds}")
    training, held_out = samples.take(samples.fold != fold), samples.take(samples.fold == fold)
    check_no_leak(training, held_out)
    return training, held_out


def check_no_leak(training: Samples, held_out: Samples) -> None:
    """Refuse a held-out set that training has seen.

    Two images are taken for the same when the root mean square difference of their pre crops is below 0.3% of the
    largest signal, so that a copy under another patient's name is found even after another rounding.

    Raises:
        DataError: a patient or an image stands on both sides.
    """
    shared = sorted(set(training.patient.tolist()) & set(held_out.patient.tolist()))
    if shared:
        raise DataError(f"patient {shared[0]} is in the training and in the held-out data; split by patient")
    known = training.pre.reshape(len(training), -1)
    known_square = np.mean(known**2, axis=1)
    for start in range(0, len(held_out), 128):  # one matrix product a block, which stays small for large cohorts
        block = held_out.take(np.arange(start, min(start + 128, len(held_out))))
        images = block.pre.reshape(len(block), -1)
        products = known @ images.T / known.shape[1]
        mean_squares = known_square[:, None] + np.mean(images**2, axis=1) - 2 * products
        twins, rows = np.nonzero(mean_squares < _SAME_IMAGE_RMS**2)
        if len(rows):
            patient, twin = block.patient[rows[0]], training.patient[twins[0]]
            raise DataError(f"patient {patient} (held out) and patient {twin} (training) share an image; merge the two")


def assign_folds(patients: list[str], poor_fraction: list[float], *, num_folds: int, seed: int) -> dict[str, int]:
    """Deal patients to folds so that sizes differ by one at most and the response groups are balanced.

    Patients are shuffled, then sorted by their share of poor-response lesions, then dealt in turn, back and forth.

    Args:
        patients: pseudonyms, unique.
        poor_fraction: for each, the share of lesions in group A in [0, 1]; 0.5 where unknown.
        num_folds: number of folds, at least 2 and at most the number of patients.
        seed: of the shuffle.

    Returns:
        The fold 0 .. num_folds-1 of each patient.

    Raises:
        DataError: more folds than patients, or fewer than 2 folds.

    Example:
        >>> folds = assign_folds(["a", "b", "c", "d"], [1.0, 0.0, 1.0, 0.0], num_folds=2, seed=0)
        >>> sorted(folds.values()), folds["a"] != folds["c"], folds["b"] != folds["d"]
        ([0, 0, 1, 1], True, True)
    """
    if not 2 <= num_folds <= len(patients):
        raise DataError(f"{len(patients)} patients cannot be dealt to {num_folds} folds; use 2 to {len(patients)}")
    order = np.random.default_rng(seed).permutation(len(patients)).tolist()
    order.sort(key=lambda i: poor_fraction[i])
    deal = [*range(num_folds), *reversed(range(num_folds))]
    return {patients[i]: deal[place % len(deal)] for place, i in enumerate(order)}
