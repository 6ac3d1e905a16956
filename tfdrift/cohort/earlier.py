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


class Courses:
    """What earlier visits show of a patient's lesions, as the pairs of every two visits tell.

    Pairs whose first visit is earlier must be added first.

    Example:
        >>> courses = Courses()
        >>> courses.add((1, 7), day=0, volume_mm3=500.0)
        >>> courses.before((1, 7), day=21, volume_mm3=400.0)
        Earlier(days=21.0, ratio=0.8)
    """

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], tuple[int, float]] = {}

    def add(self, structure: tuple[int, int], *, day: int, volume_mm3: float) -> None:
        """Remember a pair.

        Args:
            structure: place of its second visit in the order of days, and the structure's number there.
            day: of its first visit.
            volume_mm3: of the lesion at its first visit.
        """
        self._first.setdefault(structure, (day, volume_mm3))

    def before(self, structure: tuple[int, int], *, day: int, volume_mm3: float) -> Earlier:
        """Return how a lesion changed until a visit, since the first one that shows it.

        Args:
            structure: place of the visit in the order of days, and the structure's number there.
            day: of the visit.
            volume_mm3: of the lesion there.
        """
        if structure not in self._first:
            return NOT_SEEN
        first, then_mm3 = self._first[structure]
        return earlier_change(day - first, then_mm3=then_mm3, now_mm3=volume_mm3)
