import csv
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from scipy import ndimage

from tests.imaging.mock_dicom import (
    contour_dataset,
    contours_of,
    make_grid,
    random_grid,
    structures_dataset,
    to_mm,
    write,
)
from tfdrift.errors import DataError
from tfdrift.imaging import structures as structures_module
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.series import read_series
from tfdrift.imaging.structures import Roi, find_roi, in_frame, mask_figures, rasterise, read_structures

DATA = Path(os.environ.get("TFDRIFT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
PATIENTS = ("STS_002", "STS_008")
SQUARE = np.array([[0.5, 0.5, 1], [3.5, 0.5, 1], [3.5, 3.5, 1], [0.5, 3.5, 1]])
needs_data = pytest.mark.skipif(not (DATA / "ibsi_sts").is_dir(), reason="no real data: set TFDRIFT_TEST_DATA")


def image_on(grid: Grid) -> sitk.Image:
    image = sitk.Image(list(grid.size), sitk.sitkUInt8)
    grid.place(image)
    return image


def blobs(grid: Grid, seed: int) -> np.ndarray:
    """Several smooth pieces with holes, away from nothing: they touch the volume's edges too."""
    noise = np.random.default_rng(seed).normal(size=grid.size[::-1])
    return ndimage.gaussian_filter(noise, 1) > 0.05


def read_one(tmp_path, change) -> Roi:
    """One square contour in an upright grid, as the file says it after `change(contour, data set)`."""
    dataset = structures_dataset({"GTV": [to_mm(make_grid(), SQUARE)]})
    change(dataset.ROIContourSequence[0].ContourSequence[0], dataset)
    return read_structures(write(dataset, tmp_path / "rs.dcm")).rois[0]


def roi_of(*contours: np.ndarray, grid: Grid) -> Roi:
    """A structure of contours in indices."""
    return Roi(number=4, name="GTV", contours_mm=tuple(to_mm(grid, contour) for contour in contours))


def filled(*contours: np.ndarray, grid=None) -> np.ndarray:
    grid = grid or make_grid()
    return sitk.GetArrayFromImage(rasterise(roi_of(*contours, grid=grid), image_on(grid))[0])


def at_slice(k: float) -> np.ndarray:
    return np.column_stack([SQUARE[:, :2], np.full(4, k)])


@pytest.mark.parametrize("seed", range(20))
def test_mask_to_contours_to_file_to_mask_loses_nothing(tmp_path, seed):
    grid = random_grid(np.random.default_rng(seed))
    mask = blobs(grid, seed)
    file = write(structures_dataset({"GTV": contours_of(mask, grid)}), tmp_path / "rs.dcm")
    back, warnings = rasterise(read_structures(file).rois[0], image_on(grid))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), mask)
    assert Grid.of(back) == Grid.of(image_on(grid))
    assert back.GetPixelID() == sitk.sitkUInt8
    assert warnings == ()


@pytest.mark.parametrize("seed", range(3))
def test_a_sphere_has_its_volume_and_centre_to_one_voxel_layer(seed):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng)
    grid = make_grid(size=(60, 50, 40), spacing_mm=(0.7, 0.9, 1.3), origin_mm=grid.origin_mm, direction=grid.direction)
    centre, radius_mm = np.array([30.2, 25.7, 19.4]), 12.0
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    contours = []
    for k in range(grid.size[2]):
        across_mm = np.sqrt(max(radius_mm**2 - ((k - centre[2]) * 1.3) ** 2, 0))
        if across_mm > 0.5:
            x, y = centre[0] + across_mm / 0.7 * np.cos(angle), centre[1] + across_mm / 0.9 * np.sin(angle)
            contours.append(np.column_stack([x, y, np.full(300, k)]))
    figures = mask_figures(rasterise(roi_of(*contours, grid=grid), image_on(grid))[0])
    layer_mm3 = 4 * np.pi * radius_mm**2 * 1.3
    assert abs(figures.volume_mm3 - 4 / 3 * np.pi * radius_mm**3) < layer_mm3
    np.testing.assert_allclose(figures.centroid_mm, to_mm(grid, centre), atol=0.2)


