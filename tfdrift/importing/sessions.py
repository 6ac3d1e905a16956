"""What a source of patients gives, visit by visit, and a visit on the grid of the first.

A source has patients, a patient has visits in the order of days, and a visit can be read: an image and the masks of its
structures. What they hold of names stays in memory; everything written goes by numbers and pseudonyms.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import SimpleITK as sitk

from tfdrift.cohort.tables import Exclusion
from tfdrift.imaging.registration import Registration, register
from tfdrift.imaging.resampling import resample_mask
from tfdrift.importing.target_names import IsWanted, Structure

VisitName = Literal["pre", "post", "follow_up"]
VISITS: tuple[VisitName, ...] = ("pre", "post", "follow_up")
THREE, EVERY = "three", "every"
VISIT_CHOICES = (THREE, EVERY)
"""Which visits make pairs: the first two, with the third as their follow-up, or also every other two."""


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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """A visit that has been read.

    Args:
        name: which visit, see `visit_name`.
        day: on a scale that all of a patient's visits share.
        image: float32, scanner units, on its own grid, LPS mm.
        masks: uint8, of each lesion by its number; on the image's grid, after `bring_onto` on the fixed session's.
        volumes_mm3: of each lesion by its number, on its own grid.
        warnings: about what was drawn of each lesion, by its number, without identity.
        frame: names the frame of reference; sessions with the same one are not moved against each other.
        registration_files: DICOM Spatial Registration objects that may lead from another frame to this one, newest
            first.
        acquisition: facts about the sequence that may leave the import, by DICOM keyword.
        with_contrast: whether a contrast agent was given; None where the source cannot tell.
        sequence_name: of the pulse sequence, empty where it is not known; to compare in memory, it must not be written.
        registration: to the first visit; None for the first itself.
        channels: reads what it has beyond this image, on the same grid; None where no more is asked for.
    """

    name: str
    day: int
    image: sitk.Image
    masks: Mapping[int, sitk.Image]
    volumes_mm3: Mapping[int, float]
    warnings: Mapping[int, tuple[str, ...]]
    frame: str
    registration_files: Sequence[Path] = ()
    acquisition: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    with_contrast: bool | None = None
    sequence_name: str = ""
    registration: Registration | None = None
    channels: Callable[[], MoreChannels] | None = None


class Visit(Protocol):
    """A visit that can be read; it must be picklable."""

    @property
    def name(self) -> str:
        """Which visit, see `visit_name`."""
        ...

    @property
    def day(self) -> int:
        """When, on a scale that all of a patient's visits share."""
        ...

    @property
    def structures(self) -> Sequence[Structure]:
        """What is drawn on it."""
        ...

    def read(self, wanted: Sequence[Structure]) -> tuple[Session, list[Exclusion]]:
        """Return the session with the masks of these structures, and those that have none with the reason.

        Raises:
            DataError: the image cannot be read.
        """
        ...


class Patient(Protocol):
    """A patient of a source; it must be picklable, as it is imported in a process of its own."""

    @property
    def patient_id(self) -> str:
        """As the source names the patient, which is identifying; the pseudonym is made of it."""
        ...

    def visits(self, is_wanted: IsWanted) -> tuple[Sequence[Visit], list[Exclusion]]:
        """Return the visits that are asked for in order, and what else there was with the reason.

        Args:
            is_wanted: whether a structure may be a lesion.
        """
        ...


def visit_name(place: int) -> str:
    """Return what the tables call a visit.

    Args:
        place: in the order of days, from 0.

    Example:
        >>> [visit_name(place) for place in range(4)]
        ['pre', 'post', 'follow_up', 'visit 4']
    """
    return VISITS[place] if place < len(VISITS) else f"visit {place + 1}"


def bring_onto(session: Session, fixed: Session, *, mode: str, seed: int) -> Session:
    """Register a session to the first one, and bring its masks onto the first one's grid.

    Args:
        session: a later one.
        fixed: the first one.
        mode: see `tfdrift.imaging.registration.register`.
        seed: see there.

    Raises:
        DataError: see there.
        UsageError: unknown mode.
    """
    registration = register(
        fixed.image,
        session.image,
        fixed_frame=fixed.frame,
        moving_frame=session.frame,
        registration_files=session.registration_files,
        mode=mode,
        seed=seed,
    )
    masks = {number: resample_mask(mask, fixed.image, registration.transform) for number, mask in session.masks.items()}
    return dataclasses.replace(session, masks=masks, registration=registration)
