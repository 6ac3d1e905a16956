"""Maps and masks on a series' own slices as DICOM objects: Parametric Maps and Segmentations that a viewer overlays.

They stand in the study and the frame of reference of the series, name its patient, and refer frame by frame to its
slices. Nothing of that is logged: messages of the library that writes them are silenced, since they can quote a name.
"""

import datetime
import enum
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import highdicom as hd
import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from tfdrift import __version__
from tfdrift.clinic.source_images import MAY_BE_EMPTY, UTF_8, Source, making_objects

MAKER = "tfdrift"
LONGEST_LABEL = 64
"""Characters of DICOM's long string."""

COLOURS = ((255, 128, 0), (0, 192, 255), (255, 0, 160), (160, 224, 0), (160, 96, 255), (255, 224, 0))
"""Red, green and blue of the first masks, as segments and as contours; then from the beginning again."""


class Object(NamedTuple):
    """What a DICOM object says of itself.

    Args:
        description: of its series.
        label: at most 16 characters; in capitals, digits and underscores, but for a structure set's.
        series_number: of its series.
        model: what made it.
        model_id: that model's number or hash.
    """

    description: str
    label: str
    series_number: int
    model: str
    model_id: str


class Scale(enum.Enum):
    """What a map's values are, which settles its unit and the window that is shown first."""

    SIGNED = "arbitrary units of the scanner on both sides of 0"
    POSITIVE = "arbitrary units of the scanner from 0 on"
    SHARE = "a share, from 0 to 1"


def write_parametric_map(
    path: Path, source: Source, values: np.ndarray, about: Object, *, scale: Scale = Scale.POSITIVE
) -> None:
    """Write real values as a Parametric Map of 32-bit floating point frames.

    Args:
        path: of the file.
        source: n slices.
        values: real [n, rows, columns].
        about: what it says of itself.
        scale: what the values are.

    Raises:
        DataError: the headers of the series hold something that a new object may not.
    """
    values = values.astype(np.float32)
    limit = 1.0 if scale is Scale.SHARE else float(np.abs(values).max()) or 1.0
    window = (0.0, 2 * limit) if scale is Scale.SIGNED else (limit / 2, limit)
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=about.label,
        lut_explanation=about.description,
        unit=codes.UCUM.NoUnits if scale is Scale.SHARE else codes.UCUM.ArbitraryUnit,
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
    )
    with making_objects():
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
        data = _encoded(written, source)
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
            segment_label=label.replace("\\", "/")[:LONGEST_LABEL],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.NeoplasmSecondary,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            display_color=hd.color.CIELabColor.from_rgb(*COLOURS[(number - 1) % len(COLOURS)]),
        )
        for number, label in enumerate(labels, start=1)
    ]
    with making_objects():
        written = hd.seg.Segmentation(
            pixel_array=masks.astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=segments,
            content_label=about.label,
            content_description=about.description,
            **_placed(source),
            **_named(about),
        )
        data = _encoded(written, source)
    path.write_bytes(data)


def new_object(source: Source, about: Object, sop_class: UID, modality: str) -> Dataset:
    """Return patient, study, series, frame of reference and equipment of an object that highdicom does not make.

    Args:
        source: slices of the series in whose study it stands.
        about: what it says of itself.
        sop_class: its class.
        modality: of its series.
    """
    image, dataset, now = source.images[0], Dataset(), datetime.datetime.now()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = UTF_8
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    for keyword in MAY_BE_EMPTY:
        setattr(dataset, keyword, image[keyword].value)
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = image.StudyInstanceUID, image.FrameOfReferenceUID
    dataset.PositionReferenceIndicator = ""
    dataset.Modality, dataset.SeriesInstanceUID = modality, generate_uid()
    dataset.SeriesNumber, dataset.SeriesDescription = about.series_number, about.description
    dataset.Manufacturer, dataset.SoftwareVersions = MAKER, __version__
    dataset.ManufacturerModelName = about.model[:LONGEST_LABEL]
    dataset.DeviceSerialNumber = about.model_id[:LONGEST_LABEL]
    dataset.InstanceNumber = 1
    return dataset


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
        "manufacturer_model_name": about.model[:LONGEST_LABEL],
        "device_serial_number": about.model_id[:LONGEST_LABEL],
        "software_versions": __version__,
        "transfer_syntax_uid": ExplicitVRLittleEndian,
    }


def _encoded(dataset: Dataset, source: Source) -> bytes:
    classes = {reference.sop_instance_uid: reference.sop_class_uid for reference in source.references}

    def name_class(item: Dataset, element: DataElement) -> None:
        if element.keyword == "ReferencedSOPInstanceUID" and element.value in classes:
            item.ReferencedSOPClassUID = classes[element.value]

    dataset.walk(name_class)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
