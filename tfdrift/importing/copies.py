"""Whether two files say the same of a patient's structures, whatever else stands in their headers."""

import dataclasses
from typing import Any

import numpy as np


def same_content(one: Any, other: Any) -> bool:
    """Return whether two values that were read from files are equal in every part.

    Exports write one instance twice with another transfer syntax, description or time of creation, which the values
    that were read do not hold.

    Args:
        one: data classes of data classes, tuples, arrays and plain values, such as a
            `tfdrift.imaging.structures.StructureSet`.
        other: the like.

    Example:
        >>> from tfdrift.imaging.structures import Roi
        >>> gtvs = [Roi(number=1, name="GTV", contours_mm=(np.zeros((3, 3)) + z,)) for z in (0, 0, 1)]
        >>> same_content(gtvs[0], gtvs[1]), same_content(gtvs[0], gtvs[2])
        (True, False)
    """
    if type(one) is not type(other):
        return False
    if dataclasses.is_dataclass(one):
        return all(same_content(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same_content(*pair) for pair in zip(one, other, strict=True))
    return one == other