@needs_data
@pytest.mark.parametrize("patient", PATIENTS)
def test_a_real_mask_equals_the_independent_one_voxel_for_voxel(patient):
    folder = DATA / "ibsi_sts" / patient
    image, _ = read_series(folder / "MR_T1/image")
    roi = find_roi(read_structures(folder / "MR_T1/mask/RS.dcm"), "GTV_Mass_MR_T1")
    independent = sitk.ReadImage(str(folder / "MR_T1_mask.nii.gz"))
    mask, warnings = rasterise(roi, image)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(independent) > 0)
    np.testing.assert_allclose(mask.GetOrigin(), independent.GetOrigin(), atol=1e-4)
    assert warnings == ()


@needs_data
@pytest.mark.parametrize("patient", PATIENTS)
def test_real_figures_equal_the_expected_table(patient):
    with (DATA / "ibsi_sts/expected.csv").open(encoding="utf-8") as file:
        expected = next(row for row in csv.DictReader(file) if row["patient"] == patient)
    folder = DATA / "ibsi_sts" / patient / "MR_T1"
    image, _ = read_series(folder / "image")
    figures = mask_figures(rasterise(read_structures(folder / "mask/RS.dcm").rois[0], image)[0])
    assert figures.voxels == int(expected["mask_voxels"])
    assert round(figures.volume_mm3 / 1000, 3) == float(expected["volume_cc"])
    centroid = [float(expected[f"centroid_{axis}"]) for axis in "xyz"]
    np.testing.assert_allclose(figures.centroid_mm, centroid, atol=5.1e-4)


def test_contours_between_slices_go_to_the_nearest():
    for k, nearest in [(1.4, 1), (1.6, 2), (2.5, 3), (-0.4, 0), (4.4, 4)]:
        assert np.flatnonzero(filled(at_slice(k)).any(axis=(1, 2))).tolist() == [nearest]


def test_of_several_planes_near_one_slice_the_nearest_counts():
    # Drawn on a finer series: combining the planes by even-odd would empty the slice.
    grid = make_grid()
    roi = roi_of(at_slice(1.7), at_slice(2.0), at_slice(2.3), grid=grid)
    mask, warnings = rasterise(roi, image_on(grid))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), filled(at_slice(2)))
    assert warnings == ("2 contours are further from a slice than another contour of that slice, and are not used",)


def test_slices_without_a_contour_stay_empty_with_a_warning():
    grid = make_grid()
    mask, warnings = rasterise(roi_of(at_slice(1), at_slice(4), grid=grid), image_on(grid))
    assert sitk.GetArrayFromImage(mask).any(axis=(1, 2)).tolist() == [False, True, False, False, True]
    assert warnings == ("2 slices between the first and the last contour have none, and stay empty",)


def test_points_and_open_contours_are_skipped_with_a_warning(tmp_path):
    def add(_contour: Dataset, dataset: Dataset) -> None:
        items = dataset.ROIContourSequence[0].ContourSequence
        items.append(contour_dataset(np.zeros((1, 3)), "POINT"))
        items.append(contour_dataset(np.zeros((5, 3)), "OPEN_PLANAR"))

    roi = read_one(tmp_path, add)
    assert len(roi.contours_mm) == 1
    assert roi.warnings == ("2 contours are points or open lines and enclose nothing; they are skipped",)


def test_contours_of_two_points_are_skipped_with_a_warning(tmp_path):
    def add(_contour: Dataset, dataset: Dataset) -> None:
        dataset.ROIContourSequence[0].ContourSequence.append(contour_dataset(np.zeros((2, 3))))

    roi = read_one(tmp_path, add)
    assert len(roi.contours_mm) == 1
    assert roi.warnings == ("1 contours have fewer than 3 points; they are skipped",)


def moved(columns: float, rows: float) -> np.ndarray:
    return SQUARE + np.array([columns, rows, 0])


def set_data(text: str):
    def change(contour: Dataset, _dataset: Dataset) -> None:
        contour.ContourData = text.split("\\")
        del contour.NumberOfContourPoints

    return change


def set_points(number: int):
    return lambda contour, _dataset: setattr(contour, "NumberOfContourPoints", number)


def set_kind(kind: str):
    return lambda contour, _dataset: setattr(contour, "ContourGeometricType", kind)


