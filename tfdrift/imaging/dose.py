"""RTDOSE objects to the dose of one plan in Gy, or a refusal that says why; and what an RTPLAN says of its fractions.

A plan's dose comes as one object (DoseSummationType PLAN, or MULTI_PLAN of several plans), or in parts: one object a
beam or a fraction group. Parts are summed only where the plan itself says that they are all of it.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage, RTPlanStorage

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import needless, parsing, read_header, read_nested, read_whole, value_of
from tfdrift.imaging.geometry import Grid, Plane, stack_planes
from tfdrift.imaging.pixels import NOT_MEASURED, read_stored
from tfdrift.imaging.resampling import coverage

WHOLE = ("PLAN", "MULTI_PLAN")
"""Values of DoseSummationType that mean all of the dose."""
PARTS = ("BEAM", "FRACTION")
"""Those of which all parts together are a plan's dose: of its beams, or of its fraction groups."""

Part = tuple[int, int | None]
"""A part of a plan: FractionGroupNumber, and ReferencedBeamNumber or None for all of the group."""

_AXIAL = ((1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0))
_OFFSET_TOLERANCE_MM = 1e-3


class OtherFrameError(DataError):
    """Doses that all lie in another frame of reference, so that there is none here (exit code 3)."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DoseObject:
    """One RTDOSE, without its pixels.

    The UIDs are for matching in memory; they must not be written to any file.

    Args:
        path: its file.
        name: what it is called in messages.
        grid: its voxels' place.
        frames: the frame that each slice of the grid is.
        scaling: DoseGridScaling, Gy a stored 1.
        summation: DoseSummationType.
        frame_of_reference_uid: FrameOfReferenceUID; empty where there is none.
        plan_uids: of the RTPLANs that it refers to.
        parts: of the plan that it is the dose of, as often as they are named; none for a whole.
    """

    path: Path
    name: str
    grid: Grid
    frames: tuple[int, ...]
    scaling: float
    summation: str
    frame_of_reference_uid: str
    plan_uids: frozenset[str]
    parts: tuple[Part, ...]

    def read(self) -> sitk.Image:
        """Return the dose on its own grid, float32 in Gy.

        Raises:
            DataError: there are not exactly as many pixels as the header asks for, or a dose is below 0.
        """
        dataset = read_whole(self.path, self.name)
        image = sitk.Image(list(self.grid.size), sitk.sitkFloat32)
        self.grid.place(image)
        with parsing(self.name):
            for k, frame in enumerate(self.frames):
                stored = read_stored(dataset, frame, f"frame {frame + 1} of {self.name}")
                if stored.min() < 0:
                    raise DataError(f"{self.name} has doses below 0; export the dose itself, not a difference")
                image[:, :, k] = sitk.GetImageFromArray((stored * self.scaling).astype(np.float32))
        return image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What an RTPLAN says of its parts; the UID is for matching in memory.

    Args:
        uid: SOPInstanceUID.
        beams: the parts that are beams which treat.
        groups: the parts that are fraction groups.
        fractions: NumberOfFractionsPlanned; None where it is not said, or there are several fraction groups.
    """

    uid: str
    beams: frozenset[Part]
    groups: frozenset[Part]
    fractions: int | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PlanDose:
    """The dose of a plan.

    Args:
        image: float32, Gy, on its own grid, LPS mm; `NOT_MEASURED` where a part of the sum was not calculated.
        frame_of_reference_uid: of the grid.
        fractions: in how many it is given; None where no plan says so.
    """

    image: sitk.Image
    frame_of_reference_uid: str
    fractions: int | None


