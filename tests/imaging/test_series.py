import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, generate_uid

from tests.imaging.mock_dicom import enhanced_dataset, make_grid, random_grid, to_mm, write, write_series
from tfdrift.errors import DataError
from tfdrift.imaging.series import read_series


def whole_numbers(grid, seed=0, dtype=np.int16) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, grid.size[::-1], dtype, endpoint=True)


def read_changed(folder: Path, change) -> tuple:
    grid = make_grid()
    write_series(folder, grid, whole_numbers(grid), change)
    return read_series(folder)


def only(place: int, **values):
    """A change of one slice's attributes; None deletes."""

    def change(dataset: Dataset, k: int) -> None:
        for keyword, value in values.items() if k == place else ():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return change


@pytest.mark.parametrize("seed", range(20))
def test_a_series_on_any_grid_reads_back_exactly(tmp_path, seed):
    grid = random_grid(np.random.default_rng(seed))
    volume = whole_numbers(grid, seed)
    write_series(tmp_path, grid, volume)
    image, series = read_series(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume)
    np.testing.assert_allclose(image.GetSpacing(), grid.spacing_mm, atol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), grid.origin_mm, atol=1e-6)
    np.testing.assert_allclose(image.GetDirection(), grid.direction, atol=1e-6)
    assert series.grid.size == grid.size


def test_every_voxel_is_where_its_own_slice_says(tmp_path):
    # The volume's physical point of a voxel, against PS3.3 C.7.6.2.1.1 applied to that slice alone.
    grid = random_grid(np.random.default_rng(3))
    write_series(tmp_path, grid, whole_numbers(grid))
    image, _ = read_series(tmp_path)
    for index in [(0, 0, 0), (3, 1, 2), tuple(n - 1 for n in grid.size)]:
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), to_mm(grid, np.array(index)), atol=1e-6)


def test_a_list_of_files_reads_as_the_folder_does(tmp_path):
    grid = make_grid()
    files = write_series(tmp_path, grid, whole_numbers(grid))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read_series(files)[0]), sitk.GetArrayFromImage(read_series(tmp_path)[0])
    )


def test_description_of_a_series_has_no_identity(tmp_path):
    _, series = read_changed(tmp_path, None)
    assert str(series) == "MR, 7 x 6 x 5 voxels of 1 x 1 x 2 mm, axial"


def test_rescale_is_applied_slice_by_slice(tmp_path):
    grid = make_grid()
    volume = whole_numbers(grid)

    def rescale(dataset: Dataset, k: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(k + 0.5), str(-k)

    write_series(tmp_path, grid, volume, rescale)
    expected = np.stack([plane * (k + 0.5) - k for k, plane in enumerate(volume)]).astype(np.float32)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_series(tmp_path)[0]), expected)


def test_enhanced_multi_frame_reads_back_exactly(tmp_path):
    rng = np.random.default_rng(5)
    grid = random_grid(rng, largest=12)
    volume = whole_numbers(grid)
    slopes = [1 + 0.25 * k for k in range(len(volume))]
    write(enhanced_dataset(grid, volume, rng.permutation(len(volume)).tolist(), slopes), tmp_path / "a.dcm")
    image, series = read_series(tmp_path)
    expected = np.stack([plane * slope for plane, slope in zip(volume, slopes, strict=True)]).astype(np.float32)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    np.testing.assert_allclose(series.grid.spacing_mm, grid.spacing_mm, atol=1e-6)
    np.testing.assert_allclose(series.grid.direction, grid.direction, atol=1e-6)


def test_structure_sets_and_hidden_files_in_the_folder_are_passed_over(tmp_path):
    grid = make_grid()
    write_series(tmp_path, grid, whole_numbers(grid))
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "DICOMDIR").write_bytes(b"x")
    (tmp_path / "below").mkdir()
    assert read_series(tmp_path)[0].GetSize() == grid.size


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (only(2, ImagePositionPatient=None), r"^file \d of 5 \(instance 3\) has no usable ImagePositionPatient"),
        (only(2, FrameOfReferenceUID=generate_uid()), "differ in frame of reference"),
        (only(2, SeriesInstanceUID=generate_uid()), r"more than one series \(MR, 4 slices of 7 x 6; MR, 1 slices"),
        (only(2, PixelRepresentation=0), "differ in how pixels are stored"),
        (only(2, RescaleSlope="1"), "differ in how pixels are stored"),
    ],
)
def test_one_bad_slice_is_refused_with_the_reason(tmp_path, change, reason):
    with pytest.raises(DataError, match=reason):
        read_changed(tmp_path, change)


