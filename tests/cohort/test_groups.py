import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.cohort.groups import read_folds, read_groups, with_folds, write_folds
from tfdrift.errors import DataError

TABLE = "patient,group\np1,Uppsala\np0,Lund\np2,Uppsala\n"


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        (tmp_path / "sites.csv").write_text(text, encoding=encoding)
        return tmp_path / "sites.csv"

    return write


def test_groups_are_numbered_in_the_order_of_their_names(table):
    found = read_groups(table(TABLE), {"p0", "p1", "p2"})
    assert found.names == ["Lund", "Uppsala"]
    assert found.fold == {"p0": 0, "p1": 1, "p2": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns_may_stand_in_any_order_and_cells_have_spaces_around(table, encoding):
    found = read_groups(table("group,patient\n Malmö , p0\nLund,p1 \n", encoding), {"p0", "p1"})
    assert found.fold == {"p0": 1, "p1": 0}


def test_patients_that_the_data_left_out_do_not_count(table):
    found = read_groups(table(TABLE + "p9,Ystad\n"), {"p0", "p1", "p2"})
    assert (found.names, "p9" in found.fold) == (["Lund", "Uppsala"], False)


def test_a_name_cannot_steer_the_terminal(table):
    assert read_groups(table("patient,group\np0,\x1b[2J\np1,b\n"), {"p0", "p1"}).names == ["?[2J", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,group\np0,a\n", "lacks patient p1 and 1 more of the data"),
        ("patient,group\np0,a\np1,b\n", "lacks patient p2 of the data"),
        (TABLE + "p1,Lund\n", "line 5 of the groups table names a patient for the second time"),
        ("patient,group\np0,a\np1,a\np2,a\n", "all patients of the data into one group"),
        ("patient,group\np0,\n", "line 2 of the groups table must name a patient and a group"),
        ("patient,group\np0,a,more\n", "line 2 of the groups table must name"),
        ("patient,site\np0,a\n", "must have the columns patient and group"),
        ("", "must have the columns patient and group"),
        ('patient,group\n"p0,a\n', "is not a CSV file in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(table, text, words):
    with pytest.raises(DataError, match=words):
        read_groups(table(text), {"p0", "p1", "p2"})


def test_what_is_said_of_a_second_row_does_not_name_the_patient(table):
    with pytest.raises(DataError) as refused:
        read_groups(table("patient,group\nJane Doe,a\nJane Doe,b\n"), {"p0"})
    assert "Doe" not in str(refused.value)


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path, table):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_groups(tmp_path / "none.csv", {"p0"})
    with pytest.raises(DataError, match="is not a CSV file in UTF-8"):
        read_groups(table("patient,group\np0,Malmö\n", "latin-1"), {"p0"})


def test_folds_are_read_as_they_were_written(tmp_path):
    write_folds(tmp_path / "folds.csv", {"p0": 2, "p1": 0})
    assert read_folds(tmp_path / "folds.csv") == {"p0": 2, "p1": 0}


def test_a_damaged_table_of_folds_is_refused(table):
    with pytest.raises(DataError, match="a fold that is no number"):
        read_folds(table("patient,fold\np0,first\n"))


def test_samples_keep_everything_but_their_folds():
    samples = make_samples(count=6)
    found = with_folds(samples, {"p0": 1, "p1": 0, "p2": 1})
    assert found.fold.tolist() == [1, 1, 0, 0, 1, 1]
    np.testing.assert_array_equal(found.pre, samples.pre)
    assert found.fold.dtype == samples.fold.dtype


def test_a_patient_without_a_fold_is_named():
    with pytest.raises(DataError, match="lacks patient p2 of the data"):
        with_folds(make_samples(count=6), {"p0": 0, "p1": 1})
