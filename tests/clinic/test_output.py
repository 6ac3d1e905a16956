import dataclasses

import numpy as np
import pytest

from tests.clinic.patients import SIZE, PythonModel, ball, scaled
from tests.imaging.mock_dicom import make_grid
from tfdrift.clinic.lesion import crop_gtv, predict_lesion, sample_seeds
from tfdrift.clinic.output import Lesion, on_slices, refuse_used, staged
from tfdrift.errors import ResourceError, UsageError
from tfdrift.imaging.structures import Roi

GRID = make_grid(size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0))
SIGNAL = np.random.default_rng(0).uniform(700, 900, (11, 28, 30)).astype(np.float32)


def make_lesion(number: int, **place) -> Lesion:
    gtv = ball(GRID, **place)
    crops = crop_gtv(SIGNAL, gtv, (2.0, 1.1, 0.9), SIZE)
    prediction = predict_lesion(PythonModel(scaled), gtv, crops, sample_seeds(0, number, 3, len(crops.slices)))
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


def test_a_staged_folder_becomes_the_output(tmp_path):
    (tmp_path / "out").mkdir()
    with staged(tmp_path / "out") as folder:
        (folder / "file").write_text("whole")
        assert list((tmp_path / "out").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/file").read_text() == "whole"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_end_before_the_end_leaves_nothing(tmp_path, error):
    def broken():
        with staged(tmp_path / "out") as folder:
            (folder / "half").write_text("half")
            raise error

    with pytest.raises(error):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(ResourceError, match=r"cannot write to .*out: No space left on device; choose another --out"):
        fill(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def fill(out):
    with staged(out) as folder:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write to"), staged(tmp_path / "file/out"):
        pass


def test_an_output_that_is_there_and_empty_may_be_used(tmp_path):
    refuse_used(tmp_path)
    refuse_used(tmp_path / "new")


@pytest.mark.parametrize("what", ["folder", "file"])
def test_an_output_in_use_is_refused(tmp_path, what):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/something").write_text("")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not an empty folder"):
        refuse_used(tmp_path / what)
