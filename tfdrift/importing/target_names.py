"""Which names of structures are those of single gross tumours, in planning systems that name things as they like."""

import re

from tfdrift.errors import UsageError

_LEFT_OUT = (
    "[pci]tv|prv|oar|ring|shell|rind|exp|expan[a-z]*|margin|minus|sub|z?opti?|avoid|dose|iso[a-z]*"
    "|all|tot|total|sum|union|combined|old|copy|bak|backup|test|edema|oedema"
)
DEFAULT_ROI_PATTERN = (
    rf"^(?!.*(?:^|[^a-z]|gtv)(?:{_LEFT_OUT})(?![a-z]))"
    r"(?!.*(?:\+|\d\s?mm(?![a-z])))"  # a margin: GTV+2mm, GTV 3mm
    r"(?![^a-z]*(?:(?:normal|healthy|whole)[^a-z]*)?(?:brain|body|external|skin|skull)[a-z]{0,9}\s?-)"  # brain-GTV
    r".*(?:^|[^a-z])(?:gtv|(?:bms?|mets?|metastas[ie]s|lesions?)(?![a-z]))"
)
"""A word that starts with GTV, or is Met, Metastasis, BM or Lesion, and no sign that the structure is made of others.

Left out are margins, rings, subtractions, unions of lesions, optimisation structures, and copies called old or backup,
which would stand for the same lesion twice; a name with a size such as 12mm reads like a margin and is left out too.
"""


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
