"""DICOM MR series with RTSTRUCT or Segmentation files as a source of patients."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import SimpleITK as sitk

from tfdrift.cohort.channel_names import ChannelRule
from tfdrift.cohort.dose import DOSE
from tfdrift.cohort.tables import Exclusion
from tfdrift.errors import DataError
from tfdrift.imaging.dicom import parsing, read_header, value_of
from tfdrift.imaging.dose import OtherFrameError, read_plan_dose
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.resampling import resample_channel
from tfdrift.imaging.series import Series, read_series
from tfdrift.imaging.spatial_registration import REGISTRATION_CLASSES
from tfdrift.imaging.structures import OTHER_FRAME, OTHER_SERIES, Roi, mask_figures, misfit, rasterise
from tfdrift.importing.catalogue import COPY, FoundPatient, FoundSeries, Progress, scan
from tfdrift.importing.pairing import Reason
from tfdrift.importing.sessions import UNKNOWN, VISITS, MoreChannels, Session
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.target_names import IsWanted, Structure
from tfdrift.importing.visits import ChosenVisit, choose_visits


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DicomVisit:
    """A study with an MR series and the structure set drawn on it, see `tfdrift.importing.sessions.Visit`.

    Args:
        chosen: which study, series and structures.
        patient: whose registration objects, other series and dose may be needed.
        rules: the channels beyond the first.
    """

    chosen: ChosenVisit
    patient: FoundPatient
    rules: tuple[ChannelRule, ...] = ()

    @property
    def name(self) -> str:
        """Which visit."""
        return self.chosen.name

    @property
    def day(self) -> int:
        """Days since the first of January of the year 1."""
        return self.chosen.date.toordinal()

    @property
    def structures(self) -> Sequence[Roi]:
        """The ROIs of its structure set."""
        return self.chosen.rois

    def read(self, wanted: Sequence[Structure]) -> tuple[Session, list[Exclusion]]:
        """Read the image, and the wanted structures' masks on the image's own grid.

        Raises:
            DataError: the series, or a registration object, cannot be read.
        """
        image, _ = read_series(self.chosen.files)
        numbers = {structure.number for structure in wanted}
        masks, volumes_mm3, warnings, exclusions = {}, {}, {}, []
        for roi in self.chosen.rois:
            if roi.number not in numbers:
                continue
            fault = misfit(roi, Grid.of(image)) if roi.is_drawn else roi.fault
            if fault:
                reason = f"structure {roi.number} {fault}"
                broken = fault not in (OTHER_FRAME, OTHER_SERIES)  # as a set of a CT and an MR has them
                exclusions.append(Exclusion(visit=self.name, structure=roi.number, reason=reason, broken=broken))
                continue
            try:
                mask, said = rasterise(roi, image)
            except DataError:  # it fits, so what is left is that no voxel is inside
                exclusions.append(Exclusion(visit=self.name, structure=roi.number, reason=str(Reason.EMPTY)))
                continue
            masks[roi.number], warnings[roi.number] = mask, (*self.chosen.warnings, *said)
            volumes_mm3[roi.number] = mask_figures(mask).volume_mm3
        session = Session(
            name=self.name,
            day=self.day,
            image=image,
            masks=masks,
            volumes_mm3=volumes_mm3,
            warnings=warnings,
            # Two series that name no frame of reference do not share one.
            frame=self.chosen.series.frame_of_reference_uid or self.name,
            registration_files=() if self.name == "pre" else registration_files(self.patient),
            acquisition=self.chosen.series.acquisition,
            with_contrast=self.chosen.series.with_contrast,
            sequence_name=self.chosen.series.sequence_name,
            channels=partial(find_channels, self.patient, self.chosen.series, image, self.rules, visit=self.name)
            if self.rules
            else None,
        )
        return session, exclusions


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DicomPatient:
    """A patient of a catalogue, see `tfdrift.importing.sessions.Patient`.

    Args:
        found: what the scan found.
        by_place: see `tfdrift.importing.visits.choose_visits`.
        at_most: see there.
        rules: the channels beyond the first.
    """

    found: FoundPatient
    by_place: bool = False
    at_most: int | None = len(VISITS)
    rules: tuple[ChannelRule, ...] = ()

    @property
    def patient_id(self) -> str:
        """See `FoundPatient`."""
        return self.found.patient_id

    def visits(self, is_wanted: IsWanted) -> tuple[Sequence[DicomVisit], list[Exclusion]]:
        """Return the visits, see `tfdrift.importing.visits.choose_visits`."""
        chosen, exclusions = choose_visits(self.found, is_wanted, by_place=self.by_place, at_most=self.at_most)
        return [DicomVisit(chosen=one, patient=self.found, rules=self.rules) for one in chosen], exclusions


def find_patients(
    folder: Path,
    settings: ImportSettings,
    progress: Progress | None = None,
) -> tuple[list[DicomPatient], list[Exclusion]]:
    """Return the patients below a folder, by ID, and the files that cannot be read, counted by reason.

    Args:
        folder: any layout.
        settings: `by_place`, `visits` and `channels` count.
        progress: wraps the iteration over the files.

    Raises:
        DataError: the folder does not exist or cannot be listed.
    """
    catalogue = scan(folder, progress)
    refused = []
    for reason, count in sorted(Counter(reason for _, reason in catalogue.refused).items()):
        broken = reason != COPY and not reason.endswith("is not a DICOM file")
        reason = f"{count} {'file' if count == 1 else 'files'}: {reason}"
        refused.append(Exclusion(visit="", structure=None, reason=reason, broken=broken))
    return [
        DicomPatient(
            found=patient,
            by_place=settings.by_place,
            at_most=settings.at_most_visits,
            rules=settings.more_channels,
        )
        for patient in catalogue.patients
    ], refused


def registration_files(patient: FoundPatient) -> list[Path]:
    """Return a patient's Spatial Registration objects, rigid and deformable, newest study first.

    Raises:
        DataError: one has been changed since the scan.
    """
    found = []
    for study in reversed(patient.studies):
        for file in study.others.get("REG", ()):
            header = read_header(file, "a registration object")
            with parsing("a registration object"):
                if value_of(header, "SOPClassUID") in REGISTRATION_CLASSES:
                    found.append(file)
    return found


def find_channels(
    patient: FoundPatient, on: Series, image: sitk.Image, rules: Sequence[ChannelRule], *, visit: str
) -> MoreChannels:
    """Return the channels of a visit, brought onto the grid of its series by resampling alone.

    Args:
        patient: whose visit it is.
        on: its series.
        image: that series, read.
        rules: the channels.
        visit: name of the visit; the dose is that of the first one, `pre`.

    Raises:
        DataError: several series fit a rule, or what fits cannot be used: the dose is not one in Gy.
    """
    images, missing, fractions = {}, [], None
    for rule in rules:
        try:
            if rule.name == DOSE:
                images[rule.name], fractions = _dose(patient, on, image, visit)
            else:
                images[rule.name] = _series(patient, on, image, rule)
        except _MissingError as error:
            reason = f"channel {rule.name}: {error}; {UNKNOWN}"
            missing.append(Exclusion(visit=visit, structure=None, reason=reason, broken=error.broken))
    return MoreChannels(images=images, missing=tuple(missing), fractions=fractions)


class _MissingError(Exception):
    """A channel that a visit lacks."""

    def __init__(self, reason: str, *, broken: bool = False) -> None:
        super().__init__(reason)
        self.broken = broken


def _series(patient: FoundPatient, on: Series, image: sitk.Image, rule: ChannelRule) -> sitk.Image:
    number, study = next(
        (number, study)
        for number, study in enumerate(patient.studies, start=1)
        if any(one.uid == on.series_uid for one in study.series)
    )
    fitting = [
        (f"series {place} of study {number}", found)
        for place, found in enumerate(study.series, start=1)
        if found.modality == "MR" and found.uid != on.series_uid and rule.fits(_texts(found))
    ]
    if not fitting:
        raise _MissingError(f"no other MR series of study {number} is called so")
    if len(fitting) > 1:
        labels = ", ".join(label for label, _ in fitting)
        raise DataError(
            f"channel {rule.name}: several series are called so ({labels}); say which with --channels {rule.name}=REGEX"
        )
    ((label, found),) = fitting
    if found.series is None:
        raise _MissingError(f"{label} cannot be used: {found.fault}", broken=True)
    if not on.frame_of_reference_uid or found.series.frame_of_reference_uid != on.frame_of_reference_uid:
        raise _MissingError(f"{label} lies in another frame of reference than the first channel")
    return resample_channel(read_series(found.files)[0], image)


def _texts(found: FoundSeries) -> list[str]:
    return [found.description, found.series.sequence_name if found.series else ""]


def _dose(patient: FoundPatient, on: Series, image: sitk.Image, visit: str) -> tuple[sitk.Image, int | None]:
    if visit != "pre":
        raise _MissingError("it is taken for a pair that begins with the first visit alone")
    doses, plans = (_files(patient, modality) for modality in ("RTDOSE", "RTPLAN"))
    if not doses:
        raise _MissingError("the patient has no RTDOSE")
    try:
        dose = read_plan_dose(doses, plans, frame=on.frame_of_reference_uid)
    except OtherFrameError as error:
        raise _MissingError(str(error)) from None
    return resample_channel(dose.image, image, interpolation="linear"), dose.fractions


def _files(patient: FoundPatient, modality: str) -> list[Path]:
    return [file for study in patient.studies for file in study.others.get(modality, ())]
