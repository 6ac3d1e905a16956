import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from tests.clinic.patients import SIZE, PythonModel, ball, factor_of, same, scaled
from tests.imaging.mock_dicom import make_grid
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.cohort.crop import crop_pairs, paste_slice
from tfdrift.errors import DataError

SPACING_MM = (2.0, 1.1, 0.9)
GRID = make_grid(size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0))
SIGNAL = np.random.default_rng(0).uniform(400, 900, (11, 28, 30)).astype(np.float32)


def predict(formula, gtv=None, signal=SIGNAL, outcomes=4):
    gtv = ball(GRID) if gtv is None else gtv
    crops = crop_gtv(signal, gtv, SPACING_MM, SIZE)
    return predict_lesion(PythonModel(formula), gtv, crops, outcome_seeds(0, 1, outcomes, len(crops.slices)))


def test_crops_are_those_of_the_training():
    gtv = ball(GRID)
    crops = crop_gtv(SIGNAL, gtv, SPACING_MM, SIZE)
    images, masks = SIGNAL[crops.slices], gtv[crops.slices]
    trained = crop_pairs(images, images, masks, masks, crops.box, SPACING_MM, image_size=SIZE)
    np.testing.assert_array_equal(crops.gtv, trained["pre_mask"][..., 0])
    np.testing.assert_array_equal(crops.scale, trained["scale"])
    np.testing.assert_allclose(crops.image / crops.scale[:, None, None, None], trained["pre"], rtol=1e-6)


def test_spreads_are_those_of_the_outcomes_in_the_units_of_a_calibration():
    found = predict(scaled, outcomes=5)
    assert found.volume_spread_mm3 == pytest.approx(np.std(found.outcome_volumes_mm3, ddof=1))
    # Every image is multiplied by a factor, so drift spreads by that factor's spread of each pixel's signal.
    factors = factor_of(outcome_seeds(0, 1, 5, 1)[:, 0])
    relative = found.crops.image[..., 0] / found.crops.scale[:, None, None]
    np.testing.assert_allclose(found.relative_drift_spread, relative * np.std(factors, ddof=1), rtol=1e-4, atol=1e-6)


def test_a_margin_of_each_pixel_widens_by_its_mean_over_the_gtv():
    found = predict(scaled)
    margin = np.random.default_rng(1).random(found.crops.gtv.shape)
    more = (margin * found.crops.scale[:, None, None])[found.crops.gtv].mean()
    assert found.drift_half_width(margin) == pytest.approx(found.drift_half_width() + more)


def test_every_slice_of_the_gtv_is_cropped():
    gtv = ball(GRID)
    crops = crop_gtv(SIGNAL, gtv, SPACING_MM, SIZE)
    assert crops.slices == np.flatnonzero(gtv.any(axis=(1, 2))).tolist()
    assert crops.left_out == 0


def test_a_slice_that_covers_no_crop_pixel_is_left_out():
    gtv = ball(GRID, radius_mm=8.0)
    gtv[0, 14, 15] = True
    crops = crop_gtv(SIGNAL, gtv, SPACING_MM, 4)  # pixels of 6 mm
    assert crops.left_out >= 1
    assert 0 not in crops.slices


def test_a_slice_without_signal_is_refused():
    signal = SIGNAL.copy()
    signal[5] = 0
    with pytest.raises(DataError, match="slice 6 of the lesion holds no signal above zero"):
        crop_gtv(signal, ball(GRID), SPACING_MM, SIZE)


def test_seeds_are_those_that_are_documented():
    seeds = outcome_seeds(3, 7, 2, 2)
    assert seeds[1, 0].tolist() == np.random.SeedSequence([3, 7, 1]).generate_state(2).tolist()


def test_no_two_outcomes_structures_or_runs_share_a_seed():
    pairs = [outcome_seeds(seed, roi, 50, 1).reshape(-1, 2) for seed in (0, 1) for roi in (1, 2)]
    assert len(np.unique(np.concatenate(pairs), axis=0)) == 4 * 50


