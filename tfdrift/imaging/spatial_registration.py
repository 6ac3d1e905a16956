"""Rigid motions that a planning system has stored as DICOM Spatial Registration objects."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.uid import SpatialRegistrationStorage

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import parsing, read_nested, value_of

_NAME = "a Spatial Registration object"  # file names name patients
_ORTHONORMAL_TOLERANCE = 1e-4  # systems write matrices with six digits or so
_SAME_MATRIX_TOLERANCE = 1e-3
_OTHER_KINDS = ("RIGID_SCALE", "AFFINE")  # anything else may be anything, and is not repeated in a message


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
        DataError: `imaging.dicom` refuses the file, it is not a Spatial Registration object, or it relates the frames
            by a matrix that is not RIGID, not 4 x 4, not orthonormal, mirrors, or has another last row; or lists a
            frame twice with different matrices.

    Source: DICOM PS3.3, C.20.2.1.1 (direction and order) and C.20.2.1.2 (RIGID).
    """
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
    dataset = read_nested(file, _NAME)
    frames: dict[str, list[list[tuple[str, np.ndarray]]]] = {}
    with parsing(_NAME):
        if value_of(dataset, "SOPClassUID") != SpatialRegistrationStorage:
            raise DataError(f"{_NAME} is not a rigid one; deformable ones are not used")
        for item in value_of(dataset, "RegistrationSequence") or []:
            frame, registrations = (
                value_of(item, key) for key in ("FrameOfReferenceUID", "MatrixRegistrationSequence")
            )
            if not frame or not registrations:  # registers images by instance; frames are what is asked for
                continue
            steps = [
                (
                    str(value_of(step, "FrameOfReferenceTransformationMatrixType")),
                    _square(value_of(step, "FrameOfReferenceTransformationMatrix")),
                )
                for step in value_of(registrations[0], "MatrixSequence") or []
            ]
            frames.setdefault(str(frame), []).append(steps)
        registered = value_of(dataset, "FrameOfReferenceUID")
        if registered:
            frames.setdefault(str(registered), [[]])
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
