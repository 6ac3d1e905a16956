"""Where the tissue of a patient goes, in the patient's own axes."""

import json
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.clinic.patients import ORIENTATIONS, SIZE, PythonModel, ball, turned, write_patient
from tests.imaging.mock_dicom import FRAME_UID, make_grid
from tfdrift.clinic import predict
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.movement import MAPS, in_patient, make_field
from tfdrift.clinic.output import field_on_grid
from tfdrift.clinic.pictures import draw_movement
from tfdrift.clinic.predict import predict_patient
from tfdrift.imaging.spatial_registration import read_spatial_registration

DOWN, RIGHT = 1.5, -0.5  # crop pixels
DIRECTIONS = {**ORIENTATIONS, **{f"oblique {seed}": turned(seed) for seed in range(2)}}


def moving(image: np.ndarray, _seed: np.ndarray) -> dict[str, np.ndarray]:
    """Tell the same movement everywhere, growth and gain of a tenth, and nothing new."""
    constant = np.ones_like(image)
    return {
        "post": image,
        "drift": 0 * image,
        "displacement": np.concatenate([DOWN * constant, RIGHT * constant], axis=-1),
        "log_jacobian": 0.1 * constant,
        "log_gain": -0.1 * constant,
        "residual": 0 * image,
    }


@pytest.fixture(scope="module")
def prediction():
    grid = make_grid(size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0))
    signal = np.random.default_rng(0).uniform(700, 900, (11, 28, 30)).astype(np.float32)
    crops = crop_gtv(signal, ball(grid), (2.0, 1.1, 0.9), SIZE)
    return predict_lesion(PythonModel(moving), ball(grid), crops, outcome_seeds(0, 1, 2, len(crops.slices)))


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_the_displacement_is_a_vector_of_the_patient_in_mm(direction, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "build_report", lambda *_args, **_named: "")  # whose pictures take most of the time
    patient = write_patient(tmp_path, direction=direction)
    document = predict_patient(
        PythonModel(moving), series_dir=patient.series, rtstruct=patient.rtstruct, out=tmp_path / "out", outcomes=2
    )
    (lesion,) = document["lesions"]
    pixel_mm = lesion["crop_mm"] / SIZE
    axes = np.reshape(patient.grid.direction, (3, 3)).T
    expected = pixel_mm * (DOWN * axes[1] + RIGHT * axes[0])
    image = sitk.ReadImage(str(tmp_path / "out/nifti/displacement_mm.nii.gz"))
    mri = sitk.ReadImage(str(tmp_path / "out/nifti/post_mean.nii.gz"))
    np.testing.assert_allclose(image.GetDirection(), mri.GetDirection())
    vectors = sitk.GetArrayFromImage(image)[patient.masks["GTV 1"]]
    np.testing.assert_allclose(vectors, np.broadcast_to(expected, vectors.shape), atol=1e-4)
    # Other programs find the components of ITK: one vector a voxel in the fifth dimension.
    raw = nibabel.load(tmp_path / "out/nifti/displacement_mm.nii.gz")
    assert raw.shape == (*mri.GetSize(), 1, 3)
    middle = tuple(side // 2 for side in mri.GetSize())
    np.testing.assert_allclose(raw.get_fdata()[(*middle, 0)], expected, atol=1e-4)
    assert_is_the_same_in_dicom(tmp_path / "out/dicom/displacement.dcm", image)
    told = lesion["movement_in_gtv"]
    assert told["mean_displacement_mm"] == pytest.approx(np.hypot(DOWN, RIGHT) * pixel_mm, rel=1e-4)
    assert told["mean_log_jacobian"] == pytest.approx(0.1, rel=1e-4)
    for name, value in (("log_jacobian", 0.1), ("log_gain", -0.1), ("residual", 0)):
        voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"out/nifti/{name}.nii.gz")))
        np.testing.assert_allclose(voxels[patient.masks["GTV 1"]], value, atol=1e-6)


def test_the_page_tells_the_movement(tmp_path):
    patient = write_patient(tmp_path)
    predict_patient(
        PythonModel(moving), series_dir=patient.series, rtstruct=patient.rtstruct, out=tmp_path / "out", outcomes=2
    )
    page = (tmp_path / "out/report.html").read_text()
    assert "Movement" in page
    assert "changes its area by +11% and its signal by −10%" in page


