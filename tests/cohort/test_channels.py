import numpy as np
import pytest

from tfdrift.cohort.channels import crop_channel, scale_channel, scalings
from tfdrift.cohort.crop import crop_lesion, make_box

SPACING_MM = (2.0, 1.0, 1.0)
RNG = np.random.default_rng(0)
GTV = np.zeros((6, 20, 20), bool)
GTV[1:5, 6:14, 5:15] = True
IMAGE = RNG.uniform(100, 900, GTV.shape)
EVERYWHERE = np.ones(GTV.shape, bool)


@pytest.mark.parametrize("lesion", ["slice", "volume"])
def test_a_channel_is_cropped_as_the_first_one_is(lesion):
    crops = crop_lesion(IMAGE, IMAGE, GTV, GTV, spacing_mm=SPACING_MM, image_size=16, lesion=lesion)
    channel = crop_channel(IMAGE, EVERYWHERE, crops.pre_mask, crops.box, SPACING_MM, crops.slices)
    np.testing.assert_allclose(channel.max(axis=tuple(range(1, channel.ndim))), crops.scale, rtol=1e-6)
    np.testing.assert_allclose(scale_channel(channel, "FLAIR"), crops.pre, rtol=1e-6)


def test_what_was_not_measured_of_a_channel_is_zero():
    crops = crop_lesion(IMAGE, IMAGE, GTV, GTV, spacing_mm=SPACING_MM, image_size=16)
    left = EVERYWHERE & (np.arange(20) < 10)
    channel = crop_channel(IMAGE, left, crops.pre_mask, make_box(GTV, SPACING_MM), SPACING_MM, crops.slices)
    assert (channel[:, :, :8] > 0)[crops.pre_mask[:, :, :8]].all()
    assert (channel[:, :, 9:] == 0).all()


def test_a_crop_without_signal_is_zero_and_spoils_no_other():
    crops = np.stack([np.zeros((4, 4, 1)), np.full((4, 4, 1), 7.0), np.full((4, 4, 1), -1.0)]).astype(np.float32)
    assert scale_channel(crops, "FLAIR").max(axis=(1, 2, 3)).tolist() == [0, 1, 0]


def test_only_names_that_go_on_from_the_first_one_are_on_its_scale():
    assert scalings(("T1", "T1 above", "T1n", "T2")) == ("first", "first", "own", "own")
    assert scalings(()) == ()
