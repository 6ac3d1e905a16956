import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.imaging.mock_dicom import (
    FRAME_UID,
    SERIES_UID,
    STUDY_UID,
    enhanced_dataset,
    make_grid,
    random_grid,
    write,
    write_series,
)
from tfdrift.clinic.dicom_writing import Object
from tfdrift.clinic.source_images import find_source
from tfdrift.clinic.structure_writing import Structure, trace_outlines, write_structure_set
from tfdrift.imaging.contours import first_crossing, unique_contours
from tfdrift.imaging.dicom import read_header
from tfdrift.imaging.matching import fits
from tfdrift.imaging.polygons import fill_polygons
from tfdrift.imaging.series import files_of, read_series
from tfdrift.imaging.structures import rasterise, read_structures

ABOUT = Object(
    description="predicted, research use",
    label="pred., research",
    series_number=9104,
    model="m version 7",
    model_id="a",
)


def masks_of(shape, seed) -> dict[int, np.ndarray]:
    """Masks with holes, islands and pixels that touch at a corner: noise; a ring; nothing."""
    rng = np.random.default_rng(seed)
    noise = rng.random(shape) < 0.7
    noise[0] = False
    ring = np.zeros(shape, bool)
    ring[1:3, 1:5, 1:6] = True
    ring[1:3, 2:4, 3] = False
    return {3: noise, 8: ring, 5: np.zeros(shape, bool)}


def write_masks(folder, masks):
    """Write an RTSTRUCT of masks on the series in a folder; return the image it lies on and the series."""
    image, series = read_series(folder)
    files = files_of(folder)
    headers = [read_header(files[one.file], "a file") for one in series.slices]
    structures = [Structure(number, f"GTV {number}", "predicted", mask) for number, mask in masks.items()]
    source = find_source(headers, series, range(len(headers)))
    write_structure_set(folder.parent / "rs.dcm", source, structures, ABOUT)
    return image, series


@pytest.fixture(scope="module", params=range(6))
def written(request, tmp_path_factory):
    """A series on a random oblique grid, the masks on it, and what was written."""
    folder = tmp_path_factory.mktemp("structures")
    grid = random_grid(np.random.default_rng(request.param))
    columns, rows, slices = (max(size, 6) for size in grid.size)
    grid = make_grid((columns, rows, slices), grid.spacing_mm, grid.origin_mm, grid.direction)
    masks = masks_of((slices, rows, columns), request.param)
    write_series(folder / "MR", grid, np.ones((slices, rows, columns), np.uint16))
    return folder, masks, *write_masks(folder / "MR", masks)


def voxels_of(path, number, image) -> np.ndarray:
    (roi,) = (roi for roi in read_structures(path).rois if roi.number == number)
    mask, warnings = rasterise(roi, image)
    assert not [warning for warning in warnings if "stay empty" not in warning]
    return sitk.GetArrayFromImage(mask).astype(bool)


@pytest.mark.parametrize("number", [3, 8])
def test_our_reader_finds_the_same_voxels(written, number):
    folder, masks, image, _ = written
    np.testing.assert_array_equal(voxels_of(folder / "rs.dcm", number, image), masks[number])


def test_it_belongs_to_the_series(written):
    folder, _, _, series = written
    structures = read_structures(folder / "rs.dcm")
    assert not fits(structures, series)
    assert structures.series_uids == {SERIES_UID}
    assert structures.frame_of_reference_uids == {FRAME_UID}


def test_each_contour_refers_to_the_slice_it_lies_on(written):
    folder = written[0]
    position_of = {}
    for file in files_of(folder / "MR"):
        header = pydicom.dcmread(file)
        position_of[header.SOPInstanceUID] = np.array(header.ImagePositionPatient, float)
    row, column = np.reshape(np.array(header.ImageOrientationPatient, float), (2, 3))
    normal = np.cross(row, column)
    for drawn in pydicom.dcmread(folder / "rs.dcm").ROIContourSequence:
        for contour in drawn.get("ContourSequence", []):
            (reference,) = contour.ContourImageSequence
            points = np.reshape(np.array(contour.ContourData, float), (-1, 3))
            depth = (points - position_of[reference.ReferencedSOPInstanceUID]) @ normal
            np.testing.assert_allclose(depth, 0, atol=1e-6)


