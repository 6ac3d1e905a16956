import numpy as np
import pytest

from tfdrift.cohort.earlier import EARLIER_COLUMNS, NOT_SEEN, Courses, earlier_change, earlier_columns
from tfdrift.errors import DataError
from tfdrift.model.columns import COLUMNS


def test_a_change_is_a_ratio_of_now_to_then():
    found = earlier_change(30, then_mm3=200.0, now_mm3=300.0)
    assert found == (30, 1.5)
    assert found.is_known
    assert not NOT_SEEN.is_known


@pytest.mark.parametrize("given", [(0, 1.0, 1.0), (-3, 1.0, 1.0), (3, 0.0, 1.0), (3, 1.0, 0.0), (3, np.nan, 1.0)])
def test_what_is_no_change_is_refused(given):
    with pytest.raises(DataError, match="are no earlier change"):
        earlier_change(given[0], then_mm3=given[1], now_mm3=given[2])


def test_the_columns_are_known_to_the_table_and_are_given_where_nobody_measures_them():
    columns = earlier_columns(earlier_change(30, then_mm3=200.0, now_mm3=300.0), 2)
    assert tuple(columns) == EARLIER_COLUMNS
    assert {name: values.tolist() for name, values in columns.items()} == {
        "earlier_days": [30, 30], "earlier_ratio": [1.5, 1.5],
    }  # fmt: skip
    assert COLUMNS["earlier_ratio"].logarithm
    assert not any(COLUMNS[name].measured or COLUMNS[name].afterwards for name in EARLIER_COLUMNS)


def test_the_first_visit_that_shows_a_lesion_counts():
    courses = Courses()
    courses.add((2, 3), day=0, volume_mm3=100.0)
    courses.add((2, 3), day=20, volume_mm3=80.0)
    courses.add((2, 6), day=20, volume_mm3=30.0)
    assert courses.before((2, 3), day=50, volume_mm3=40.0) == (50, 0.4)
    assert courses.before((2, 6), day=50, volume_mm3=60.0) == (30, 2.0)
    assert not courses.before((1, 3), day=20, volume_mm3=80.0).is_known
