"""Motions and deformations that a planning system has stored as DICOM registration objects."""

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import DeformableSpatialRegistrationStorage, SpatialRegistrationStorage

from tfdrift.errors import DataError
from tfdrift.imaging.deformable_registration import Deformation, inverted, read_deformation
from tfdrift.imaging.dicom import needless, parsing, read_nested, value_of

REGISTRATION_CLASSES = (SpatialRegistrationStorage, DeformableSpatialRegistrationStorage)
"""SOP classes of the objects that are read."""

AGREEMENT_MM = 0.1
"""Two objects that nowhere in the first MRI send a point further apart say the same."""

_NAME = "a Spatial Registration object"  # file names name patients
_ORTHONORMAL_TOLERANCE = 1e-4  # systems write matrices with six digits or so
_SAME_MATRIX_TOLERANCE = 1e-3
_OTHER_KINDS = ("RIGID_SCALE", "AFFINE")  # anything else may be anything, and is not repeated in a message
_MOMENTS = (("ContentDate", "ContentTime"), ("InstanceCreationDate", "InstanceCreationTime"))
Steps = list[tuple[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StoredRegistration:
    """What a registration object says of two frames of reference.

    Args:
        transform: from points of the one to points of the other, LPS mm; rigid, or with a deformation.
        made: when its content was made; None where it does not say.
        warnings: what is wrong with its deformation.
    """

    transform: sitk.Transform
    made: datetime.datetime | None
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _ToRegistered:
    """How one frame of reference goes with the registered one."""

    steps: Steps = dataclasses.field(default_factory=list)  # matrices, the first to be applied first
    from_registered: bool = False  # whether they map points of the registered frame to this one, or the other way
    grid: Dataset | None = None


class _Relation(NamedTuple):
    """The two frames that are asked for as one object knows them; when it was made, and its SOPInstanceUID."""

    start: list[_ToRegistered]
    end: list[_ToRegistered]
    made: datetime.datetime | None
    sop_uid: str


def find_spatial_registration(
    files: Sequence[Path], from_frame: str, to_frame: str, points_mm: np.ndarray
) -> StoredRegistration | None:
    """Find what a patient's registration objects say of two frames of reference: the newest that relates them.

    Objects about other frames, or about none, are passed over.

    Args:
        files: registration objects in any order.
        from_frame: Frame of Reference UID; of the fixed session, to resample the moving one with SimpleITK.
        to_frame: Frame of Reference UID; of the moving session.
        points_mm: float64 [n, 3], points of `from_frame` where objects are compared, such as the corners of its image.

    Returns:
        The registration, or None where no object relates the two.

    Raises:
        DataError: `read_spatial_registration` refuses an object, or two disagree by more than `AGREEMENT_MM` of which
            neither is the newer one by its content's date and time.
    """
    found = [one for file in files if (one := _relation(file, from_frame, to_frame)) is not None]
    if not found:
        return None
    newest = max((one.made for one in found if one.made), default=None)
    # One without a date may be the newest; what is wrong with an older one does not matter.
    # Of several that agree the answer must not depend on the names of files.
    found.sort(key=lambda one: one.sop_uid)
    last = [_solved(one) for one in found if one.made in (None, newest)]
    for other in last[1:]:
        apart_mm = max(
            float(np.linalg.norm(np.subtract(last[0].transform.TransformPoint(p), other.transform.TransformPoint(p))))
            for p in points_mm.tolist()
        )
        if apart_mm > AGREEMENT_MM:
            raise DataError(
                f"two Spatial Registration objects register the two MRIs {apart_mm:.1f} mm apart, and neither is "
                "newer; keep the right one"
            )
    return last[0]


def read_spatial_registration(file: Path, from_frame: str, to_frame: str) -> StoredRegistration | None:
    """Read what maps points of one frame of reference to another.

    Messages do not name the file, as file names name patients: say which it was where that is safe.

    A Spatial Registration object maps each frame it lists to its own, "registered" frame R: p_R = M p,
    M = M_n ... M_2 M_1 where M_1 is the first item of the Matrix Sequence. The frame R itself need not be listed. The
    answer is inverse(M_to) M_from, so any two frames of one object can be asked for, in either direction. A deformable
    one maps R to each frame it lists, see `read_deformation`; its inverse is sought where it is asked for.

    Args:
        file: a Spatial Registration or Deformable Spatial Registration object.
        from_frame: Frame of Reference UID; of the fixed session, to resample the moving one with SimpleITK.
        to_frame: Frame of Reference UID; of the moving session.

    Returns:
        The registration from points of `from_frame` to points of `to_frame`, or None where the object does not relate
        the two.

    Raises:
        DataError: `imaging.dicom` refuses the file, it is not a registration object, or it relates the frames by a
            matrix that is not RIGID, not 4 x 4, not orthonormal, mirrors, or has another last row; or lists a frame
            twice with different matrices, or with a deformation; or its deformation is damaged or, asked for against
            its direction, has no inverse.

    Source: DICOM PS3.3, C.20.2.1.1 (direction and order), C.20.2.1.2 (RIGID) and C.20.3.1.1 (deformation).
    """
    relation = _relation(file, from_frame, to_frame)
    return None if relation is None else _solved(relation)


def _relation(file: Path, from_frame: str, to_frame: str) -> _Relation | None:
    dataset = read_nested(file, _NAME)
    with parsing(_NAME):
        sop_class = value_of(dataset, "SOPClassUID")
        if sop_class not in REGISTRATION_CLASSES:
            raise DataError(f"{_NAME} is another kind of object; export the registration again")
        rigid = sop_class == SpatialRegistrationStorage
        frames = _rigid_frames(dataset) if rigid else _deformable_frames(dataset)
        if from_frame not in frames or to_frame not in frames:
            return None
        sop_uid = str(needless(dataset, "SOPInstanceUID") or "")
        return _Relation(start=frames[from_frame], end=frames[to_frame], made=_made(dataset), sop_uid=sop_uid)


def _solved(relation: _Relation) -> StoredRegistration:
    with parsing(_NAME):
        start, end = _one_of(relation.start), _one_of(relation.end)
        deform_start, deform_end = _deformation(start), _deformation(end)
    if deform_start is None and deform_end is None:
        motion = _euler(np.linalg.inv(_matrix(end)) @ _matrix(start))
        return StoredRegistration(transform=motion, made=relation.made)
    # From a point of `start` to the registered frame: M_start, then back through its deformation; on to `end` the other
    # way round. Of a composite transform the last part is applied first.
    parts: list[sitk.Transform] = [_euler(np.linalg.inv(_matrix(end)))]
    parts += [deform_end.transform] if deform_end else []
    parts += [inverted(deform_start.transform)] if deform_start else []
    parts.append(_euler(_matrix(start)))
    warnings = tuple(text for one in (deform_start, deform_end) if one for text in one.warnings)
    return StoredRegistration(transform=sitk.CompositeTransform(parts), made=relation.made, warnings=warnings)


def _made(dataset: Dataset) -> datetime.datetime | None:
    for date, time in _MOMENTS:
        text = f"{needless(dataset, date) or ''} {str(needless(dataset, time) or '').partition('.')[0]}"
        share = str(needless(dataset, time) or "").partition(".")[2][:6]
        try:
            moment = datetime.datetime.strptime(text, "%Y%m%d %H%M%S")
            return moment.replace(microsecond=int(share.ljust(6, "0")) if share else 0)
        except ValueError:
            continue
    return None


def _rigid_frames(dataset: Dataset) -> dict[str, list[_ToRegistered]]:
    """Return for each frame of reference its registrations."""
    frames: dict[str, list[_ToRegistered]] = {}
    for item in value_of(dataset, "RegistrationSequence") or []:
        frame, registrations = (value_of(item, key) for key in ("FrameOfReferenceUID", "MatrixRegistrationSequence"))
        if not frame or not registrations:  # registers images by instance; frames are what is asked for
            continue
        steps = [_step(step) for step in value_of(registrations[0], "MatrixSequence") or []]
        frames.setdefault(str(frame), []).append(_ToRegistered(steps=steps))
    return _with_registered(frames, dataset)


def _deformable_frames(dataset: Dataset) -> dict[str, list[_ToRegistered]]:
    """Return for each frame of reference how it is reached from the registered one."""
    frames: dict[str, list[_ToRegistered]] = {}
    for item in value_of(dataset, "DeformableRegistrationSequence") or []:
        frame = value_of(item, "SourceFrameOfReferenceUID")
        if not frame:
            continue
        steps = []
        for keyword in ("PreDeformationMatrixRegistrationSequence", "PostDeformationMatrixRegistrationSequence"):
            steps += [_step(step) for step in (value_of(item, keyword) or [])[:1]] or [("RIGID", np.eye(4))]
        grids = value_of(item, "DeformableRegistrationGridSequence") or [None]
        frames.setdefault(str(frame), []).append(_ToRegistered(steps=steps, from_registered=True, grid=grids[0]))
    return _with_registered(frames, dataset)


def _with_registered(frames: dict[str, list[_ToRegistered]], dataset: Dataset) -> dict[str, list[_ToRegistered]]:
    registered = value_of(dataset, "FrameOfReferenceUID")
    if registered:
        frames.setdefault(str(registered), [_ToRegistered()])
    return frames


def _step(item: Dataset) -> tuple[str, np.ndarray]:
    values = value_of(item, "FrameOfReferenceTransformationMatrix")
    kind = str(value_of(item, "FrameOfReferenceTransformationMatrixType"))
    return kind, np.array(values, dtype=np.float64).reshape(4, 4)


def _one_of(registrations: list[_ToRegistered]) -> _ToRegistered:
    """Return the registration on which all of a frame agree."""
    matrices = [_matrix(one) for one in registrations]
    differ = any(np.abs(matrix - matrices[0]).max() > _SAME_MATRIX_TOLERANCE for matrix in matrices)
    if differ or (len(registrations) > 1 and any(one.grid is not None for one in registrations)):
        raise DataError(f"{_NAME} registers one frame of reference in two ways; keep one that does it once")
    return registrations[0]


def _matrix(one: _ToRegistered) -> np.ndarray:
    """Return float64 [4, 4], the rigid part of the way to the registered frame."""
    product = _product(one.steps)
    return np.linalg.inv(product) if one.from_registered else product


def _deformation(one: _ToRegistered) -> Deformation | None:
    return None if one.grid is None else read_deformation(one.grid, _product(one.steps[:1]))


def _euler(matrix: np.ndarray) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    # Rounded matrices are a hair off a rotation, and SimpleITK is stricter than the systems that wrote them.
    left, _, right = np.linalg.svd(matrix[:3, :3])
    transform.SetMatrix((left @ right).ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def _product(steps: Steps) -> np.ndarray:
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
