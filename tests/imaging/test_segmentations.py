import dataclasses

import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, JPEG2000Lossless, MRImageStorage, RLELossless, SurfaceSegmentationStorage

from tests.imaging.mock_dicom import (
    SERIES_UID,
    contours_of,
    make_grid,
    random_grid,
    slice_dataset,
    structures_dataset,
    to_mm,
    write,
)
from tests.imaging.mock_segmentation import KINDS, reorder_frames, segmentation_dataset
from tfdrift.errors import DataError
from tfdrift.imaging import segmentations
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.structures import find_roi, misfit, rasterise, read_structures

GRID = make_grid()  # 7 columns x 6 rows: a frame of bits does not end with a byte
ONE = np.zeros(GRID.size[::-1], bool)
ONE[1:3, 2:4, 2:5] = True
OTHER = np.zeros_like(ONE)
OTHER[2:, 5, :] = True


def image_on(grid: Grid) -> sitk.Image:
    image = sitk.Image(list(grid.size), sitk.sitkUInt8)
    grid.place(image)
    return image


def read(tmp_path, dataset: Dataset):
    return read_structures(write(dataset, tmp_path / "seg.dcm"))


def masks_of(structures, grid: Grid = GRID) -> dict[str, np.ndarray]:
    return {roi.name: sitk.GetArrayFromImage(rasterise(roi, image_on(grid))[0]) for roi in structures.rois}


