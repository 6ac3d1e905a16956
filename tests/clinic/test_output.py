import dataclasses

import numpy as np

from tests.clinic.patients import SIZE, PythonModel, ball, scaled
from tests.imaging.mock_dicom import make_grid
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.output import Lesion, on_slices
from tfdrift.imaging.structures import Roi

GRID = make_grid(size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0))
SIGNAL = np.random.default_rng(0).uniform(700, 900, (11, 28, 30)).astype(np.float32)


def make_lesion(number: int, **place) -> Lesion:
    gtv = ball(GRID, **place)
    crops = crop_gtv(SIGNAL, gtv, (2.0, 1.1, 0.9), SIZE)
    prediction = predict_lesion(PythonModel(scaled), gtv, crops, outcome_seeds(0, number, 3, len(crops.slices)))
    return Lesion(Roi(number=number, name="GTV", contours_mm=()), "GTV", prediction, [])


def test_maps_of_two_lesions_add_and_so_do_their_variances():
    one = make_lesion(1, offset_mm=(-4, 0, 0), radius_mm=4.5)
    two = make_lesion(2, offset_mm=(4, 1, 2), radius_mm=4.5)

    def draw(name, *lesions):
        return on_slices(name, list(lesions), range(11), (28, 30))

    assert ((draw("drift_mean", one) != 0) & (draw("drift_mean", two) != 0)).any()
    for name in ("post_mean", "drift_mean"):
        np.testing.assert_allclose(draw(name, one, two), draw(name, one) + draw(name, two), rtol=1e-5)
    spread = np.hypot(draw("drift_std", one), draw("drift_std", two))
    np.testing.assert_allclose(draw("drift_std", one, two), spread, rtol=1e-5)


def test_chosen_slices_are_those_of_the_whole():
    lesion = make_lesion(1)
    slices = lesion.prediction.crops.slices
    whole = on_slices("drift_mean", [lesion], range(11), (28, 30))
    np.testing.assert_array_equal(on_slices("drift_mean", [lesion], slices, (28, 30)), whole[slices])
    assert not np.delete(whole, slices, axis=0).any()


def test_values_stand_in_the_window_and_nowhere_else():
    lesion = make_lesion(1)
    marked = np.full(lesion.prediction.post_mean.shape, 5.0)
    lesion = lesion._replace(prediction=dataclasses.replace(lesion.prediction, post_mean=marked))
    volume = on_slices("post_mean", [lesion], range(11), (28, 30))
    assert volume.sum() == marked.sum()
    assert (volume[(lesion.prediction.crops.slices, *lesion.prediction.window)] == 5).all()


def test_a_voxel_shows_no_lesion_with_the_product_of_the_shares_that_show_none():
    one, two = make_lesion(1, offset_mm=(-4, 0, 0), radius_mm=4.5), make_lesion(2, offset_mm=(4, 1, 2), radius_mm=4.5)
    lesions = []
    for lesion, share in ((one, 0.5), (two, 0.25)):
        shares = np.full(lesion.prediction.lesion_probability.shape, share)
        lesions.append(lesion._replace(prediction=dataclasses.replace(lesion.prediction, lesion_probability=shares)))
    assert set(np.unique(on_slices("lesion_probability", lesions, range(11), (28, 30)))) == {0, 0.25, 0.5, 0.625}
