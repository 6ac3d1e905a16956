"""Which names of structures are those of single gross tumours, in planning systems that name things as they like."""

import re
from collections.abc import Callable
from typing import Protocol

from tfdrift.errors import UsageError

_LEFT_OUT = (
    "[pci]tv|prv|oar|ring|shell|rind|exp|expan[a-z]*|margin|minus|sub|z?opti?|avoid|dose|iso[a-z]*"
    "|all|tot|total|sum|union|combined|old|copy|bak|backup|test|edema|oedema|predicted"
)
DEFAULT_ROI_PATTERN = (
    rf"^(?!.*(?:^|[^a-z]|gtv)(?:{_LEFT_OUT})(?![a-z]))"
    r"(?!.*(?:\+|\d\s?mm(?![a-z])))"  # a margin: GTV+2mm, GTV 3mm
    r"(?![^a-z]*(?:(?:normal|healthy|whole)[^a-z]*)?(?:brain|body|external|skin|skull)[a-z]{0,9}\s?-)"  # brain-GTV
    r".*(?:^|[^a-z])(?:gtv|(?:bms?|mets?|metastas[ie]s|lesions?)(?![a-z]))"
)
"""A word that starts with GTV, or is Met, Metastasis, BM or Lesion, and no sign that the structure is made of others.

Left out are margins, rings, subtractions, unions of lesions, optimisation structures, copies called old or backup,
which would stand for the same lesion twice, and what `tfdrift predict` wrote, which nobody drew; a name with a size
such as 12mm reads like a margin and is left out too.
"""


class Structure(Protocol):
    """Something drawn on an image, perhaps a lesion."""

    @property
    def number(self) -> int:
        """Tells it from the visit's other structures; in DICOM the ROINumber."""
        ...

    @property
    def name(self) -> str:
        """As written, which may be anything, a person's name too."""
        ...


IsWanted = Callable[[Structure], bool]
"""Whether a structure may be a lesion."""


def is_target(name: str, pattern: str = DEFAULT_ROI_PATTERN) -> bool:
    """Return whether a structure's name is that of a lesion.

    Args:
        name: ROIName.
        pattern: regular expression, searched for anywhere in the name, upper and lower case alike.

    Raises:
        UsageError: the pattern is not a regular expression.

    Example:
        >>> [is_target(name) for name in ("GTV 2 L parietal", "Met 3", "PTV 2", "GTV+2mm")]
        [True, True, False, False]
    """
    try:
        return re.search(pattern, name, re.IGNORECASE) is not None
    except re.error as error:
        raise UsageError(f"the ROI pattern {pattern!r} is not a regular expression: {error}") from error


def target_rule(pattern: str = DEFAULT_ROI_PATTERN) -> IsWanted:
    """Return the rule that says whether a structure is a lesion, by its name or by its number.

    Args:
        pattern: regular expression, see `is_target`; or numbers such as `#3` or `#3,#5`, which tell structures of one
            name apart.

    Raises:
        UsageError: the pattern is neither.

    Example:
        >>> from tfdrift.imaging.structures import Roi
        >>> gtvs = [Roi(number=number, name="GTV", contours_mm=()) for number in (1, 3)]
        >>> [[target_rule(pattern)(gtv) for gtv in gtvs] for pattern in ("GTV", "#3")]
        [[True, True], [False, True]]
    """
    if pattern.startswith("#"):
        numbers = [number_of(part) for part in pattern.split(",")]
        if None in numbers:
            raise UsageError(f"--roi {pattern}: numbers of structures look like #3 or #3,#5")
        return lambda structure: structure.number in numbers
    is_target("", pattern)
    return lambda structure: is_target(structure.name, pattern)


def number_of(name: str) -> int | None:
    """Return the number in a name such as `#3`, None where it is another name.

    Example:
        >>> number_of("#3"), number_of("GTV 3")
        (3, None)
    """
    found = re.fullmatch(r"\s*#\s*(\d+)\s*", name, re.ASCII)
    return int(found[1]) if found else None
