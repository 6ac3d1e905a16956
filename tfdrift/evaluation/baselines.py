"""What a prediction must beat: no change at all, and the change that lesions show on average."""

import numpy as np

from tfdrift.axes import first_channel, spatial_axes
from tfdrift.cohort.samples import Samples


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
