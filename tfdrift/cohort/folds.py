"""Patients dealt to folds, and no patient or image on both sides of a split."""

import numpy as np

from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError

_SAME_IMAGE_RMS = 3e-3


def split(samples: Samples, fold: int) -> tuple[Samples, Samples]:
    """Return (training, held-out) samples: the patients of `fold` are held out.

    Args:
        samples: of all folds.
        fold: number of the one to hold out.

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

    Args:
        training: samples to train on.
        held_out: samples of the same shape to score on.

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
