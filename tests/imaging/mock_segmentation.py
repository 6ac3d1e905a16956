"""Makers of DICOM Segmentations, written by highdicom: the tests' segmentation program."""

from collections.abc import Mapping, Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from tests.imaging.mock_dicom import slice_dataset, to_mm
from tfdrift.imaging.geometry import Grid

KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")
EMPTY = ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyTime", "ReferringPhysicianName")


def segmentation_dataset(
    grid: Grid,
    masks: Mapping[str, np.ndarray],
    *,
    kind: str = "BINARY",
    on: Grid | None = None,
    images: Sequence[Dataset] = (),
    **options: object,
) -> Dataset:
    """A Segmentation of a series on `grid`, with a segment for each mask, which must not overlap in a label map.

    Args:
        grid: of the series that it refers to.
        masks: bool [slices, rows, columns] each; for a fractional one real numbers from 0 to 1.
        kind: SegmentationType.
        on: the grid of the masks where it is another one.
        images: the series' slices in the order of the grid, by default the mock series'.
        options: of highdicom.
    """
    on = on or grid
    images = images or [slice_dataset(grid, k, np.zeros(grid.size[1::-1], np.int16)) for k in range(grid.size[2])]
    for image in images:
        for keyword in EMPTY:
            setattr(image, keyword, image.get(keyword) or "")
    direction = np.reshape(on.direction, (3, 3))
    place = hd.enum.CoordinateSystemNames.PATIENT
    values = np.stack(list(masks.values()), axis=-1)
    if kind == "LABELMAP":
        values = (values * np.arange(1, len(masks) + 1)).max(axis=-1)
    described = [
        hd.seg.SegmentDescription(
            number,
            label,
            codes.SCT.MorphologicallyAbnormalStructure,
            codes.SCT.NeoplasmSecondary,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(masks, start=1)
    ]
    return hd.seg.Segmentation(
        list(images),
        values.astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        kind,
        described,
        hd.UID(),
        5,
        hd.UID(),
        1,
        "maker",
        "model",
        "1",
        "1",
        pixel_measures=hd.PixelMeasuresSequence(
            [on.spacing_mm[1], on.spacing_mm[0]], on.spacing_mm[2], on.spacing_mm[2]
        ),
        plane_orientation=hd.PlaneOrientationSequence(place, [*direction[:, 0], *direction[:, 1]]),
        plane_positions=[
            hd.PlanePositionSequence(place, to_mm(on, np.array([0, 0, k])).tolist()) for k in range(on.size[2])
        ],
        **{"transfer_syntax_uid": ExplicitVRLittleEndian, **options},
    )


def reorder_frames(dataset: Dataset, order: Sequence[int]) -> Dataset:
    """Put the frames of a native Segmentation into another order."""
    bits, size = dataset.BitsAllocated, dataset.Rows * dataset.Columns
    whole = np.frombuffer(dataset.PixelData, np.dtype(f"u{-(-bits // 8)}"))
    if bits == 1:
        whole = np.unpackbits(whole, bitorder="little")
    frames = whole[: size * dataset.NumberOfFrames].reshape(dataset.NumberOfFrames, size)[list(order)]
    data = (np.packbits(frames, axis=None, bitorder="little") if bits == 1 else frames).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    groups = dataset.PerFrameFunctionalGroupsSequence
    dataset.PerFrameFunctionalGroupsSequence = Items([groups[k] for k in order])
    dataset.NumberOfFrames = len(order)
    return dataset
