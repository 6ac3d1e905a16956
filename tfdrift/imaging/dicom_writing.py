"""Maps and masks on a series' own slices as DICOM objects: Parametric Maps and Segmentations that a viewer overlays.

They stand in the study and the frame of reference of the series, name its patient, and refer frame by frame to its
slices. Nothing of that is logged: messages of the library that writes them are silenced, since they can quote a name.
"""

import contextlib
import copy
import datetime
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import highdicom as hd
import numpy as np
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from tfdrift import __version__
from tfdrift.errors import DataError
from tfdrift.imaging.dicom import needless, parsing
from tfdrift.imaging.geometry import Plane
from tfdrift.imaging.series import Series

MAKER = "tfdrift"
_MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_UTF_8 = "ISO_IR 192"
_DATE_AND_TIME = {"DA": ("%Y%m%d",), "TM": ("%H%M%S.%f", "%H%M%S", "%H%M", "%H")}
_SEPARATORS = str.maketrans("", "", "-/:")
_LONGEST_LABEL = 64  # characters of DICOM's long string


class Source(NamedTuple):
    """The slices that a map or mask lies on.

    Args:
        images: headers, one a slice, or the one of a multi-frame object; copies that may be changed.
        positions_mm: ImagePositionPatient of each slice.
        orientation: ImageOrientationPatient.
        spacing_mm: distance between rows, then columns.
        slice_mm: distance between slices.
    """

    images: list[Dataset]
    positions_mm: list[tuple[float, ...]]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    slice_mm: float


class Object(NamedTuple):
    """What a DICOM object says of itself.

    Args:
        description: of its series.
        label: in capitals, digits and underscores, at most 16.
        series_number: of its series.
        model: what made it.
        model_id: that model's number or hash.
    """

    description: str
    label: str
    series_number: int
    model: str
    model_id: str


def find_source(headers: Sequence[Dataset], series: Series, slices: Sequence[int]) -> Source:
    """Return the source of objects that lie on some slices of a series.

    What may be empty in DICOM and is missing is made empty; the slices' distance is the one of their positions, and
    multi-frame headers get the orientation and spacing that all frames share in the place where it is looked for.

    Args:
        headers: of all slices in the order of the grid.
        series: as read.
        slices: their indices, in order.

    Raises:
        DataError: the series has no frame of reference or study, so nothing can be tied to it.
    """
    if not series.frame_of_reference_uid or not series.study_uid:
        raise DataError(
            "the series has no FrameOfReferenceUID or no StudyInstanceUID, so no DICOM object can refer to it; "
            "export it again"
        )
    planes = [series.slices[k].plane for k in slices]
    chosen = {series.slices[k].file: headers[k] for k in slices}
    with _making():
        images = [_completed(header, planes[0], series.grid.spacing_mm[2]) for header in chosen.values()]
    return Source(
        images=images,
        positions_mm=[plane.position_mm for plane in planes],
        orientation=planes[0].orientation,
        spacing_mm=planes[0].spacing_mm,
        slice_mm=series.grid.spacing_mm[2],
    )


def write_parametric_map(path: Path, source: Source, values: np.ndarray, about: Object, *, signed: bool) -> None:
    """Write real values, in arbitrary units of the scanner, as a Parametric Map of 32-bit floating point frames.

    Args:
        path: of the file.
        source: n slices.
        values: real [n, rows, columns].
        about: what it says of itself.
        signed: whether the window shown first lies around 0, or begins there.

    Raises:
        DataError: the headers of the series hold something that a new object may not.
    """
    values = values.astype(np.float32)
    limit = float(np.abs(values).max()) or 1.0
    window = (0.0, 2 * limit) if signed else (limit / 2, limit)
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=about.label,
        lut_explanation=about.description,
        unit=codes.UCUM.ArbitraryUnit,
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
    )
    with _making():
        written = hd.pm.ParametricMap(
            pixel_array=values,
            content_label=about.label,
            content_description=about.description,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[
                hd.VOILUTTransformation(
                    window_center=window[0], window_width=window[1], voi_lut_function="LINEAR_EXACT"
                )
            ],
            **_placed(source),
            **_named(about),
        )
        written.Laterality = ""  # must be there, and is empty where a body part is not one of a pair
        data = _encoded(written)
    path.write_bytes(data)


def write_segmentation(path: Path, source: Source, masks: np.ndarray, labels: Sequence[str], about: Object) -> None:
    """Write masks of metastases as a binary Segmentation with a segment each; they may overlap.

    Args:
        path: of the file.
        source: n slices.
        masks: bool [n, rows, columns, L].
        labels: what the L segments are called.
        about: what it says of itself.

    Raises:
        DataError: the headers of the series hold something that a new object may not.
    """
    algorithm = hd.AlgorithmIdentificationSequence(
        name=MAKER, family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label.replace("\\", "/")[:_LONGEST_LABEL],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.NeoplasmSecondary,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, label in enumerate(labels, start=1)
    ]
    with _making():
        written = hd.seg.Segmentation(
            pixel_array=masks.astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=segments,
            content_label=about.label,
            content_description=about.description,
            **_placed(source),
            **_named(about),
        )
        data = _encoded(written)
    path.write_bytes(data)


def _completed(header: Dataset, plane: Plane, slice_mm: float) -> Dataset:
    """Return a copy of a header that holds all that is copied from it into a new object."""
    image = _readable(header)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in image:
            setattr(image, keyword, "")
    if image.PatientSex not in ("", "M", "F", "O"):
        image.PatientSex = ""
    thickness = format_number_as_ds(slice_mm)
    if "PerFrameFunctionalGroupsSequence" not in image:
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
        image.SpecificCharacterSet = _UTF_8
    for tag in list(image.keys()):
        keyword = keyword_for_tag(tag)
        if keyword and needless(image, keyword) is None:
            image.pop(tag)  # empty or unusable; `_MAY_BE_EMPTY` must be there, and comes back empty
    image.decode()
    image.SpecificCharacterSet = _UTF_8
    for element in image:
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
            datetime.datetime.strptime(plain, one)
            return plain
    return ""


def _placed(source: Source) -> dict:
    place = hd.enum.CoordinateSystemNames.PATIENT
    return {
        "source_images": source.images,
        "plane_positions": [hd.PlanePositionSequence(place, position) for position in source.positions_mm],
        "plane_orientation": hd.PlaneOrientationSequence(place, source.orientation),
        "pixel_measures": hd.PixelMeasuresSequence(source.spacing_mm, source.slice_mm, source.slice_mm),
    }


def _named(about: Object) -> dict:
    return {
        "series_instance_uid": hd.UID(),
        "series_number": about.series_number,
        "series_description": about.description,
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
        "manufacturer": MAKER,
        "manufacturer_model_name": about.model[:_LONGEST_LABEL],
        "device_serial_number": about.model_id[:_LONGEST_LABEL],
        "software_versions": __version__,
        "transfer_syntax_uid": ExplicitVRLittleEndian,
    }


def _encoded(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@contextlib.contextmanager
def _making() -> Iterator[None]:
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
