"""Models that see the whole lesion in one volume, on lesions of which everything is known."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy import ndimage

from tests.clinic.patients import SIZE, PythonModel, ball, write_patient
from tests.imaging.mock_dicom import make_grid, to_mm
from tests.untrained_runs import leave_untrained
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.movement import in_patient
from tfdrift.clinic.pictures import draw_slices
from tfdrift.clinic.plausibility import doubts
from tfdrift.clinic.predict import predict_patient
from tfdrift.clinic.scenarios import measure
from tfdrift.cohort.crop import crop_lesion
from tfdrift.config import train_config
from tfdrift.errors import DataError
from tfdrift.export.saved_model import export_run
from tfdrift.synthetic.phantom_samples import phantom_samples

SPACING_MM = (2.0, 1.1, 0.9)
GRID = make_grid(size=(30, 28, 17), spacing_mm=(0.9, 1.1, 2.0))
SIGNAL = np.random.default_rng(0).uniform(400, 900, (17, 28, 30)).astype(np.float32)
GTV = ball(GRID)


def predict(formula, signal=SIGNAL, gtv=GTV, outcomes=4):
    crops = crop_gtv(signal, gtv, SPACING_MM, SIZE, lesion="volume")
    model = PythonModel(formula, lesion="volume")
    return predict_lesion(model, gtv, crops, outcome_seeds(0, 1, outcomes, len(crops.shown)))


def unchanged(image, _seed):
    return {"post": image, "drift": 0 * image}


def grown(image, _seed):
    """Every lesion grows by a pixel on all sides, with the signal of its surroundings."""
    post = np.stack([ndimage.grey_dilation(one[..., 0], size=(3, 3, 3))[..., None] for one in image])
    return {"post": post, "drift": post - image}


def test_the_volume_is_that_of_the_training():
    crops = crop_gtv(SIGNAL, GTV, SPACING_MM, SIZE, lesion="volume")
    trained = crop_lesion(SIGNAL, SIGNAL, GTV, GTV, spacing_mm=SPACING_MM, image_size=SIZE, lesion="volume")
    assert crops.shown.shape == trained.pre.shape == (1, SIZE, SIZE, SIZE, 1)
    np.testing.assert_allclose(crops.shown / crops.shown_scale, trained.pre, rtol=1e-6)
    np.testing.assert_array_equal(crops.shown_gtv, trained.pre_mask)
    assert crops.slices == trained.slices
    assert crops.pixel_mm == trained.pixel_mm


def test_each_outcome_asks_for_one_volume_with_one_seed():
    asked = []

    def formula(image, seed):
        asked.append((image.shape, len(np.unique(seed, axis=0))))
        return unchanged(image, seed)

    predict(formula, outcomes=3)
    assert asked == [((3, SIZE, SIZE, SIZE, 1), 3)]


def test_who_leaves_a_lesion_as_it_is_leaves_its_volume_and_its_place():
    prediction = predict(unchanged)
    found, there = prediction.predicted_gtv, prediction.gtv
    assert (found & there).sum() / (found | there).sum() > 0.8
    assert prediction.outcome_volumes_mm3 == pytest.approx([prediction.volume_mm3] * 4, rel=0.1)
    assert prediction.drift_mean.max() == 0


def test_growth_beyond_the_first_and_the_last_slice_is_told():
    prediction = predict(grown)
    now, then = (mask.any(axis=(1, 2)) for mask in (prediction.gtv, prediction.predicted_gtv))
    assert now.sum() < then.sum() <= len(prediction.crops.slices)
    assert not (now & ~then).any()
    assert prediction.outcome_volumes_mm3.min() > 1.3 * prediction.volume_mm3


def test_growth_beyond_the_lesions_ends_is_drawn():
    prediction = predict(grown)
    figure = draw_slices(prediction, (1, 0, 0, 0, 1, 0, 0, 0, 1))
    named = [axes.get_ylabel() for axes in figure.axes if "beyond the GTV" in axes.get_ylabel()]
    now = np.flatnonzero(prediction.gtv.any(axis=(1, 2)))
    ends = [prediction.crops.slices[now[0]], prediction.crops.slices[now[-1]] + 2]
    assert named == [f"slice {number}\nbeyond the GTV" for number in ends]


def test_growth_beyond_the_lesions_ends_is_contoured_in_the_structure_set(tmp_path):
    patient = write_patient(tmp_path / "patient")
    (mask,) = patient.masks.values()
    model = PythonModel(grown, lesion="volume")
    predict_patient(model, series_dir=patient.series, rtstruct=patient.rtstruct, out=tmp_path / "out", outcomes=2)
    (file,) = (tmp_path / "out/dicom").rglob("predicted_gtv_rtstruct.dcm")
    (roi,) = pydicom.dcmread(file).ROIContourSequence
    drawn = {round(float(contour.ContourData[2]), 3) for contour in roi.ContourSequence}
    own = np.flatnonzero(mask.any(axis=(1, 2)))
    ends = {round(float(to_mm(patient.grid, np.array([0.0, 0.0, k]))[2]), 3) for k in (own[0] - 1, own[-1] + 1)}
    assert ends <= drawn


def test_between_slices_of_the_volume_it_is_linear():
    prediction = predict(unchanged, signal=np.full(SIGNAL.shape, 500.0, np.float32))
    ramp = np.arange(SIZE, dtype=np.float32)[:, None, None, None] * np.ones((1, SIZE, SIZE, SIZE, 1), np.float32)
    crops = prediction.crops
    found = crops.on_slices(ramp)[:, 0, 0, 0]
    at = (np.array(crops.slices) - crops.box.center[0]) * 2.0 / crops.pixel_mm + (SIZE - 1) / 2
    np.testing.assert_allclose(found, np.clip(at, 0, SIZE - 1), rtol=1e-5)


def test_a_lesion_that_fills_its_cube_reaches_the_edge():
    filled = predict(lambda image, _: {"post": np.full_like(image, 500.0), "drift": 500.0 - image})
    assert filled.touches_edge == 1
    assert predict(unchanged).touches_edge == 0


def test_what_is_measured_is_that_of_the_volume():
    crops = crop_gtv(SIGNAL, GTV, SPACING_MM, SIZE, lesion="volume")
    found = measure(crops, GTV)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(
        ("size", "core", "peak", "place"), (1,)
    )
    radius_mm = (3 * GTV.sum() * np.prod(SPACING_MM) / (4 * np.pi)) ** (1 / 3)
    assert found["size"] == pytest.approx(radius_mm)


def test_the_signal_is_compared_as_a_whole():
    facts = {"data": {"ranges": {"pixel_mm": [0.1, 9.0], "mean_signal": [0.9, 1.0]}}}
    said = doubts(predict(unchanged), (28, 30), "axial", facts)
    (one,) = [text for text in said if "unlike the training data" in text]
    assert "slices" not in one


def test_a_lesion_without_signal_is_refused():
    with pytest.raises(DataError, match="the lesion holds no signal above zero"):
        predict(unchanged, signal=np.zeros_like(SIGNAL))


def test_vectors_of_three_components_go_along_the_axes_of_the_grid():
    turned = (0, 1, 0, 0, 0, 1, 1, 0, 0)  # columns to head, rows to left, slices to back
    np.testing.assert_array_equal(in_patient(np.array([5.0, 2.0, 1.0]), turned), [2.0, 5.0, 1.0])


@pytest.fixture(scope="module", params=["direct", "method1"])
def predicted(request, tmp_path_factory):
    """What an exported model of volumes, untrained, says of a patient; the field for one of the two."""
    folder = tmp_path_factory.mktemp("whole")
    form = {"drift_form": "field"} if request.param == "direct" else {}
    tiny = {"image_size": SIZE, "base_filters": 2, "depth": 1, "levels": 3, "batch_size": 2, "steps": 1}
    config = train_config(request.param, lesion="volume", **tiny, **form)
    samples = phantom_samples(image_size=SIZE, patients=3, folds=3, lesion_as="volume")
    leave_untrained(config, folder / "run", samples=samples, echo=print)
    patient = write_patient(folder / "patient")
    model = LocalModel(export_run(folder / "run", folder / "models"))
    document = predict_patient(
        model, series_dir=patient.series, rtstruct=patient.rtstruct, out=folder / "out", outcomes=2
    )
    return document, folder / "out", patient


def test_a_patient_is_predicted_and_written_whole(predicted):
    document, out, patient = predicted
    assert json.loads((out / "prediction.json").read_text()) == document
    image = sitk.ReadImage(str(out / "nifti/post_mean.nii.gz"))
    assert image.GetSize() == patient.grid.size
    assert (out / "report.html").stat().st_size > 10_000
    (mask,) = patient.masks.values()
    filled = (np.flatnonzero(mask.any(axis=(1, 2))) + 1).tolist()
    assert set(filled) < set(document["lesions"][0]["slices"])


def test_a_field_of_volumes_has_vectors_in_three_dimensions(predicted):
    document, out, _ = predicted
    if document["model"]["method"] != "direct":
        return
    image = sitk.ReadImage(str(out / "nifti/displacement_mm.nii.gz"))
    assert image.GetNumberOfComponentsPerPixel() == 3
    assert "in the plane" not in (out / "report.html").read_text()