def test_the_slices_of_an_outcome_share_its_noise_and_so_its_error_does_not_cancel():
    """Each outcome scales a slice by its seed: alike on all slices, the drift's sum spreads as the factors do."""
    prediction = predict(scaled, outcomes=20)
    drift = prediction.drift.sum(axis=(1, 2, 3)) / prediction.crops.image.sum()
    factors = factor_of(outcome_seeds(0, 1, 20, 1)[:, 0])
    np.testing.assert_allclose(drift, factors - 1, rtol=1e-4, atol=1e-5)


def test_more_outcomes_begin_with_the_same_ones():
    np.testing.assert_array_equal(outcome_seeds(0, 1, 9, 2)[:3], outcome_seeds(0, 1, 3, 2))


def test_no_change_keeps_the_volume():
    prediction = predict(same)
    assert prediction.volume_mm3 == pytest.approx(ball(GRID).sum() * 2.0 * 1.1 * 0.9)
    # The edge goes through interpolation twice, which moves it by a part of a voxel.
    np.testing.assert_allclose(prediction.outcome_volumes_mm3, prediction.volume_mm3, rtol=0.06)
    assert prediction.interval_mm3 == pytest.approx((prediction.outcome_volumes_mm3[0],) * 2)


def test_mean_and_variance_are_those_of_the_outcomes():
    signal = np.full_like(SIGNAL, 800.0)
    prediction = predict(scaled, signal=signal, outcomes=6)
    factors = factor_of(outcome_seeds(0, 1, 6, len(prediction.crops.slices)))
    for slice_number, inside in enumerate(prediction.gtv):
        inner = ndimage.binary_erosion(inside, iterations=2)
        changes = 800.0 * (factors[:, slice_number] - 1)
        np.testing.assert_allclose(prediction.drift_mean[slice_number][inner], changes.mean(), rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(prediction.drift_variance[slice_number][inner], changes.var(ddof=1), rtol=1e-4)
        np.testing.assert_allclose(prediction.post_mean[slice_number][inner], 800 + changes.mean(), rtol=1e-4)


def test_the_predicted_lesion_is_pasted_into_the_first_mri_and_nothing_else_changes():
    def brighter(image, _seed):
        """Every lesion has one signal, and no noise."""
        return {"post": 2000.0 * (image > 0), "drift": 2000.0 * (image > 0) - image}

    found = predict(brighter)
    inside = found.predicted_gtv
    first = SIGNAL[(found.crops.slices, *found.window)]
    np.testing.assert_array_equal(found.in_surroundings[~inside], first[~inside])
    core = np.array([ndimage.binary_erosion(one, iterations=2) for one in inside], bool)
    assert core.any()
    np.testing.assert_allclose(found.in_surroundings[core], 2000.0, rtol=1e-6)


def test_signal_of_the_lesion_is_the_mean_of_the_outcomes_that_show_it():
    def some(image, seed):
        """Every second outcome has lost the lesion."""
        there = (seed[:, 0] % 2 == seed[0, 0] % 2)[:, None, None, None]
        return {"post": image * there, "drift": image * there - image}

    found = predict(some, outcomes=16, signal=np.full_like(SIGNAL, 800.0))
    core = np.array([ndimage.binary_erosion(one, iterations=2) for one in found.gtv], bool)
    assert 0 < found.lesion_probability[core].max() < 1
    np.testing.assert_allclose(found.lesion_signal[core], 800.0, rtol=1e-5)


@pytest.mark.parametrize("offset_mm", [(0, 0, 0), (9.0, -8.0, 0)], ids=["inside", "at the edge of the image"])
def test_the_window_holds_all_of_the_box(offset_mm):
    prediction = predict(scaled, gtv=ball(GRID, offset_mm))
    whole = np.stack([paste_slice(one, prediction.crops.box, SPACING_MM, (28, 30)) for one in prediction.drift.mean(0)])
    inside = whole[(slice(None), *prediction.window)]
    np.testing.assert_allclose(prediction.drift_mean, inside, rtol=0, atol=1e-9 * np.abs(whole).max())
    assert np.abs(whole).sum() == pytest.approx(np.abs(inside).sum())


def test_predicted_gtv_is_where_half_of_the_outcomes_show_the_lesion():
    def some(image, seed):
        """Every second outcome of an image has lost its upper half."""
        left = np.arange(SIZE) >= SIZE // 2
        keep = np.where((np.arange(len(seed)) // 5 % 2 == 0)[:, None], left, np.ones(SIZE, bool))
        return {"post": image * keep[:, :, None, None], "drift": np.zeros_like(image)}

    halved = predict(some, outcomes=5)  # 5 slices; outcomes 0, 2 and 4 are halved
    whole = predict(same, outcomes=5)
    assert whole.predicted_gtv.sum() / 2 == pytest.approx(halved.predicted_gtv.sum(), rel=0.12)
    assert halved.outcome_volumes_mm3[1] == pytest.approx(whole.outcome_volumes_mm3[1])
    assert halved.outcome_volumes_mm3[0] < 0.6 * whole.outcome_volumes_mm3[0]


def test_a_lesion_that_vanishes_has_no_volume():
    def gone(image, _seed):
        return {"post": 0.02 * image, "drift": -0.98 * image}

    prediction = predict(gone)
    assert prediction.outcome_volumes_mm3.tolist() == [0.0] * 4
    assert not prediction.predicted_gtv.any()
    assert prediction.good_response_share == 1.0


def test_good_response_is_below_four_fifths_of_the_volume():
    prediction = dataclasses.replace(
        predict(same), volume_mm3=1000.0, outcome_volumes_mm3=np.array([100.0, 799.0, 800.0, 801.0, 2000.0])
    )
    assert prediction.good_response_share == 2 / 5


def test_the_interval_holds_nine_tenths_of_the_outcomes():
    prediction = dataclasses.replace(predict(same), outcome_volumes_mm3=np.arange(101.0))
    assert prediction.interval_mm3 == (5.0, 95.0)


@pytest.mark.parametrize("place", [(0, 5), (5, 0), (SIZE - 1, 5), (5, SIZE - 1)])
def test_a_lesion_at_any_edge_of_its_crop_is_noticed(place):
    prediction = predict(same)
    assert prediction.touches_edge == 0
    masks = prediction.outcome_masks.copy()
    masks[(1, 2, *place)] = True
    assert dataclasses.replace(prediction, outcome_masks=masks).touches_edge == 1 / 4


def test_half_the_width_of_the_drifts_interval_is_over_the_pixels_of_the_gtv_alone():
    prediction = predict(same)
    gtv = prediction.crops.gtv
    width = np.where(gtv, np.random.default_rng(1).random(gtv.shape), 1e6)
    ramp = np.linspace(-0.5, 0.5, 101)[:, None, None, None] * width  # its 5% and 95% quantile are 0.9 widths apart
    prediction = dataclasses.replace(prediction, drift=ramp)
    assert prediction.drift_half_width() == pytest.approx(0.45 * width[gtv].mean())
    pixels = gtv.sum(axis=(1, 2))
    out = 0.25 * np.sum(pixels * prediction.crops.scale) / pixels.sum()
    assert prediction.drift_half_width(0.25) - prediction.drift_half_width() == pytest.approx(out)


def test_drift_statistics_are_over_the_gtv_alone():
    prediction = predict(scaled)
    drift, variance = np.full(prediction.gtv.shape, 1e6), np.full(prediction.gtv.shape, 1e6)
    drift[prediction.gtv], variance[prediction.gtv] = np.linspace(-3, 1, prediction.gtv.sum()), 4.0
    statistics = dataclasses.replace(prediction, drift_mean=drift, drift_variance=variance).drift_statistics()
    assert statistics == pytest.approx({"mean": -1.0, "lowest": -3.0, "highest": 1.0, "mean_std": 2.0})