def random_masks(grid: Grid, seed: int) -> dict[str, np.ndarray]:
    labels = np.random.default_rng(seed).integers(0, 4, grid.size[::-1])
    return {f"GTV {number}": labels == number for number in (1, 2, 3)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_segments_are_read_back_to_the_voxel_on_any_grid_and_in_any_order_of_frames(tmp_path, kind, seed):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng)
    masks = random_masks(grid, seed)
    dataset = segmentation_dataset(grid, masks, kind=kind)
    reorder_frames(dataset, rng.permutation(dataset.NumberOfFrames).tolist())
    read_back = masks_of(read(tmp_path, dataset), grid)
    assert list(read_back) == list(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(read_back[name], mask)


@pytest.mark.parametrize(
    ("kind", "syntax"), [("FRACTIONAL", RLELossless), ("LABELMAP", RLELossless), ("LABELMAP", JPEG2000Lossless)]
)
def test_compressed_segments_are_read_back(tmp_path, kind, syntax):
    grid = make_grid(size=(40, 36, 4))
    masks = random_masks(grid, 0)
    read_back = masks_of(read(tmp_path, segmentation_dataset(grid, masks, kind=kind, transfer_syntax_uid=syntax)), grid)
    for name, mask in masks.items():
        np.testing.assert_array_equal(read_back[name], mask)


def test_a_segmentation_says_what_a_structure_set_says(tmp_path):
    dataset = segmentation_dataset(GRID, {"GTV links ä": ONE, "BM": OTHER})
    structures = read(tmp_path, dataset)
    assert [(roi.number, roi.name, roi.contours_mm, roi.fault) for roi in structures.rois] == [
        (1, "GTV links ä", (), ""),
        (2, "BM", (), ""),
    ]
    assert structures.series_uids == {SERIES_UID}
    assert structures.frame_of_reference_uids == {dataset.FrameOfReferenceUID}
    assert {roi.frame_uid for roi in structures.rois} == {dataset.FrameOfReferenceUID}


def test_each_segment_names_the_images_of_its_frames(tmp_path):
    uids = [slice_dataset(GRID, k, np.zeros(GRID.size[1::-1], np.int16)).SOPInstanceUID for k in range(GRID.size[2])]
    gtv, bm = read(tmp_path, segmentation_dataset(GRID, {"GTV": ONE, "BM": OTHER})).rois
    assert (gtv.image_uids, bm.image_uids) == (set(uids[1:3]), set(uids[2:]))
    assert gtv.image_classes == {MRImageStorage}


@pytest.mark.parametrize("name", ["#2", "BM"])
def test_a_segment_is_found_by_number_and_by_label(tmp_path, name):
    assert find_roi(read(tmp_path, segmentation_dataset(GRID, {"GTV": ONE, "BM": OTHER})), name).number == 2


@pytest.mark.parametrize(("share", "inside"), [(0.49, False), (0.5, True), (1.0, True), (0.01, False)])
@pytest.mark.parametrize("most", [2, 100, 255])
def test_a_fractional_voxel_is_inside_from_half_of_the_maximum_on(tmp_path, share, inside, most):
    shares = np.where(OTHER, 1.0, 0.0)
    shares[1, 2, 3] = round(share * most) / most if most > 2 else float(inside)
    dataset = segmentation_dataset(GRID, {"GTV": shares}, kind="FRACTIONAL", max_fractional_value=most)
    if most == 255 and share == 0.5:
        shares[1, 2, 3] = 128 / 255  # 127.5 is no value
    (roi,) = read(tmp_path, dataset).rois
    mask = sitk.GetArrayFromImage(rasterise(roi, image_on(GRID))[0])
    assert mask[1, 2, 3] == inside
    assert roi.warnings == ("fractional segmentation: what is half of the maximum or more is inside",)


def flipped(grid: Grid, *, rows: bool, columns: bool) -> Grid:
    """The same voxels, counted from another corner; two flips at once leave the normal as it is."""
    direction = np.reshape(grid.direction, (3, 3)) * np.array([-1 if columns else 1, -1 if rows else 1, 1])
    if rows != columns:
        direction[:, 2] *= -1
    corner = [grid.size[0] - 1 if columns else 0, grid.size[1] - 1 if rows else 0, 0]
    if rows != columns:
        corner[2] = grid.size[2] - 1
    return dataclasses.replace(
        grid, direction=tuple(direction.ravel().tolist()), origin_mm=tuple(to_mm(grid, np.array(corner)).tolist())
    )


@pytest.mark.parametrize(("rows", "columns"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("seed", range(3))
def test_rows_and_columns_may_run_the_other_way(tmp_path, rows, columns, seed):
    grid = random_grid(np.random.default_rng(seed))
    mask = random_masks(grid, seed)["GTV 1"]
    other = flipped(grid, rows=rows, columns=columns)
    seen = mask[:: -1 if rows != columns else 1, :: -1 if rows else 1, :: -1 if columns else 1]
    read_back = masks_of(read(tmp_path, segmentation_dataset(grid, {"GTV": seen}, on=other)), grid)
    np.testing.assert_array_equal(read_back["GTV"], mask)


def part(grid: Grid, first: tuple[int, int, int], size: tuple[int, int, int]) -> Grid:
    return dataclasses.replace(grid, size=size, origin_mm=tuple(to_mm(grid, np.array(first)).tolist()))


def test_a_segmentation_of_a_part_of_the_series_lies_where_it_was_drawn(tmp_path):
    grid = random_grid(np.random.default_rng(5))
    mask = np.zeros(grid.size[::-1], bool)
    mask[2:4, 1:4, 2:6] = random_masks(make_grid(size=(4, 3, 2)), 0)["GTV 1"]
    dataset = segmentation_dataset(grid, {"GTV": mask[2:4, 1:4, 2:6]}, on=part(grid, (2, 1, 2), (4, 3, 2)))
    np.testing.assert_array_equal(masks_of(read(tmp_path, dataset), grid)["GTV"], mask)


def test_a_segmentation_larger_than_the_series_is_read_where_the_voxels_are_inside(tmp_path):
    large = part(GRID, (-2, -1, 0), (12, 9, 5))
    seen = np.zeros(large.size[::-1], bool)
    seen[:, 1 : 1 + 6, 2 : 2 + 7] = ONE
    np.testing.assert_array_equal(
        masks_of(read(tmp_path, segmentation_dataset(GRID, {"GTV": seen}, on=large)))["GTV"], ONE
    )
    seen[2, 4, 11] = True
    (roi,) = read(tmp_path, segmentation_dataset(GRID, {"GTV": seen}, on=large)).rois
    with pytest.raises(DataError, match=r"structure 1 reaches outside the volume \(frame 1\)"):
        rasterise(roi, image_on(GRID))


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(GRID, origin_mm=(-2.5, 4.0, 5.0)),
        dataclasses.replace(GRID, origin_mm=(-3.0, 4.3, 5.0)),
        dataclasses.replace(GRID, origin_mm=(-3.0, 4.0, 5.9)),
        dataclasses.replace(GRID, spacing_mm=(0.5, 1.0, 2.0)),
        dataclasses.replace(GRID, spacing_mm=(1.0, 2.0, 2.0)),
        dataclasses.replace(GRID, direction=(0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1)),
        dataclasses.replace(GRID, direction=(0, 1, 0, 1, 0, 0, 0, 0, -1), origin_mm=(-3.0, 4.0, 13.0)),
    ],
    ids=["half a column", "third of a row", "between slices", "finer", "coarser", "turned", "transposed"],
)
def test_another_grid_is_refused(tmp_path, other):
    (roi,) = read(tmp_path, segmentation_dataset(GRID, {"GTV": ONE}, on=other)).rois
    with pytest.raises(DataError, match=r"structure 1 lies on another grid than the series \(frame 1\); export the"):
        rasterise(roi, image_on(GRID))


def test_thicker_slices_than_those_of_the_series_are_refused(tmp_path):
    thick = dataclasses.replace(GRID, size=(7, 6, 3), spacing_mm=(1.0, 1.0, 4.0))
    (roi,) = read(tmp_path, segmentation_dataset(GRID, {"GTV": np.ones((3, 6, 7), bool)}, on=thick)).rois
    with pytest.raises(
        DataError, match="structure 1 has slices 4 mm apart, the series 2 mm; export the segmentation on"
    ):
        rasterise(roi, image_on(GRID))


def test_slices_left_out_are_no_thicker_slices(tmp_path):
    # The frames of two lesions of a slice each are as far apart as the lesions are, and no slice is thicker.
    mask = np.zeros_like(ONE)
    mask[[0, 4], 2, 2] = True
    (roi,) = read(tmp_path, segmentation_dataset(GRID, {"GTV": mask})).rois
    inside, warnings = rasterise(roi, image_on(GRID))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(inside), mask)
    assert warnings == ("3 slices between the first and the last frame have none, and stay empty",)


