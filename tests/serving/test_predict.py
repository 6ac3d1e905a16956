import nibabel
import numpy as np
import pydicom
import pytest

from tests.imaging.mock_dicom import enhanced_dataset, write
from tests.serving.patients import (
    LEFT,
    MIDDLE,
    ORIENTATIONS,
    PER_MM,
    brighter_than_middle,
    centers_mm,
    middle_mm,
    noisy,
    ramp,
    turned,
    write_formula,
    write_patient,
)
from tfdrift.serving.models import LocalModel
from tfdrift.serving.predict import predict_patient

CROP_PIXEL_MM = 1.2  # 13 voxels of 0.9 to 1.1 mm and a margin of a quarter on each side, over 16 pixels
DIRECTIONS = {**ORIENTATIONS, **{f"oblique {seed}": turned(seed) for seed in range(3)}}


@pytest.fixture(scope="module")
def sided(tmp_path_factory) -> LocalModel:
    """Positive drift where the MRI is brighter than in the middle, which is on the patient's left; GTV left there."""
    return LocalModel(write_formula(tmp_path_factory.mktemp("models") / "sided", brighter_than_middle))


@pytest.fixture(scope="module")
def chancy(tmp_path_factory) -> LocalModel:
    return LocalModel(write_formula(tmp_path_factory.mktemp("models") / "chancy", noisy))


@pytest.fixture(scope="module", params=DIRECTIONS)
def written(request, sided, tmp_path_factory):
    """A patient scanned in one orientation, and the folder of the prediction."""
    folder = tmp_path_factory.mktemp("patient")
    patient = write_patient(folder, direction=DIRECTIONS[request.param])
    predict_patient(sided, series_dir=patient.series, rtstruct=patient.rtstruct, out=folder / "out", samples=2)
    return patient, folder / "out"


def read_nifti(path) -> tuple[np.ndarray, np.ndarray]:
    """Patient coordinates (LPS) and value of each voxel, by the file's own affine."""
    image = nibabel.load(path)
    index = np.argwhere(np.ones(image.shape))
    ras = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    return ras * (-1, -1, 1), image.get_fdata()[tuple(index.T)]


def read_frames(path) -> tuple[np.ndarray, np.ndarray]:
    """Patient coordinates and value of each pixel of each frame, by DICOM PS3.3 equation C.7.6.2.1-1."""
    dataset = pydicom.dcmread(path)
    shape = (dataset.NumberOfFrames, dataset.Rows, dataset.Columns)
    if "FloatPixelData" in dataset:
        values = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(shape)
    else:
        values = dataset.pixel_array.reshape(shape)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    origins = np.array(
        [frame.PlanePositionSequence[0].ImagePositionPatient for frame in dataset.PerFrameFunctionalGroupsSequence],
        float,
    )
    i, j = np.arange(shape[2])[:, None], np.arange(shape[1])[:, None, None]
    points = origins[:, None, None] + column_mm * i * cosines[:3] + row_mm * j * cosines[3:]
    return points.reshape(-1, 3), values.ravel()


def assert_is_ramp_to_the_left(points_mm, drift, grid):
    left_mm = (points_mm - middle_mm(grid)) @ LEFT
    # By interpolation a value may cross over by a crop pixel where the edge of the lesion is near.
    assert left_mm[drift > 1].min() > -CROP_PIXEL_MM
    assert left_mm[drift < -1].max() < CROP_PIXEL_MM
    interior = np.linalg.norm(points_mm - middle_mm(grid), axis=1) < 3.5
    assert interior.sum() > 50
    # A linear signal survives linear interpolation; the MRI holds it in whole numbers.
    np.testing.assert_allclose(drift[interior], PER_MM * left_mm[interior], atol=0.51)


def test_nifti_drift_lies_on_the_patients_side_it_is_on(written):
    patient, out = written
    assert_is_ramp_to_the_left(*read_nifti(out / "nifti/drift_mean.nii.gz"), patient.grid)


def test_parametric_map_drift_lies_on_the_patients_side_it_is_on(written):
    patient, out = written
    assert_is_ramp_to_the_left(*read_frames(out / "dicom/drift_mean.dcm"), patient.grid)


def test_nifti_post_is_the_mri_on_the_side_that_is_left(written):
    patient, out = written
    points, post = read_nifti(out / "nifti/post_mean.nii.gz")
    left_mm = (points - middle_mm(patient.grid)) @ LEFT
    interior = (np.linalg.norm(points - middle_mm(patient.grid), axis=1) < 3.5) & (np.abs(left_mm) > 1.5)
    np.testing.assert_allclose(post[interior], np.where(left_mm > 0, MIDDLE + PER_MM * left_mm, 0)[interior], atol=0.51)


def test_segmentation_lies_on_the_patients_side_it_is_on(written):
    patient, out = written
    points, inside = read_frames(out / "dicom/predicted_gtv.dcm")
    left_mm = (points[inside > 0] - middle_mm(patient.grid)) @ LEFT
    assert left_mm.min() > -CROP_PIXEL_MM
    on_the_left = (centers_mm(patient.grid) - middle_mm(patient.grid)) @ LEFT > 0.01
    assert len(left_mm) == pytest.approx((patient.masks["GTV 1"] & on_the_left).sum(), rel=0.15)


def test_an_enhanced_multi_frame_series_gives_the_same_maps(sided, tmp_path):
    patient = write_patient(tmp_path, direction=turned(5))
    volume = ramp(patient.grid)
    (tmp_path / "enhanced").mkdir()
    order = np.random.default_rng(0).permutation(len(volume)).tolist()
    write(enhanced_dataset(patient.grid, volume, order, [1] * len(volume)), tmp_path / "enhanced/one.dcm")
    for source, out in ((patient.series, "a"), (tmp_path / "enhanced", "b")):
        predict_patient(sided, series_dir=source, rtstruct=patient.rtstruct, out=tmp_path / out, samples=2)
    for name in ("drift_mean", "predicted_gtv"):
        points, values = read_frames(tmp_path / f"a/dicom/{name}.dcm")
        again_points, again_values = read_frames(tmp_path / f"b/dicom/{name}.dcm")
        np.testing.assert_allclose(again_points, points, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(again_values, values)
