import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from tests.imaging.mock_dicom import FRAME_UID, SERIES_UID, STUDY_UID, random_grid, to_mm, write_series
from tfdrift.clinic.dicom_writing import Object
from tfdrift.clinic.registration_writing import write_deformation
from tfdrift.clinic.source_images import find_source
from tfdrift.imaging.dicom import read_header
from tfdrift.imaging.series import files_of, read_series
from tfdrift.imaging.spatial_registration import find_spatial_registration, read_spatial_registration

ABOUT = Object(
    description="predicted displacement, research use",
    label="DISPLACEMENT",
    series_number=9105,
    model="m version 7",
    model_id="a",
)
CORNER = (1, 2, 1)


@pytest.fixture(scope="module", params=range(3))
def written(request, tmp_path_factory):
    """A series on a random oblique grid, vectors on a block of it, and the file that holds them."""
    rng = np.random.default_rng(request.param)
    folder = tmp_path_factory.mktemp("patient")
    grid = random_grid(rng)
    write_series(folder / "MR", grid, rng.integers(0, 900, grid.size[::-1]).astype(np.uint16))
    _, series = read_series(folder / "MR")
    files = files_of(folder / "MR")
    headers = [read_header(files[one.file], "a file") for one in series.slices]
    columns, rows, _ = series.grid.size
    vectors = rng.normal(0, 0.3, (2, rows - 3, columns - 2, 3)).astype(np.float32)
    source = find_source(headers, series, range(CORNER[0], CORNER[0] + 2))
    write_deformation(folder / "reg.dcm", source, series.grid, vectors, ABOUT, corner=CORNER)
    return folder / "reg.dcm", series, vectors


def predicted_frame(file):
    (uid,) = {
        one.SourceFrameOfReferenceUID for one in pydicom.dcmread(file).DeformableRegistrationSequence
    } - {FRAME_UID}  # fmt: skip
    return uid


def test_our_reader_finds_the_same_displacements(written):
    file, series, vectors = written
    found = read_spatial_registration(file, FRAME_UID, predicted_frame(file))
    assert found is not None
    index = np.argwhere(np.ones(vectors.shape[:3])) + CORNER
    points = to_mm(series.grid, index[:, ::-1])
    moved = np.array([found.transform.TransformPoint(point) for point in points.tolist()])
    np.testing.assert_allclose(moved - points, vectors.reshape(-1, 3), atol=1e-5)


def test_outside_of_the_block_nothing_moves(written):
    file, series, _ = written
    found = read_spatial_registration(file, FRAME_UID, predicted_frame(file))
    assert found is not None
    far = to_mm(series.grid, np.array([-5.0, -5.0, -5.0])).tolist()
    np.testing.assert_allclose(found.transform.TransformPoint(far), far, atol=1e-9)


def test_it_stands_in_the_study_and_the_frame_of_the_series_and_names_its_slices(written):
    file, series, _ = written
    dataset = pydicom.dcmread(file)
    assert dataset.Modality == "REG"
    assert (dataset.StudyInstanceUID, dataset.FrameOfReferenceUID) == (STUDY_UID, FRAME_UID)
    (itself, moved) = dataset.DeformableRegistrationSequence
    named = [one.ReferencedSOPInstanceUID for one in itself.ReferencedImageSequence]
    assert named == [one.sop_instance_uid for one in series.slices[1:3]]
    assert "ReferencedImageSequence" not in moved  # the second MRI does not exist
    assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES_UID


def test_it_relates_no_two_frames_of_a_patient(written):
    """So an import that finds a prediction among the patient's files never takes it for a registration."""
    assert find_spatial_registration([written[0]], FRAME_UID, "1.2.3.4", np.zeros((1, 3))) is None


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
def test_an_independent_checker_finds_no_error(written):
    done = subprocess.run(["dciodvfy", str(written[0])], capture_output=True, text=True, check=False)
    assert "DeformableSpatialRegistration" in done.stdout + done.stderr
    assert [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")] == []
