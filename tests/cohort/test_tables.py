import csv
import dataclasses

from tfdrift.cohort.tables import write_exclusions, write_lesions
from tfdrift.importing.lesions import LesionRow
from tfdrift.importing.visits import Exclusion

ROW = LesionRow(
    lesion="l1", interval_days=21, follow_up_days=None, pre_mm3=1234.5678, post_mm3=0.1, follow_up_mm3=None,
    response_group="", slices=3, spacing_mm="1.5 0.9 0.9", registration="rigid", residual=4.0, gain=1 / 3,
    background_drift=-0.5, pixel_mm=0.6, outgrown=0.0, warnings="a, b",
)  # fmt: skip


def read(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_lesion_is_a_row_with_its_patient_and_fold(tmp_path):
    write_lesions(tmp_path / "lesions.csv", [("p1", ROW)], {"p1": 4})
    (row,) = read(tmp_path / "lesions.csv")
    assert list(row)[:3] == ["patient", "lesion", "fold"]
    assert set(row) == {"patient", "fold", *(field.name for field in dataclasses.fields(LesionRow))}
    assert (row["patient"], row["lesion"], row["fold"], row["warnings"]) == ("p1", "l1", "4", "a, b")
    assert (row["follow_up_mm3"], row["follow_up_days"], row["interval_days"]) == ("", "", "21")


def test_numbers_keep_six_digits(tmp_path):
    write_lesions(tmp_path / "lesions.csv", [("p1", ROW)], {"p1": 0})
    (row,) = read(tmp_path / "lesions.csv")
    assert (row["pre_mm3"], row["gain"], row["outgrown"]) == ("1234.57", "0.333333", "0")


def test_an_exclusion_names_its_structure_by_number(tmp_path):
    exclusions = [
        ("p1", Exclusion(visit="pre", structure=3, reason="new")),
        ("", Exclusion(visit="", structure=None, reason="x, y")),
    ]
    write_exclusions(tmp_path / "exclusions.csv", exclusions)
    assert read(tmp_path / "exclusions.csv") == [
        {"patient": "p1", "visit": "pre", "structure": "3", "reason": "new"},
        {"patient": "", "visit": "", "structure": "", "reason": "x, y"},
    ]


def test_no_exclusion_leaves_the_header(tmp_path):
    write_exclusions(tmp_path / "exclusions.csv", [])
    assert (tmp_path / "exclusions.csv").read_text() == "patient,visit,structure,reason\n"