def read_plan_dose(doses: Sequence[Path], plans: Sequence[Path] = (), *, frame: str | None = None) -> PlanDose:
    """Return the one dose that some files hold.

    What must be true of it, or it is refused:

    - DoseUnits is GY and DoseType PHYSICAL; the pixels are whole numbers of 16 or 32 bits, none below 0
    - the planes that ImagePositionPatient and GridFrameOffsetVector name make up a regular grid; the offsets begin with
      0, or are the z coordinates of upright axial planes
    - there is one object with DoseSummationType PLAN or MULTI_PLAN, which is used as it is, and no dose of another plan
      beside it; or there are objects with BEAM, or with FRACTION, that all refer to one plan, which is there too, and
      are the dose of each of its beams that treat, or of its fraction groups, once. They are summed, resampled linearly
      onto the grid of the first one where their grids differ.

    Args:
        doses: RTDOSE files.
        plans: RTPLAN files that they may refer to.
        frame: FrameOfReferenceUID that they must have; others are passed over. None for any, as long as it is one.

    Raises:
        OtherFrameError: none of them is in that frame of reference.
        DataError: any of the above does not hold. The message calls files by number.

    Source: DICOM PS3.3, C.8.8.3 (RT Dose) and C.8.8.13 (RT Fraction Scheme).
    """
    ordered = sorted(doses)
    called = [f"dose file {number} of {len(ordered)}" for number in range(1, len(ordered) + 1)]
    if len(ordered) == 1:
        called = ["the dose"]
    if not ordered:
        raise DataError("there is no RTDOSE file")
    found = list(zip(ordered, called, strict=True))
    if frame is not None:
        found = [(path, name) for path, name in found if frame and _frame_of(path, name) == frame]
        if not found:
            how_many = f"the {len(ordered)} doses lie" if len(ordered) > 1 else "the dose lies"
            raise OtherFrameError(f"{how_many} in another frame of reference than the MRI")
    objects = [read_dose(path, name) for path, name in found]
    frames = {one.frame_of_reference_uid for one in objects}
    if len(frames) > 1:
        raise DataError("the doses lie in several frames of reference; give those of one")
    known = [read_plan(path, f"plan file {number}") for number, path in enumerate(sorted(plans), start=1)]
    chosen, plan = _choose(objects, {one.uid: one for one in known})
    fractions = None if plan is None else plan.fractions
    return PlanDose(image=_sum(chosen), frame_of_reference_uid=frames.pop(), fractions=fractions)


def read_dose(path: Path, name: str = "the dose") -> DoseObject:
    """Return the header of an RTDOSE; see `read_plan_dose` for what must be true of it.

    Args:
        path: the file.
        name: what it is called in messages.

    Raises:
        DataError: it is no RTDOSE, not in Gy, no physical dose, or has no regular grid.
    """
    dataset = read_header(path, name)
    with parsing(name):
        if needless(dataset, "SOPClassUID") != RTDoseStorage and value_of(dataset, "Modality") != "RTDOSE":
            raise DataError(f"{name} is no RTDOSE")
        units, kind = value_of(dataset, "DoseUnits"), value_of(dataset, "DoseType")
        if units != "GY":
            said = "says no DoseUnits" if units is None else "is not in Gy (DoseUnits)"
            raise DataError(f"{name} {said}; export the dose in Gy")
        if kind != "PHYSICAL":
            raise DataError(f"{name} is no physical dose (DoseType); export it as PHYSICAL")
        scaling = float(value_of(dataset, "DoseGridScaling") or 0)
        if not np.isfinite(scaling) or scaling <= 0:
            raise DataError(f"{name} has no usable DoseGridScaling; {_EXPORT}")
        _check_stored(dataset, name)
        summation = str(value_of(dataset, "DoseSummationType") or "")
        planes = _planes(dataset, name)
        grid, order = stack_planes(planes)
        return DoseObject(
            path=path,
            name=name,
            grid=grid,
            frames=tuple(order),
            scaling=scaling,
            summation=summation,
            frame_of_reference_uid=str(value_of(dataset, "FrameOfReferenceUID") or ""),
            plan_uids=frozenset(
                str(value_of(one, "ReferencedSOPInstanceUID") or "")
                for one in value_of(dataset, "ReferencedRTPlanSequence") or []
            ),
            parts=_parts(dataset) if summation in PARTS else (),
        )


