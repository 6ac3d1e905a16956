import numpy as np
import pytest
import SimpleITK as sitk

from tfdrift.errors import DataError
from tfdrift.imaging.pixels import NOT_MEASURED, measured
from tfdrift.imaging.resampling import coverage, resample_image, resample_mask, smooth

IDENTITY = sitk.Euler3DTransform()


def block(size=(12, 14, 6), spacing=(1.0, 1.2, 3.0), seed=0) -> sitk.Image:
    image = sitk.GetImageFromArray(np.random.default_rng(seed).random(size[::-1], dtype=np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin((-3.0, 8.0, 20.0))
    return image


def shift(x=0.0, y=0.0, z=0.0) -> sitk.TranslationTransform:
    return sitk.TranslationTransform(3, (x, y, z))


def voxel_centres(image):
    """[slices, rows, columns, 3] in mm, for an image along the axes with its origin at zero."""
    return (
        np.stack(np.meshgrid(*[np.arange(n) for n in image.GetSize()[::-1]], indexing="ij")[::-1], -1)
        * image.GetSpacing()
    )


def test_resampling_by_whole_voxels_moves_the_voxels():
    image = block()
    moved = sitk.GetArrayFromImage(resample_image(image, image, shift(x=2.0)))
    np.testing.assert_allclose(moved[:, :, :-2], sitk.GetArrayFromImage(image)[:, :, 2:], atol=1e-6)
    assert (moved[:, :, -2:] == 0).all()


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
def test_both_interpolations_reproduce_the_image_on_its_own_grid(interpolation):
    image = block()
    same = resample_image(image, image, IDENTITY, interpolation=interpolation)
    np.testing.assert_allclose(sitk.GetArrayFromImage(same), sitk.GetArrayFromImage(image), atol=1e-5)


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
def test_no_interpolation_leaves_the_range_of_the_image(interpolation):
    image = block()
    moved = sitk.GetArrayFromImage(resample_image(image, image, shift(0.4, 0.7, 1.1), interpolation=interpolation))
    assert moved.max() <= sitk.GetArrayFromImage(image).max()
    assert moved.min() >= 0


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(DataError, match="interpolation cubic: choose from linear, bspline"):
        resample_image(block(), block(), IDENTITY, interpolation="cubic")


def test_a_mask_comes_back_bit_by_bit_on_its_own_grid():
    mask = block() > 0.5
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(resample_mask(mask, mask, IDENTITY)), sitk.GetArrayFromImage(mask)
    )


def test_a_sphere_keeps_volume_and_centroid_under_a_motion():
    grid = sitk.Image((48, 48, 20), sitk.sitkUInt8)
    grid.SetSpacing((1.0, 1.0, 2.5))
    centre, radius = np.array([22.0, 25.0, 24.0]), 9.0
    inside = np.linalg.norm(voxel_centres(grid) - centre, axis=-1) < radius
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.CopyInformation(grid)
    motion = sitk.Euler3DTransform(centre.tolist(), 0.1, 0.15, -0.1, (0.6, -0.3, 1.1))
    moved = sitk.GetArrayFromImage(resample_mask(mask, grid, motion)) > 0
    assert moved.sum() == pytest.approx(inside.sum(), rel=0.05)
    found = voxel_centres(grid)[moved].mean(axis=0)
    np.testing.assert_allclose(found, motion.GetInverse().TransformPoint(centre.tolist()), atol=0.25)


def test_coverage_is_the_field_of_view_of_the_moving_image():
    fixed, moving = block(), block()
    seen = sitk.GetArrayFromImage(coverage(moving, fixed, shift(z=6.0)))
    assert seen[:-2].all()
    assert not seen[-2:].any()


def test_coverage_ends_where_either_session_is_padding():
    values = np.full((4, 5, 6), 3, np.float32)
    first, second = values.copy(), values.copy()
    first[:, 0], second[:, :, -1] = NOT_MEASURED, NOT_MEASURED
    second[1, 2, 3] = 0.0  # a measured nothing
    seen = coverage(sitk.GetImageFromArray(second), sitk.GetImageFromArray(first), sitk.Transform())
    expected = np.ones(values.shape)
    expected[:, 0] = expected[:, :, -1] = 0
    np.testing.assert_array_equal(sitk.GetArrayFromImage(seen), expected)


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
@pytest.mark.parametrize("padded", [np.s_[:, :4], np.s_[:, :, 7:], np.s_[2:4, 5:9, 3:8]])
def test_padding_is_not_mixed_into_the_signal_beside_it(padded, interpolation):
    values = np.full((6, 14, 12), 700, np.float32)
    values[padded] = NOT_MEASURED
    image = sitk.GetImageFromArray(values)
    moved = resample_image(image, image, shift(0.4, 0.3, 0.2), interpolation=interpolation)
    seen = sitk.GetArrayFromImage(coverage(image, image, shift(0.4, 0.3, 0.2))) > 0
    np.testing.assert_allclose(sitk.GetArrayFromImage(moved)[seen], 700, rtol=1e-5)


def test_padding_stays_what_was_not_measured():
    values = np.full((4, 8, 8), 700, np.float32)
    values[:, :3] = NOT_MEASURED
    image = sitk.GetImageFromArray(values)
    moved = resample_image(image, image, shift(y=1.0))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(measured(moved))[:, :, 0], [[0, 0, 1, 1, 1, 1, 1, 1]] * 4)


@pytest.mark.parametrize("degrees", [0, 8])
@pytest.mark.parametrize("shift_mm", [0.0, 2.0, 3.2, 5.0])
def test_a_small_lesion_on_thick_slices_keeps_its_volume_however_it_moves_through_them(shift_mm, degrees):
    grid = sitk.Image((40, 40, 9), sitk.sitkUInt8)
    grid.SetSpacing((0.9, 0.9, 6.5))
    inside = np.zeros((9, 40, 40), np.uint8)
    inside[4, 17:24, 16:23] = 1  # one slice, 6 mm wide
    mask = sitk.GetImageFromArray(inside)
    mask.CopyInformation(grid)
    motion = sitk.Euler3DTransform((18.0, 18.0, 26.0), np.radians(degrees), 0, 0, (0.3, -0.2, shift_mm))
    moved = sitk.GetArrayFromImage(resample_mask(mask, grid, motion))
    # Half-way between two slices each covers the whole lesion by half: it is one of them, or both, but not none.
    assert moved.sum() == pytest.approx(float(inside.sum()), rel=0.3)
    depth_mm = np.nonzero(moved)[0].mean() * 6.5
    assert depth_mm == pytest.approx(26.0 - shift_mm, abs=6.5 / 2)


def test_a_lesion_half_out_of_the_field_of_view_is_not_made_up_for():
    mask = sitk.Image((30, 30, 10), sitk.sitkUInt8)
    mask[2:8, 10:16, 3:6] = 1
    gone = sitk.GetArrayFromImage(resample_mask(mask, mask, shift(x=5.0)))
    assert gone.sum() == 3 * 6 * 3


def test_a_lesion_smaller_than_a_voxel_of_the_first_session_stays_one_voxel():
    mask = sitk.Image((40, 40, 40), sitk.sitkUInt8)
    mask[20, 20, 20] = 1
    coarse = sitk.Image((8, 8, 8), sitk.sitkUInt8)
    coarse.SetSpacing((5.0, 5.0, 5.0))
    assert sitk.GetArrayFromImage(resample_mask(mask, coarse, shift(0.4, 0.4, 0.4))).sum() == 1


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
