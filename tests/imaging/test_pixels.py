import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.imaging.mock_dicom import make_grid, write_series
from tfdrift.errors import DataError
from tfdrift.imaging.pixels import NOT_MEASURED, frame_shape, measured, without_padding
from tfdrift.imaging.series import read_series

GRID = make_grid(size=(45, 36, 4))


def whole_numbers(dtype, bits=None) -> np.ndarray:
    limits = np.iinfo(dtype)
    low, high = limits.min, limits.max
    if bits:
        low, high = (0, 2**bits - 1) if low == 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return np.random.default_rng(0).integers(low, high, GRID.size[::-1], dtype, endpoint=True)


def read_back(folder, volume, change=None) -> np.ndarray:
    write_series(folder, GRID, volume, change)
    return sitk.GetArrayFromImage(read_series(folder)[0])


def into(syntax):
    """A change of transfer syntax."""

    def change(dataset: Dataset, _k: int) -> None:
        if syntax.is_encapsulated:
            dataset.compress(syntax)
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()

    return change


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
    ids=lambda syntax: syntax.name,
)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_every_transfer_syntax_reads_back_exactly(tmp_path, syntax, dtype):
    volume = whole_numbers(dtype)
    np.testing.assert_array_equal(read_back(tmp_path, volume, into(syntax)), volume)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32, np.int32])
def test_every_width_reads_back_to_float32(tmp_path, dtype):
    volume = whole_numbers(dtype)
    np.testing.assert_array_equal(read_back(tmp_path, volume), volume.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_bits_above_those_stored_are_ignored(tmp_path, dtype):
    # PS3.5 8.1.1: bits outside BitsStored may hold anything and are not pixel value.
    volume = whole_numbers(dtype, bits=12)
    noise = np.random.default_rng(1).integers(0, 16, volume.shape, np.uint16) << 12
    dirty = (volume.view(np.uint16) & 0x0FFF | noise).view(dtype)

    def twelve(dataset: Dataset, _k: int) -> None:
        dataset.BitsStored, dataset.HighBit = 12, 11

    np.testing.assert_array_equal(read_back(tmp_path, dirty, twelve), volume)


def test_a_padding_byte_is_no_pixel(tmp_path):
    grid = make_grid(size=(7, 5, 3))
    volume = np.arange(105, dtype=np.uint8).reshape(3, 5, 7)
    write_series(tmp_path, grid, volume)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_series(tmp_path)[0]), volume)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "not grey-scale with bright as high"),
        ({"SamplesPerPixel": 3}, "not grey-scale with bright as high"),
        ({"BitsAllocated": 12}, "12 bits allocated, 16 stored"),
        ({"BitsStored": 17, "HighBit": 16}, "16 bits allocated, 17 stored"),
        ({"HighBit": 14}, "16 stored, high bit 14"),
        ({"PixelRepresentation": 2}, "does not say whether its pixels are signed"),
        ({"ModalityLUTSequence": [Dataset()]}, "has a Modality LUT"),
        ({"Rows": 37}, "has 3240 bytes of pixels where its header asks for 3330"),
        ({"Rows": 35}, "has 3240 bytes of pixels where its header asks for 3150"),
        ({"RescaleSlope": "1e38"}, "has values beyond float32"),
    ],
)
def test_pixels_that_are_not_what_the_header_says_are_refused(tmp_path, values, reason):
    def change(dataset: Dataset, _k: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    with pytest.raises(DataError, match=reason):
        read_back(tmp_path, whole_numbers(np.int16), change)


def test_a_missing_pixel_element_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no PixelData"):
        read_back(tmp_path, whole_numbers(np.int16), lambda dataset, _k: delattr(dataset, "PixelData"))


def test_an_unknown_compression_is_refused(tmp_path):
    def change(dataset: Dataset, _k: int) -> None:
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1

    with pytest.raises(DataError, match="compressed in a way no installed decoder knows"):
        read_back(tmp_path, whole_numbers(np.int16), change)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless], ids=lambda syntax: syntax.name)
def test_a_compressed_frame_of_another_size_is_refused_before_it_is_decoded(tmp_path, syntax):
    def change(dataset: Dataset, _k: int) -> None:
        into(syntax)(dataset, 0)
        dataset.Rows = 37

    with pytest.raises(DataError, match="compressed frame of another size"):
        read_back(tmp_path, whole_numbers(np.int16), change)


