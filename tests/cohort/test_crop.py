import numpy as np
import pytest

from tfdrift.cohort.crop import (
    VOLUME,
    Box,
    TooThinError,
    choose_slices,
    crop_lesion,
    crop_pairs,
    crop_signal,
    crop_slice,
    make_box,
    outgrown,
    paste_slice,
    representative_slices,
    slices_in,
)
from tfdrift.errors import DataError, UsageError

UNIT_MM = (1.0, 1.0, 1.0)


def make_square(side: int, *, shape: tuple[int, int, int] = (1, 40, 40), middle: int = 20) -> np.ndarray:
    """Return a mask bool `shape` with a centred square of even side in every slice."""
    mask = np.zeros(shape, bool)
    mask[:, middle - side // 2 : middle + side // 2, middle - side // 2 : middle + side // 2] = True
    return mask


def make_ramp(spacing_mm: tuple[float, float, float], shape: tuple[int, int]) -> np.ndarray:
    """Return a plane in mm coordinates, 3 x row - 2 x column + 5."""
    rows, columns = np.indices(shape)
    return 3 * rows * spacing_mm[1] - 2 * columns * spacing_mm[2] + 5


@pytest.mark.parametrize("spacing", [1.0, 0.75, 0.5])
def test_paste_inverts_crop_to_the_bit_where_pixels_and_voxels_coincide(spacing: float):
    spacing_mm = (1.0, spacing, spacing)
    image = np.random.default_rng(0).normal(size=(24, 30))
    box = Box(center_row=11.5, center_column=13.5, side_mm=16 * spacing)
    crop = crop_slice(image, box, spacing_mm, 16)
    np.testing.assert_array_equal(crop, image[4:20, 6:22])
    back = paste_slice(crop, box, spacing_mm, (24, 30))
    np.testing.assert_array_equal(back[4:20, 6:22], image[4:20, 6:22])
    assert np.count_nonzero(back) == 16 * 16


@pytest.mark.parametrize("image_size", [5, 16, 64])
def test_crop_of_a_linear_ramp_is_exact_at_sub_pixel_centres(image_size: int):
    spacing_mm = (2.0, 0.7, 1.1)
    box = Box(center_row=20.3, center_column=18.8, side_mm=14.6)
    offset_mm = (np.arange(image_size) + 0.5) * 14.6 / image_size - 7.3
    rows_mm, columns_mm = 20.3 * 0.7 + offset_mm[:, None], 18.8 * 1.1 + offset_mm[None, :]
    crop = crop_slice(make_ramp(spacing_mm, (40, 40)), box, spacing_mm, image_size)
    np.testing.assert_allclose(crop, 3 * rows_mm - 2 * columns_mm + 5, rtol=0, atol=1e-11)


def test_paste_of_a_cropped_ramp_is_the_ramp():
    spacing_mm = (2.0, 0.7, 1.1)
    box, ramp = Box(center_row=20.3, center_column=18.8, side_mm=14.6), make_ramp(spacing_mm, (40, 40))
    back = paste_slice(crop_slice(ramp, box, spacing_mm, 50), box, spacing_mm, (40, 40))
    # Within half a pixel of the border paste has no second point to interpolate from, so the last voxels stay out.
    rows = np.abs(np.arange(40) - 20.3) * 0.7 < 7.3 - 0.15
    columns = np.abs(np.arange(40) - 18.8) * 1.1 < 7.3 - 0.15
    inner = np.ix_(rows, columns)
    np.testing.assert_allclose(back[inner], ramp[inner], rtol=0, atol=1e-11)


def test_a_circle_in_millimetres_is_a_circle_in_the_crop():
    spacing_mm, radius_mm = (1.0, 0.25, 0.6), 9.1
    rows, columns = np.indices((120, 50))
    circle = np.hypot((rows - 60) * 0.25, (columns - 25) * 0.6) < radius_mm
    box = Box(center_row=60.0, center_column=25.0, side_mm=30.0)
    share = crop_slice(circle, box, spacing_mm, 60)
    offset_mm = (np.arange(60) + 0.5) * 0.5 - 15
    along_rows, along_columns = (np.average(offset_mm**2, weights=share.sum(axis=axis)) for axis in (1, 0))
    assert (along_rows, along_columns) == pytest.approx((radius_mm**2 / 4,) * 2, rel=0.02)  # second moments of a disc
    assert share.sum() * 0.5**2 == pytest.approx(np.pi * radius_mm**2, rel=0.01)


def test_anti_aliasing_conserves_the_sum_of_an_image():
    # Points one voxel apart see each voxel with a total weight of exactly 1, wherever the box lies.
    image = np.zeros((60, 60))
    image[15:45, 15:45] = np.random.default_rng(1).uniform(size=(30, 30))
    box = Box(center_row=29.83, center_column=30.21, side_mm=48.0 * 0.75)
    crop = crop_slice(image, box, (1.0, 0.75, 0.75), 16)
    assert crop.sum() * (48 * 0.75 / 16) ** 2 == pytest.approx(image.sum() * 0.75**2, rel=1e-12)


def test_crop_is_zero_beyond_the_slice():
    crop = crop_slice(np.ones((8, 8)), Box(center_row=3.5, center_column=3.5, side_mm=16.0), UNIT_MM, 16)
    np.testing.assert_array_equal(crop, np.pad(np.ones((8, 8)), 4))


@pytest.mark.parametrize(("covered", "pixels"), [(1, 4), (2, 5), (3, 5), (4, 5)])
def test_a_pixel_belongs_to_the_mask_from_one_half_on(covered: int, pixels: int):
    # Eight pixels of four voxels a side; beside four whole ones the mask covers some of a fifth pixel's four columns.
    mask = np.zeros((1, 32, 32), bool)
    mask[:, :, 16 - covered :] = True
    box, images = Box(center_row=15.5, center_column=15.5, side_mm=32.0), np.ones(mask.shape)
    crops = crop_pairs(images, images, mask, mask, box, UNIT_MM, image_size=8)
    assert crops["pre_mask"].sum() == 8 * pixels


@pytest.mark.parametrize("image_size", [8, 12, 31])
@pytest.mark.parametrize("lost", [np.s_[:, 20:], np.s_[19, :], np.s_[15:22, 17:21]])
def test_a_pixel_takes_its_signal_from_measured_voxels_alone(image_size, lost):
    image, measured = np.full((40, 40), 700.0), np.ones((40, 40), bool)
    image[lost], measured[lost] = -32768, False
    box = Box(center_row=19.5, center_column=19.5, side_mm=16.0)
    crop = crop_signal(image, measured, box, UNIT_MM, image_size)
    shown = crop_slice(measured, box, UNIT_MM, image_size) > 0
    np.testing.assert_allclose(crop, np.where(shown, 700, 0), rtol=1e-12)


@pytest.mark.parametrize("center", [19.5, 1.0])
def test_measured_everywhere_a_signal_is_the_slices_also_at_the_edge_of_the_image(center):
    image = np.random.default_rng(3).random((40, 40))
    box = Box(center_row=center, center_column=19.5, side_mm=11.0)
    far = np.ones((40, 40), bool)
    far[:, -1] = False  # outside the box
    np.testing.assert_allclose(
        crop_signal(image, far, box, UNIT_MM, 9), crop_slice(image, box, UNIT_MM, 9), rtol=1e-12, atol=1e-12
    )


def test_both_sessions_are_cropped_from_what_was_measured():
    pre, post, measured = np.full((1, 40, 40), 500.0), np.full((1, 40, 40), 250.0), make_square(8)
    pre[~measured] = post[~measured] = 0
    crops = crop_lesion(pre, post, make_square(8), make_square(8), measured=measured, spacing_mm=UNIT_MM, image_size=11)
    assert crops.pre_mask.any()
    np.testing.assert_allclose(crops.pre, crops.pre_mask, rtol=1e-6)
    np.testing.assert_allclose(crops.post, 0.5 * crops.post_mask, rtol=1e-6)


def test_a_mask_of_what_was_not_measured_is_refused():
    images = np.ones((1, 40, 40))
    with pytest.raises(DataError, match="a mask covers voxels that were not measured; cut them off first"):
        crop_lesion(
            images, images, make_square(4), make_square(8), measured=make_square(6), spacing_mm=UNIT_MM, image_size=8
        )


def test_each_session_is_zero_outside_its_own_gtv_and_whole_inside():
    rng = np.random.default_rng(2)
    pre, post = rng.uniform(1, 2, (2, 1, 40, 40))
    crops = crop_lesion(pre, post, make_square(8), make_square(10), spacing_mm=UNIT_MM, image_size=12)
    for name in ("pre", "post"):
        np.testing.assert_array_equal(getattr(crops, name) > 0, getattr(crops, f"{name}_mask"))
    assert (crops.pre_mask.sum(), crops.post_mask.sum()) == (8**2, 10**2)


def test_scale_is_the_largest_signal_of_the_pre_crop_inside_the_gtv():
    pre, mask = np.full((1, 40, 40), 50.0), make_square(8)
    pre[0, 18, 22], pre[0, 2, 2], pre[0, 20, 25] = 700.0, 9000.0, 8000.0  # inside; outside the box; outside the GTV
    box = Box(center_row=19.5, center_column=19.5, side_mm=16.0)
    crops = crop_pairs(pre, 2 * pre, mask, mask, box, UNIT_MM, image_size=16)
    assert crops["scale"].tolist() == [700.0]
    assert (crops["pre"].max(), crops["post"].max()) == (1.0, 2.0)


def test_box_has_a_quarter_of_margin_and_at_least_two_millimetres():
    assert make_box(make_square(16), UNIT_MM) == Box(center_row=19.5, center_column=19.5, side_mm=24.0)
    assert make_box(make_square(4), UNIT_MM).side_mm == 8.0


def test_box_takes_the_larger_side_in_millimetres():
    mask = np.zeros((3, 40, 40), bool)
    mask[0, 10:20, 5] = mask[2, 12, 5:9] = True  # 10 rows of 1 mm, 4 columns of 3 mm, in two slices
    assert make_box(mask, (1.0, 1.0, 3.0)) == Box(center_row=14.5, center_column=6.5, side_mm=18.0)


def test_growth_beyond_the_pre_box_is_reported():
    images = np.ones((1, 40, 40))
    lesion = crop_lesion(images, images, make_square(4), make_square(16), spacing_mm=UNIT_MM, image_size=16)
    assert lesion.pixel_mm == 0.5  # 4 mm and 2 mm on each side
    assert lesion.outgrown == 1 - 8**2 / 16**2


def test_the_union_box_holds_both_sessions():
    images = np.ones((1, 40, 40))
    lesion = crop_lesion(
        images, images, make_square(4), make_square(16), spacing_mm=UNIT_MM, image_size=16, box="union"
    )
    assert lesion.box == make_box(make_square(16), UNIT_MM)
    assert lesion.outgrown == 0.0


def test_a_vanished_lesion_has_an_empty_post_crop():
    images, mask = np.ones((1, 40, 40)), make_square(8)
    lesion = crop_lesion(images, images, mask, np.zeros_like(mask), spacing_mm=UNIT_MM, image_size=16)
    assert (lesion.outgrown, lesion.post.any(), lesion.post_mask.any()) == (0.0, False, False)


def test_outgrown_counts_voxel_centres():
    box = Box(center_row=20.0, center_column=20.0, side_mm=4.0)
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 20, 18:26] = True  # 18 to 22 lie within 2 mm
    assert outgrown(mask, box, UNIT_MM) == 1 - 5 / 8


