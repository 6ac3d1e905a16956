import os
import struct

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, SpatialRegistrationStorage

from tests.imaging.hostile import before, deflate_bomb, element
from tfdrift.errors import DataError
from tfdrift.imaging.dicom import MAX_FILE_BYTES, MAX_INFLATED_BYTES, MAX_ITEMS
from tfdrift.imaging.spatial_registration import find_spatial_registration, read_spatial_registration

FIXED, MOVING, THIRD = "1.2.3.1", "1.2.3.2", "1.2.3.3"
POINT = np.array([10.0, -20.0, 30.0])


def motion(axis, degrees, shift):
    """4 x 4 matrix: a turn about coordinate axis `axis`, then a shift."""
    matrix = np.eye(4)
    one, two = [i for i in range(3) if i != axis]
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix[one, one], matrix[one, two], matrix[two, one], matrix[two, two] = c, -s, s, c
    matrix[:3, 3] = shift
    return matrix


A = motion(2, 8, [5, -3, 12])
B = motion(0, -5, [0, 40, 1])


def write(path, frames, *, registered=FIXED, kind="RIGID", syntax=ExplicitVRLittleEndian):
    """`frames`: (frame UID, matrices in file order), one item each."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = SpatialRegistrationStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.9"
    dataset = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = SpatialRegistrationStorage
    dataset.SOPInstanceUID = "1.2.3.9"
    dataset.FrameOfReferenceUID = registered
    dataset.RegistrationSequence = []
    for frame, matrices in frames:
        item, registration = Dataset(), Dataset()
        registration.MatrixSequence = []
        for matrix in matrices:
            step = Dataset()
            step.FrameOfReferenceTransformationMatrixType = kind
            step.FrameOfReferenceTransformationMatrix = [f"{value:.9g}" for value in np.ravel(matrix)]
            registration.MatrixSequence.append(step)
        item.FrameOfReferenceUID = frame
        item.MatrixRegistrationSequence = [registration]
        dataset.RegistrationSequence.append(item)
    dataset.save_as(path, enforce_file_format=True)
    return path


def apply(matrix, point):
    return (matrix @ [*point, 1])[:3]


def read(file, from_frame, to_frame):
    found = read_spatial_registration(file, from_frame, to_frame)
    assert found is not None
    return found.transform


def test_the_matrix_maps_the_listed_frame_to_the_registered_one(tmp_path):
    file = write(tmp_path / "reg.dcm", [(FIXED, [np.eye(4)]), (MOVING, [A])])
    transform = read(file, MOVING, FIXED)
    np.testing.assert_allclose(transform.TransformPoint(POINT), apply(A, POINT), atol=1e-6)


def test_the_other_direction_is_the_inverse(tmp_path):
    file = write(tmp_path / "reg.dcm", [(FIXED, [np.eye(4)]), (MOVING, [A])])
    there = read(file, FIXED, MOVING)
    back = read(file, MOVING, FIXED)
    np.testing.assert_allclose(there.TransformPoint(back.TransformPoint(POINT)), POINT, atol=1e-6)


def test_several_matrices_are_applied_first_item_first(tmp_path):
    file = write(tmp_path / "reg.dcm", [(MOVING, [A, B])])
    transform = read(file, MOVING, FIXED)
    np.testing.assert_allclose(transform.TransformPoint(POINT), apply(B, apply(A, POINT)), atol=1e-6)


def test_the_registered_frame_need_not_be_listed(tmp_path):
    file = write(tmp_path / "reg.dcm", [(MOVING, [A])])
    transform = read(file, FIXED, FIXED)
    np.testing.assert_array_equal(transform.TransformPoint(POINT), POINT)


def test_two_frames_meet_through_a_third(tmp_path):
    file = write(tmp_path / "reg.dcm", [(FIXED, [A]), (MOVING, [B])], registered=THIRD)
    transform = read(file, FIXED, MOVING)
    np.testing.assert_allclose(apply(B, transform.TransformPoint(POINT)), apply(A, POINT), atol=1e-6)


def test_a_frame_listed_twice_with_one_matrix_is_fine(tmp_path):
    file = write(tmp_path / "reg.dcm", [(MOVING, [A]), (MOVING, [A])])
    assert read_spatial_registration(file, FIXED, MOVING) is not None


def test_frames_that_the_object_does_not_relate_give_none(tmp_path):
    assert read_spatial_registration(write(tmp_path / "reg.dcm", [(MOVING, [A])]), FIXED, THIRD) is None


def test_a_frame_registered_in_two_ways_is_refused(tmp_path):
    file = write(tmp_path / "reg.dcm", [(MOVING, [A]), (MOVING, [B])])
    with pytest.raises(DataError, match=r"registers one frame of reference in two ways"):
        read_spatial_registration(file, FIXED, MOVING)


@pytest.mark.parametrize("kind", ["RIGID_SCALE", "AFFINE"])
def test_other_types_are_refused(tmp_path, kind):
    with pytest.raises(DataError, match=f"a {kind} matrix; only RIGID"):
        read_spatial_registration(write(tmp_path / "reg.dcm", [(MOVING, [A])], kind=kind), FIXED, MOVING)


SCALED, MIRRORED, PROJECTIVE, NAN = A.copy(), A.copy(), A.copy(), A.copy()
SCALED[:3, :3] *= 1.01
MIRRORED[:3, 0] *= -1
PROJECTIVE[3, 0] = 0.1
NAN[0, 0] = np.nan


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")  # of writing the NaN
@pytest.mark.parametrize("matrix", [SCALED, MIRRORED, PROJECTIVE, NAN], ids=["scaled", "mirrored", "projective", "nan"])
def test_a_matrix_that_only_claims_to_be_rigid_is_refused(tmp_path, matrix):
    with pytest.raises(DataError, match=r"calls a matrix RIGID that is not|is damaged"):
        read_spatial_registration(write(tmp_path / "reg.dcm", [(MOVING, [matrix])]), FIXED, MOVING)


def test_a_matrix_of_fifteen_numbers_is_refused(tmp_path):
    with pytest.raises(DataError, match="Spatial Registration object is damaged"):
        read_spatial_registration(write(tmp_path / "reg.dcm", [(MOVING, [np.ravel(A)[:15]])]), FIXED, MOVING)


def test_a_deflated_file_is_inflated(tmp_path):
    file = write(tmp_path / "reg.dcm", [(MOVING, [A])], syntax=DeflatedExplicitVRLittleEndian)
    np.testing.assert_allclose(read(file, MOVING, FIXED).TransformPoint(POINT), apply(A, POINT), atol=1e-6)


def test_a_deflated_bomb_is_refused(tmp_path):
    bomb = deflate_bomb(
        write(tmp_path / "reg.dcm", [(MOVING, [A])]).read_bytes(), megabytes=MAX_INFLATED_BYTES // 2**20 + 1
    )
    (tmp_path / "bomb.dcm").write_bytes(bomb)
    assert len(bomb) < 2**20
    with pytest.raises(DataError, match=f"inflates to more than {MAX_INFLATED_BYTES} bytes"):
        read_spatial_registration(tmp_path / "bomb.dcm", FIXED, MOVING)


def test_a_file_above_the_limit_is_refused_unread(tmp_path):
    file = write(tmp_path / "reg.dcm", [(MOVING, [A])])
    with file.open("r+b") as opened:
        opened.truncate(MAX_FILE_BYTES + 1)  # sparse, so it takes no room on the disk
    with pytest.raises(DataError, match=f"at most {MAX_FILE_BYTES} are read"):
        read_spatial_registration(file, FIXED, MOVING)


def test_a_file_of_too_many_elements_is_refused(tmp_path):
    whole = write(tmp_path / "reg.dcm", [(MOVING, [A])]).read_bytes()
    sequence = bytes.fromhex("70000803")  # (0070,0308) RegistrationSequence
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * (MAX_ITEMS + 1)
    (tmp_path / "many.dcm").write_bytes(before(whole, sequence, element((0x0009, 0x1001), b"SQ", items)))
    with pytest.raises(DataError, match=f"at most {MAX_ITEMS} are read"):
        read_spatial_registration(tmp_path / "many.dcm", FIXED, MOVING)


def test_a_pipe_is_refused_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "reg.dcm")
    with pytest.raises(DataError, match="is not a regular file"):
        read_spatial_registration(tmp_path / "reg.dcm", FIXED, MOVING)


def test_another_kind_of_object_is_refused(tmp_path):
    file = write(tmp_path / "reg.dcm", [(MOVING, [A])])
    dataset = pydicom.dcmread(file)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.5"
    dataset.save_as(file)
    with pytest.raises(DataError, match="is another kind of object"):
        read_spatial_registration(file, FIXED, MOVING)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be opened: No such file"):
        read_spatial_registration(tmp_path / "gone.dcm", FIXED, MOVING)


def test_a_file_that_is_not_dicom_is_refused(tmp_path):
    (tmp_path / "reg.dcm").write_text("no DICOM")
    with pytest.raises(DataError, match="a Spatial Registration object is not a DICOM file"):
        read_spatial_registration(tmp_path / "reg.dcm", FIXED, MOVING)


def test_a_file_cut_anywhere_is_refused_or_read_right(tmp_path):
    whole = write(tmp_path / "reg.dcm", [(FIXED, [np.eye(4)]), (MOVING, [A])]).read_bytes()
    cut, refused = tmp_path / "cut.dcm", 0
    for length in range(0, len(whole), 37):
        cut.write_bytes(whole[:length])
        try:
            found = read_spatial_registration(cut, MOVING, FIXED)
        except DataError:
            refused += 1
        else:
            assert found is None or np.allclose(found.transform.TransformPoint(POINT), apply(A, POINT), atol=1e-6)
    assert refused > 10


def test_no_uid_or_path_gets_into_an_error(tmp_path):
    file = write(tmp_path / "reg.dcm", [(MOVING, [A]), (MOVING, [B])])
    with pytest.raises(DataError) as caught:
        read_spatial_registration(file, FIXED, MOVING)
    assert MOVING not in str(caught.value)
    assert file.name not in str(caught.value)


POINTS = np.array([[0.0, 0, 0], [200, 0, 0], [0, 200, 90]])


def dated(path, matrix, date="20240501", time="120000", **options):
    """An object that registers MOVING to FIXED by a matrix, made then."""
    write(path, [(MOVING, [matrix])], **options)
    dataset = pydicom.dcmread(path)
    dataset.ContentDate, dataset.ContentTime = date, time
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (("20240430", "235959"), ("20240501", "000000")),
        (("20240501", "090000"), ("20240501", "100000.5")),
        (("20240501", "100000.25"), ("20240501", "100000.5")),
    ],
)
def test_the_newest_by_its_own_date_and_time_counts_in_any_order(tmp_path, older, newer):
    files = [dated(tmp_path / "b.dcm", A, *newer), dated(tmp_path / "a.dcm", B, *older)]
    for order in (files, files[::-1]):
        found = find_spatial_registration(order, MOVING, FIXED, POINTS)
        assert found is not None
        np.testing.assert_allclose(found.transform.TransformPoint(POINT), apply(A, POINT), atol=1e-6)


def test_what_is_wrong_with_an_older_object_does_not_matter(tmp_path):
    older = dated(tmp_path / "a.dcm", A, "20240101", kind="AFFINE")
    found = find_spatial_registration([older, dated(tmp_path / "b.dcm", A)], MOVING, FIXED, POINTS)
    assert found is not None


@pytest.mark.parametrize("moments", [("120000", "120000"), ("120000", ""), ("", "")])
def test_two_objects_that_disagree_and_of_which_neither_is_newer_are_refused(tmp_path, moments):
    files = [
        dated(tmp_path / f"{k}.dcm", one, time=time) for k, (one, time) in enumerate(zip((A, B), moments, strict=True))
    ]
    with pytest.raises(DataError, match=r"register the two MRIs \d+\.\d mm apart, and neither is newer"):
        find_spatial_registration(files, MOVING, FIXED, POINTS)


def test_two_objects_that_agree_to_a_tenth_of_a_millimetre_are_one(tmp_path):
    almost = motion(2, 8, [5.02, -3, 12])
    files = [dated(tmp_path / "a.dcm", A), dated(tmp_path / "b.dcm", almost)]
    assert find_spatial_registration(files, MOVING, FIXED, POINTS) is not None


def without(path, *keywords):
    dataset = pydicom.dcmread(path)
    for keyword in keywords:
        delattr(dataset, keyword)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_objects_about_other_frames_or_none_are_passed_over(tmp_path):
    unrelated = [
        write(tmp_path / "other.dcm", [(THIRD, [B])]),
        without(write(tmp_path / "none.dcm", [(THIRD, [B])]), "FrameOfReferenceUID", "RegistrationSequence"),
        without(write(tmp_path / "half.dcm", [(MOVING, [B])]), "FrameOfReferenceUID"),
    ]
    assert find_spatial_registration(unrelated, MOVING, FIXED, POINTS) is None
    found = find_spatial_registration([*unrelated, dated(tmp_path / "z.dcm", A)], MOVING, FIXED, POINTS)
    assert found is not None
    np.testing.assert_allclose(found.transform.TransformPoint(POINT), apply(A, POINT), atol=1e-6)
