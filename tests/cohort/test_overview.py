"""The overview of a cohort counts what its tables hold, and refuses tables that do not belong together."""

import pytest

from tfdrift.cohort.overview import describe_folds, read_table
from tfdrift.cohort.prepared import Description
from tfdrift.errors import DataError

DESCRIPTION = Description(image_size=16, folds=2, slices=8, fingerprint="f" * 64)
LESIONS = [
    {"patient": "p0", "lesion": "a", "fold": "0", "response_group": "A", "slices": "2"},
    {"patient": "p0", "lesion": "b", "fold": "0", "response_group": "B", "slices": "2"},
    {"patient": "p1", "lesion": "c", "fold": "1", "response_group": "", "slices": "2"},
    {"patient": "p2", "lesion": "d", "fold": "1", "response_group": "B", "slices": "2"},
]
EXCLUSIONS = [
    {"patient": "p0", "reason": "new at the second visit"},
    {"patient": "p0", "reason": "not a target name"},
    {"patient": "p3", "reason": "not a target name"},
]


def test_each_fold_is_counted_by_response_group():
    lines = [line.split() for line in describe_folds(DESCRIPTION, LESIONS, EXCLUSIONS).splitlines()]
    assert ["fold", "patients", "lesions", "A", "poor", "B", "good", "unknown"] in lines
    assert [line for line in lines if line[:1] in (["0"], ["1"], ["all"])][:3] == [
        ["0", "1", "2", "1", "1", "0"],
        ["1", "2", "2", "0", "1", "1"],
        ["all", "3", "4", "1", "2", "1"],
    ]


def test_what_was_left_out_is_counted_by_reason_the_most_frequent_first():
    lines = describe_folds(DESCRIPTION, LESIONS, EXCLUSIONS).splitlines()
    assert lines[-3:] == [
        "left out: 3, see exclusions.csv",
        "   2  not a target name",
        "   1  new at the second visit",
    ]


def test_it_says_which_image_size_to_train_with():
    assert "8 slices of 16 x 16 pixels; train with --image-size 16" in describe_folds(DESCRIPTION, LESIONS, [])


def test_lesions_that_do_not_account_for_the_slices_are_refused():
    with pytest.raises(
        DataError, match=r"lesions.csv accounts for 6 slices, import.json for 8; import the cohort again"
    ):
        describe_folds(DESCRIPTION, LESIONS[1:], EXCLUSIONS)


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