def test_three_slices_of_a_tall_lesion_are_the_widest_and_the_quartiles_of_its_extent():
    mask = np.zeros((20, 40, 40), bool)
    for index in range(4, 17):
        mask[index] = make_square(20 if index == 9 else 8)[0]
    assert choose_slices(mask) == [7, 9, 13]
    assert choose_slices(mask, "all") == list(range(4, 17))


@pytest.mark.parametrize("slices", range(3, 12))
def test_every_lesion_of_three_slices_or_more_gives_three(slices):
    """Whichever slice is the largest; at the quartiles of five to seven, two of the three were one."""
    for largest in range(slices):
        mask = make_square(8, shape=(slices, 40, 40)).copy()
        mask[largest] = make_square(20)[0]
        chosen = choose_slices(mask)
        assert len(set(chosen)) == 3
        assert set(representative_slices(mask)) <= set(chosen)


def test_the_slice_that_takes_a_place_is_the_largest_of_the_others():
    mask = np.zeros((7, 40, 40), bool)
    for index, side in enumerate([2, 6, 8, 10, 12, 4, 2]):
        mask[index] = make_square(side)[0]
    assert representative_slices(mask) == [2, 4]
    assert choose_slices(mask) == [2, 3, 4]


def make_tapered():
    """A square of 30 pixels in five slices, and one voxel in the first and in the last: less than half a crop pixel."""
    mask = make_square(30, shape=(7, 60, 60)).copy()
    mask[[0, -1]] = False
    mask[[0, -1], 30, 30] = True
    return mask


