"""A visit's image and lesions, as scanned and on the grid of the first visit."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk
from pydicom.uid import SpatialRegistrationStorage

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import parsing, read_header, value_of
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.registration import Registration, register
from tfdrift.imaging.resampling import resample_mask
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import Roi, mask_figures, misfit, rasterise
from tfdrift.importing.catalogue import FoundPatient
from tfdrift.importing.pairing import Reason
from tfdrift.importing.visits import Exclusion, PatientVisit


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """A visit that has been read.

    Args:
        visit: which.
        image: float32, scanner units, on its own grid.
        masks: uint8, of each lesion by ROINumber; on the image's grid, after `bring_onto` on the fixed session's.
        volumes_mm3: of each lesion by ROINumber, on its own grid.
        warnings: about the contours of each lesion by ROINumber.
        registration: to the first visit; None for the first itself.
    """

    visit: PatientVisit
    image: sitk.Image
    masks: dict[int, sitk.Image]
    volumes_mm3: dict[int, float]
    warnings: dict[int, tuple[str, ...]]
    registration: Registration | None = None


def read_session(visit: PatientVisit, lesions: Sequence[Roi]) -> tuple[Session, list[Exclusion]]:
    """Read a visit's image, and its lesions' masks on the image's own grid.

    Args:
        visit: from `tfdrift.importing.visits.choose_visits`.
        lesions: structures of the visit.

    Returns:
        The session, and each lesion that has no mask with the reason.

    Raises:
        DataError: the series cannot be read.
    """
    image, _ = read_series(visit.files)
    masks, volumes_mm3, warnings, exclusions = {}, {}, {}, []
    for roi in lesions:
        fault = misfit(roi, Grid.of(image)) if roi.contours_mm else roi.fault
        if fault:
            reason = f"structure {roi.number} {fault}"
            exclusions.append(Exclusion(visit=visit.name, structure=roi.number, reason=reason, broken=True))
            continue
        try:
            mask, said = rasterise(roi, image)
        except DataError:  # it fits, so what is left is that no voxel is inside
            exclusions.append(Exclusion(visit=visit.name, structure=roi.number, reason=str(Reason.EMPTY)))
            continue
        masks[roi.number], warnings[roi.number] = mask, said
        volumes_mm3[roi.number] = mask_figures(mask).volume_mm3
    session = Session(visit=visit, image=image, masks=masks, volumes_mm3=volumes_mm3, warnings=warnings)
    return session, exclusions


def bring_onto(
    session: Session, fixed: Session, *, registration_files: Sequence[Path], mode: str, seed: int
) -> Session:
    """Register a session to the first one, and bring its masks onto the first one's grid.

    Args:
        session: a later one.
        fixed: the first one.
        registration_files: from `registration_files`.
        mode: see `tfdrift.imaging.registration.register`.
        seed: see there.

    Raises:
        DataError: see there.
        UsageError: unknown mode.
    """
    registration = register(
        fixed.image,
        session.image,
        # Two series that name no frame of reference do not share one.
        fixed_frame=fixed.visit.series.frame_of_reference_uid or fixed.visit.name,
        moving_frame=session.visit.series.frame_of_reference_uid or session.visit.name,
        registration_files=registration_files,
        mode=mode,
        seed=seed,
    )
    masks = {number: resample_mask(mask, fixed.image, registration.transform) for number, mask in session.masks.items()}
    return dataclasses.replace(session, masks=masks, registration=registration)


def registration_files(patient: FoundPatient) -> list[Path]:
    """Return a patient's rigid Spatial Registration objects, newest study first; deformable ones are passed over.

    Raises:
        DataError: one has been changed since the scan.
    """
    found = []
    for study in reversed(patient.studies):
        for file in study.others.get("REG", ()):
            header = read_header(file, "a registration object")
            with parsing("a registration object"):
                if value_of(header, "SOPClassUID") == SpatialRegistrationStorage:
                    found.append(file)
    return found