def test_it_refers_to_every_slice_of_the_series(written):
    folder = written[0]
    (frame,) = pydicom.dcmread(folder / "rs.dcm").ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert study.ReferencedSOPInstanceUID == STUDY_UID
    slices = {pydicom.dcmread(file).SOPInstanceUID for file in files_of(folder / "MR")}
    assert {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence} == slices


def test_it_stands_in_the_study_of_the_series_with_its_patient(written):
    dataset = pydicom.dcmread(written[0] / "rs.dcm")
    assert (dataset.PatientName, dataset.PatientID) == ("Doe^Jane", "ID-7")
    assert (dataset.StudyInstanceUID, dataset.FrameOfReferenceUID) == (STUDY_UID, FRAME_UID)
    assert dataset.SeriesInstanceUID != SERIES_UID


def test_a_structure_without_voxels_stands_in_it_without_contours(written):
    (roi,) = (roi for roi in read_structures(written[0] / "rs.dcm").rois if roi.number == 5)
    assert roi.contours_mm == ()


def test_contours_on_a_multi_frame_object_name_the_frame(tmp_path):
    order = [3, 1, 4, 0, 2, 5]
    grid = make_grid((7, 6, 6))
    masks = masks_of((6, 6, 7), 0)
    (tmp_path / "MR").mkdir()
    write(enhanced_dataset(grid, np.ones((6, 6, 7), np.uint16), order, [1] * 6), tmp_path / "MR/one.dcm")
    image, _ = write_masks(tmp_path / "MR", masks)
    np.testing.assert_array_equal(voxels_of(tmp_path / "rs.dcm", 8, image), masks[8])
    ring = pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence[1]
    frames = [contour.ContourImageSequence[0].ReferencedFrameNumber for contour in ring.ContourSequence]
    assert [order[frame - 1] for frame in frames] == [1, 2]


def contours_in(dataset) -> list[pydicom.Dataset]:
    return [contour for drawn in dataset.ROIContourSequence for contour in drawn.get("ContourSequence", [])]


def points_of(contour) -> np.ndarray:
    return np.reshape(np.array(contour.ContourData, float), (-1, 3))


def first_normal(points) -> np.ndarray:
    """Unit normal of the first three neighbours that are not on one line, as SlicerRT takes it."""
    for one, two, three in zip(points, points[1:], points[2:], strict=False):
        normal = np.cross(two - one, three - one)
        if np.linalg.norm(normal) > 1e-9:
            return normal / np.linalg.norm(normal)
    raise AssertionError("all points are on one line")


def test_each_roi_stands_in_all_three_sequences(written):
    dataset = pydicom.dcmread(written[0] / "rs.dcm")
    described = [item.ROINumber for item in dataset.StructureSetROISequence]
    assert described == [3, 8, 5]
    assert [item.ReferencedROINumber for item in dataset.ROIContourSequence] == described
    assert [item.ReferencedROINumber for item in dataset.RTROIObservationsSequence] == described
    assert [item.ObservationNumber for item in dataset.RTROIObservationsSequence] == [1, 2, 3]
    for item in dataset.StructureSetROISequence:
        assert item.ReferencedFrameOfReferenceUID == FRAME_UID
        assert item.ROIName
    for item in dataset.ROIContourSequence:
        assert len(item.ROIDisplayColor) == 3
        assert all(0 <= value <= 255 for value in item.ROIDisplayColor)


def test_contours_are_closed_planar_and_hold_as_many_points_as_they_say(written):
    for contour in contours_in(pydicom.dcmread(written[0] / "rs.dcm")):
        points = points_of(contour)
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        assert contour.NumberOfContourPoints == len(points) >= 4
        assert (points[0] != points[-1]).any()  # readers close a contour themselves
        assert all(len(str(value)) <= 16 for value in contour.ContourData)


