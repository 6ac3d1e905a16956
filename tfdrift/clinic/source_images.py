"""The slices that a new DICOM object lies on and refers to: their headers, made valid for what is copied from them.

An attribute that no result depends on never stops an object: text is written as UTF-8 from any character set, a date or
time that is none is left empty, and of several names where one may stand the first counts.
"""

import contextlib
import copy
import datetime
import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, EnhancedMRImageStorage, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import needless, parsing
from tfdrift.imaging.geometry import Plane
from tfdrift.imaging.series import Series
from tfdrift.imaging.slices import IMAGE_CLASSES

MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""What every object says of patient and study, and what DICOM lets be empty."""

UTF_8 = "ISO_IR 192"
_DATE_AND_TIME = {"DA": ("%Y%m%d",), "TM": ("%H%M%S.%f", "%H%M%S", "%H%M", "%H")}
_SEPARATORS = str.maketrans("", "", "-/:")


class Reference(NamedTuple):
    """What names a slice: class and instance of the object that holds it, and its frame there, from 1, or None."""

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None

    def item(self) -> Dataset:
        """Return the item of a sequence that refers to the slice."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.sop_class_uid
        item.ReferencedSOPInstanceUID = self.sop_instance_uid
        if self.frame is not None:
            item.ReferencedFrameNumber = self.frame
        return item


class Source(NamedTuple):
    """The slices that a map, a mask or contours lie on.

    Args:
        images: headers, one a slice, or the one of a multi-frame object; copies that may be changed, of a class that
            DICOM defines.
        positions_mm: ImagePositionPatient of each slice.
        orientation: ImageOrientationPatient.
        spacing_mm: distance between rows, then columns.
        slice_mm: distance between slices.
        references: what names each slice.
    """

    images: list[Dataset]
    positions_mm: list[tuple[float, ...]]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    slice_mm: float
    references: list[Reference]

    def instances(self) -> list[Dataset]:
        """Return the items of a sequence that refers to each object of the slices once."""
        once = {reference.sop_instance_uid: reference for reference in self.references}
        return [reference._replace(frame=None).item() for reference in once.values()]


def find_source(headers: Sequence[Dataset], series: Series, slices: Sequence[int]) -> Source:
    """Return the source of objects that lie on some slices of a series.

    What may be empty in DICOM and is missing is made empty; the slices' distance is the one of their positions, and
    multi-frame headers get the orientation and spacing that all frames share in the place where it is looked for.

    Args:
        headers: of all slices in the order of the grid.
        series: as read.
        slices: their indices, in order.

    Raises:
        DataError: the series has no frame of reference or study, or a slice no SOPInstanceUID, so nothing can be tied
            to it.
    """
    if not series.frame_of_reference_uid or not series.study_uid:
        raise DataError(
            "the series has no FrameOfReferenceUID or no StudyInstanceUID, so no DICOM object can refer to it; "
            "export it again"
        )
    planes = [series.slices[k].plane for k in slices]
    chosen = {series.slices[k].file: headers[k] for k in slices}
    with making_objects():
        images = {file: _completed(header, planes[0], series.grid.spacing_mm[2]) for file, header in chosen.items()}
    for k in slices:
        if not images[series.slices[k].file].get("SOPInstanceUID"):
            raise DataError(
                f"{series.slices[k].plane.name} has no usable SOPInstanceUID, so no DICOM object can refer to it; "
                "export it again"
            )
    references = [_reference(images[series.slices[k].file], series.slices[k].frame) for k in slices]
    for image in images.values():
        if image.SOPClassUID not in IMAGE_CLASSES:  # a maker's own, of which the library that writes knows nothing
            image.SOPClassUID = _plain_class(image)
    return Source(
        images=list(images.values()),
        positions_mm=[plane.position_mm for plane in planes],
        orientation=planes[0].orientation,
        spacing_mm=planes[0].spacing_mm,
        slice_mm=series.grid.spacing_mm[2],
        references=references,
    )


