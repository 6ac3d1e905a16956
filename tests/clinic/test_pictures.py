import numpy as np
import pytest

from tests.clinic.patients import ORIENTATIONS, SIZE, PythonModel, ball, scaled
from tests.imaging.mock_dicom import make_grid
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.pictures import draw_outcomes, draw_slices, draw_volumes, side_letters
from tfdrift.drawing.figure import png_bytes

GRID = make_grid(size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0))
UPRIGHT = ORIENTATIONS["axial"]


@pytest.fixture(scope="module")
def prediction():
    signal = np.random.default_rng(0).uniform(700, 900, (11, 28, 30)).astype(np.float32)
    crops = crop_gtv(signal, ball(GRID), (2.0, 1.1, 0.9), SIZE)
    return predict_lesion(PythonModel(scaled), ball(GRID), crops, outcome_seeds(0, 1, 18, len(crops.slices)))


def shown(axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def test_slices_show_mri_post_drift_and_spread_in_this_order_on_the_mris_grid(prediction):
    panels = [axes for axes in draw_slices(prediction, UPRIGHT).axes if axes.images]
    assert len(panels) == 3 * 5
    assert [axes.get_title() for axes in panels[:5]] == [
        "MRI now", "predicted\nlesion", "predicted lesion\nin the MRI now", "drift, mean of\nthe outcomes",
        "drift, standard\ndeviation",
    ]  # fmt: skip
    row = prediction.crops.slices.index(int(panels[0].get_ylabel().removeprefix("slice ")) - 1)
    np.testing.assert_array_equal(shown(panels[0]), prediction.crops.mri[row])
    np.testing.assert_array_equal(shown(panels[1]), prediction.post_mean[row])
    np.testing.assert_array_equal(shown(panels[2]), prediction.in_surroundings[row])
    np.testing.assert_array_equal(shown(panels[3]), prediction.drift_mean[row])
    np.testing.assert_allclose(shown(panels[4]) ** 2, prediction.drift_variance[row], rtol=1e-12)
    assert panels[0].get_aspect() == 1.1 / 0.9
    assert "outside blue: the MRI now" in [text.get_text() for text in panels[2].texts]


def test_the_bar_is_as_long_as_it_says(prediction):
    axes = draw_slices(prediction, UPRIGHT).axes[0]
    (bar,) = [line for line in axes.lines if line.get_transform() == axes.transAxes]
    start, end = axes.get_xlim()
    assert np.ptp(np.asarray(bar.get_xdata())) * (end - start) * 0.9 == pytest.approx(10)
    assert "10 mm" in [text.get_text() for text in axes.texts]


def test_every_kind_of_picture_has_a_colour_bar_with_a_unit(prediction):
    bars = [axes.get_xlabel() for axes in draw_slices(prediction, UPRIGHT).axes if axes.get_xlabel()]
    assert bars == ["signal, scanner units", "drift, scanner units", "drift, scanner units"]


def test_drift_is_white_at_zero(prediction):
    drift = next(axes for axes in draw_slices(prediction, UPRIGHT).axes if axes.get_title().startswith("drift, mean"))
    low, high = drift.images[0].get_clim()
    assert low == -high


def test_sixteen_outcomes_are_shown_with_their_volumes(prediction):
    panels = [axes for axes in draw_outcomes(prediction).axes if axes.images]
    assert len(panels) == 16
    titles = [f"{volume:,.0f} mm³" for volume in prediction.outcome_volumes_mm3[:16]]
    assert [axes.get_title() for axes in panels] == titles


def test_volumes_stand_on_one_axis_that_begins_at_zero(prediction):
    (axes,) = draw_volumes(prediction).axes
    assert axes.get_xlim()[0] == 0
    drawn = np.concatenate([line.get_xdata() for line in axes.lines])
    for volume in (prediction.volume_mm3, *prediction.outcome_volumes_mm3, *prediction.interval_mm3):
        assert np.isclose(drawn, volume).any()
        assert volume < axes.get_xlim()[1]


def test_a_calibrated_interval_is_drawn_beside_the_raw_one(prediction):
    calibrated = (0.1 * prediction.volume_mm3, 3 * prediction.volume_mm3)
    (axes,) = draw_volumes(prediction, calibrated).axes
    drawn = {tuple(np.asarray(line.get_xdata()).tolist()) for line in axes.lines}
    assert {calibrated, prediction.interval_mm3} <= drawn
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "each outcome",
        "mean and raw 90%",
        "calibrated 90%",
    ]
    assert axes.get_xlim()[1] > calibrated[1]


@pytest.mark.parametrize(
    ("name", "letters"),
    [("axial", "RLAP"), ("coronal", "RLHF"), ("sagittal", "APHF")],
)
def test_letters_name_the_patients_sides(name, letters):
    found = side_letters(ORIENTATIONS[name])
    assert "".join(found[edge] for edge in ("left", "right", "top", "bottom")) == letters


def test_the_same_prediction_gives_the_same_bytes(prediction):
    assert png_bytes(draw_volumes(prediction)) == png_bytes(draw_volumes(prediction))
