import numpy as np
import pytest
import SimpleITK as sitk

from tfdrift.errors import DataError
from tfdrift.imaging.intensity import (
    SPREAD_LIMIT_PERCENT,
    BackgroundDrift,
    background_drift,
    distance_mm,
    healthy_tissue,
    session_gain,
    tissue_mask,
    within_reach,
)
from tfdrift.imaging.pixels import NOT_MEASURED

SHAPE, SPACING = (24, 60, 64), (1.5, 1.6, 3.0)


def image(values, like=None):
    result = sitk.GetImageFromArray(np.asarray(values))
    if like is None:
        result.SetSpacing(SPACING)
    else:
        result.CopyInformation(like)
    return result


def everywhere(value=1, shape=SHAPE):
    return image(np.full(shape, value, np.uint8))


def session(seed, signal=100.0, sigma=5.0):
    rng = np.random.default_rng(seed)
    return image((signal + rng.normal(0, sigma, SHAPE)).astype(np.float32))


def ball_mm(centre, radius):
    """Distance of each voxel centre to `centre`, in mm x, y, z, below `radius`."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    points = np.stack([x, y, z], -1) * SPACING
    return np.linalg.norm(points - centre, axis=-1) < radius


def head(lesion_signal=100.0):
    """A skull ring of 4 mm around a gap around a brain with a ventricle, in noise."""
    centre = [48, 48, 36]
    values = np.where(ball_mm(centre, 44) & ~ball_mm(centre, 40), 90.0, 3.0)
    values[ball_mm(centre, 33)] = 100.0
    values[ball_mm(centre, 8)] = 20.0
    values[ball_mm([64, 48, 36], 6)] = lesion_signal
    return image((values + np.random.default_rng(0).normal(0, 4, SHAPE)).clip(0).astype(np.float32))


def test_a_known_gain_is_found_within_its_standard_error():
    deviations = []
    for seed in range(40):
        found = session_gain(session(seed), session(100 + seed) / 1.7, everywhere())
        deviations.append((found.gain - 1.7) / found.standard_error)
    # 40 standard normal deviates: the mean has sigma 0.16, the standard deviation 0.11
    assert abs(np.mean(deviations)) < 4 * 0.16
    assert 1 - 4 * 0.11 < np.std(deviations) < 1 + 4 * 0.11


def test_noise_in_the_second_session_does_not_shrink_the_gain():
    # A regression through the origin would come out at 1 / (1 + 0.2^2) = 0.96.
    found = session_gain(session(1, sigma=1), session(2, sigma=20), everywhere())
    assert abs(found.gain - 1) < 4 * found.standard_error
    assert found.standard_error < 0.002


def test_swapped_sessions_have_the_inverse_gain():
    one, other = session(1), session(2, signal=60)
    there, back = session_gain(one, other, everywhere()).gain, session_gain(other, one, everywhere()).gain
    # even counts take the mean of the two middle ratios, which inverts only up to their distance squared
    np.testing.assert_allclose(there * back, 1, atol=1e-6)


def test_the_gain_does_not_see_the_lesions():
    lesion = ball_mm([48, 48, 36], 12)
    pre, post = sitk.GetArrayFromImage(session(1)), sitk.GetArrayFromImage(session(2))
    healthy = healthy_tissue([everywhere()], [image(lesion.astype(np.uint8))])
    plain = session_gain(image(pre), image(post), healthy)
    post[lesion] *= 5
    assert session_gain(image(pre), image(post), healthy) == plain


def test_a_balanced_bias_field_leaves_the_gain():
    field = 1 + np.linspace(-0.1, 0.1, SHAPE[2])  # median 1 over the columns
    post = sitk.GetArrayFromImage(session(2)) / field
    found = session_gain(session(1), image(post.astype(np.float32)), everywhere())
    assert abs(found.gain - 1) < 4 * found.standard_error


def test_any_bias_field_moves_the_gain_within_its_range():
    field = np.where(np.arange(SHAPE[2]) < 50, 1.2, 1.05)
    post = sitk.GetArrayFromImage(session(2, sigma=0.5)) / field
    assert 1.05 <= session_gain(session(1, sigma=0.5), image(post.astype(np.float32)), everywhere()).gain <= 1.21


def test_up_to_half_of_the_voxels_may_be_wrong():
    post = sitk.GetArrayFromImage(session(2, sigma=1))
    post[:11] *= 3
    found = session_gain(session(1, sigma=1), image(post), everywhere())
    assert abs(found.gain - 1) < 0.03  # two sigma of one ratio, as the other half holds the median


def test_too_little_tissue_is_refused():
    few = np.zeros(SHAPE, np.uint8)
    few[0, 0, :50] = 1
    with pytest.raises(DataError, match="only 50 voxels of healthy tissue with signal in both MRIs, 1000 are needed"):
        session_gain(session(1), session(2), image(few))


def test_tissue_without_signal_does_not_count():
    with pytest.raises(DataError, match="only 0 voxels"):
        session_gain(session(1), image(np.zeros(SHAPE, np.float32)), everywhere())


def test_images_on_two_grids_are_refused():
    shifted = session(2)
    shifted.SetOrigin([0, 0, 1])
    with pytest.raises(DataError, match="not on one grid"):
        session_gain(session(1), shifted, everywhere())


def test_background_drift_of_two_noisy_sessions_is_their_noise():
    found = background_drift(session(1), session(2), everywhere())
    sigma = 5 * np.sqrt(2)  # per cent of 100
    assert abs(found.mean_percent) < 4 * sigma / np.sqrt(found.voxels)
    assert found.spread_percent == pytest.approx(sigma, rel=4 * 1.17 / np.sqrt(found.voxels))  # error of the MAD


def test_background_drift_sees_a_wrong_scale():
    found = background_drift(session(1, sigma=0.01), session(2, sigma=0.01) * 1.08, everywhere())
    assert found.mean_percent == pytest.approx(8, abs=0.01)
    assert not found.acceptable


def test_background_drift_sees_too_wide_a_spread():
    narrow = BackgroundDrift(mean_percent=0, spread_percent=SPREAD_LIMIT_PERCENT, voxels=5000)
    wide = BackgroundDrift(mean_percent=0, spread_percent=SPREAD_LIMIT_PERCENT + 0.1, voxels=5000)
    assert narrow.acceptable
    assert not wide.acceptable


def test_background_drift_needs_tissue():
    with pytest.raises(DataError, match="only 0 voxels of healthy tissue"):
        background_drift(session(1), session(2), everywhere(0))


def test_background_drift_needs_signal_in_the_first_session():
    with pytest.raises(DataError, match="median signal of healthy tissue in the first MRI is 0"):
        background_drift(image(np.zeros(SHAPE, np.float32)), session(2), everywhere())


def test_the_tissue_mask_is_brain_without_skull_and_ventricle():
    mask = sitk.GetArrayFromImage(tissue_mask(head())) > 0
    centre = [48, 48, 36]
    assert not mask[~ball_mm(centre, 33)].any()
    assert not mask[ball_mm(centre, 8)].any()
    deep = ball_mm(centre, 33 - 5 - 4) & ~ball_mm(centre, 8 + 5 + 4)  # 5 mm by definition, 4 of blur and slice
    assert mask[deep].all()


def test_the_middle_of_a_head_in_three_slices_has_the_same_tissue_as_in_the_whole_head():
    three = np.s_[:, :, 11:14]
    cut, whole = tissue_mask(head()[three]), tissue_mask(head())[three]
    # Smoothing reaches beyond the three slices in the whole head alone, which moves an edge by a voxel here and there.
    assert (sitk.GetArrayFromImage(cut) != sitk.GetArrayFromImage(whole)).mean() < 0.02
    assert sitk.GetArrayFromImage(cut).any()


def test_a_very_bright_lesion_does_not_move_the_tissue_mask():
    plain = sitk.GetArrayFromImage(tissue_mask(head()))
    bright = sitk.GetArrayFromImage(tissue_mask(head(lesion_signal=2000.0)))
    assert (plain != bright).mean() < 0.005


def test_a_constant_image_has_no_tissue_mask():
    with pytest.raises(DataError, match="same signal almost everywhere"):
        tissue_mask(image(np.full(SHAPE, 7, np.float32)))


def test_an_image_with_nan_has_no_tissue_mask():
    values = sitk.GetArrayFromImage(session(1))
    values[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        tissue_mask(image(values))


def test_healthy_tissue_keeps_the_margin_in_mm():
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[12, 30, 32] = 1
    healthy = sitk.GetArrayFromImage(healthy_tissue([everywhere()], [image(lesion)], margin_mm=10)) > 0
    np.testing.assert_array_equal(~healthy, ball_mm(np.array([32, 30, 12]) * SPACING, 10 + 1e-4))


def test_healthy_tissue_is_tissue_of_every_session():
    half = np.ones(SHAPE, np.uint8)
    half[:, :30] = 0
    healthy = healthy_tissue([everywhere(), image(half)], [everywhere(0)])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(healthy), half)


def test_healthy_tissue_refuses_another_grid():
    with pytest.raises(DataError, match="not on one grid"):
        healthy_tissue([everywhere()], [everywhere(shape=(24, 60, 63))])


def test_within_reach_and_beyond_it_share_the_region():
    lesion = image(ball_mm([48, 48, 36], 5).astype(np.uint8))
    near = sitk.GetArrayFromImage(within_reach(everywhere(), lesion, reach_mm=12)) > 0
    np.testing.assert_array_equal(near, sitk.GetArrayFromImage(distance_mm(lesion)) <= 12)


def test_the_neighbourhood_of_nothing_is_refused():
    with pytest.raises(DataError, match="a lesion mask is empty"):
        within_reach(everywhere(), everywhere(0))


def test_padding_is_no_drift():
    pre, post = session(1), session(2)
    padded = sitk.GetArrayFromImage(post)
    padded[:, :20] = NOT_MEASURED
    rest = np.ones(SHAPE, np.uint8)
    rest[:, :20] = 0
    assert background_drift(pre, image(padded), everywhere()) == background_drift(pre, post, image(rest))


@pytest.mark.parametrize("padded_first", [True, False])
def test_padding_has_no_part_in_the_gain(padded_first):
    pre, post = session(1), session(2) / 1.7
    values = sitk.GetArrayFromImage(pre if padded_first else post)
    values[:, :30] = NOT_MEASURED
    rest = np.ones(SHAPE, np.uint8)
    rest[:, :30] = 0
    one, other = (image(values), post) if padded_first else (pre, image(values))
    assert session_gain(one, other, everywhere()) == session_gain(pre, post, image(rest))


@pytest.mark.parametrize("side", [np.s_[:, :, :12], np.s_[:3]], ids=["columns", "slices"])
def test_padding_is_no_tissue_and_takes_none_away_from_what_is_deep_beside_it(side):
    values = sitk.GetArrayFromImage(head())
    values[side] = NOT_MEASURED
    padded = sitk.GetArrayFromImage(tissue_mask(image(values))) > 0
    assert not padded[side].any()
    centre = [48, 48, 36]
    deep = ball_mm(centre, 33 - 5 - 4) & ~ball_mm(centre, 8 + 5 + 4)
    deep[side] = False
    near = sitk.GetArrayFromImage(distance_mm(image((values == 0).astype(np.uint8)))) < 5 + 4
    assert padded[deep & ~near].all()
