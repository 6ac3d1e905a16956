import numpy as np
import pytest
import SimpleITK as sitk

from tfdrift.imaging.smoothing import smooth


def random_image(*shape, spacing_mm=(0.9, 1.2, 3.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(10, 1, shape).astype(np.float32))
    image.SetSpacing(spacing_mm)
    image.SetOrigin((5.0, -7.0, 30.0))
    return image


def test_four_voxels_and_more_are_smoothed_as_simpleitk_does():
    image = random_image(4, 9, 12)
    expected = sitk.SmoothingRecursiveGaussian(image, [3.0] * 3)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(smooth(image, [3.0] * 3)), sitk.GetArrayFromImage(expected))


@pytest.mark.parametrize("shape", [(3, 9, 12), (1, 9, 12), (3, 2, 12), (3, 3, 1)])
def test_a_thin_volume_is_smoothed_as_if_its_faces_went_on(shape):
    image = random_image(*shape)
    wide = sitk.SmoothingRecursiveGaussian(sitk.ZeroFluxNeumannPad(image, [9] * 3, [9] * 3), [3.0] * 3)
    smoothed = smooth(image, [3.0] * 3)
    assert smoothed.IsSameImageGeometryAs(image)
    expected = sitk.GetArrayFromImage(sitk.Crop(wide, [9] * 3, [9] * 3))
    np.testing.assert_allclose(sitk.GetArrayFromImage(smoothed), expected, atol=2e-5)


def test_a_constant_volume_stays_what_it_is():
    image = sitk.Image((5, 4, 3), sitk.sitkInt16) + 70
    np.testing.assert_allclose(sitk.GetArrayFromImage(smooth(image, [2.0, 5.0, 9.0])), 70, rtol=1e-5)


def test_an_axis_without_a_sigma_is_left_alone():
    plane = np.random.default_rng(1).normal(size=(6, 7)).astype(np.float32)
    image = sitk.GetImageFromArray(np.stack([plane] * 3))
    np.testing.assert_allclose(sitk.GetArrayFromImage(smooth(image, [0, 0, 4.0])), np.stack([plane] * 3), atol=1e-5)