@pytest.mark.parametrize(("slices", "chosen", "left_out"), [("all", [1, 2, 3, 4, 5], [0, 6]), ("three", [1, 2, 4], [])])
def test_an_end_slice_smaller_than_a_crop_pixel_is_left_out_and_the_lesion_kept(slices, chosen, left_out):
    mask, images = make_tapered(), np.ones((7, 60, 60))
    lesion = crop_lesion(images, images, mask, mask, spacing_mm=UNIT_MM, image_size=16, slices=slices)
    assert (lesion.slices, lesion.left_out) == (chosen, left_out)
    assert lesion.pre_mask.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("rows", [1, 2])
def test_a_lesion_that_no_crop_shows_is_refused(rows):
    mask, images = np.zeros((3, 80, 80), bool), np.ones((3, 80, 80))
    mask[:, 40 : 40 + rows, 5 : 5 + 35 * rows] = True
    with pytest.raises(DataError, match=r"no slice of it covers half of a pixel of a crop of 8 pixels, .* too thin"):
        crop_lesion(images, images, mask, mask, spacing_mm=UNIT_MM, image_size=8, slices="all")


def test_one_slice_lesion_gives_one_slice():
    mask = make_square(8, shape=(5, 40, 40))
    mask[[0, 1, 2, 4]] = False
    assert choose_slices(mask) == choose_slices(mask, "all") == [3]


