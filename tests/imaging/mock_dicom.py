"""Makers of small DICOM MR series and RTSTRUCTs on any grid, and of grids: the tests' scanner and planning system."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RTStructureSetStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from tfdrift.imaging.geometry import Grid

FRAME_UID = generate_uid(entropy_srcs=["frame"])
SERIES_UID = generate_uid(entropy_srcs=["series"])
STUDY_UID = generate_uid(entropy_srcs=["study"])
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def make_grid(size=(7, 6, 5), spacing_mm=(1.0, 1.0, 2.0), origin_mm=(-3.0, 4.0, 5.0), direction=UPRIGHT) -> Grid:
    return Grid(size=size, spacing_mm=spacing_mm, origin_mm=origin_mm, direction=direction)


def random_grid(rng: np.random.Generator, largest=24) -> Grid:
    """An oblique, non-square, anisotropic grid, right-handed as DICOM's are."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation[:, 2] *= np.sign(np.linalg.det(rotation))
    return make_grid(
        size=tuple(int(n) for n in rng.integers(6, largest, 3)),
        spacing_mm=tuple(rng.uniform(0.4, 4, 3).tolist()),
        origin_mm=tuple(rng.uniform(-200, 200, 3).tolist()),
        direction=tuple(rotation.ravel().tolist()),
    )


def to_mm(grid: Grid, indices: np.ndarray) -> np.ndarray:
    """Patient coordinates of continuous indices (column, row, slice), by the definition of a direction matrix."""
    matrix = np.reshape(grid.direction, (3, 3)) * np.array(grid.spacing_mm)
    return np.array(grid.origin_mm) + np.asarray(indices, float) @ matrix.T


def decimal(numbers: Iterable[float]) -> list[str]:
    return [format_number_as_ds(float(number)) for number in numbers]


def slice_dataset(grid: Grid, k: int, pixels: np.ndarray) -> Dataset:
    """One MR slice with whole-number pixels [rows, columns]."""
    direction = np.reshape(grid.direction, (3, 3))
    dataset = base_dataset(MRImageStorage, "MR", generate_uid(entropy_srcs=[str(grid), str(k)]))
    dataset.SeriesInstanceUID = SERIES_UID
    dataset.FrameOfReferenceUID = FRAME_UID
    dataset.InstanceNumber = k + 1
    dataset.ImagePositionPatient = decimal(to_mm(grid, np.array([0, 0, k])))
    dataset.ImageOrientationPatient = decimal([*direction[:, 0], *direction[:, 1]])
    dataset.PixelSpacing = decimal([grid.spacing_mm[1], grid.spacing_mm[0]])
    dataset.SliceThickness = "77"  # wrong on purpose: spacing must come from positions
    dataset.update(pixel_elements(pixels))
    return dataset


