import io
import logging
import shutil
import subprocess
import warnings

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from tests.imaging.mock_dicom import FRAME_UID, SERIES_UID, STUDY_UID, make_grid, random_grid, write_series
from tfdrift.clinic.dicom_writing import COLOURS, Object, Scale, write_parametric_map, write_segmentation
from tfdrift.clinic.source_images import find_source
from tfdrift.imaging.dicom import read_header
from tfdrift.imaging.matching import fits
from tfdrift.imaging.series import files_of, read_series
from tfdrift.imaging.structures import rasterise, read_structures

ABOUT = Object(description="a map", label="A_MAP", series_number=9101, model="m version 7", model_id="abc")
SLICES = [1, 2, 4]


def read(folder):
    _, series = read_series(folder)
    files = files_of(folder)
    return [read_header(files[one.file], "a file") for one in series.slices], series


def write_mr(folder, grid, change=None):
    columns, rows, slices = grid.size
    write_series(folder / "MR", grid, np.ones((slices, rows, columns), np.uint16), change)


def write_both(folder):
    """Write a map and overlapping masks on three slices of a series; return what was written."""
    headers, series = read(folder / "MR")
    columns, rows, _ = series.grid.size
    source = find_source(headers, series, SLICES)
    rng = np.random.default_rng(0)
    values, masks = rng.normal(0, 300, (3, rows, columns)), rng.random((3, rows, columns, 2)) > 0.5
    write_parametric_map(folder / "map.dcm", source, values, ABOUT, scale=Scale.SIGNED)
    write_segmentation(folder / "masks.dcm", source, masks, ["GTV 1", "GTV 2"], ABOUT._replace(label="GTV"))
    return series, values, masks


@pytest.fixture(scope="module", params=range(3))
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")
    write_mr(folder, random_grid(np.random.default_rng(request.param)))
    return folder, *write_both(folder)


def frame_slices(dataset, series) -> list[int]:
    """The slice of each frame, by position to a millionth of a millimetre; the frames may stand in any order."""
    places = np.array([one.plane.position_mm for one in series.slices])
    found = []
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        (k,) = np.flatnonzero(np.abs(places - position).max(axis=1) <= 1e-6)
        found.append(int(k))
    return found


@pytest.mark.parametrize(("name", "slices"), [("map", SLICES), ("masks", [*SLICES, *SLICES])])  # a frame for each mask
def test_objects_lie_on_the_slices_they_were_made_of(written, name, slices):
    folder, series, _, _ = written
    dataset = pydicom.dcmread(folder / f"{name}.dcm")
    assert sorted(frame_slices(dataset, series)) == sorted(slices)
    shared, plane = dataset.SharedFunctionalGroupsSequence[0], series.slices[0].plane
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    np.testing.assert_allclose(cosines, plane.orientation, rtol=0, atol=1e-9)
    measures = shared.PixelMeasuresSequence[0]
    np.testing.assert_allclose(np.array(measures.PixelSpacing, float), plane.spacing_mm, rtol=0, atol=1e-6)
    assert float(measures.SpacingBetweenSlices) == pytest.approx(series.grid.spacing_mm[2], abs=1e-6)