def test_a_slice_that_the_lesion_skips_is_never_chosen():
    mask = make_square(8, shape=(9, 40, 40))
    mask[2] = False  # the lower quartile
    assert representative_slices(mask) == [0, 6]
    assert choose_slices(mask) == [0, 1, 6]


def test_crop_lesion_returns_a_row_for_each_chosen_slice():
    images, mask = np.ones((9, 40, 40)), make_square(8, shape=(9, 40, 40))
    lesion = crop_lesion(images, images, mask, mask, spacing_mm=UNIT_MM, image_size=16, slices="all")
    assert lesion.slices == list(range(9))
    assert lesion.pre.shape == lesion.post_mask.shape == (9, 16, 16, 1)


def test_an_empty_mask_is_refused():
    with pytest.raises(DataError, match="the lesion's mask is empty"):
        make_box(np.zeros((2, 8, 8), bool), UNIT_MM)


def test_a_lesion_without_signal_is_refused():
    images, mask = np.zeros((1, 40, 40)), make_square(8)
    with pytest.raises(DataError, match="no signal above zero; check that mask and image belong together"):
        crop_lesion(images, images, mask, mask, spacing_mm=UNIT_MM, image_size=16)


def test_an_unknown_box_is_refused():
    images, mask = np.ones((1, 40, 40)), make_square(8)
    with pytest.raises(UsageError, match="--box post: choose from pre, union"):
        crop_lesion(images, images, mask, mask, spacing_mm=UNIT_MM, image_size=16, box="post")