def test_a_segment_without_a_voxel_encloses_nothing(tmp_path):
    dataset = segmentation_dataset(GRID, {"GTV": ONE, "none": np.zeros_like(ONE)}, omit_empty_frames=False)
    gtv, none = read(tmp_path, dataset).rois
    assert (gtv.is_drawn, none.is_drawn, none.fault) == (True, False, "")


def test_a_frame_twice_counts_once_and_two_that_differ_are_refused(tmp_path):
    mask = ONE.copy()
    mask[2, 0, 0] = True
    dataset = segmentation_dataset(GRID, {"GTV": mask})  # of two frames
    np.testing.assert_array_equal(masks_of(read(tmp_path, reorder_frames(dataset, [0, 1, 1, 0])))["GTV"], mask)
    dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence = dataset.PerFrameFunctionalGroupsSequence[
        0
    ].PlanePositionSequence
    (roi,) = read(tmp_path, dataset).rois
    assert misfit(roi, GRID).startswith("has two frames in slice 3 that differ (frames 1 and 2)")


def test_a_label_maps_background_is_what_it_calls_padding(tmp_path):
    dataset = segmentation_dataset(GRID, {"outside": ~ONE, "GTV": ONE}, kind="LABELMAP")
    dataset.PixelPaddingValue = 1
    structures = read(tmp_path, dataset)
    assert "outside" not in [roi.name for roi in structures.rois]
    mask, _ = rasterise(find_roi(structures, "GTV"), image_on(GRID))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), ONE)


def of_surfaces(dataset: Dataset) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SurfaceSegmentationStorage


