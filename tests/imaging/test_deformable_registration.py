import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import DeformableSpatialRegistrationStorage, ExplicitVRLittleEndian

from tests.imaging.mock_dicom import decimal, make_grid, to_mm
from tests.imaging.test_spatial_registration import FIXED, MOVING, POINT, A, B, apply
from tfdrift.errors import DataError
from tfdrift.imaging.deformable_registration import INVERSION_TOLERANCE_MM, inverted
from tfdrift.imaging.spatial_registration import read_spatial_registration

TURNED = (0.6, -0.8, 0.0, 0.8, 0.6, 0.0, 0.0, 0.0, 1.0)
GRID = make_grid(size=(24, 20, 16), spacing_mm=(4.0, 5.0, 6.0), origin_mm=(-40.0, -60.0, -20.0))
INSIDE = np.array([[0.0, -20, 10], [7, -33, 21.5], POINT])


def centres(grid):
    slices, rows, columns = np.indices(grid.size[::-1])
    return to_mm(grid, np.stack([columns, rows, slices], axis=-1))


def wave(points):
    """A smooth displacement of at most 3 mm, and its own gradient below one, so that nothing folds."""
    return 3 * np.sin(points[..., [1, 2, 0]] / 25)


def write(path, vectors, *, grid=GRID, pre=None, post=None):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = DeformableSpatialRegistrationStorage, "1.2.3.9"
    dataset = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = DeformableSpatialRegistrationStorage, "1.2.3.9"
    dataset.FrameOfReferenceUID = FIXED
    item, field = Dataset(), Dataset()
    item.SourceFrameOfReferenceUID = MOVING
    for keyword, matrix in (("PreDeformationMatrix", pre), ("PostDeformationMatrix", post)):
        if matrix is not None:
            step = Dataset()
            step.FrameOfReferenceTransformationMatrixType = "RIGID"
            step.FrameOfReferenceTransformationMatrix = [f"{value:.9g}" for value in np.ravel(matrix)]
            setattr(item, f"{keyword}RegistrationSequence", [step])
    direction = np.reshape(grid.direction, (3, 3))
    field.ImageOrientationPatient = decimal([*direction[:, 0], *direction[:, 1]])
    field.ImagePositionPatient = decimal(grid.origin_mm)
    field.GridDimensions, field.GridResolution = list(grid.size), list(grid.spacing_mm)
    field.add_new("VectorGridData", "OF", np.asarray(vectors, "<f4").tobytes())
    item.DeformableRegistrationGridSequence = [field]
    dataset.DeformableRegistrationSequence = [item]
    dataset.save_as(path, enforce_file_format=True)
    return path


def read(path, from_frame=FIXED, to_frame=MOVING):
    found = read_spatial_registration(path, from_frame, to_frame)
    assert found is not None
    return found


def sent(transform, points):
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


@pytest.mark.parametrize("direction", [GRID.direction, TURNED], ids=["upright", "turned"])
def test_vectors_are_added_at_the_points_of_the_grid(tmp_path, direction):
    grid = make_grid(size=GRID.size, spacing_mm=GRID.spacing_mm, origin_mm=GRID.origin_mm, direction=direction)
    nodes = centres(grid)
    found = read(write(tmp_path / "reg.dcm", wave(nodes), grid=grid))
    some = nodes[2:14:5, 3:17:4, 4:20:5].reshape(-1, 3)
    np.testing.assert_allclose(sent(found.transform, some), some + wave(some), atol=1e-4)
    assert found.warnings == ()


def test_matrices_come_before_and_after_the_vectors_as_the_standard_has_it(tmp_path):
    # PS3.3 C.20.3.1.1: x_source = M_post (M_pre x + d), d given at the grid's point x.
    nodes = centres(GRID)
    found = read(write(tmp_path / "reg.dcm", wave(nodes), pre=A, post=B))
    some = nodes[2:14:5, 3:17:4, 4:20:5].reshape(-1, 3)
    expected = [apply(B, apply(A, point) + wave(point)) for point in some]
    np.testing.assert_allclose(sent(found.transform, some), expected, atol=1e-4)


def test_outside_the_grid_the_matrices_alone_count(tmp_path):
    found = read(write(tmp_path / "reg.dcm", wave(centres(GRID)), pre=A))
    far = np.array([500.0, 0, 0])
    np.testing.assert_allclose(found.transform.TransformPoint(far), apply(A, far), atol=1e-6)


def test_the_other_direction_is_the_inverse(tmp_path):
    fade = np.ones(GRID.size[::-1])
    nodes = centres(GRID)
    index = np.indices(GRID.size[::-1])
    for axis, count in enumerate(GRID.size[::-1]):
        fade = fade * np.sin(np.pi * index[axis] / (count - 1))  # to nothing at the faces, so that no point leaves
    file = write(tmp_path / "reg.dcm", wave(nodes) * fade[..., None], pre=A, post=B)
    there, back = read(file).transform, read(file, MOVING, FIXED).transform
    np.testing.assert_allclose(sent(back, sent(there, INSIDE)), INSIDE, atol=INVERSION_TOLERANCE_MM)


def test_a_deformation_that_folds_is_warned_of_and_not_inverted(tmp_path):
    nodes = centres(GRID)
    file = write(tmp_path / "reg.dcm", -12 * np.sin(nodes / 6))  # its gradient reaches -2
    assert any("folds at" in warning for warning in read(file).warnings)
    with pytest.raises(DataError, match="cannot be inverted"):
        read(file, MOVING, FIXED)


def test_undefined_vectors_deform_nothing_and_are_warned_of(tmp_path):
    vectors = wave(centres(GRID))
    vectors[:8] = np.nan
    found = read(write(tmp_path / "reg.dcm", vectors))
    assert any("undefined at 50% of its points" in warning for warning in found.warnings)
    low = centres(GRID)[3, 5, 5]
    np.testing.assert_allclose(found.transform.TransformPoint(low), low, atol=1e-6)


def test_vectors_that_do_not_fill_the_grid_are_refused(tmp_path):
    with pytest.raises(DataError, match="another number of vectors than its grid has"):
        read(write(tmp_path / "reg.dcm", wave(centres(GRID))[1:]))


def test_vectors_that_leave_the_grid_have_no_inverse_on_it():
    field = sitk.GetImageFromArray(np.full((12, 12, 12, 3), 5.0), isVector=True)
    with pytest.raises(DataError, match=r"cannot be inverted \(off by \d+\.\d mm\)"):
        inverted(sitk.DisplacementFieldTransform(field))
