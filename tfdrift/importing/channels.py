"""The further channels of a visit in a DICOM export: series of its study that are called so, and the dose.

Reasons call series by their place in the study, as `tfdrift.importing.visits` does: a description may hold anything.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import SimpleITK as sitk

from tfdrift.cohort.dose import DOSE
from tfdrift.cohort.tables import Exclusion
from tfdrift.errors import DataError
from tfdrift.imaging.dose import OtherFrameError, read_plan_dose
from tfdrift.imaging.resampling import resample_channel
from tfdrift.imaging.series import Series, read_series
from tfdrift.importing.catalogue import FoundPatient, FoundSeries
from tfdrift.importing.channel_names import ChannelRule

UNKNOWN = "the channel is unknown there"
"""What a missing channel means; ends its reason."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MoreChannels:
    """What a visit has beyond its first channel.

    Args:
        images: float32 by the channel's name, on the grid of the first; in scanner units, or Gy. One that is not there
            is unknown.
        missing: a row for each that is unknown, with the reason.
        fractions: in how many the dose is given; None where that is not known.
    """

    images: Mapping[str, sitk.Image]
    missing: tuple[Exclusion, ...] = ()
    fractions: int | None = None


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
