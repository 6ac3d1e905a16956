import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tfdrift.cohort.orientation import orientation_of

SAGITTAL = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)


@pytest.mark.parametrize(
    ("tilt_degrees", "orientation"), [(0, "axial"), (40, "axial"), (50, "coronal"), (90, "coronal")]
)
def test_slices_tilted_about_the_ears_are_axial_up_to_half_a_right_angle(tilt_degrees, orientation):
    direction = Rotation.from_euler("x", tilt_degrees, degrees=True).as_matrix()
    assert orientation_of(direction.ravel().tolist()) == orientation


def test_the_order_of_the_slices_does_not_matter():
    for direction in (SAGITTAL, SAGITTAL * [1, 1, -1]):
        assert orientation_of(direction.ravel().tolist()) == "sagittal"