def test_map_holds_its_values(written):
    folder, series, values, _ = written
    dataset = pydicom.dcmread(folder / "map.dcm")
    stored = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(values.shape)
    order = [SLICES.index(k) for k in frame_slices(dataset, series)]
    np.testing.assert_array_equal(stored, values.astype(np.float32)[order])
    mapping = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[arb'U]"


def test_masks_may_overlap_and_come_back(written):
    folder, series, _, masks = written
    segmentation = hd.seg.segread(folder / "masks.dcm")
    sources = [series.slices[k] for k in SLICES]
    uids = [pydicom.dcmread(files_of(folder / "MR")[one.file]).SOPInstanceUID for one in sources]
    stored = segmentation.get_pixels_by_source_instance(uids, segment_numbers=[1, 2])
    np.testing.assert_array_equal(stored.astype(bool), masks)
    assert list(segmentation.segment_numbers) == [1, 2]
    assert [segmentation.get_segment_description(n).SegmentLabel for n in (1, 2)] == ["GTV 1", "GTV 2"]


@pytest.mark.parametrize("name", ["map", "masks"])
def test_objects_stand_in_the_study_of_the_series_with_its_patient(written, name):
    dataset = pydicom.dcmread(written[0] / f"{name}.dcm")
    assert (dataset.PatientName, dataset.PatientID) == ("Doe^Jane", "ID-7")
    assert (dataset.StudyInstanceUID, dataset.FrameOfReferenceUID) == (STUDY_UID, FRAME_UID)
    assert dataset.SeriesInstanceUID != SERIES_UID
    assert [item.SeriesInstanceUID for item in dataset.ReferencedSeriesSequence] == [SERIES_UID]


@pytest.mark.parametrize("name", ["map", "masks"])
def test_each_frame_refers_to_the_slice_it_lies_on(written, name):
    folder = written[0]
    dataset = pydicom.dcmread(folder / f"{name}.dcm")
    position_of = {}
    for file in files_of(folder / "MR"):
        header = pydicom.dcmread(file)
        position_of[header.SOPInstanceUID] = header.ImagePositionPatient
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position_of[source.ReferencedSOPInstanceUID], position, rtol=0, atol=1e-6)


def test_the_segmentation_is_what_viewers_can_unpack_on_the_slices_own_pixels(written):
    folder, series, _, _ = written
    dataset = pydicom.dcmread(folder / "masks.dcm")
    assert dataset.SOPClassUID == SegmentationStorage
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (dataset.SegmentationType, dataset.BitsAllocated) == ("BINARY", 1)
    assert (dataset.Columns, dataset.Rows) == series.grid.size[:2]


def test_each_frame_names_its_segment_and_one_source_image(written):
    dataset = pydicom.dcmread(written[0] / "masks.dcm")
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        (derivation,) = frame.DerivationImageSequence
        assert len(derivation.SourceImageSequence) == 1
        assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber in (1, 2)


def test_segments_are_numbered_from_1_and_say_what_they_are(written):
    dataset = pydicom.dcmread(written[0] / "masks.dcm")
    assert [segment.SegmentNumber for segment in dataset.SegmentSequence] == [1, 2]
    for segment in dataset.SegmentSequence:
        assert segment.SegmentLabel
        assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "tfdrift")
        for sequence in (segment.SegmentedPropertyCategoryCodeSequence, segment.SegmentedPropertyTypeCodeSequence):
            (code,) = sequence
            assert code.CodeValue
            assert code.CodingSchemeDesignator == "SCT"
            assert code.CodeMeaning


def test_segments_have_the_colours_of_the_structures(written):
    dataset = pydicom.dcmread(written[0] / "masks.dcm")
    for segment, colour in zip(dataset.SegmentSequence, COLOURS, strict=False):
        shown = hd.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
        np.testing.assert_allclose(shown, colour, atol=1)


def test_slices_are_as_far_apart_as_the_segmentation_says_though_some_are_left_out(written):
    """Some programs count the slices of the volume by it."""
    folder, series, _, _ = written
    shared = pydicom.dcmread(folder / "masks.dcm").SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    for stated in (measures.SliceThickness, measures.SpacingBetweenSlices):
        assert float(stated) == pytest.approx(series.grid.spacing_mm[2], abs=1e-6)


def test_our_reader_finds_the_same_voxels(written):
    folder, series, _, masks = written
    image = sitk.Image(list(series.grid.size), sitk.sitkUInt8)
    series.grid.place(image)
    structures = read_structures(folder / "masks.dcm")
    assert not fits(structures, series)
    for place, roi in enumerate(structures.rois):
        mask = sitk.GetArrayFromImage(rasterise(roi, image)[0])
        np.testing.assert_array_equal(mask[SLICES], masks[..., place])
        assert not np.delete(mask, SLICES, axis=0).any()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("name", ["map", "masks"])
