import pytest

from tfdrift.errors import UsageError
from tfdrift.model.limits import check_image_size


@pytest.mark.parametrize(("size", "depth"), [(16, 3), (32, 3), (48, 4), (4, 1)])
def test_sizes_that_can_be_halved_are_taken(size, depth):
    check_image_size(size, depth)


@pytest.mark.parametrize(
    ("size", "depth", "fitting"), [(30, 3, "24 or 32"), (8, 3, "16 or 24"), (50, 4, "48 or 64"), (15, 1, "14 or 16")]
)
def test_other_sizes_are_refused_with_those_nearby(size, depth, fitting):
    with pytest.raises(UsageError, match=fitting):
        check_image_size(size, depth)
