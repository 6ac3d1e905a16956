from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SpatialRegistrationStorage

from tests.imaging.synthetic_head import load_heads
from tfdrift.errors import DataError, UsageError
from tfdrift.imaging import registration
from tfdrift.imaging.intensity import tissue_mask
from tfdrift.imaging.pixels import NOT_MEASURED
from tfdrift.imaging.registration import (
    POOR_RESIDUAL_PERCENT,
    Registration,
    check_plausible,
    register,
    register_rigid,
)
from tfdrift.imaging.residual import residual_percent

heads = load_heads()
IDENTITY = sitk.Euler3DTransform()


@pytest.fixture(scope="module")
def fixed() -> sitk.Image:
    return heads.head_session(IDENTITY, second_visit=False, seed=1000)


@pytest.fixture(scope="module")
def still() -> sitk.Image:
    """The second visit without any motion."""
    return heads.head_session(IDENTITY, second_visit=True, seed=1001, gain=0.6)


@pytest.mark.parametrize(("seed", "bias"), [(3, 0.0), (8, 0.2)])
def test_a_known_motion_is_found_to_half_a_voxel(fixed, seed, bias):
    motion = heads.random_motion(seed)
    moving = heads.head_session(motion, second_visit=True, seed=seed, gain=1.7, bias=bias)
    found = register_rigid(fixed, moving)
    assert heads.target_error_mm(found.transform, motion, fixed) < min(fixed.GetSpacing()) / 2
    assert found.kind == "rigid"
    assert found.converged
    assert not found.suspect


def test_another_origin_of_the_scanner_and_a_large_turn_are_found(fixed):
    motion = sitk.Euler3DTransform((0, 0, 0), 0.1, -0.2, 0.5, (4, 5, -6))
    moving = heads.head_session(motion, second_visit=True, seed=5)
    offset = np.array([300.0, -250.0, 800.0])
    moving.SetOrigin((np.array(moving.GetOrigin()) + offset).tolist())
    found = register_rigid(fixed, moving)
    back = sitk.Euler3DTransform()
    back.SetTranslation((-offset).tolist())
    undone = sitk.CompositeTransform([motion, back])  # the last one is applied first
    assert heads.target_error_mm(found.transform, undone, fixed) < min(fixed.GetSpacing()) / 2


@pytest.mark.parametrize(("slices", "thickness_mm"), [(3, 12.0), (10, 2.0)])
def test_a_volume_of_few_voxels_along_an_axis_is_registered(monkeypatch, slices, thickness_mm):
    monkeypatch.setattr(heads, "SIZE_VOXELS", (64, 80, slices))
    monkeypatch.setattr(heads, "SPACING_MM", (2.8, 2.6, thickness_mm))
    motion = sitk.Euler3DTransform((0, 0, 0), 0, 0, 0.1, (5, -3, 0))
    first = heads.head_session(IDENTITY, second_visit=False, seed=1)
    second = heads.head_session(motion, second_visit=True, seed=2, gain=1.7)
    found = register_rigid(first, second)
    assert heads.target_error_mm(found.transform, motion, first) < min(first.GetSpacing()) / 2


def test_the_same_images_give_the_same_bits_on_any_number_of_threads(fixed, still, monkeypatch):
    monkeypatch.setattr(registration, "_LEVELS_MM", (6.0, 3.0))
    found = []
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    for threads in (1, 3):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        result = register_rigid(fixed, still)
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
        numbers = [*result.transform.GetParameters(), *result.transform.GetFixedParameters(), result.residual_percent]
        found.append(np.array(numbers).tobytes())
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert found[0] == found[1]


def test_images_of_two_different_things_that_do_not_overlap_are_refused(fixed, monkeypatch):
    monkeypatch.setattr(registration, "_START_ANGLES_DEGREES", (0.0,))
    monkeypatch.setattr(registration, "_middle_mm", lambda _image: np.zeros(3))
    monkeypatch.setattr(registration, "_centroid_mm", lambda _mask: np.zeros(3))
    away = sitk.Image(fixed)
    away.SetOrigin([5000.0, 0.0, 0.0])
    with pytest.raises(DataError, match="do not overlap"):
        register_rigid(fixed, away)


def test_an_end_that_fits_worse_than_the_start_is_refused(fixed, still, monkeypatch):
    monkeypatch.setattr(registration, "_LEVELS_MM", (8.0,))
    turned = sitk.Euler3DTransform((0, 0, 0), 0, 0, 0.3)
    monkeypatch.setattr(registration, "_search", lambda *_arguments: (IDENTITY, turned, 50, True))
    with pytest.raises(DataError, match="ended at a worse fit than it began"):
        register_rigid(fixed, still)


def test_stopping_at_the_bound_on_iterations_is_flagged(fixed, still, monkeypatch):
    monkeypatch.setattr(registration, "_LEVELS_MM", (8.0,))
    monkeypatch.setattr(registration, "_MAX_ITERATIONS", 2)
    found = register_rigid(fixed, still)
    assert not found.converged
    assert found.suspect


@pytest.mark.parametrize(("degrees", "x_mm"), [(46, 0), (0, 101)])
def test_a_motion_no_patient_makes_is_refused(degrees, x_mm):
    motion = sitk.Euler3DTransform((0, 0, 0), 0, 0, np.radians(degrees), (x_mm, 0, 0))
    with pytest.raises(DataError, match=f"a motion of {degrees} degrees and {x_mm} mm"):
        check_plausible(motion, np.zeros(3), expected_shifts_mm=[np.zeros(3)])