def test_a_compressed_frame_larger_than_its_pixels_is_refused(tmp_path):
    def change(dataset: Dataset, _k: int) -> None:
        dataset.PixelData = encapsulate([b"\0" * 9000])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = RLELossless

    with pytest.raises(DataError, match="compressed frame larger than its pixels"):
        read_back(tmp_path, whole_numbers(np.int16), change)


def test_a_size_without_its_header_is_refused():
    with pytest.raises(ValueError, match="without a size"):
        frame_shape(b"\xff\xd8\xff\xd9")


def test_run_length_code_states_no_size():
    assert frame_shape(b"\x01\0\0\0" * 16) is None


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("above", [0x0000, 0x1000, 0xA000])
def test_bits_above_those_stored_are_no_value(tmp_path, syntax, dtype, above):
    volume = whole_numbers(dtype, bits=12)

    def twelve_bits(dataset: Dataset, k: int) -> None:
        words = (volume[k].astype(np.int64) & 0xFFF) | above
        dataset.PixelRepresentation, dataset.PixelData = 0, words.astype("<u2").tobytes()
        if syntax.is_encapsulated:
            dataset.compress(syntax)  # as 16 bits without a sign, which is all that the code stream then knows
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, int(dtype == np.int16)

    np.testing.assert_array_equal(read_back(tmp_path, volume, twelve_bits), volume)


def padding(value: int, limit: int | None = None, vr="SS"):
    """A change that says which values are padding."""

    def change(dataset: Dataset, _k: int) -> None:
        dataset.add_new("PixelPaddingValue", vr, value)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", vr, limit)
        dataset.RescaleSlope, dataset.RescaleIntercept = "2", "0"

    return change


def small_numbers(dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 9, GRID.size[::-1]).astype(dtype)


@pytest.mark.parametrize(
    ("change", "is_padding"),
    [
        (padding(7), lambda v: v == 7),
        (padding(0), lambda v: v == 0),
        (padding(2, 5), lambda v: (v >= 2) & (v <= 5)),
        (padding(5, 2), lambda v: (v >= 2) & (v <= 5)),
        (padding(-2000), lambda v: v < 0),  # none of them
    ],
)
def test_padding_is_zero_and_not_measured_and_everything_else_is(tmp_path, change, is_padding):
    volume = small_numbers()
    write_series(tmp_path, GRID, volume, change)
    image, _ = read_series(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(measured(image)), ~is_padding(volume))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), np.where(is_padding(volume), 0, 2 * volume))


def test_without_padding_each_voxel_has_the_signal_of_the_nearest_measured_one():
    image = sitk.GetImageFromArray(np.array([[[4, NOT_MEASURED, NOT_MEASURED, 0, 6]]], np.float32))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(without_padding(image)), [[[4, 4, 0, 0, 6]]])


def test_nearest_is_in_mm():
    values = np.array(
        [[[5, 5], [NOT_MEASURED, 5]], [[9, 9], [9, 9]]], np.float32
    )  # 3 mm to the next row, 1 mm in depth
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((4.0, 3.0, 1.0))
    assert sitk.GetArrayFromImage(without_padding(image))[0, 1, 0] == 9


@pytest.mark.parametrize("value", [5.0, 0.0, float(NOT_MEASURED)])
def test_an_image_that_is_all_measured_or_all_padding_stays(value):
    image = sitk.GetImageFromArray(np.full((2, 3, 4), value, np.float32))
    assert without_padding(image) is image


def test_a_padding_beyond_the_bits_stored_is_found_in_all_bits_of_a_pixel(tmp_path):
    volume = small_numbers(np.uint16)
    volume[:, 0] = 63536

    def twelve_bits(dataset: Dataset, _k: int) -> None:
        dataset.add_new("PixelPaddingValue", "US", 63536)
        dataset.BitsStored, dataset.HighBit = 12, 11

    write_series(tmp_path, GRID, volume, twelve_bits)
    image, _ = read_series(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(measured(image)), volume != 63536)


def test_a_padding_value_whose_type_only_the_pixels_tell_is_read(tmp_path):
    volume = small_numbers()

    def implicit(dataset: Dataset, k: int) -> None:
        padding(7)(dataset, k)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    write_series(tmp_path, GRID, volume, implicit)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(measured(read_series(tmp_path)[0])), volume != 7)
