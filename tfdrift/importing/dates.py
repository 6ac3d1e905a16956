"""When an image was taken and when its study was opened, from dates that systems write as they like."""

import datetime
import re
from collections.abc import Iterable

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
    return next((date for date in (_date(dataset, keyword) for keyword in _KEYWORDS) if date), None)


def study_date(dataset: Dataset) -> datetime.date | None:
    """Return what an object says of the day of its study, which all objects of a study should say alike.

    Args:
        dataset: a header, inside `tfdrift.imaging.dicom.parsing`.
    """
    return _date(dataset, "StudyDate")


def days_between(dates: Iterable[datetime.date | None]) -> int:
    """Return the days from the first to the last of the dates that there are, 0 where there is none.

    Example:
        >>> days_between([datetime.date(2024, 2, 1), None, datetime.date(2024, 1, 30)])
        2
    """
    known = [date for date in dates if date]
    return (max(known) - min(known)).days if known else 0


def _date(dataset: Dataset, keyword: str) -> datetime.date | None:
    return read_date(str(needless(dataset, keyword) or ""))