def test_a_shift_is_measured_from_what_the_scanners_origins_explain():
    motion = sitk.Euler3DTransform((0, 0, 0), 0, 0, 0, (0, 0, 800))
    check_plausible(motion, np.zeros(3), expected_shifts_mm=[np.zeros(3), np.array([0, 0, 790.0])])


def test_an_image_without_a_head_is_refused(fixed):
    speck = sitk.Image((32, 32, 16), sitk.sitkFloat32)
    speck[16, 16, 8] = 1000.0
    with pytest.raises(DataError, match=r"same signal almost everywhere|no brain tissue"):
        register_rigid(fixed, speck)


def test_a_poor_residual_is_suspect():
    poor = Registration(kind="identity", transform=IDENTITY, residual_percent=POOR_RESIDUAL_PERCENT + 1)
    assert poor.suspect


def test_one_frame_of_reference_means_identity(fixed, still):
    found = register(fixed, still, fixed_frame="1.2", moving_frame="1.2")
    assert found.kind == "identity"
    np.testing.assert_array_equal(found.transform.TransformPoint((1.0, 2.0, 3.0)), (1, 2, 3))


def write_registration(file: Path, *, frame: str, registered: str) -> Path:
    """A shift of 7 mm along x from `frame` to `registered`."""
    step, matrix, item, dataset = Dataset(), Dataset(), Dataset(), Dataset()
    step.FrameOfReferenceTransformationMatrixType = "RIGID"
    step.FrameOfReferenceTransformationMatrix = [1, 0, 0, 7, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    matrix.MatrixSequence = [step]
    item.FrameOfReferenceUID, item.MatrixRegistrationSequence = frame, [matrix]
    dataset.SOPClassUID, dataset.SOPInstanceUID = SpatialRegistrationStorage, "1.2.9"
    dataset.FrameOfReferenceUID, dataset.RegistrationSequence = registered, [item]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file


def test_a_registration_object_is_used_where_the_frames_differ(fixed, still, tmp_path):
    unrelated = write_registration(tmp_path / "a.dcm", frame="1.7", registered="1.8")
    related = write_registration(tmp_path / "b.dcm", frame="1.3", registered="1.2")
    found = register(fixed, still, fixed_frame="1.2", moving_frame="1.3", registration_files=[unrelated, related])
    assert found.kind == "dicom"
    np.testing.assert_allclose(found.transform.TransformPoint((0.0, 0.0, 0.0)), (-7, 0, 0), atol=1e-9)


@pytest.mark.parametrize(
    ("mode", "frame", "kind"),
    [("identity", "1.3", "identity"), ("rigid", "1.2", "rigid"), ("auto", "1.3", "rigid")],
)
def test_a_mode_can_be_forced_and_images_are_the_last_resort(fixed, still, monkeypatch, mode, frame, kind):
    monkeypatch.setattr(registration, "_LEVELS_MM", (8.0,))
    assert register(fixed, still, fixed_frame="1.2", moving_frame=frame, mode=mode).kind == kind


def test_an_unknown_mode_is_a_usage_error(fixed, still):
    with pytest.raises(UsageError, match="--register affine: choose from auto, rigid, identity"):
        register(fixed, still, fixed_frame="1", moving_frame="1", mode="affine")


def test_a_padded_border_through_the_head_changes_neither_motion_nor_judgement(fixed):
    motion = heads.random_motion(3)
    moving = heads.head_session(motion, second_visit=True, seed=3, gain=1.7)
    values = sitk.GetArrayFromImage(moving)
    values[:, :12] = values[:, -12:] = values[:3] = NOT_MEASURED
    padded = sitk.GetImageFromArray(values)
    padded.CopyInformation(moving)
    found = register_rigid(fixed, padded)
    assert heads.target_error_mm(found.transform, motion, fixed) < min(fixed.GetSpacing()) / 2
    assert found.residual_percent == pytest.approx(residual_percent(fixed, moving, found.transform), abs=3)


def test_a_real_pair_ends_at_the_same_place_from_forty_millimetres_and_fifteen_degrees_apart(
    real_pair, real_registration
):
    fixed, moving = real_pair
    expected = real_registration.transform
    axis, direction = np.random.default_rng(0).normal(size=(2, 3))
    off = heads.rigid_motion(axis, 15.0, direction, 40.0)
    moved = sitk.Image(moving)
    moved.SetOrigin(off.TransformPoint(moving.GetOrigin()))
    turn = np.reshape(off.GetMatrix(), (3, 3)) @ np.reshape(moving.GetDirection(), (3, 3))
    moved.SetDirection(turn.ravel().tolist())
    found = register_rigid(fixed, moved).transform
    brain = np.argwhere(sitk.GetArrayFromImage(tissue_mask(fixed)) > 0)[::997, ::-1]
    apart_mm = [
        np.linalg.norm(np.subtract(found.TransformPoint(p), off.TransformPoint(expected.TransformPoint(p))))
        for p in (fixed.TransformIndexToPhysicalPoint(index) for index in brain.tolist())
    ]
    assert np.mean(apart_mm) < 1