def test_all_contours_turn_the_same_way_in_parallel_planes(written):
    folder, _, _, series = written
    normals = [first_normal(points_of(contour)) for contour in contours_in(pydicom.dcmread(folder / "rs.dcm"))]
    np.testing.assert_allclose(normals, np.tile(normals[0], (len(normals), 1)), atol=1e-6)
    stack = np.reshape(series.grid.direction, (3, 3))[:, 2]
    np.testing.assert_allclose(abs(normals[0] @ stack), 1, atol=1e-6)


def test_the_two_ways_of_a_keyhole_meet_in_the_very_same_points(written):
    ring = pydicom.dcmread(written[0] / "rs.dcm").ROIContourSequence[1]
    for contour in ring.ContourSequence:
        points = [tuple(point) for point in np.reshape(contour.ContourData, (-1, 3)).tolist()]
        twice = sorted({point for point in points if points.count(point) == 2})
        assert len(twice) == 2  # where the line to the hole begins and ends
        for point in twice:
            first = points.index(point)
            assert points.index(point, first + 1) - first > 3


def test_viewers_can_tell_which_of_several_is_the_newest(written):
    dataset = pydicom.dcmread(written[0] / "rs.dcm")
    for kind in ("Date", "Time"):
        assert dataset[f"Series{kind}"].value == dataset[f"StructureSet{kind}"].value != ""


def test_the_label_is_as_long_as_a_label_may_be(written):
    assert 0 < len(pydicom.dcmread(written[0] / "rs.dcm").StructureSetLabel) <= 16


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
def test_an_independent_checker_finds_no_error(written):
    done = subprocess.run(["dciodvfy", str(written[0] / "rs.dcm")], capture_output=True, text=True, check=False)
    assert [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")] == []


def area(outline) -> float:
    """Area of a closed polygon by the shoelace sum; a line gone along twice adds nothing."""
    (x, y), (x_next, y_next) = outline.T, np.roll(outline, -1, axis=0).T
    return abs((x * y_next - x_next * y).sum()) / 2


def random_mask(seed) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(2, 14, 2)
    mask = rng.random((rows, columns)) < rng.choice([0.3, 0.5, 0.7, 0.9])
    mask[0, 0] = True
    return mask


@pytest.mark.parametrize("seed", range(60))
def test_filled_outlines_are_the_mask_again(seed):
    mask = random_mask(seed)
    outlines = trace_outlines(mask)
    filled = fill_polygons(outlines, np.zeros(len(outlines), int), (1, *mask.shape))[0]
    np.testing.assert_array_equal(filled, mask)


@pytest.mark.parametrize("seed", range(60))
def test_outlines_enclose_a_pixel_of_area_for_each_pixel(seed):
    mask = random_mask(seed)
    assert sum(map(area, trace_outlines(mask))) == mask.sum()


@pytest.mark.parametrize("seed", range(60))
def test_outlines_of_a_mask_neither_cross_nor_repeat(seed):
    flat = [np.pad(outline, ((0, 0), (0, 1))) for outline in trace_outlines(random_mask(seed))]
    assert first_crossing(flat) is None
    assert unique_contours(flat) == list(range(len(flat)))


def test_a_hole_is_joined_to_its_outline_by_a_line_gone_along_twice():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    (outline,) = trace_outlines(mask)
    steps = {(*start, *end) for start, end in zip(outline.tolist(), np.roll(outline, -1, axis=0).tolist(), strict=True)}
    assert [step for step in steps if (*step[2:], *step[:2]) in steps and step[1] < step[3]] == [(1.5, -0.5, 1.5, 1.5)]
    assert len(outline) == 4 + 4 + 3  # corners of outline and hole, one corner twice, the line's other end twice


def test_an_island_in_a_hole_has_an_outline_of_its_own():
    mask = np.ones((7, 7), bool)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    assert sorted(map(area, trace_outlines(mask))) == [1, 24]


def test_pixels_that_touch_at_a_corner_have_an_outline_each():
    assert [len(outline) for outline in trace_outlines(np.eye(3, dtype=bool))] == [4, 4, 4]


def test_an_empty_mask_has_no_outline():
    assert trace_outlines(np.zeros((3, 4), bool)) == []