def assert_is_the_same_in_dicom(file, image):
    """The registration object moves every voxel's centre as the NIfTI file says; outside its block nothing moves."""
    items = pydicom.dcmread(file).DeformableRegistrationSequence
    found = read_spatial_registration(file, FRAME_UID, items[1].SourceFrameOfReferenceUID)
    assert found is not None
    vectors = sitk.GetArrayFromImage(image)
    some = np.argwhere(np.ones(vectors.shape[:3]))[::37]
    points = np.array([image.TransformIndexToPhysicalPoint(index[::-1].tolist()) for index in some])
    moved = np.array([found.transform.TransformPoint(point) for point in points.tolist()])
    # NIfTI keeps the grid in single precision.
    np.testing.assert_allclose(moved - points, vectors[tuple(some.T)], atol=2e-3)
    assert np.abs(moved - points).max() > 0.5


def test_a_model_that_tells_no_movement_writes_none(tmp_path):
    patient = write_patient(tmp_path)
    plain = PythonModel(lambda image, seed: {name: moving(image, seed)[name] for name in ("post", "drift")})
    document = predict_patient(
        plain, series_dir=patient.series, rtstruct=patient.rtstruct, out=tmp_path / "out", outcomes=2
    )
    assert "movement_in_gtv" not in document["lesions"][0]
    assert not [path for name in MAPS for path in (tmp_path / "out/nifti").glob(f"{name}*")]
    assert not (tmp_path / "out/dicom/displacement.dcm").exists()
    assert json.loads((tmp_path / "out/prediction.json").read_text()) == document


def test_the_maps_are_those_of_the_mean_answer_on_crops_and_grid():
    answer = {
        name: np.random.default_rng(0).random((2, 4, 4, channels), np.float32)
        for name, channels in (("displacement", 2), ("log_jacobian", 1), ("log_gain", 1), ("residual", 1))
    }
    field = make_field(answer, 1.5, lambda images: 10 * images)
    assert field is not None
    assert set(field.crops) == set(field.grid) == set(MAPS)
    np.testing.assert_array_equal(field.crops["displacement_mm"], 1.5 * answer["displacement"])
    np.testing.assert_allclose(field.grid["residual"], 10 * answer["residual"])
    assert make_field({"post": answer["residual"]}, 1.5, lambda images: images) is None


def test_a_vector_keeps_its_length_in_every_orientation():
    for direction in DIRECTIONS.values():
        vector = in_patient(np.array([[3.0, 4.0]]), tuple(direction))
        assert np.linalg.norm(vector) == pytest.approx(5)


def test_lesions_that_overlap_add(prediction):
    lesion: Any = SimpleNamespace(prediction=prediction)
    one = field_on_grid("log_gain", [lesion], (11, 28, 30))
    both = field_on_grid("log_gain", [lesion, lesion], (11, 28, 30))
    assert one.min() == pytest.approx(-0.1)
    np.testing.assert_allclose(both, 2 * one)


def test_arrows_stand_in_the_lesion_and_point_where_it_goes(prediction):
    figure = draw_movement(prediction, prediction.field)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 3 * 4
    assert [axes.get_title() for axes in panels[:4]] == ["MRI now, and where it moves", "growth", "gain", "what is new"]
    (arrows,) = [artist for artist in panels[0].collections if hasattr(artist, "U")]
    in_mm = prediction.crops.pixel_mm  # the model tells crop pixels, and arrows are drawn in voxels of 0.9 x 1.1 mm
    np.testing.assert_allclose(arrows.U, RIGHT * in_mm / 0.9, rtol=1e-5)
    np.testing.assert_allclose(arrows.V, DOWN * in_mm / 1.1, rtol=1e-5)
    row = prediction.crops.slices.index(int(panels[0].get_ylabel().removeprefix("slice ")) - 1)
    columns, rows = np.asarray(arrows.XY, int).T
    inside = prediction.gtv[row] | prediction.predicted_gtv[row]
    assert inside[rows, columns].all()
    assert panels[0].yaxis_inverted()  # rows grow downwards, so that a positive V points down
