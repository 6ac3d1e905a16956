"""Cohorts on disk come back to the bit or not at all; batches show every slice in every rotation once an epoch."""

import pytest

from tfdrift.errors import DataError
from tfdrift.training.data import load_samples


def test_data_of_another_name_are_refused():
    with pytest.raises(DataError, match="--data brats: choose phantom, mnist or a folder that `tfdrift cohort import`"):
        load_samples("brats", image_size=32)
