"""When an image was taken, from dates that systems write as they like."""

import datetime
import re

from pydicom.dataset import Dataset

from tfdrift.imaging.dicom import needless

_FORMAT = re.compile(r"(\d{4})([.\-/]?)(\d{2})\2(\d{2})(?:\d{6}.*)?", re.ASCII)
_KEYWORDS = ("AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "StudyDate")


def read_date(text: str) -> datetime.date | None:
    """Return a date written as year, month and day, with or without dots, dashes or slashes; None for anything else.

    A day that comes first is not told from a month that does, so such a date is not understood.

    Example:
        >>> read_date("20240131") == read_date("2024.01.31") == read_date("2024/01/31")
        True
        >>> read_date("31/01/2024") is None, read_date("20241301") is None
        (True, True)
    """
    found = _FORMAT.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return datetime.date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return None


def image_date(dataset: Dataset) -> datetime.date | None:
    """Return when an image was taken: of its acquisition, its series or its study, the first that can be read.

    Args:
        dataset: a header, inside `tfdrift.imaging.dicom.parsing`.
    """
    dates = (read_date(str(needless(dataset, keyword) or "")) for keyword in _KEYWORDS)
    return next((date for date in dates if date), None)
