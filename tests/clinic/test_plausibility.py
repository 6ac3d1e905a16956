import dataclasses

import numpy as np
import pytest

from tests.clinic.patients import SIZE, PythonModel, ball, same, scaled
from tests.imaging.mock_dicom import make_grid
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.plausibility import doubts

GRID = make_grid(size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0))
SHAPE = (28, 30)
SIGNAL = np.random.default_rng(0).uniform(700, 900, (11, 28, 30)).astype(np.float32)
KNOWN = {"data": {"ranges": {"pixel_mm": [0.2, 2.0], "mean_signal": [0.5, 0.95]}}}


def predict(formula=scaled, gtv=None, signal=SIGNAL, spacing_mm=(2.0, 1.1, 0.9), size=SIZE):
    gtv = ball(GRID) if gtv is None else gtv
    crops = crop_gtv(signal, gtv, spacing_mm, size)
    return predict_lesion(PythonModel(formula), gtv, crops, outcome_seeds(0, 1, 4, len(crops.slices)))


def ranges(**changed):
    return {"data": {"ranges": {**KNOWN["data"]["ranges"], **changed}}}


def test_a_plain_lesion_raises_no_doubt():
    assert doubts(predict(), SHAPE, "axial", KNOWN) == []


def test_a_lesion_larger_than_its_crop_is_said():
    prediction = predict()
    masks = prediction.outcome_masks.copy()
    masks[:3, 0, 0, 0] = True
    (said,) = doubts(dataclasses.replace(prediction, outcome_masks=masks), SHAPE, "axial", KNOWN)
    assert said.startswith("in 75% of the outcomes the lesion reaches the edge of its crop of 18.9 mm")


def test_signal_unlike_the_training_data_is_said():
    (said,) = doubts(predict(), SHAPE, "axial", ranges(mean_signal=[0.2, 0.4]))
    assert said.startswith("the signal is unlike the training data in 5 of 5 slices")


def test_negative_signal_is_said():
    signal = SIGNAL.copy()
    signal[5, 14, 15] = -900
    assert any(
        said.startswith("the signal is negative") for said in doubts(predict(signal=signal), SHAPE, "axial", KNOWN)
    )


@pytest.mark.parametrize("pixel_mm", [[0.2, 1.0], [1.5, 2.0]], ids=["coarser", "finer"])
def test_a_spacing_out_of_the_training_range_is_said(pixel_mm):
    (said,) = doubts(predict(), SHAPE, "axial", ranges(pixel_mm=pixel_mm))
    assert said.startswith("a crop pixel is 1.18 mm, the spacing in the training data was")


@pytest.mark.parametrize("spacing_mm", [(3.2, 1.1, 0.9), (2.0, 2.1, 0.9)], ids=["slices", "plane"])
def test_coarse_voxels_are_said(spacing_mm):
    assert any("mm are coarse" in said for said in doubts(predict(spacing_mm=spacing_mm), SHAPE, "axial", KNOWN))


def test_a_crop_beyond_the_image_is_said():
    (said,) = doubts(predict(gtv=ball(GRID, (9.0, 0, 0))), SHAPE, "axial", KNOWN)
    assert said.startswith("the crop reaches beyond the edge of the image")


def test_few_slices_are_said():
    gtv = ball(GRID)
    gtv[6:] = gtv[:5] = False
    (said,) = doubts(predict(gtv=gtv), SHAPE, "axial", KNOWN)
    assert said == "the lesion is on 1 slice only"


def test_few_voxels_are_said():
    gtv = ball(GRID, radius_mm=3.0)
    (said,) = doubts(predict(gtv=gtv), SHAPE, "axial", KNOWN)
    assert said == f"the lesion has only {gtv.sum()} voxels, so its volume changes in steps of {100 / gtv.sum():.0f}%"


def test_slices_left_out_are_said():
    gtv = ball(GRID, radius_mm=8.0)
    gtv[0, 14, 15] = True
    found = doubts(predict(gtv=gtv, size=4), SHAPE, "axial", ranges(pixel_mm=[0, 9]))
    assert any("of the lesion are too small for a crop pixel" in said for said in found)


def test_a_model_without_noise_is_said():
    assert doubts(predict(same), SHAPE, "axial", KNOWN)[-1].startswith("all outcomes are the same")


def test_a_model_that_does_not_tell_its_training_data_is_said():
    (said,) = doubts(predict(), SHAPE, "axial", {})
    assert said.startswith("what the model was trained on is not known here")


def test_an_orientation_that_the_model_has_not_seen_is_said():
    (said,) = doubts(predict(), SHAPE, "sagittal", trained_on(["coronal", "axial"]))
    assert said == "the slices are sagittal, the model has seen axial, coronal ones only"


@pytest.mark.parametrize("orientations", [["axial", "sagittal"], []], ids=["seen", "not told"])
def test_an_orientation_that_was_seen_or_of_which_nothing_is_told_raises_no_doubt(orientations):
    assert doubts(predict(), SHAPE, "sagittal", trained_on(orientations)) == []


def trained_on(orientations: list[str]) -> dict:
    return {"data": {**KNOWN["data"], "orientations": orientations}}