def as_video(dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    dataset.PixelData = encapsulate([b"ab"] * dataset.NumberOfFrames)


def shared(dataset: Dataset, keyword: str) -> None:
    del dataset.SharedFunctionalGroupsSequence[0][keyword]


def set_number(dataset: Dataset, number: int) -> None:
    dataset.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = number


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (of_surfaces, "the structure set is no segmentation of voxels"),
        (lambda d: setattr(d, "SegmentationType", "SOFT"), "has no SegmentationType of BINARY, FRACTIONAL, LABELMAP"),
        (lambda d: setattr(d, "SegmentationType", "FRACTIONAL"), "pixels that are none of a FRACTIONAL segmentation"),
        (lambda d: setattr(d, "SegmentSequence", []), "has no segments"),
        (lambda d: d.SegmentSequence.append(d.SegmentSequence[0]), "gives two segments the number 1"),
        (lambda d: set_number(d, 9), "frame 1 of the structure set is of segment 9, which it does not describe"),
        (
            lambda d: delattr(d.PerFrameFunctionalGroupsSequence[1], "SegmentIdentificationSequence"),
            "without a segment",
        ),
        (
            lambda d: delattr(d.PerFrameFunctionalGroupsSequence[1], "PlanePositionSequence"),
            "frame 2 .* no usable Im",
        ),
        (lambda d: shared(d, "PlaneOrientationSequence"), "frame 1 .* no usable ImageOrientationPatient"),
        (lambda d: shared(d, "PixelMeasuresSequence"), "frame 1 .* no usable PixelSpacing"),
        (lambda d: setattr(d, "NumberOfFrames", 3), "has 3 frames and 5 positions"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "bytes of pixels where its header asks for"),
        (lambda d: delattr(d, "PixelData"), "has no PixelData"),
        (lambda d: setattr(d, "Rows", 0), "has 0 rows and 7 columns"),
        (as_video, "frame 1 .* is compressed in a way no installed decoder knows"),
    ],
)
def test_what_is_no_segmentation_of_an_mr_is_refused(tmp_path, change, reason):
    dataset = segmentation_dataset(GRID, {"GTV": ONE, "BM": OTHER})
    change(dataset)
    with pytest.raises(DataError, match=reason):
        read(tmp_path, dataset)


def test_values_above_the_maximum_are_refused(tmp_path):
    dataset = segmentation_dataset(GRID, {"GTV": ONE.astype(float)}, kind="FRACTIONAL")
    dataset.MaximumFractionalValue = 200
    with pytest.raises(DataError, match="frame 1 of the structure set has values above its MaximumFractionalValue"):
        read(tmp_path, dataset)


def test_a_label_without_a_description_is_refused(tmp_path):
    dataset = segmentation_dataset(GRID, {"GTV": ONE, "BM": OTHER}, kind="LABELMAP")
    dataset.SegmentSequence = dataset.SegmentSequence[:-1]
    with pytest.raises(DataError, match="is of segment 2, which it does not describe"):
        read(tmp_path, dataset)


@pytest.mark.parametrize("limit", ["MAX_VOXELS", "MAX_DECODED"])
def test_more_pixels_than_the_limit_are_refused(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(segmentations, limit, 11)
    with pytest.raises(DataError, match=r"more than 11 (voxels|pixels), the most read"):
        read(tmp_path, segmentation_dataset(GRID, {"GTV": ONE}))


def test_contours_and_voxels_make_the_same_mask(tmp_path):
    plan = read_structures(write(structures_dataset({"GTV": contours_of(ONE, GRID)}), tmp_path / "rs.dcm"))
    drawn = masks_of(plan)["GTV"]
    np.testing.assert_array_equal(masks_of(read(tmp_path, segmentation_dataset(GRID, {"GTV": ONE})))["GTV"], drawn)


def test_a_segmentation_of_another_program_is_read(tmp_path):
    """A liver by dcmqi, which pydicom comes with, cut there to one frame of three."""
    dataset = pydicom.dcmread(str(pydicom.data.get_testdata_file("liver_1frame.dcm")))
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:1]
    (roi,) = read(tmp_path, dataset).rois
    (frame,) = roi.frames
    rows, columns = frame.pixels.shape
    seen = dataset.pixel_array[frame.top : frame.top + rows, frame.left : frame.left + columns]
    assert (roi.number, roi.name) == (1, "Liver")
    np.testing.assert_array_equal(frame.pixels, seen)
    assert frame.pixels.sum() == dataset.pixel_array.sum() > 1000
