import pytest

from tfdrift.cohort.pairs_table import NamedPair, read_pairs
from tfdrift.errors import DataError

HEADER = "patient,pre_roi,post_roi,follow_up_roi\n"


def write(tmp_path, text, encoding="utf-8"):
    (tmp_path / "pairs.csv").write_text(text, encoding=encoding)
    return tmp_path / "pairs.csv"


def test_rows_are_grouped_by_patient_in_their_order(tmp_path):
    file = write(tmp_path, HEADER + "p1,GTV1,GTV A,FU\np2, Met ,Met 1,\np1,GTV2,GTV B,\n")
    assert read_pairs(file) == {
        "p1": [
            NamedPair(pre_roi="GTV1", post_roi="GTV A", follow_up_roi="FU", line=2),
            NamedPair(pre_roi="GTV2", post_roi="GTV B", follow_up_roi=None, line=4),
        ],
        "p2": [NamedPair(pre_roi="Met", post_roi="Met 1", follow_up_roi=None, line=3)],
    }


def test_the_follow_up_column_may_be_absent(tmp_path):
    file = write(tmp_path, "post_roi,patient,pre_roi\nb,p,a\n")
    assert read_pairs(file)["p"] == [NamedPair(pre_roi="a", post_roi="b", follow_up_roi=None, line=2)]


def test_the_mark_that_spreadsheets_put_first_is_ignored(tmp_path):
    assert read_pairs(write(tmp_path, HEADER + "p,a,b,\n", encoding="utf-8-sig"))["p"][0].pre_roi == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,pre_roi\np,a\n", "lacks the column post_roi"),
        ("patient;pre_roi;post_roi\np;a;b\n", "lacks the column patient"),
        ("", "lacks the column patient"),
        ("patient,pre_roi,post_roi,dose\np,a,b,1\n", "has a column that is unknown"),
        ("patient,pre_roi,post_roi,post_roi\np,a,b,c\n", "or stands twice"),
        (HEADER, "has no row below its header"),
        (HEADER + "p,a,,\n", "line 2: needs a value for each of patient, pre_roi, post_roi"),
        (HEADER + "p,a\n", "line 2: needs a value"),
        (HEADER + "p,a,b,c,d\n", "line 2: needs a value for each of .* and no more"),
        (HEADER + "p,a,b,\np,a,c,\n", "line 3: its pre_roi already stands in another row"),
        (HEADER + "p,a,b,\np,c,b,\n", "line 3: its post_roi already stands"),
        (HEADER + "p,a,b,f\np,c,d,f\n", "line 3: its follow_up_roi already stands"),
    ],
)
def test_a_table_that_is_not_one_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_pairs(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="--pairs cannot be read: No such file"):
        read_pairs(tmp_path / "none.csv")


def test_a_spreadsheet_is_refused(tmp_path):
    (tmp_path / "pairs.xlsx").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(DataError, match="not comma-separated UTF-8 text"):
        read_pairs(tmp_path / "pairs.xlsx")


def test_no_cell_gets_into_an_error(tmp_path):
    with pytest.raises(DataError) as caught:
        read_pairs(write(tmp_path, HEADER + "CANARY,CANARY,b,\nCANARY,CANARY,c,\n"))
    assert "CANARY" not in str(caught.value)
