"""What a clinic asks of a prediction: how large the lesion will be, and whether it responds.

Volumes are compared as ratios to the volume at the first MRI, so that a large lesion does not count more than a small
one. Three slices show areas, not volumes: ratio = (area ratio)^p, with the p that fits the training patients' true
masks best (1.5 where a lesion shrinks alike in all directions and is seen through its middle).

The paper defines the response by the volume at the follow-up (group A, poor, keeps 80% or more of it), which comes
after the second MRI that is predicted here. Its sign is the ratio at the second MRI: above a cut, learnt from the
training patients, the lesion is expected to be in group A.
"""

import dataclasses

import numpy as np

from tfdrift.axes import image_axes, spatial_axes
from tfdrift.cohort.response import poor_responses
from tfdrift.cohort.samples import Samples
from tfdrift.cohort.volumes import predicted_mask
from tfdrift.statistics.intervals import Estimate, bootstrap_interval, mean_interval


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Lesions:
    """The lesions of some slices, one entry a lesion.

    Args:
        name: str [m], sorted.
        patient: str [m].
        owner: int [n], the lesion of each slice as its place in `name`.
        pre_mm3: float64 [m].
        ratio: float64 [m], volume at the second MRI over that at the first.
        poor: float64 [m], 1 for group A, 0 for group B, NaN without a follow-up.
    """

    name: np.ndarray
    patient: np.ndarray
    owner: np.ndarray
    pre_mm3: np.ndarray
    ratio: np.ndarray
    poor: np.ndarray


def lesions_of(samples: Samples) -> Lesions:
    """Return the lesions that the slices belong to.

    Source: paper, "PULSAR data collection", for the response groups.
    """
    name, first, owner = np.unique(samples.lesion, return_index=True, return_inverse=True)
    pre_mm3, post_mm3, follow_up_mm3 = (
        getattr(samples, field)[first].astype(np.float64) for field in ("pre_mm3", "post_mm3", "follow_up_mm3")
    )
    poor = poor_responses(pre_mm3, follow_up_mm3)
    return Lesions(
        name=name, patient=samples.patient[first], owner=owner, pre_mm3=pre_mm3, ratio=post_mm3 / pre_mm3, poor=poor
    )


def of_lesions(values: np.ndarray, samples: Samples) -> np.ndarray:
    """Return one value a lesion of what is the same for all of its slices.

    Args:
        values: [n, ...], one for each slice.
        samples: the n slices.

    Returns:
        [m, ...], in the order of `lesions_of`.
    """
    return values[np.unique(samples.lesion, return_index=True)[1]]


def area_ratios(masks: np.ndarray, samples: Samples) -> np.ndarray:
    """Return the area of each lesion in all its slices, over that at the first MRI.

    Args:
        masks: bool [..., n, S, S, 1], of the second MRI, true or predicted.
        samples: the n slices.

    Returns:
        float64 [..., m], in the order of `lesions_of`.
    """
    owner = lesions_of(samples).owner
    before, leading = samples.pre_mask, masks.ndim - samples.pre_mask.ndim + 1
    pixels = masks.sum(axis=image_axes(masks, leading=leading))
    areas = np.array([np.bincount(owner, row) for row in pixels.reshape(-1, len(owner))])
    return areas.reshape(*pixels.shape[:-1], -1) / np.bincount(owner, before.sum(axis=image_axes(before)))


def ratio_outcomes(post: np.ndarray, samples: Samples, exponent: np.ndarray) -> np.ndarray:
    """Return the volume ratio of each lesion in each outcome.

    Args:
        post: float [N, n, ..., S, S, 1], predicted second MRIs, the largest signal of the first MRI being 1.
        samples: the n slices.
        exponent: float [n], `fit_exponent` of the patients that each slice's run was trained on.

    Returns:
        float64 [N, m], in the order of `lesions_of`.
    """
    rows, columns = spatial_axes(post, leading=2)[-2:]
    ratios = []
    for outcome in post:
        slices = outcome.reshape(-1, post.shape[rows], post.shape[columns])
        masks = predicted_mask(slices, np.ones(len(slices))).reshape(outcome.shape)
        ratios.append(area_ratios(masks, samples))
    return np.stack(ratios) ** of_lesions(exponent, samples)


