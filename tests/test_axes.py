import numpy as np
import pytest

from tfdrift.axes import first_channel, image_axes, per_image, picture, spatial_axes, window_axes

SHAPES = [(8, 8, 1), (8, 8, 3), (5, 8, 8, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("leading", [1, 2])
def test_a_mean_over_the_image_axes_leaves_the_leading_ones(shape, leading):
    images = np.zeros([*[3] * leading, *shape])
    assert images.mean(axis=image_axes(images, leading=leading)).shape == (3,) * leading
    assert images.mean(axis=spatial_axes(images, leading=leading)).shape == (*[3] * leading, shape[-1])


@pytest.mark.parametrize("shape", SHAPES)
def test_one_value_an_image_scales_that_image(shape):
    scaled = per_image(np.array([1.0, 2.0]), np.ones([2, *shape])) * np.ones([2, *shape])
    assert (scaled[0] == 1).all()
    assert (scaled[1] == 2).all()


@pytest.mark.parametrize(
    ("shape", "axes"), [((2, 8, 8, 1), (1, 2)), ((2, 8, 8, 8, 1), (1, 2, 3)), ((2, 5, 8, 8, 1), (2, 3))], ids=str
)
def test_a_window_lies_in_a_cube_or_in_a_slice(shape, axes):
    assert window_axes(np.zeros(shape)) == axes


def test_a_picture_is_the_middle_slice_of_the_channel():
    image = np.arange(5 * 2 * 2 * 2).reshape(5, 2, 2, 2)
    assert (picture(image, channel=1) == image[2, :, :, 1]).all()


def test_the_first_channel_stays_an_image():
    images = np.arange(2 * 3 * 3 * 2).reshape(2, 3, 3, 2)
    assert (first_channel(images) == images[:, :, :, [0]]).all()
