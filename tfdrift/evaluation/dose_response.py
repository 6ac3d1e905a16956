"""What a model says of the same lesions at other doses: its association of dose and outcome, which is no advice."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfdrift.cohort.dose import scale_dose
from tfdrift.cohort.samples import Samples
from tfdrift.evaluation.outcomes import draw_outcomes
from tfdrift.evaluation.response import ratio_outcomes
from tfdrift.methods.method import Predictor


def at_dose(samples: Samples, factor: float) -> Samples:
    """Return the same lesions with so many times the dose, before treatment.

    Args:
        samples: with the channel `dose`. Their second MRIs stay those of the dose that was given.
        factor: of the dose, 0 or more.

    Raises:
        DataError: the samples show no dose.

    Example:
        >>> from tfdrift.synthetic.phantom_samples import phantom_samples
        >>> samples = phantom_samples(image_size=8, patients=2, folds=2, law="dose")
        >>> more = at_dose(samples, 1.2)
        >>> bool(np.allclose(more.pre[..., 1], 1.2 * samples.pre[..., 1]))
        True
    """
    return dataclasses.replace(samples, pre=scale_dose(samples.pre, samples.channels, factor))


def ratios_at_doses(
    trained: Predictor,
    samples: Samples,
    factors: Sequence[float],
    *,
    exponent: float,
    count: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """Return the volume that a model leaves of each lesion at each dose, over that at the first MRI.

    All doses have the same draws, so that no chance is in their difference.

    Args:
        trained: a method with its network, which takes the channel `dose`.
        samples: of m lesions.
        factors: F, of the dose that each lesion was given.
        exponent: of `fit_exponent` of the training slices.
        count: N, outcomes of each lesion.
        seed: of the noise.

    Returns:
        float64 [F, N, m], in the order of `tfdrift.evaluation.response.lesions_of`.

    Raises:
        DataError: the samples show no dose.
    """
    exponents = np.full(len(samples), exponent)
    return np.stack(
        [
            ratio_outcomes(
                draw_outcomes(trained, at_dose(samples, factor), count=count, seed=seed)["post"], samples, exponents
            )
            for factor in factors
        ]
    )
