"""Drift in the core and in the rim of lesions, and whether two groups of lesions differ in it.

The regions are those of `tfdrift.cohort.gtv_regions`.
"""

from typing import NamedTuple

import numpy as np

from tfdrift.axes import spatial_axes
from tfdrift.cohort.gtv_regions import core_and_rim
from tfdrift.errors import DataError


class Difference(NamedTuple):
    """How two groups of lesions differ in the mean of a quantity.

    Args:
        value: mean over the lesions of the first group minus that of the second.
        low: lower end of the 95% bootstrap interval over patients.
        high: its upper end.
        p_value: two-sided, by permutation over patients.
        permutations: how many orders were tried.
    """

    value: float
    low: float
    high: float
    p_value: float
    permutations: int


def lesion_means(images: np.ndarray, masks: np.ndarray, lesion: np.ndarray) -> dict[str, np.ndarray]:
    """Return the mean of each lesion's core and rim over all pixels of its slices.

    Args:
        images: float [n, ..., S, S, 1], such as drift.
        masks: bool [n, ..., S, S, 1], the GTV whose core and rim are meant.
        lesion: str [n].

    Returns:
        `core` and `rim`, float64 [m], lesions in the order of `np.unique`; NaN where a lesion has no such pixel.
    """
    names, place = np.unique(lesion, return_inverse=True)
    rows, columns = spatial_axes(masks)[-2:]
    values, gtv = (array.reshape(-1, masks.shape[rows], masks.shape[columns]) for array in (images, masks))
    place = np.repeat(place, len(gtv) // len(masks))  # a lesion for each slice of its image
    regions = [core_and_rim(mask) for mask in gtv]
    means = {}
    for number, region in enumerate(("core", "rim")):
        inside = np.stack([pair[number] for pair in regions])
        axes = tuple(range(1, inside.ndim))
        total = np.bincount(place, np.where(inside, values, 0).sum(axis=axes, dtype=np.float64), len(names))
        pixels = np.bincount(place, inside.sum(axis=axes), len(names))
        means[region] = np.divide(total, pixels, out=np.full(len(names), np.nan), where=pixels > 0)
    return means


def group_difference(
    values: np.ndarray, first: np.ndarray, patient: np.ndarray, *, seed: int = 0, draws: int = 5000
) -> Difference:
    """Return the difference of two groups' means with a permutation test and an interval that keep patients whole.

    Lesions of one patient are not independent. So the test gives the groups of a whole patient to another patient
    with as many lesions, which is exact where patients are exchangeable, and the interval resamples patients.

    Args:
        values: float [m], one a lesion; lesions with NaN are left out.
        first: bool [m], whether the lesion is in the first group.
        patient: str [m].
        seed: of permutations and resamples.
        draws: of each.

    Raises:
        DataError: a group has no lesion.

    Source: Winkler et al. (2015), whole-block exchangeability; Phipson and Smyth (2010), eq. 2, for the p value.
    """
    known = np.isfinite(values)
    values, first, patient = values[known].astype(np.float64), first[known], patient[known]
    if first.all() or not first.any():
        raise DataError("one of the two groups has no lesion; there is nothing to compare")
    names, place = np.unique(patient, return_inverse=True)
    blocks = [np.flatnonzero(place == number) for number in range(len(names))]
    sizes = np.array([len(block) for block in blocks])
    rng = np.random.default_rng(seed)

    observed = _difference(values, first)
    as_far = 0
    for _ in range(draws):
        shuffled = np.empty_like(first)
        for size in np.unique(sizes):
            takers = np.flatnonzero(sizes == size)
            for taker, giver in zip(takers, rng.permutation(takers), strict=True):
                shuffled[blocks[taker]] = first[blocks[giver]]
        # Sums in another order round differently; a tie must not be lost to that.
        as_far += abs(_difference(values, shuffled)) >= abs(observed) - 1e-12
    drawn = []
    for chosen in rng.integers(len(names), size=(draws, len(names))):
        rows = np.concatenate([blocks[number] for number in chosen])
        if first[rows].any() and not first[rows].all():
            drawn.append(_difference(values[rows], first[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
    return Difference(observed, float(low), float(high), (as_far + 1) / (draws + 1), draws)


def _difference(values: np.ndarray, first: np.ndarray) -> float:
    return float(values[first].mean() - values[~first].mean())