def test_an_unknown_choice_of_slices_is_refused():
    with pytest.raises(UsageError, match="--slices middle: choose from three, all"):
        choose_slices(make_square(8), "middle")


def test_a_stack_is_cropped_as_its_slices_are():
    rng = np.random.default_rng(5)
    pre, post = rng.uniform(1, 2, (2, 4, 24, 24))
    mask = np.zeros((4, 24, 24), bool)
    mask[:, 8:16, 9:15] = True
    box = make_box(mask, UNIT_MM)
    slices = crop_pairs(pre, post, mask, mask, box, UNIT_MM, image_size=8)
    pre, post, mask = (volume.reshape(2, 2, 24, 24) for volume in (pre, post, mask))
    stacks = crop_pairs(pre, post, mask, mask, box, UNIT_MM, image_size=8)
    assert stacks["pre"].shape == (2, 2, 8, 8, 1)
    np.testing.assert_array_equal(stacks["pre_mask"].reshape(4, 8, 8, 1), slices["pre_mask"])
    for name in ("pre", "post"):  # a stack has one scale, each slice alone its own
        in_scanner_units = (slices[name] * slices["scale"][:, None, None, None]).reshape(2, 2, 8, 8, 1)
        own = stacks[name] * stacks["scale"][:, None, None, None, None]
        np.testing.assert_allclose(own, in_scanner_units, rtol=1e-6)
    np.testing.assert_array_equal(stacks["scale"], slices["scale"].reshape(2, 2).max(axis=1))


def make_ball(radius_mm: float, spacing_mm: tuple[float, float, float], *, reach: int = 24) -> np.ndarray:
    """Return a mask of a ball in the middle of a grid."""
    axes = [np.arange(-reach, reach + 1) * spacing for spacing in spacing_mm]
    return np.linalg.norm(np.stack(np.meshgrid(*axes, indexing="ij")), axis=0) <= radius_mm


def test_a_cube_has_the_longest_of_three_extents_and_its_margin():
    mask = np.zeros((30, 40, 40), bool)
    mask[5:25, 18:22, 16:24] = True  # 20 slices of 2 mm, 4 rows, 8 columns of 1 mm
    box = make_box(mask, (2.0, 1.0, 1.0), cube=True)
    assert (box.center_slice, box.center_row, box.center_column) == (14.5, 19.5, 19.5)
    assert box.side_mm == 40 + 2 * 10
    assert slices_in(box, 30, (2.0, 1.0, 1.0)) == list(range(30))
    assert slices_in(box, 30, (4.0, 1.0, 1.0)) == list(range(7, 23))


def test_paste_inverts_crop_of_a_cube_to_the_bit_where_pixels_and_voxels_coincide():
    image = np.random.default_rng(0).normal(size=(20, 24, 30))
    box = Box(center_slice=9.5, center_row=11.5, center_column=13.5, side_mm=16.0)
    crop = crop_slice(image, box, UNIT_MM, 16)
    np.testing.assert_array_equal(crop, image[2:18, 4:20, 6:22])
    back = paste_slice(crop, box, UNIT_MM, image.shape)
    np.testing.assert_array_equal(back[2:18, 4:20, 6:22], crop)
    assert np.count_nonzero(back) == 16**3