def as_doubles(contour: Dataset, _dataset: Dataset) -> None:
    contour.ContourData = None
    contour["ContourData"].VR = "FD"
    contour["ContourData"].value = [1.0] * 12


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (set_data("1\\2\\3\\4"), "has 4 contour coordinates, which is not a multiple of 3"),
        (set_data("9e9\\2\\3"), "has contour points that are nowhere near a patient"),
        (set_points(5), "has 4 points in a contour that says 5"),
        (set_kind("SPLINE"), "has a contour of unknown type"),
        (as_doubles, "has contour data that are not decimal text"),
    ],
)
def test_a_contour_that_cannot_be_read_is_the_fault_of_its_structure(tmp_path, change, fault):
    roi = read_one(tmp_path, change)
    assert roi.fault == f"{fault} (contour 1)"
    with pytest.raises(DataError, match="structure 1 has"):
        rasterise(roi, image_on(make_grid()))


@pytest.mark.parametrize("text", [b"nan", b"inf", b"1_0", b"0x1", b"..1"])
def test_contour_data_that_are_no_numbers_are_a_fault(tmp_path, text):
    dataset = structures_dataset({"GTV": [to_mm(make_grid(), SQUARE)]})
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = ["123", *["1"] * 11]
    file = write(dataset, tmp_path / "rs.dcm")
    file.write_bytes(file.read_bytes().replace(b"123\\", text + b"\\"))
    assert "not numbers" in read_structures(file).rois[0].fault


def test_a_contour_drawn_twice_counts_once_with_a_warning(tmp_path):
    square = to_mm(make_grid(), SQUARE)
    file = write(structures_dataset({"GTV": [square, np.roll(square, 1, axis=0)[::-1]]}), tmp_path / "rs.dcm")
    roi = read_structures(file).rois[0]
    mask, warnings = rasterise(roi, image_on(make_grid()))
    assert sitk.GetArrayFromImage(mask).sum() == 9
    assert warnings == ("1 contours are drawn twice; each counts once",)


def test_contours_that_cross_are_refused_with_their_slice_and_their_numbers_in_the_file(tmp_path):
    grid = make_grid()
    contours = [
        to_mm(grid, SQUARE),
        to_mm(grid, SQUARE + np.array([0, 0, 1])),
        to_mm(grid, SQUARE + np.array([1.2, 1.2, 1])),
    ]
    dataset = structures_dataset({"GTV": contours})
    point = contour_dataset(contours[0][:1], "POINT")
    dataset.ROIContourSequence[0].ContourSequence.insert(0, point)  # skipped, and counted all the same
    roi = read_structures(write(dataset, tmp_path / "rs.dcm")).rois[0]
    with pytest.raises(DataError, match=r"structure 1 has contours that cross in slice 3 \(contours 3 and 4\)"):
        rasterise(roi, image_on(grid))


def test_one_faulty_structure_does_not_cost_the_others(tmp_path):
    grid = make_grid()
    dataset = structures_dataset({"EYE": [to_mm(grid, SQUARE)], "GTV": [to_mm(grid, SQUARE)]})
    set_kind("SPLINE")(dataset.ROIContourSequence[0].ContourSequence[0], dataset)
    eye, gtv = read_structures(write(dataset, tmp_path / "rs.dcm")).rois
    assert eye.fault
    assert not gtv.fault


def test_more_points_than_the_limit_are_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(structures_module, "MAX_POINTS", 3)
    assert read_one(tmp_path, lambda *_: None).fault.startswith("has more points than the 3")


