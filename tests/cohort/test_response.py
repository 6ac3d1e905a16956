import numpy as np
import pytest

from tfdrift.cohort.response import poor_responses, response_group
from tfdrift.errors import DataError

VOXEL_MM3 = 0.9 * 0.9 * 1.5
FIFTHS = np.arange(1, 500)
"""Of each lesion a fifth of its voxels: 499 lesions of which exactly 80% are left."""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exactly_four_fifths_is_poor_in_the_table_and_in_the_samples(dtype):
    pre_mm3, follow_up_mm3 = ((parts * FIFTHS * VOXEL_MM3).astype(dtype) for parts in (5, 4))
    assert {response_group(*volumes) for volumes in zip(pre_mm3.tolist(), follow_up_mm3.tolist(), strict=True)} == {"A"}
    assert poor_responses(pre_mm3, follow_up_mm3).tolist() == [1.0] * 499


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_voxel_less_than_four_fifths_is_good_up_to_the_largest_lesions(dtype):
    fifths = np.geomspace(1, 60_000, 400).astype(int)
    pre_mm3, follow_up_mm3 = (5 * fifths * VOXEL_MM3).astype(dtype), ((4 * fifths - 1) * VOXEL_MM3).astype(dtype)
    assert poor_responses(pre_mm3, follow_up_mm3).tolist() == [0.0] * 400


def test_without_a_follow_up_the_response_is_unknown():
    poor = poor_responses(np.array([5.0, 5.0]), np.array([np.nan, 5.0]))
    np.testing.assert_array_equal(poor, [np.nan, 1.0])


@pytest.mark.parametrize(("follow_up_mm3", "group"), [(1500, "A"), (800, "A"), (799.999, "B"), (0, "B")])
def test_response_follows_what_is_left(follow_up_mm3, group):
    assert response_group(1000, follow_up_mm3) == group


@pytest.mark.parametrize("volumes", [(0, 5), (-1, 5), (5, -1), (float("nan"), 5), (5, float("inf"))])
def test_refuses_volumes_that_give_no_response(volumes):
    with pytest.raises(DataError, match="give no response"):
        response_group(*volumes)
