"""Which ROI names are those of lesions."""

import re

from tfdrift.errors import UsageError

# Searched in names of any case; `_` and digits count as word boundaries, as `GTV_1` and `1GTV` are the usual forms.
GTV_NAME = r"(?<![a-z])(gtv(?!s(?![a-z]))|(met|metastas[ie]s|bm|lesion|tumou?r)(?![a-z]))"
_START, _END = r"(?<![a-z])(gtv)?", r"(?![a-z])"  # also GTVring, GTVsum
NOT_GTV_NAME = "|".join(
    (
        r"(?<![a-z])[a-z]?(ptv|ctv|itv|prv|oar)(?![a-z])",  # other volumes, also with a prefix: zPTV
        r"\+",  # GTV+2mm, GTV1+GTV2
        r"\d\s*(mm|cm)(?![a-z])",  # expansions named by their size
        _START + r"(exp|expan\w*|margin|opti?|eval|crop\w*|help\w*|avoid\w*)" + _END,
        # parts of a lesion, and what surrounds it
        _START + r"(ring|rind|shell|rim|wall|core|necro\w*|o?edema|cavity|bed|resect\w*)" + _END,
        # the brain without its lesions
        _START + r"(minus|sub|less|without|excl\w*|not|non|w/o)" + _END,
        r"brain\s*[-_/]?\s*gtv",
        # several lesions in one
        _START + r"(all|total|tot|sum|combined|comb|union|both)" + _END,
        _START + r"(old|prior|prev\w*|copy|tmp|test|delete\w*|deformed)" + _END,
    )
)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the user's ROI name pattern, matched anywhere in a name and in any case.

    Raises:
        UsageError: it is not a regular expression.
    """
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise UsageError(f"--roi is not a regular expression: {error}") from None


def is_gtv_name(name: str, pattern: re.Pattern[str] | None = None) -> bool:
    """Whether an ROI is a lesion by its name: `pattern` if given, else `GTV_NAME` and not `NOT_GTV_NAME`.

    The default would rather leave a lesion out, with a row that says so, than take a helper structure for one.

    Example:
        >>> [name for name in ("GTV 2 L parietal", "Met 3", "PTV1", "GTV+2mm", "Brainstem") if is_gtv_name(name)]
        ['GTV 2 L parietal', 'Met 3']
    """
    if pattern is not None:
        return pattern.search(name) is not None
    return bool(re.search(GTV_NAME, name, re.IGNORECASE)) and not re.search(NOT_GTV_NAME, name, re.IGNORECASE)