def test_slanted_contours_are_refused():
    slanted = SQUARE + np.array([[0, 0, 0], [0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    with pytest.raises(DataError, match=r"structure 4 has contours that are not parallel to the slices \(contour 2\)"):
        filled(at_slice(2), slanted)


@pytest.mark.parametrize(
    "contour",
    [at_slice(-0.6), at_slice(4.6), at_slice(99), moved(-2, 0), moved(4.5, 0), moved(0, 90)],
    ids=["below", "above", "far above", "left", "right", "far down"],
)
def test_a_structure_that_reaches_outside_the_volume_is_refused(contour):
    with pytest.raises(DataError, match=r"structure 4 reaches outside the volume \(contour 2\)"):
        filled(at_slice(1), contour)


def test_a_structure_between_all_voxel_centres_is_refused():
    with pytest.raises(DataError, match="structure 4 has no voxel centre inside its contours"):
        filled(np.array([[1.2, 1.2, 1], [1.4, 1.2, 1], [1.3, 1.4, 1]]))


def test_a_structure_without_contours_is_refused():
    with pytest.raises(DataError, match="structure 4 has no closed contours"):
        filled()


def test_an_unknown_name_is_refused_with_the_names_there_are(tmp_path):
    square = [to_mm(make_grid(), SQUARE)]
    structures = read_structures(write(structures_dataset({"GTV": square, "Brain": square}), tmp_path / "rs.dcm"))
    assert find_roi(structures, "Brain ").number == 2
    with pytest.raises(DataError, match="no structures are called gtv; there are: Brain, GTV"):
        find_roi(structures, "gtv")


def test_a_name_used_twice_is_refused(tmp_path):
    square = [to_mm(make_grid(), SQUARE)]
    structures = read_structures(write(structures_dataset({"GTV": square, "GTV ": square}), tmp_path / "rs.dcm"))
    with pytest.raises(DataError, match="2 structures are called GTV"):
        find_roi(structures, "GTV")


def test_a_number_used_twice_is_refused(tmp_path):
    dataset = structures_dataset({"A": [], "B": []})
    dataset.StructureSetROISequence[1].ROINumber = 1
    with pytest.raises(DataError, match="gives two structures the number 1"):
        read_structures(write(dataset, tmp_path / "rs.dcm"))


def test_a_file_without_structures_is_refused(tmp_path):
    dataset = structures_dataset({})
    dataset.StructureSetROISequence = Items([])
    with pytest.raises(DataError, match="the structure set has no structures"):
        read_structures(write(dataset, tmp_path / "rs.dcm"))


def test_an_image_is_no_structure_set(tmp_path):
    dataset = structures_dataset({"A": []})
    dataset.Modality = "MR"
    with pytest.raises(DataError, match="the structure set is not an RTSTRUCT"):
        read_structures(write(dataset, tmp_path / "rs.dcm"))


@needs_data
@pytest.mark.parametrize(
    "file", ["empty/dummy_rt", "mock_data/invalid_reference_rt", "mock_data/non_existent_reference_rt"]
)
def test_real_structure_sets_of_another_image_are_refused_on_it(file):
    structures = read_structures(DATA / f"malformed/rtstruct/tests/{file}.dcm")
    for roi in structures.rois:
        with pytest.raises(DataError, match=f"structure {roi.number} "):
            rasterise(roi, image_on(make_grid()))


def of_frames(tmp_path, *frames: str) -> tuple[Roi, ...]:
    """As many structures of one square, each drawn in a frame of its own."""
    dataset = structures_dataset({f"GTV {frame}": [to_mm(make_grid(), SQUARE)] for frame in frames})
    for roi, frame in zip(dataset.StructureSetROISequence, frames, strict=True):
        roi.ReferencedFrameOfReferenceUID = frame
    return read_structures(write(dataset, tmp_path / "rs.dcm")).rois


@pytest.mark.parametrize("own", [0, 1, 2])
def test_of_three_frames_a_series_sees_the_structures_of_its_own(tmp_path, own):
    frames = ("1.2.3", "1.2.4", "1.2.5")
    seen = [in_frame(roi, frames[own]) for roi in of_frames(tmp_path, *frames)]
    assert [len(roi.contours_mm) for roi in seen] == [int(k == own) for k in range(3)]
    with pytest.raises(DataError, match=r"^structure [1-3] was drawn in another frame of reference$"):
        rasterise(seen[own - 1], image_on(make_grid()))


@pytest.mark.parametrize(("named", "series_frame"), [("", "1.2.3"), ("1.2.3", ""), ("", "")])
def test_a_structure_or_a_series_without_a_frame_is_taken_as_it_is(tmp_path, named, series_frame):
    (roi,) = of_frames(tmp_path, named)
    assert in_frame(roi, series_frame) is roi