def test_an_independent_checker_finds_no_error(written, name):
    done = subprocess.run(["dciodvfy", str(written[0] / f"{name}.dcm")], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert [line for line in said.splitlines() if line.startswith("Error")] == []
    assert done.returncode == 0


def test_a_lesion_that_vanishes_leaves_an_empty_segment(tmp_path):
    write_mr(tmp_path, make_grid())
    headers, series = read(tmp_path / "MR")
    empty = np.zeros((2, 6, 7, 1), bool)
    write_segmentation(tmp_path / "masks.dcm", find_source(headers, series, [0, 1]), empty, ["GTV"], ABOUT)
    assert not pydicom.dcmread(tmp_path / "masks.dcm").pixel_array.any()


def test_slices_that_are_far_apart_are_written(tmp_path):
    write_mr(tmp_path, make_grid(size=(7, 6, 9)))
    headers, series = read(tmp_path / "MR")
    source = find_source(headers, series, [0, 1, 7])
    write_parametric_map(tmp_path / "map.dcm", source, np.zeros((3, 6, 7)), ABOUT, scale=Scale.POSITIVE)
    assert sorted(frame_slices(pydicom.dcmread(tmp_path / "map.dcm"), series)) == [0, 1, 7]


def test_a_name_that_dicom_does_not_allow_is_kept_and_nowhere_printed(tmp_path, capsys):
    name = "Secret Person Without Any Caret"

    def rename(dataset, _k):
        dataset.PatientName, dataset.PatientSex, dataset.PatientAge = name, "unknown", "Secret age"

    write_mr(tmp_path, make_grid(), rename)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write_both(tmp_path)
    finally:
        logging.getLogger().removeHandler(handler)
    captured = capsys.readouterr()
    said = stream.getvalue() + captured.out + captured.err + " ".join(str(one.message) for one in caught)
    assert "Secret" not in said
    assert pydicom.dcmread(tmp_path / "map.dcm").PatientName == name
    assert logging.getLogger("highdicom").level == logging.NOTSET


def test_a_series_without_what_may_be_empty_is_no_obstacle(tmp_path):
    def strip(dataset, _k):
        for keyword in ("PatientName", "PatientID", "StudyDate", "SliceThickness"):
            del dataset[keyword]

    write_mr(tmp_path, make_grid(), strip)
    write_both(tmp_path)
    assert pydicom.dcmread(tmp_path / "masks.dcm").PatientName == ""


def test_slices_of_a_makers_own_class_are_referred_to_by_it(tmp_path):
    own = "1.3.46.670589.11.0.0.12.1"
    write_mr(tmp_path, make_grid(), lambda dataset, _k: setattr(dataset, "SOPClassUID", own))
    write_both(tmp_path)
    for name in ("map", "masks"):
        dataset = pydicom.dcmread(tmp_path / f"{name}.dcm")
        (series,) = dataset.ReferencedSeriesSequence
        assert {item.ReferencedSOPClassUID for item in series.ReferencedInstanceSequence} == {own}
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            assert frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPClassUID == own


def test_a_share_has_no_unit_and_is_shown_from_0_to_1(tmp_path):
    write_mr(tmp_path, make_grid())
    headers, series = read(tmp_path / "MR")
    source = find_source(headers, series, [0, 1])
    write_parametric_map(tmp_path / "map.dcm", source, np.full((2, 6, 7), 0.25), ABOUT, scale=Scale.SHARE)
    shared = pydicom.dcmread(tmp_path / "map.dcm").SharedFunctionalGroupsSequence[0]
    assert shared.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "1"
    window = shared.FrameVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth) == (0.5, 1.0)
