import datetime

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from tests.imaging.mock_dicom import enhanced_dataset, make_grid, slice_dataset, structures_dataset
from tfdrift.errors import DataError
from tfdrift.imaging.slices import Slice, date_of, passed_over, slices_of

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")  # of making the broken files
GRID = make_grid()


def header(**values: object) -> Dataset:
    """A slice's header with other values; None deletes."""
    dataset = slice_dataset(GRID, 2, np.zeros((6, 7), np.int16))
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def only_slice(**values: object) -> Slice:
    (one,) = slices_of(header(**values), "file 4 of 9", 3)
    return one


def test_a_header_says_where_the_slice_is_and_whose():
    one = only_slice()
    assert one.plane.name == "file 4 of 9 (instance 3)"
    assert one.plane.position_mm == (-3, 4, 9)
    assert one.plane.orientation == (1, 0, 0, 0, 1, 0)
    assert (one.plane.rows, one.plane.columns, one.file, one.frame) == (6, 7, 3, 0)
    assert (one.modality, one.study_date) == ("MR", datetime.date(2024, 1, 31))
    assert (one.slope, one.intercept) == (1, 0)


def test_pixel_spacing_is_that_of_rows_then_of_columns():
    assert only_slice(PixelSpacing=["0.5", "0.75"]).plane.spacing_mm == (0.5, 0.75)


def test_an_enhanced_object_has_a_slice_a_frame_with_its_own_place_and_slope():
    dataset = enhanced_dataset(GRID, np.zeros(GRID.size[::-1], np.int16), [4, 0, 2, 1, 3], [1, 2, 3, 4, 5])
    found = slices_of(dataset, "file 1 of 1", 0)
    assert [one.plane.position_mm[2] for one in found] == [13, 5, 9, 7, 11]
    assert [one.slope for one in found] == [5, 1, 3, 2, 4]
    assert found[1].plane.name == "frame 2 of file 1 of 1"


def test_an_object_without_pixels_has_no_slices():
    assert slices_of(structures_dataset({"GTV": []}), "it", 0) == []


def test_only_listed_numbers_and_terms_that_dicom_defines_are_kept():
    one = only_slice(
        EchoTime="12.5", ScanningSequence=["SE", "IR"], SequenceVariant="DOE^JANE", ProtocolName="DOE^JANE"
    )
    assert one.acquisition == {"EchoTime": 12.5, "ScanningSequence": "SE\\IR", "SliceThickness": 77.0}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"ImagePositionPatient": None}, "has no usable ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "has no usable ImageOrientationPatient"),
        ({"PixelSpacing": None}, "has no usable PixelSpacing"),
        ({"RescaleSlope": "0"}, "has RescaleSlope 0.0 and RescaleIntercept 0.0"),
        ({"SeriesInstanceUID": None}, "has no SeriesInstanceUID"),
        ({"Modality": "DOE^JANE"}, "is not MR, CT or PT"),
        ({"NumberOfFrames": 2}, "has 2 frames without a position each"),
        ({"NumberOfFrames": 0}, "has 0 frames without a position each"),
        ({"Rows": None}, "has no Rows or Columns"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "is not grey-scale"),
    ],
)
def test_a_header_that_makes_no_slice_of_a_volume_is_refused(values, reason):
    with pytest.raises(DataError, match=rf"^file 4 of 9 \(instance 3\) {reason}"):
        only_slice(**values)


def test_frames_and_positions_must_be_as_many():
    dataset = enhanced_dataset(GRID, np.zeros(GRID.size[::-1], np.int16), range(5), [1] * 5)
    dataset.PerFrameFunctionalGroupsSequence = Items(dataset.PerFrameFunctionalGroupsSequence[:4])
    with pytest.raises(DataError, match="has 5 frames and 4 positions"):
        slices_of(dataset, "it", 0)


@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")
@pytest.mark.parametrize("text", ["", "2024", "20241399", "yesterday"])
def test_a_study_date_that_is_no_date_is_none(text):
    dataset = Dataset()
    dataset.StudyDate = text
    assert date_of(dataset) is None


def test_a_number_in_words_and_a_date_in_words_stop_nothing():
    dataset = header(StudyDate="yesterday")
    dataset[0x00200013] = RawDataElement(Tag(0x00200013), "IS", 6, b"first ", 0, False, True)
    (one,) = slices_of(dataset, "file 4 of 9", 3)
    assert one.plane.name == "file 4 of 9"
    assert one.study_date is None


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.5.1.4.1.1.66",  # raw data
        "1.2.840.10008.5.1.4.1.1.11.1",  # a presentation state
        "1.2.840.10008.5.1.4.1.1.4.2",  # spectroscopy
    ],
)
def test_an_object_of_the_series_that_is_no_image_is_passed_over_though_it_says_mr(sop_class):
    assert slices_of(header(SOPClassUID=sop_class, Rows=None, Columns=None), "it", 0) == []


def test_an_image_that_has_lost_its_size_is_not_passed_over():
    with pytest.raises(DataError, match="has no Rows or Columns"):
        slices_of(header(Rows=None, Columns=None), "it", 0)


@pytest.mark.parametrize(
    ("values", "with_contrast"),
    [
        ({}, False),
        ({"ContrastBolusAgent": ""}, False),
        ({"ContrastBolusAgent": "NONE "}, False),
        ({"ContrastBolusAgent": "no"}, False),
        ({"ContrastBolusAgent": "7.5 ml Gadovist"}, True),
        ({"ContrastBolusAgentSequence": [Dataset()]}, True),
    ],
)
def test_a_contrast_agent_is_one_that_is_named(values, with_contrast):
    assert only_slice(**values).with_contrast == with_contrast


@pytest.mark.parametrize(
    ("values", "name"), [({}, ""), ({"SequenceName": "*fl3d1 "}, "*fl3d1"), ({"PulseSequenceName": "T1TFE"}, "T1TFE")]
)
def test_a_sequence_is_named_by_single_frame_and_enhanced_objects(values, name):
    assert only_slice(**values).sequence_name == name


def test_a_localizer_is_passed_over():
    assert slices_of(header(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "it", 0) == []


def test_a_dicomdir_is_passed_over():
    directory = Dataset()
    directory.DirectoryRecordSequence = Items([])
    assert passed_over(directory)
