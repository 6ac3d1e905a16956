"""The rule by which a lesion responds well or poorly, for one lesion and for columns of them.

Source: paper, "PULSAR data collection".
"""

import math
from typing import Literal

import numpy as np

from tfdrift.errors import DataError

POOR_RESPONSE = 0.8
"""Group A (poor) keeps at least this share of its initial volume at the follow-up; group B (good) keeps less."""

_ROUNDING = 5e-7
"""How far below the share a ratio still counts as the share itself.

Volumes are whole numbers of voxels, and their ratio is often 80% exactly; as floats it is not. Two volumes in float32
leave their ratio within 1.2e-7 of the true one. With n voxels at first, a ratio below 80% is below by 1/(5 n) or more:
above this tolerance up to 400,000 voxels, ten times those of the paper's largest lesion.
"""


def response_group(pre_mm3: float, follow_up_mm3: float) -> Literal["A", "B"]:
    """Return "A" (poor response) where at least 80% of the initial volume is left at the follow-up, else "B" (good).

    Args:
        pre_mm3: volume at the first MRI, above 0.
        follow_up_mm3: volume at the follow-up, 0 where the lesion is gone.

    Raises:
        DataError: a volume is not finite, the first is not above 0 or the second is negative.

    Example:
        >>> response_group(1000.0, 800.0), response_group(1000.0, 799.0)
        ('A', 'B')
    """
    if not (math.isfinite(pre_mm3) and math.isfinite(follow_up_mm3) and pre_mm3 > 0 and follow_up_mm3 >= 0):
        raise DataError(f"volumes of {pre_mm3} and {follow_up_mm3} mm3 give no response; the first must be above 0")
    return "A" if poor_responses(np.array(pre_mm3), np.array(follow_up_mm3)) else "B"


def poor_responses(pre_mm3: np.ndarray, follow_up_mm3: np.ndarray) -> np.ndarray:
    """Return for each lesion whether its response is poor, float64 [m]: 1 for group A, 0 for B, NaN where unknown.

    Args:
        pre_mm3: float [m], volumes at the first MRI.
        follow_up_mm3: float [m], volumes at the follow-up, NaN where there is none.

    Example:
        >>> poor_responses(np.array([10.0, 10.0, 10.0]), np.array([8.0, 7.0, np.nan]))
        array([ 1.,  0., nan])
    """
    pre_mm3, follow_up_mm3 = pre_mm3.astype(np.float64), follow_up_mm3.astype(np.float64)
    poor = follow_up_mm3 >= POOR_RESPONSE * (1 - _ROUNDING) * pre_mm3
    return np.where(np.isnan(pre_mm3) | np.isnan(follow_up_mm3), np.nan, poor)
