"""What the channels of an image are, told by their names alone.

The slices next to a slice are channels named after the one that they belong to: `T1 below` and `T1 above` beside `T1`.
A network sees how bright they are beside it, so they are divided by its largest signal and not by their own.
"""

from collections.abc import Sequence

BELOW, ABOVE = "below", "above"


def with_neighbours(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of channels and of the slices below and above the first of them.

    Args:
        names: of the channels of a slice.

    Example:
        >>> with_neighbours(["T1"])
        ('T1', 'T1 below', 'T1 above')
    """
    return (*names, *(f"{names[0]} {place}" for place in (BELOW, ABOVE)))
