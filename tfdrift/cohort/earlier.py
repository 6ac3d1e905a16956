"""How a lesion changed before the first MRI of a pair, as the contours of an earlier visit tell.

Of several visits before it counts the first that shows the lesion: the change since then is the largest there is, and
the errors of the contours are small beside it. Computed here for a cohort, the phantom and a new patient alike.
"""

from typing import NamedTuple

import numpy as np

from tfdrift.errors import DataError

DAYS, RATIO = "earlier_days", "earlier_ratio"
EARLIER_COLUMNS = (DAYS, RATIO)
"""Columns of `tfdrift.model.columns` that an earlier visit tells."""


class Earlier(NamedTuple):
    """How a lesion changed from an earlier visit to the first MRI of a pair; NaN where that is not known.

    Args:
        days: between the two.
        ratio: volume at the first MRI of the pair over that at the earlier visit.
    """

    days: float
    ratio: float

    @property
    def is_known(self) -> bool:
        """Whether an earlier visit shows the lesion."""
        return bool(np.isfinite(self.ratio))


NOT_SEEN = Earlier(float("nan"), float("nan"))
"""Of a lesion that no earlier visit shows."""


def earlier_change(days: float, *, then_mm3: float, now_mm3: float) -> Earlier:
    """Return the change of a lesion since an earlier visit.

    Args:
        days: from the earlier visit to the first MRI of the pair, above 0.
        then_mm3: volume at the earlier visit.
        now_mm3: at the first MRI of the pair.

    Raises:
        DataError: the visits are not in order, or a volume is none.

    Example:
        >>> earlier_change(21, then_mm3=500.0, now_mm3=400.0)
        Earlier(days=21.0, ratio=0.8)
    """
    if not (days > 0 and then_mm3 > 0 and now_mm3 > 0):
        raise DataError(f"{days} days from {then_mm3} to {now_mm3} mm3 are no earlier change; all must be above 0")
    return Earlier(float(days), float(now_mm3 / then_mm3))


def earlier_columns(earlier: Earlier, count: int) -> dict[str, np.ndarray]:
    """Return the columns of a lesion's slices, float32 [n] each.

    Args:
        earlier: of the lesion.
        count: n.

    Example:
        >>> earlier_columns(NOT_SEEN, 1)
        {'earlier_days': array([nan], dtype=float32), 'earlier_ratio': array([nan], dtype=float32)}
    """
    return {name: np.full(count, value, np.float32) for name, value in zip(EARLIER_COLUMNS, earlier, strict=True)}
