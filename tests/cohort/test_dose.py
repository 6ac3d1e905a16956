import numpy as np
import pytest

from tfdrift.cohort.channels import scale_channel, scalings
from tfdrift.cohort.crop import Box
from tfdrift.cohort.dose import DOSE, DOSE_UNIT_GY, crop_dose, mean_dose_gy, scale_dose
from tfdrift.errors import DataError

CHANNELS = ("T1", "dose")


@pytest.mark.parametrize("rank", [2, 3])
def test_a_crop_holds_gy_over_the_unit_inside_the_gtv_and_zero_outside(rank):
    shape, side = (6,) * rank, (6,) * rank
    dose_gy = np.arange(6**rank, dtype=float).reshape(1, *shape)
    inside = np.zeros((1, *side, 1), bool)
    inside[:, 1:5] = True
    center = {} if rank == 2 else {"center_slice": 2.5}
    box = Box(center_row=2.5, center_column=2.5, side_mm=6.0, **center)
    found = crop_dose(dose_gy, inside, box, (1.0, 1.0, 1.0))
    np.testing.assert_allclose(found[..., 0], dose_gy / DOSE_UNIT_GY * inside[..., 0], rtol=1e-6)
    assert found.dtype == np.float32


def test_scaling_touches_the_dose_alone_and_goes_back():
    images = np.random.default_rng(0).uniform(0, 1, (3, 4, 4, 2)).astype(np.float32)
    scaled = scale_dose(images, CHANNELS, 0.8)
    np.testing.assert_array_equal(scaled[..., 0], images[..., 0])
    np.testing.assert_allclose(scaled[..., 1], 0.8 * images[..., 1], rtol=1e-6)
    np.testing.assert_allclose(scale_dose(scaled, CHANNELS, 1.25), images, rtol=1e-6)
    assert scaled.dtype == images.dtype


def test_images_without_a_dose_cannot_be_scaled():
    with pytest.raises(DataError, match="the images show T1, T2 and no dose; it cannot be scaled"):
        scale_dose(np.zeros((1, 4, 4, 2)), ("T1", "T2"), 1.2)


def test_the_mean_dose_is_that_inside_the_gtv():
    images, mask = np.zeros((2, 4, 4, 2)), np.zeros((2, 4, 4, 1), bool)
    mask[:, :2] = True
    images[0, :2, :, 1], images[1, 0, :, 1] = 1.0, 1.5
    np.testing.assert_allclose(mean_dose_gy(images, mask, CHANNELS), [20.0, 15.0])


def test_the_dose_is_on_no_scale_of_its_own():
    crops = np.array([0.5, 1, 2], np.float32).reshape(3, 1, 1, 1) * np.float32(DOSE_UNIT_GY)
    assert scalings(CHANNELS)[1] == "dose"
    assert scale_channel(crops, DOSE).ravel().tolist() == [0.5, 1, 2]