def _reference(image: Dataset, frame: int) -> Reference:
    return Reference(image.SOPClassUID, image.SOPInstanceUID, frame + 1 if _has_frames(image) else None)


def _has_frames(image: Dataset) -> bool:
    return "PerFrameFunctionalGroupsSequence" in image


def _plain_class(image: Dataset) -> UID:
    return EnhancedMRImageStorage if _has_frames(image) else MRImageStorage


def _completed(header: Dataset, plane: Plane, slice_mm: float) -> Dataset:
    """Return a copy of a header that holds all that is copied from it into a new object."""
    image = _readable(header)
    if not UID(image.get("SOPClassUID", "")).is_valid:
        image.SOPClassUID = _plain_class(image)
    for keyword in MAY_BE_EMPTY:
        if keyword not in image:
            setattr(image, keyword, "")
    if image.PatientSex not in ("", "M", "F", "O"):
        image.PatientSex = ""
    thickness = format_number_as_ds(slice_mm)
    if not _has_frames(image):
        image.SliceThickness = image.SpacingBetweenSlices = thickness
        return image
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [format_number_as_ds(value) for value in plane.orientation]
    measures.PixelSpacing = [format_number_as_ds(value) for value in plane.spacing_mm]
    measures.SliceThickness = measures.SpacingBetweenSlices = thickness
    shared = image.SharedFunctionalGroupsSequence[0] if image.get("SharedFunctionalGroupsSequence") else Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Items([orientation]), Items([measures])
    image.SharedFunctionalGroupsSequence = Items([shared])
    return image


def _readable(header: Dataset) -> Dataset:
    """Return a copy of a header whose text is UTF-8, and without values that are none of their type.

    highdicom knows neither an empty first character set nor the Korean one (PS3.3, C.12.1.1.2), and a date or time that
    is none has no place in a new object.
    """
    image = copy.deepcopy(header)
    if not any(np.atleast_1d(needless(image, "SpecificCharacterSet") or "")) and _is_utf_8(image):
        image.SpecificCharacterSet = UTF_8
    for tag in list(image.keys()):
        keyword = keyword_for_tag(tag)
        if keyword and needless(image, keyword) is None:
            image.pop(tag)  # empty or unusable; `MAY_BE_EMPTY` must be there, and comes back empty
    image.decode()
    image.SpecificCharacterSet = UTF_8
    for element in image:
        if element.keyword in MAY_BE_EMPTY and element.VM > 1:
            element.value = element.value[0]
        if element.VR == "PN":  # keeps the bytes it was read from, which are in another character set
            element.value = str(element.value) if element.VM <= 1 else [str(name) for name in element.value]
        elif element.VR in _DATE_AND_TIME:
            element.value = _valid(str(element.value), _DATE_AND_TIME[element.VR])
    return image


def _is_utf_8(image: Dataset) -> bool:
    raw = [getattr(image.get_item(tag), "value", None) for tag in image.keys()]  # noqa: SIM118 - would convert values
    try:
        for value in raw:
            if isinstance(value, bytes):
                value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _valid(text: str, formats: Sequence[str]) -> str:
    """Return a date or time without separators, as older systems write them; empty where it is none."""
    plain = text.strip().translate(_SEPARATORS)
    if formats[0] == "%Y%m%d":
        plain = plain.replace(".", "")
    for one in formats:
        with contextlib.suppress(ValueError):
            read = datetime.datetime.strptime(plain, one)
            # strptime takes single digits too: 2599 would be nine seconds past 2:59.
            if read.strftime(one.removesuffix(".%f")) == plain.partition(".")[0]:
                return plain
    return ""


@contextlib.contextmanager
def making_objects() -> Iterator[None]:
    """Silence the libraries, whose messages can quote the patient's name, and turn what they refuse into one line."""
    loggers = [logging.getLogger(name) for name in ("highdicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with parsing("the series' header"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
