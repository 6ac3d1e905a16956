import datetime

import pytest
from pydicom.dataset import Dataset

from tfdrift.importing.dates import image_date, read_date

DAY = datetime.date(2024, 1, 31)


@pytest.mark.parametrize(
    "text", ["20240131", "2024.01.31", "2024/01/31", "2024-01-31", " 20240131 ", "20240131101500.5"]
)
def test_a_date_is_read_however_its_parts_are_kept_apart(text):
    assert read_date(text) == DAY


@pytest.mark.parametrize(
    "text", ["", "31.01.2024", "01/31/2024", "2024.01/31", "20240132", "00000000", "2024131", "today"]
)
def test_what_is_no_clear_date_is_none(text):
    assert read_date(text) is None


def test_the_acquisition_counts_before_the_series_and_the_series_before_the_study():
    dataset = Dataset()
    for keyword, text in (("StudyDate", "20200101"), ("SeriesDate", "20210101"), ("AcquisitionDate", "20240131")):
        setattr(dataset, keyword, text)
        assert image_date(dataset) == read_date(text)


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_a_date_that_is_not_understood_gives_way_to_the_next():
    dataset = Dataset()
    dataset.AcquisitionDate, dataset.StudyDate = "00000000", "20240131"
    assert image_date(dataset) == DAY


def test_a_date_of_another_type_gives_way_to_the_next():
    dataset = Dataset()
    dataset.add_new("AcquisitionDate", "UL", 20240130)
    dataset.StudyDate = "20240131"
    assert image_date(dataset) == DAY


def test_without_a_date_there_is_none():
    assert image_date(Dataset()) is None