def test_a_slope_that_is_no_number_is_refused(tmp_path):
    def spoil(dataset: Dataset, k: int) -> None:
        if k == 1:
            dataset.RescaleSlope = "2.5"

    grid = make_grid()
    file = write_series(tmp_path, grid, whole_numbers(grid), spoil)[1]
    file.write_bytes(file.read_bytes().replace(b"2.5 ", b"NaN "))
    with pytest.raises(DataError, match="has RescaleSlope nan"):
        read_series(tmp_path)


def test_a_file_that_is_not_dicom_is_refused_by_number_not_by_name(tmp_path):
    grid = make_grid()
    write_series(tmp_path, grid, whole_numbers(grid))
    (tmp_path / "doe_jane.txt").write_text("note")
    with pytest.raises(DataError, match=r"^file 6 of 6 is not a DICOM file$"):
        read_series(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="no file is a DICOM image"):
        read_series(tmp_path)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match="series folder cannot be read: No such file or directory"):
        read_series(tmp_path / "none")


MALFORMED = [
    ("gantrytilting/001", "gantry tilt"),
    ("notavolume/001", "in the same place"),
    ("slicecount/001", "at least 3 slices, not 2"),
    ("sliceincrement/001", "slices are missing between"),
    ("sliceincrement/002", "slices are missing between"),
    ("sliceorientation/001", "differ in orientation"),
]


@pytest.mark.parametrize(("folder", "reason"), MALFORMED)
def test_real_series_that_are_no_volume_are_refused(folder, reason):
    data = Path(os.environ.get("TFDRIFT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (data / "malformed").is_dir():
        pytest.skip("no real data: set TFDRIFT_TEST_DATA")
    with pytest.raises(DataError, match=reason):
        read_series(data / "malformed/geometry" / folder)


def copied(folder: Path, change=lambda _dataset: None) -> tuple:
    """A series whose second file lies there twice, the copy changed."""
    grid = make_grid()
    volume = whole_numbers(grid)
    write_series(folder, grid, volume)
    file = sorted(folder.iterdir())[1]
    dataset = pydicom.dcmread(file)
    change(dataset)
    write(dataset, folder / f"{file.stem} (1).dcm")
    return volume, *read_series(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda _dataset: None,
        lambda dataset: setattr(dataset, "StudyDate", "20240201"),
        lambda dataset: dataset.compress(RLELossless, generate_instance_uid=False),
    ],
    ids=["to the byte", "with another date", "compressed"],
)
def test_the_same_instance_twice_is_one(tmp_path, change):
    volume, image, series = copied(tmp_path, change)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume)
    assert (len(series.slices), len(series.copies)) == (len(volume), 1)


def other_pixels(dataset):
    dataset.PixelData = dataset.PixelData[:-2] + bytes([dataset.PixelData[-2] ^ 1, dataset.PixelData[-1]])


@pytest.mark.parametrize(
    "change",
    [
        other_pixels,
        lambda dataset: setattr(dataset, "ImagePositionPatient", ["0", "0", "77"]),
        lambda dataset: setattr(dataset, "FrameOfReferenceUID", generate_uid()),
    ],
    ids=["pixels", "place", "frame of reference"],
)
def test_one_instance_with_two_contents_is_refused(tmp_path, change):
    with pytest.raises(DataError, match=r"file \d of 6 .* and file \d of 6 .* have one SOPInstanceUID and different"):
        copied(tmp_path, change)


def test_slices_that_all_bear_one_instance_are_refused(tmp_path):
    with pytest.raises(DataError, match="have one SOPInstanceUID and different content"):
        read_changed(tmp_path, lambda dataset, _k: setattr(dataset, "SOPInstanceUID", "1.2.3"))
