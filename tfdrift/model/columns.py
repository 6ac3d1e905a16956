"""What is known of the columns that a network may be given beside the images."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column means and how it is taken.

    Args:
        meaning: what it is, with its unit; a part of a sentence.
        logarithm: whether its logarithm is what is standardised: values above 0 that spread over factors.
        measured: whether it is measured in the first MRI and its contours, so that nobody has to tell it.
        afterwards: whether it is known only after the second MRI, so that no forecast may be given it.
        words: how a class reads after a lesion's name.
        hypothetical: whether it is in no cohort and only asked "if", of a model that need not have been told it.
    """

    meaning: str
    logarithm: bool = False
    measured: bool = False
    afterwards: bool = False
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hypothetical: bool = False

    @property
    def never_told(self) -> bool:
        """Whether no forecast is told it, so that every value is a case of its own."""
        return self.afterwards or self.hypothetical


DOSE_SCALE = "dose_scale"

COLUMNS = {
    "interval_days": Column("days from the first MRI to the second"),
    "earlier_days": Column("days from an earlier visit, the first that shows the lesion, to the first MRI"),
    "earlier_ratio": Column(
        "volume at the first MRI over that at this earlier visit, which is how the lesion has changed so far",
        logarithm=True,
    ),
    "size": Column("radius in mm of a sphere of the lesion's volume at the first MRI", logarithm=True, measured=True),
    "place": Column(
        "place of the slice in the lesion at the first MRI, from -1 in its first slice to 1 in its last", measured=True
    ),
    "core": Column(
        "share of the GTV that has less than 40% of the largest signal, on the largest slice of the lesion at the "
        "first MRI: its dark, often necrotic core",
        measured=True,
    ),
    "peak": Column(
        "largest signal of the slice over that of the largest slice of the lesion at the first MRI",
        logarithm=True,
        measured=True,
    ),
    "fractions": Column("number of fractions in which the dose is given"),
    "response": Column(
        "response at the follow-up: poor where at least 80% of the volume at the first MRI is left, else good",
        afterwards=True,
        words={"good": "if it responds well", "poor": "if it responds poorly"},
    ),
    DOSE_SCALE: Column("times the dose that is planned", hypothetical=True),
}
"""The columns that tfdrift knows itself; a cohort may have others."""


def column_of(name: str) -> Column:
    """Return what is known of a column; one that only its cohort knows is taken as it is.

    Args:
        name: of the column.

    Example:
        >>> column_of("size").logarithm, column_of("site").meaning
        (True, 'the column site of the cohort')
    """
    return COLUMNS.get(name, Column(f"the column {name} of the cohort"))