def base_dataset(sop_class: str, modality: str, sop_uid: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = sop_uid
    dataset.Modality = modality
    dataset.StudyInstanceUID = STUDY_UID
    dataset.StudyDate = "20240131"
    dataset.PatientID = "ID-7"
    dataset.PatientName = "Doe^Jane"
    dataset.SeriesNumber = 3
    return dataset


def pixel_elements(pixels: np.ndarray) -> Dataset:
    part = Dataset()
    part.SamplesPerPixel = 1
    part.PhotometricInterpretation = "MONOCHROME2"
    part.Rows, part.Columns = pixels.shape[-2:]
    part.BitsAllocated = part.BitsStored = 8 * pixels.dtype.itemsize
    part.HighBit = part.BitsStored - 1
    part.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    part.add_new("PixelData", "OB" if pixels.dtype.itemsize == 1 else "OW", data + b"\0" * (len(data) % 2))
    return part


def write(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path, grid: Grid, volume: np.ndarray, change: Callable[[Dataset, int], object] | None = None
) -> list[Path]:
    """Write volume [slices, rows, columns] in shuffled file order; `change(dataset, k)` breaks or varies slice k."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(0).permutation(len(volume))
    paths = []
    for k, pixels in enumerate(volume):
        dataset = slice_dataset(grid, k, pixels)
        if change:
            change(dataset, k)
        paths.append(write(dataset, folder / f"{names[k]:04}.dcm"))
    return paths


def enhanced_dataset(grid: Grid, volume: np.ndarray, frame_order: Sequence[int], slopes: Sequence[float]) -> Dataset:
    """One enhanced MR object whose frames stand in `frame_order`, each with its own rescale slope."""
    direction = np.reshape(grid.direction, (3, 3))
    dataset = base_dataset("1.2.840.10008.5.1.4.1.1.4.1", "MR", generate_uid(entropy_srcs=[str(grid)]))
    dataset.SeriesInstanceUID = SERIES_UID
    dataset.FrameOfReferenceUID = FRAME_UID
    dataset.NumberOfFrames = len(frame_order)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = decimal([*direction[:, 0], *direction[:, 1]])
    measures.PixelSpacing = decimal([grid.spacing_mm[1], grid.spacing_mm[0]])
    shared.PlaneOrientationSequence = Items([orientation])
    shared.PixelMeasuresSequence = Items([measures])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for k in frame_order:
        group, position, values = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = decimal(to_mm(grid, np.array([0, 0, k])))
        values.RescaleSlope, values.RescaleIntercept = decimal([slopes[k], 0])
        group.PlanePositionSequence = Items([position])
        group.PixelValueTransformationSequence = Items([values])
        frames.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Items(frames)
    dataset.update(pixel_elements(np.stack([volume[k] for k in frame_order])))
    return dataset


def structures_dataset(rois: Mapping[str, Sequence[np.ndarray]]) -> Dataset:
    """An RTSTRUCT of closed contours, float [n, 3] mm each; it refers to the mock series but to no image of it."""
    dataset = base_dataset(RTStructureSetStorage, "RTSTRUCT", generate_uid())
    dataset.SeriesInstanceUID = generate_uid()
    dataset.StructureSetLabel = "PLAN"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = SERIES_UID
    study.RTReferencedSeriesSequence = Items([series])
    frame.FrameOfReferenceUID = FRAME_UID
    frame.RTReferencedStudySequence = Items([study])
    dataset.ReferencedFrameOfReferenceSequence = Items([frame])
    described, drawn = [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, contour_set = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, FRAME_UID
        contour_set.ReferencedROINumber = number
        contour_set.ContourSequence = Items([contour_dataset(points) for points in contours])
        described.append(roi)
        drawn.append(contour_set)
    dataset.StructureSetROISequence = Items(described)
    dataset.ROIContourSequence = Items(drawn)
    return dataset


def contour_dataset(points_mm: np.ndarray, kind="CLOSED_PLANAR") -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = kind
    contour.NumberOfContourPoints = len(points_mm)
    contour.ContourData = decimal(np.ravel(points_mm))
    return contour


def contours_of(mask: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """Polygons along the edges of a mask's pixels [slices, rows, columns], holes as contours of their own."""
    contours = []
    for k, plane in enumerate(mask):
        for loop in edge_loops(plane):
            corners = np.array(loop, float) - 0.5
            contours.append(to_mm(grid, np.column_stack([corners, np.full(len(corners), k)])))
    return contours


def edge_loops(plane: np.ndarray) -> list[list[tuple[int, int]]]:
    """Closed walks (column, row) along pixel corners, inside to the right of each step."""
    padded = np.pad(plane.astype(bool), 1)
    steps = defaultdict(list)
    for row, column in np.argwhere(padded):
        x, y = int(column) - 1, int(row) - 1
        for outside, start, end in (
            (padded[row - 1, column], (x, y), (x + 1, y)),
            (padded[row, column + 1], (x + 1, y), (x + 1, y + 1)),
            (padded[row + 1, column], (x + 1, y + 1), (x, y + 1)),
            (padded[row, column - 1], (x, y + 1), (x, y)),
        ):
            if not outside:
                steps[start].append(end)
    loops = []
    while steps:
        start = next(iter(steps))
        loop, at = [], start
        while True:
            loop.append(at)
            following = steps[at].pop()
            if not steps[at]:
                del steps[at]
            at = following
            if at == start:
                break
        loops.append(loop)
    return loops
