"""The overview of a cohort counts what its tables hold, and refuses tables that do not belong together."""

import pytest

from tfdrift.cohort.overview import describe_folds
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
