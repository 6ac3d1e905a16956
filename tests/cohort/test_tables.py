import dataclasses

import pytest

from tfdrift.cohort.earlier import EARLIER_COLUMNS
from tfdrift.cohort.tables import (
    EXCLUSION_COLUMNS,
    LESION_COLUMNS,
    Exclusion,
    LesionRow,
    read_table,
    read_wrong_pairs,
    write_exclusions,
    write_lesions,
)
from tfdrift.errors import DataError

ROW = LesionRow(
    lesion="l1", interval_days=21, follow_up_days=None, pre_mm3=1234.5678, post_mm3=0.1, follow_up_mm3=None,
    response_group="", slices=3, spacing_mm="1.5 0.9 0.9", orientation="axial", registration="rigid", residual=4.0,
    gain=1 / 3, background_drift=-0.5, pixel_mm=0.6, outgrown=0.0, warnings="a, b",
)  # fmt: skip


def test_a_lesion_is_a_row_with_its_patient_and_fold(tmp_path):
    known = dataclasses.replace(ROW, channels="T1 dose", fractions=3)
    write_lesions(tmp_path / "lesions.csv", [("p1", known)], {"p1": 4})
    (row,) = read_table(tmp_path / "lesions.csv", LESION_COLUMNS)
    assert list(row)[:3] == ["patient", "lesion", "fold"]
    fields = {field.name for field in dataclasses.fields(LesionRow)}
    assert set(row) == {"patient", "fold", *fields} - set(EARLIER_COLUMNS)
    assert (row["patient"], row["lesion"], row["fold"], row["warnings"]) == ("p1", "l1", "4", "a, b")
    assert (row["follow_up_mm3"], row["follow_up_days"], row["interval_days"]) == ("", "", "21")


def test_channels_and_fractions_are_columns_where_a_row_has_them(tmp_path):
    write_lesions(tmp_path / "lesions.csv", [("p1", ROW)], {"p1": 4})
    assert not {"channels", "fractions"} & set(read_table(tmp_path / "lesions.csv", LESION_COLUMNS)[0])
    dosed = dataclasses.replace(ROW, fractions=3)
    write_lesions(tmp_path / "lesions.csv", [("p1", ROW), ("p1", dosed)], {"p1": 4})
    rows = read_table(tmp_path / "lesions.csv", LESION_COLUMNS)
    assert [(row["fractions"], "channels" in row) for row in rows] == [("", False), ("3", False)]


def test_an_earlier_change_has_its_columns_where_a_lesion_has_one(tmp_path):
    later = dataclasses.replace(ROW, lesion="l2", earlier_days=21, earlier_ratio=0.75)
    write_lesions(tmp_path / "lesions.csv", [("p1", ROW), ("p1", later)], {"p1": 4})
    rows = read_table(tmp_path / "lesions.csv", LESION_COLUMNS)
    assert [(row["earlier_days"], row["earlier_ratio"]) for row in rows] == [("", ""), ("21", "0.75")]


def test_numbers_keep_six_digits(tmp_path):
    write_lesions(tmp_path / "lesions.csv", [("p1", ROW)], {"p1": 0})
    (row,) = read_table(tmp_path / "lesions.csv", LESION_COLUMNS)
    assert (row["pre_mm3"], row["gain"], row["outgrown"]) == ("1234.57", "0.333333", "0")


def test_an_exclusion_names_its_structure_by_number(tmp_path):
    exclusions = [
        ("p1", Exclusion(visit="pre", structure=3, reason="new")),
        ("", Exclusion(visit="", structure=None, reason="x, y")),
    ]
    write_exclusions(tmp_path / "exclusions.csv", exclusions)
    assert read_table(tmp_path / "exclusions.csv", EXCLUSION_COLUMNS) == [
        {"patient": "p1", "visit": "pre", "structure": "3", "reason": "new"},
        {"patient": "", "visit": "", "structure": "", "reason": "x, y"},
    ]


def test_no_exclusion_leaves_the_header(tmp_path):
    write_exclusions(tmp_path / "exclusions.csv", [])
    assert (tmp_path / "exclusions.csv").read_text() == "patient,visit,structure,reason\n"


def test_a_table_comes_back_whatever_stands_in_its_cells(tmp_path):
    file = tmp_path / "exclusions.csv"
    file.write_bytes(b'patient,reason,more\np0,"a ""quoted"" reason, with\na line break",\xc3\xa9\n')
    assert read_table(file, ("patient", "reason")) == [
        {"patient": "p0", "reason": 'a "quoted" reason, with\na line break', "more": "é"}
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no column patient"),
        (b"patient,why\n", "has no column reason"),
        (b"patient,reason\np0,a\np1\n", "is damaged at row 2"),
        (b"patient,reason\np0,a,b\n", "is damaged at row 1"),
        (b'patient,reason\np0,"a', "cannot be read"),
        (b"patient,reason\np0,\xff\n", "cannot be read"),
        (None, "is missing"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, content, said):
    file = tmp_path / "exclusions.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=rf"exclusions.csv {said}.*import"):
        read_table(file, ("patient", "reason"))


def test_wrong_pairs_are_read_by_lesion(tmp_path):
    (tmp_path / "wrong.csv").write_text("reason,lesion,patient,by\nmoved, l1 ,p1,me\n", encoding="utf-8-sig")
    assert read_wrong_pairs(tmp_path / "wrong.csv") == {"l1": {"patient": "p1", "reason": "moved"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patient,lesion\np,l\n", "must have the columns patient, lesion, reason"),
        ("patient,lesion,reason\np,,moved\n", "row 1 of the table of wrong pairs must name"),
        ("patient,lesion,reason\np,l\n", "row 1 of the table of wrong pairs must name"),
        ('patient,lesion,reason\n"p,l,m\n', "is not a CSV file"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_table_of_wrong_pairs_that_is_none_is_one_line(tmp_path, text, said):
    if text is not None:
        (tmp_path / "wrong.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_wrong_pairs(tmp_path / "wrong.csv")