@pytest.mark.parametrize("image_size", [4, 16])
def test_a_ramp_in_three_directions_is_exact_in_a_cube(image_size: int):
    spacing_mm = (3.0, 0.7, 1.1)
    slices, rows, columns = np.indices((12, 40, 40))
    ramp = 2 * slices * 3.0 + 3 * rows * 0.7 - columns * 1.1
    box = Box(center_slice=5.6, center_row=20.3, center_column=18.8, side_mm=14.6)
    at = (np.arange(image_size) + 0.5) * 14.6 / image_size - 7.3
    expected = 2 * (5.6 * 3.0 + at[:, None, None]) + 3 * (20.3 * 0.7 + at[:, None]) - (18.8 * 1.1 + at)
    np.testing.assert_allclose(crop_slice(ramp, box, spacing_mm, image_size), expected, rtol=0, atol=1e-11)


def test_a_ball_in_thick_slices_keeps_its_volume_and_is_round_in_its_cube():
    spacing_mm, radius_mm = (3.0, 0.5, 0.75), 10.0
    mask = make_ball(radius_mm, spacing_mm, reach=30)
    share = crop_slice(mask, make_box(mask, spacing_mm, cube=True), spacing_mm, 30)
    pixel_mm = make_box(mask, spacing_mm, cube=True).side_mm / 30
    assert share.sum() * pixel_mm**3 == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.02)
    at = (np.arange(30) + 0.5) * pixel_mm - 15 * pixel_mm
    moments = [np.average(at**2, weights=share.sum(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    # Linear interpolation adds the variance of its kernel, a sixth of the squared spacing, and the pixel's a twelfth.
    blur = [spacing**2 / 6 + pixel_mm**2 / 12 for spacing in spacing_mm]
    assert moments == pytest.approx([radius_mm**2 / 5 + one for one in blur], rel=0.03)


def test_a_whole_lesion_is_one_row_and_counts_in_three_dimensions():
    before, after = make_ball(8.0, UNIT_MM), make_ball(6.0, UNIT_MM)
    image = 100.0 + np.random.default_rng(0).random(before.shape)
    crops = crop_lesion(image, 0.5 * image, before, after, spacing_mm=UNIT_MM, image_size=32, lesion=VOLUME)
    assert crops.pre.shape == crops.post.shape == (1, 32, 32, 32, 1)
    assert crops.slices == list(range(12, 37))  # 1.5 times the ball of 17 slices
    assert crops.post_mask.sum() / crops.pre_mask.sum() == pytest.approx(after.sum() / before.sum(), rel=0.03)
    assert crops.pre.max() == 1
    assert (crops.pre[~crops.pre_mask] == 0).all()
    assert np.median(crops.post[crops.post_mask]) == pytest.approx(0.5, abs=0.01)
    assert crops.outgrown == 0


def test_growth_beyond_the_last_slice_is_in_the_cube():
    before, after = make_ball(8.0, UNIT_MM), make_ball(11.0, UNIT_MM)
    ones = np.ones(before.shape)
    crops = crop_lesion(ones, ones, before, after, spacing_mm=UNIT_MM, image_size=32, lesion=VOLUME)
    shown = crops.post_mask[0, ..., 0].any(axis=(1, 2))
    assert (shown & ~crops.pre_mask[0, ..., 0].any(axis=(1, 2))).sum() >= 6
    assert crops.post_mask.sum() * crops.pixel_mm**3 == pytest.approx(after.sum(), rel=0.02)


def test_a_lesion_that_no_pixel_of_a_cube_shows_is_too_thin():
    mask = np.zeros((30, 30, 30), bool)
    mask[15, 15, :] = True
    with pytest.raises(TooThinError, match="covers half of no pixel"):
        crop_lesion(mask * 1.0, mask * 1.0, mask, mask, spacing_mm=UNIT_MM, image_size=8, lesion=VOLUME)


def test_an_unknown_kind_of_crop_is_refused():
    mask = make_ball(4.0, UNIT_MM)
    with pytest.raises(UsageError, match="--lesion half: choose from slice, context, volume"):
        crop_lesion(mask * 1.0, mask * 1.0, mask, mask, spacing_mm=UNIT_MM, image_size=8, lesion="half")