def read_plan(path: Path, name: str = "the plan") -> Plan:
    """Return what an RTPLAN says of its beams and fractions.

    Args:
        path: the file.
        name: what it is called in messages.

    Raises:
        DataError: it cannot be read or is no RTPLAN.
    """
    dataset = read_nested(path, name)
    with parsing(name):
        if needless(dataset, "SOPClassUID") != RTPlanStorage and value_of(dataset, "Modality") != "RTPLAN":
            raise DataError(f"{name} is no RTPLAN")
        treats = {
            value_of(beam, "BeamNumber")
            for beam in value_of(dataset, "BeamSequence") or []
            if (needless(beam, "TreatmentDeliveryType") or "TREATMENT") in ("TREATMENT", "CONTINUATION")
        }
        groups = value_of(dataset, "FractionGroupSequence") or []
        planned = [value_of(group, "NumberOfFractionsPlanned") for group in groups]
        return Plan(
            uid=str(value_of(dataset, "SOPInstanceUID") or ""),
            beams=frozenset(
                (_number(group, "FractionGroupNumber"), _number(beam, "ReferencedBeamNumber"))
                for group in groups
                for beam in value_of(group, "ReferencedBeamSequence") or []
                if value_of(beam, "ReferencedBeamNumber") in treats
            ),
            groups=frozenset((_number(group, "FractionGroupNumber"), None) for group in groups),
            fractions=int(planned[0]) if len(planned) == 1 and planned[0] is not None else None,
        )


def _choose(objects: Sequence[DoseObject], plans: dict[str, Plan]) -> tuple[list[DoseObject], Plan | None]:
    """Return the objects whose sum is the dose, and their plan where it is there."""
    others = sorted({one.summation for one in objects} - {*WHOLE, *PARTS})
    if others:
        raise DataError(f"{_names(objects)}: DoseSummationType is none of {', '.join((*WHOLE, *PARTS))}; {_WHICH}")
    uids = frozenset().union(*(one.plan_uids for one in objects))
    wholes = [one for one in objects if one.summation in WHOLE]
    if len(wholes) > 1:
        raise DataError(f"{_names(wholes)} are each the dose of a whole plan; {_WHICH}")
    if wholes:
        if uids - wholes[0].plan_uids:
            raise DataError(f"{_names(objects)} are of several plans; {_WHICH}")
        return wholes, plans.get(next(iter(uids))) if len(uids) == 1 else None
    if len(uids) != 1:
        raise DataError(f"{_names(objects)} are parts of {len(uids)} plans, so their sum is unclear; {_WHICH}")
    (uid,) = uids
    kinds = {one.summation for one in objects}
    if len(kinds) > 1:
        raise DataError(f"{_names(objects)} are of beams and of fraction groups, so their sum is unclear; {_WHICH}")
    if uid not in plans:
        raise DataError(f"{_names(objects)} are parts of a plan that is not there, so their sum is unclear; {_WHICH}")
    of_plan = plans[uid].beams if kinds == {"BEAM"} else plans[uid].groups
    counts = Counter(part for one in objects for part in one.parts)
    missing, more = len(of_plan - set(counts)), len(set(counts) - of_plan)
    twice = sum(count > 1 for count in counts.values())
    if not of_plan or missing or more or twice or any(not one.parts for one in objects):
        raise DataError(
            f"the doses are parts of a plan and not all of it once ({missing} missing, {more} not of it, {twice} twice)"
            f"; {_WHICH}"
        )
    return list(objects), plans[uid]


def _sum(objects: Sequence[DoseObject]) -> sitk.Image:
    """Return the sum of doses on the grid of the first, `NOT_MEASURED` where one of them was not calculated."""
    total = objects[0].read()
    if len(objects) == 1:
        return total
    values = sitk.GetArrayFromImage(total)
    everywhere = np.ones(values.shape, bool)
    for one in objects[1:]:
        image = one.read()
        if not image.IsSameImageGeometryAs(total):
            everywhere &= sitk.GetArrayFromImage(coverage(image, total, sitk.Transform())) > 0
            image = sitk.Resample(image, total, sitk.Transform(), sitk.sitkLinear, 0.0)
        values += sitk.GetArrayViewFromImage(image)
    result = sitk.GetImageFromArray(np.where(everywhere, values, NOT_MEASURED))
    result.CopyInformation(total)
    return result


