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
        >>> with_neighbours(["T1", "dose"])
        ('T1', 'T1 below', 'T1 above', 'dose')
    """
    return (names[0], *(f"{names[0]} {place}" for place in (BELOW, ABOVE)), *names[1:])


def has_neighbours(names: Sequence[str]) -> bool:
    """Return whether the slices below and above the first channel are among some channels.

    Args:
        names: of all channels of an image; none where nobody said.

    Example:
        >>> has_neighbours(["T1", "T1 below", "T1 above", "dose"]), has_neighbours(["T1", "dose"]), has_neighbours([])
        (True, False, False)
    """
    return bool(names) and set(with_neighbours(names[:1])) <= set(names)


def further(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the channels that are neither the first nor its neighbours.

    Args:
        names: of all channels of an image.

    Example:
        >>> further(["T1", "T1 below", "T1 above", "dose"])
        ('dose',)
    """
    return tuple(name for name in names if name not in with_neighbours(names[:1]))
