"""Cohorts on disk come back to the bit or not at all; batches show every slice in every rotation once an epoch."""

import pytest

from tests.prepared_cohort import write_cohort
from tests.random_samples import make_samples
from tfdrift.errors import DataError, UsageError
from tfdrift.training.data import lesion_of, load_samples


def test_data_of_another_name_are_refused():
    with pytest.raises(DataError, match="--data brats: choose phantom, mnist or a folder that `tfdrift cohort import`"):
        load_samples("brats", image_size=32)


CONTEXT = ("T1", "T1 below", "T1 above")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, "slice"),
        ({"channels": ("T1", "T2")}, "slice"),
        ({"channels": CONTEXT}, "context"),
        ({"depth": 8}, "volume"),
    ],
    ids=str,
)
def test_what_crops_are_is_seen(given, kind):
    assert lesion_of(make_samples(**given)) == kind


def test_a_cohort_of_other_crops_than_asked_for_is_refused(tmp_path):
    folder = str(write_cohort(tmp_path / "cohort", make_samples(channels=CONTEXT)))
    assert load_samples(folder, image_size=8, lesion="context").channels == CONTEXT
    with pytest.raises(UsageError, match="--lesion volume: the crops of this cohort are of the kind context"):
        load_samples(folder, image_size=8, lesion="volume")