def _planes(dataset: Dataset, name: str) -> list[Plane]:
    """Return the place of each frame."""
    count = int(value_of(dataset, "NumberOfFrames") or 1)
    offsets = np.atleast_1d(np.array(value_of(dataset, "GridFrameOffsetVector") or [0.0], float))
    if len(offsets) != count or not np.isfinite(offsets).all():
        raise DataError(f"{name} has {count} frames and {len(offsets)} offsets (GridFrameOffsetVector); {_EXPORT}")
    position, orientation, spacing = (
        tuple(float(number) for number in value_of(dataset, keyword) or ())
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    first = Plane(
        name=f"frame 1 of {name}",
        position_mm=position,
        orientation=orientation,
        spacing_mm=spacing,
        rows=int(value_of(dataset, "Rows") or 0),
        columns=int(value_of(dataset, "Columns") or 0),
    )
    if abs(offsets[0]) > _OFFSET_TOLERANCE_MM:
        # Absolute: z coordinates, which only upright axial planes have.
        upright = any(np.allclose(orientation, one, rtol=0, atol=1e-4) for one in _AXIAL)
        if not upright or abs(offsets[0] - position[2]) > _OFFSET_TOLERANCE_MM:
            raise DataError(f"{name} has a GridFrameOffsetVector that begins neither with 0 nor with its z; {_EXPORT}")
        offsets = offsets - position[2]
        normal = np.array([0.0, 0.0, 1.0])
    else:
        normal = np.cross(orientation[:3], orientation[3:])
    if not (np.all(np.diff(offsets) > 0) or np.all(np.diff(offsets) < 0)):
        raise DataError(f"{name} has a GridFrameOffsetVector that is in no order; {_EXPORT}")
    return [
        dataclasses.replace(
            first, name=f"frame {k + 1} of {name}", position_mm=tuple((np.array(position) + offset * normal).tolist())
        )
        for k, offset in enumerate(offsets)
    ]


def _check_stored(dataset: Dataset, name: str) -> None:
    bits = value_of(dataset, "BitsAllocated")
    as_asked = (
        value_of(dataset, "SamplesPerPixel") == 1
        and value_of(dataset, "PhotometricInterpretation") == "MONOCHROME2"
        and bits in (16, 32)
        and value_of(dataset, "BitsStored") == bits
        and value_of(dataset, "PixelRepresentation") in (0, 1)
    )
    if not as_asked:
        raise DataError(f"{name} is not stored as whole numbers of 16 or 32 bits; {_EXPORT}")


def _parts(dataset: Dataset) -> tuple[Part, ...]:
    """Return the parts of its plan that a dose says it is of."""
    found: list[Part] = []
    for plan in value_of(dataset, "ReferencedRTPlanSequence") or []:
        for group in value_of(plan, "ReferencedFractionGroupSequence") or []:
            number = _number(group, "ReferencedFractionGroupNumber")
            if value_of(dataset, "DoseSummationType") == "FRACTION":
                found.append((number, None))
                continue
            for beam in value_of(group, "ReferencedBeamSequence") or []:
                found.append((number, _number(beam, "ReferencedBeamNumber")))
    return tuple(found)


def _number(item: Dataset, keyword: str) -> int:
    value = value_of(item, keyword)
    return -1 if value is None else int(value)


def _frame_of(path: Path, name: str) -> str:
    dataset = read_header(path, name)
    with parsing(name):
        return str(value_of(dataset, "FrameOfReferenceUID") or "")


def _names(objects: Sequence[DoseObject]) -> str:
    return ", ".join(one.name for one in objects)


_EXPORT = "export the dose again as RTDOSE"
_WHICH = "leave or give the one dose of the whole treatment (DoseSummationType PLAN)"
