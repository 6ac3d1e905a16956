"""What a prediction must beat: no change, the mean change, the change of the most similar lesion, and few numbers.

Baselines of volumes predict the ratio of the second volume to the first from a few numbers of the lesion. All
learn from the training patients alone.
"""

import numpy as np
from skimage.measure import regionprops

from tfdrift.axes import first_channel, spatial_axes
from tfdrift.cohort.neighbours import nearest
from tfdrift.cohort.samples import Samples
from tfdrift.evaluation.response import lesions_of, of_lesions
from tfdrift.statistics.conformal import patient_groups


def copy(held_out: Samples) -> np.ndarray:
    """Return post = pre, float32 [n, ..., S, S, 1]."""
    return first_channel(held_out.pre)


def mean_drift(training: Samples, held_out: Samples) -> np.ndarray:
    """Return post = pre + the mean drift map of the training slices, in all four rotations.

    Args:
        training: gives the mean.
        held_out: n slices to predict.

    Returns:
        float32 [n, ..., S, S, 1].
    """
    mean = training.drift.mean(axis=0)
    rows, columns = spatial_axes(mean, leading=0)[-2:]
    turned = np.mean([np.rot90(mean, turns, (rows, columns)) for turns in range(4)], axis=0)
    return copy(held_out) + turned.astype(np.float32)


def nearest_lesion(training: Samples, held_out: Samples) -> np.ndarray:
    """Return post = pre + the drift of the training slice whose first MRI is most like this one, turned as it is.

    Args:
        training: where the most similar slice is looked for, by the mean squared difference of all channels of the
            first MRI over the eight symmetries of the square; the whole crop counts, so size and shape do.
        held_out: n slices to predict.

    Returns:
        float32 [n, ..., S, S, 1].
    """
    return copy(held_out) + nearest(held_out.pre, training.pre).of(training.drift)


PENALTIES = tuple(10.0**power for power in range(-2, 5))
"""Tried by `ridge`, in units of the standardised features."""

_SHAPE = ("area", "eccentricity", "solidity", "extent", "intensity_mean", "intensity_std")


def volume_baselines(training: Samples, held_out: Samples) -> dict[str, np.ndarray]:
    """Return the volume ratio that each baseline expects of each slice's lesion.

    Args:
        training: what they learn from.
        held_out: n slices to predict.

    Returns:
        float64 [n] by name: `mean ratio`; `ridge, shape and signal` on `region_features`; and `ridge, interval` on the
        days between the MRIs, where they are known and differ.
    """
    seen, asked = lesions_of(training), lesions_of(held_out)
    found = {"mean ratio": np.full(len(asked.name), seen.ratio.mean())}
    features = region_features(training), region_features(held_out)
    found["ridge, shape and signal"] = ridge(features[0], seen.ratio, seen.patient, features[1])
    days = [_interval_days(part) for part in (training, held_out)]
    if np.isfinite(np.concatenate(days)).all() and np.ptp(days[0]) > 0:
        found["ridge, interval"] = ridge(days[0], seen.ratio, seen.patient, days[1])
    return {name: ratio[asked.owner] for name, ratio in found.items()}


def region_features(samples: Samples) -> np.ndarray:
    """Return numbers of each lesion at the first MRI: the mean over its slices of scikit-image's region properties.

    Args:
        samples: slices, or stacks of them.

    Returns:
        float64 [m, 7]: area in mm2, eccentricity, solidity, extent, mean and spread of the signal, and the logarithm of
        the volume in mm3; NaN where the first MRI shows nothing. Lesions are in the order of `lesions_of`.
    """
    lesions = lesions_of(samples)
    signal, mask = first_channel(samples.pre), samples.pre_mask
    rows, columns = spatial_axes(mask)[-2:]
    of_image = np.full((len(samples), len(_SHAPE)), np.nan)
    for number in range(len(samples)):
        images, masks = (part[number].reshape(-1, mask.shape[rows], mask.shape[columns]) for part in (signal, mask))
        found = [regionprops(m.astype(int), i)[0] for m, i in zip(masks, images, strict=True) if m.any()]
        if found:
            of_image[number] = np.mean([[region[name] for name in _SHAPE] for region in found], axis=0)
    of_image[:, 0] *= samples.pixel_mm.astype(np.float64) ** 2
    known = np.isfinite(of_image[:, 0])
    count = np.bincount(lesions.owner[known], minlength=len(lesions.name))
    sums = [np.bincount(lesions.owner[known], column, len(lesions.name)) for column in of_image[known].T]
    means = np.stack([np.divide(s, count, out=np.full(len(count), np.nan), where=count > 0) for s in sums], axis=1)
    return np.column_stack([means, np.log(lesions.pre_mm3)])


def ridge(features: np.ndarray, ratio: np.ndarray, patient: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return volume ratios by ridge regression, its penalty chosen by leaving out training patients, up to 20 times.

    Args:
        features: float64 [m, K] of the training lesions; NaN counts as the mean.
        ratio: float64 [m], theirs.
        patient: str [m], theirs.
        asked: float64 [k, K] of other lesions.

    Returns:
        float64 [k], never below 0.

    Source: Hoerl and Kennard (1970).
    """
    group = patient_groups(patient)
    if group.max() == 0:
        return np.full(len(asked), ratio.mean())

    def left_out(penalty: float) -> float:
        errors = 0.0
        for number in range(group.max() + 1):
            out = group == number
            errors += np.sum((_fit_ridge(features[~out], ratio[~out], penalty, features[out]) - ratio[out]) ** 2)
        return errors

    penalty = min(PENALTIES, key=left_out)
    return np.maximum(_fit_ridge(features, ratio, penalty, asked), 0.0)


def _interval_days(samples: Samples) -> np.ndarray:
    days = of_lesions(samples.condition("interval_days"), samples)
    return days.reshape(len(days), -1).astype(np.float64)


def _fit_ridge(features: np.ndarray, ratio: np.ndarray, penalty: float, asked: np.ndarray) -> np.ndarray:
    known = np.isfinite(features)
    mean = np.nanmean(np.where(known.any(axis=0), features, 0.0), axis=0)
    std = np.nanstd(np.where(known.any(axis=0), features, 0.0), axis=0)
    std = np.where(std > 0, std, 1.0)
    seen, other = (np.nan_to_num((values - mean) / std) for values in (features, asked))
    weights = np.linalg.solve(seen.T @ seen + penalty * np.eye(len(mean)), seen.T @ (ratio - ratio.mean()))
    return ratio.mean() + other @ weights
