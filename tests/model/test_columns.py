import pytest

from tfdrift.model.columns import COLUMNS, column_of


def test_a_column_of_a_cohort_alone_is_taken_as_it_is():
    site = column_of("site")
    assert (site.logarithm, site.measured, site.afterwards) == (False, False, False)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_known_column_has_a_meaning_that_is_a_part_of_a_sentence(name):
    meaning = column_of(name).meaning
    assert meaning[0].islower()
    assert not meaning.endswith(".")


def test_what_is_known_afterwards_is_not_measured_before():
    assert not any(column.measured and column.afterwards for column in COLUMNS.values())