def fit_exponent(training: Samples) -> float:
    """Return the p for which (area ratio)^p is closest to the volume ratio, by least squares of the logarithms.

    Args:
        training: slices with true masks; lesions that are gone at the second MRI do not count.
    """
    areas, ratio = area_ratios(training.post_mask, training), lesions_of(training).ratio
    there = (areas > 0) & (ratio > 0)
    log_area, log_ratio = np.log(areas[there]), np.log(ratio[there])
    squares = np.sum(log_area**2)
    return float(np.sum(log_area * log_ratio) / squares) if squares > 0 else 1.0


def fit_cut(training: Samples) -> float:
    """Return the ratio at the second MRI that tells the training patients' response groups apart best.

    Args:
        training: slices with true volumes.

    Returns:
        Half way between two ratios, the middle one where several cuts are equally good; NaN where not both groups
        occur.
    """
    lesions = lesions_of(training)
    known = ~np.isnan(lesions.poor)
    order = np.argsort(lesions.ratio[known])
    ratio, poor = lesions.ratio[known][order], lesions.poor[known][order]
    if len(set(poor.tolist())) < 2:
        return float("nan")
    # right[k]: lesions told rightly by a cut between the k-th and the one before it.
    right = np.cumsum(1 - poor[:-1]) + np.sum(poor) - np.cumsum(poor[:-1])
    cuts = (ratio[:-1] + ratio[1:]) / 2
    right[ratio[:-1] == ratio[1:]] = -1  # no cut lies between equal ratios
    best = cuts[right == right.max()]
    return float(best[len(best) // 2])


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the probability that a positive case has the higher score, ties counting half.

    Args:
        score: float [m].
        positive: bool [m].

    Returns:
        In [0, 1]; NaN where one class is missing.

    Source: Hanley and McNeil (1982), the Wilcoxon statistic.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
        0.875
    """
    of_positive, of_negative = score[positive], np.sort(score[~positive])
    if len(of_positive) == 0 or len(of_negative) == 0:
        return float("nan")
    lower, not_higher = (np.searchsorted(of_negative, of_positive, side=side) for side in ("left", "right"))
    return float(np.mean(lower + not_higher) / (2 * len(of_negative)))


def response_scores(ratio: np.ndarray, samples: Samples, cut: np.ndarray) -> dict[str, Estimate]:
    """Return how well predicted volumes and the response groups they stand for are.

    Args:
        ratio: float [m], predicted volume at the second MRI over that at the first.
        samples: the slices of the m lesions.
        cut: float [n], `fit_cut` of the patients that each slice's run was trained on.

    Returns:
        `volume_error` and `volume_bias` in units of the volume at the first MRI; `response_accuracy` and `response_auc`
        of group A, NaN where no follow-up or only one group is known.
    """
    lesions = lesions_of(samples)
    known = ~np.isnan(lesions.poor)
    cut = of_lesions(cut, samples)
    right = np.where(known & ~np.isnan(cut), (ratio >= cut) == (lesions.poor == 1), np.nan)
    score, poor = ratio[known], lesions.poor[known] == 1
    return {
        "volume_error": mean_interval(np.abs(ratio - lesions.ratio), lesions.patient),
        "volume_bias": mean_interval(ratio - lesions.ratio, lesions.patient),
        "response_accuracy": mean_interval(right, lesions.patient),
        "response_auc": bootstrap_interval(lambda rows: auc(score[rows], poor[rows]), lesions.patient[known])
        if known.any()
        else Estimate(*[float("nan")] * 3),
    }
