"""Rigid motions that a planning system has stored as DICOM Spatial Registration objects."""

import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, SpatialRegistrationStorage

from tfdrift.errors import DataError

_MAX_BYTES = 16 * 2**20
_ORTHONORMAL_TOLERANCE = 1e-4  # systems write matrices with six digits or so
_SAME_MATRIX_TOLERANCE = 1e-3
_OTHER_KINDS = ("RIGID_SCALE", "AFFINE")  # anything else may be anything, and is not repeated in a message
_UNREADABLE = (InvalidDicomError, struct.error, ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError,
               NotImplementedError, OverflowError, RecursionError)  # fmt: skip


def read_spatial_registration(file: Path, from_frame: str, to_frame: str) -> sitk.Euler3DTransform | None:
    """Read the rigid motion that maps points of one frame of reference to another.

    Messages do not name the file, as file names name patients: say which it was where that is safe.

    The object maps each frame it lists to its own, "registered" frame R: p_R = M p, M = M_n ... M_2 M_1 where M_1 is
    the first item of the Matrix Sequence. The frame R itself need not be listed. The answer is inverse(M_to) M_from, so
    any two frames of one object can be asked for, in either direction.

    Args:
        file: a Spatial Registration object.
        from_frame: Frame of Reference UID; of the fixed session, to resample the moving one with SimpleITK.
        to_frame: Frame of Reference UID; of the moving session.

    Returns:
        The transform from points of `from_frame` to points of `to_frame`, LPS mm, or None where the object does not
        relate the two.

    Raises:
        DataError: the file is not a readable Spatial Registration object, is compressed or above 16 MiB, or relates
            the frames by a matrix that is not RIGID, not 4 x 4, not orthonormal, mirrors, or has another last row; or
            lists a frame twice with different matrices.

    Source: DICOM PS3.3, C.20.2.1.1 (direction and order) and C.20.2.1.2 (RIGID).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's repeat the values they are about; what matters is checked below
        frames = _read_frames(file)
    if from_frame not in frames or to_frame not in frames:
        return None
    matrix = np.linalg.inv(_one_matrix(frames[to_frame])) @ _one_matrix(frames[from_frame])
    transform = sitk.Euler3DTransform()
    # Rounded matrices are a hair off a rotation, and SimpleITK is stricter than the systems that wrote them.
    left, _, right = np.linalg.svd(matrix[:3, :3])
    transform.SetMatrix((left @ right).ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def _read_frames(file: Path) -> dict[str, list[list[tuple[str, np.ndarray]]]]:
    """Return for each frame of reference its registrations, each a list of (type, 4 x 4 matrix) in file order."""
    try:
        if not file.is_file():  # a FIFO would be waited for
            raise DataError("a Spatial Registration object is not a file; give the path of one")
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(f"a Spatial Registration object has more than {_MAX_BYTES} bytes; is it one?")
        if read_file_meta_info(file).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise DataError("a Spatial Registration object is deflated, which is not read; export it uncompressed")
        dataset = pydicom.dcmread(file)
        if dataset.get("SOPClassUID") != SpatialRegistrationStorage:
            raise DataError("a file is not a rigid Spatial Registration object; deformable ones are not used")
        frames: dict[str, list[list[tuple[str, np.ndarray]]]] = {}
        for item in dataset.RegistrationSequence:
            if "FrameOfReferenceUID" not in item:  # registers images by instance; frames are what is asked for
                continue
            steps = [
                (str(step.FrameOfReferenceTransformationMatrixType), _square(step.FrameOfReferenceTransformationMatrix))
                for step in item.MatrixRegistrationSequence[0].MatrixSequence
            ]
            frames.setdefault(str(item.FrameOfReferenceUID), []).append(steps)
        frames.setdefault(str(dataset.FrameOfReferenceUID), [[]])
    except OSError as error:
        raise DataError(f"a Spatial Registration object cannot be read: {error.strerror}") from None
    except _UNREADABLE as error:
        raise DataError(
            f"a Spatial Registration object is not readable ({type(error).__name__}); export it again"
        ) from None
    return frames


def _square(values: object) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(4, 4)


def _one_matrix(registrations: list[list[tuple[str, np.ndarray]]]) -> np.ndarray:
    """Return the matrix to the registered frame, float64 [4, 4], on which all registrations of a frame agree."""
    matrices = [_product(steps) for steps in registrations]
    if any(np.abs(matrix - matrices[0]).max() > _SAME_MATRIX_TOLERANCE for matrix in matrices):
        raise DataError(
            "a Spatial Registration object registers one frame of reference in two ways; keep one that does it once"
        )
    return matrices[0]


def _product(steps: list[tuple[str, np.ndarray]]) -> np.ndarray:
    matrix = np.eye(4)
    for kind, step in steps:
        if kind != "RIGID":
            named = kind if kind in _OTHER_KINDS else "nameless"
            raise DataError(f"a Spatial Registration object holds a {named} matrix; only RIGID ones are used")
        rotation = step[:3, :3]
        orthonormal = np.abs(rotation @ rotation.T - np.eye(3)).max() <= _ORTHONORMAL_TOLERANCE  # False for NaN
        rigid = orthonormal and np.linalg.det(rotation) > 0 and np.isfinite(step).all()
        if not rigid or step[3].tolist() != [0, 0, 0, 1]:
            raise DataError("a Spatial Registration object calls a matrix RIGID that is not a rotation and a shift")
        matrix = step @ matrix
    return matrix
