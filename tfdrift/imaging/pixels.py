"""One slice's pixels, decoded by pydicom once their size has been checked against the header."""

import struct
import warnings
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array, unpack_bits
from pydicom.uid import RLELossless
from scipy import ndimage

from tfdrift.errors import DataError
from tfdrift.imaging.dicom import parsing, value_of

NOT_MEASURED = np.float32(-0.0)
"""What padding is read as: no signal to whoever calculates with it, and told from a measured 0 by its sign."""

_J2K_START = b"\xff\x4f\xff\x51"
_JPEG_START = b"\xff\xd8"
# Every start-of-frame marker of JPEG and JPEG-LS; C4, C8 and CC in between mean other things.
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def check_pixel_format(dataset: Dataset, name: str) -> None:
    """Refuse pixels that are not one whole number a voxel, bright as high.

    Args:
        dataset: the header; use inside `parsing(name)`.
        name: what the file is called in error messages.

    Raises:
        DataError: colour, MONOCHROME1, a Modality LUT, or numbers of bits that do not go together.
    """
    colour = value_of(dataset, "PhotometricInterpretation")
    if value_of(dataset, "SamplesPerPixel") != 1 or colour != "MONOCHROME2":
        raise DataError(f"{name} is not grey-scale with bright as high (MONOCHROME2); {_EXPORT}")
    allocated, stored = value_of(dataset, "BitsAllocated") or 0, value_of(dataset, "BitsStored") or 0
    high = value_of(dataset, "HighBit")
    if allocated not in (8, 16, 32) or not 1 <= stored <= allocated or high != stored - 1:
        raise DataError(f"{name} has {allocated} bits allocated, {stored} stored, high bit {high}: not a whole number")
    if value_of(dataset, "PixelRepresentation") not in (0, 1):
        raise DataError(f"{name} does not say whether its pixels are signed (PixelRepresentation); {_EXPORT}")
    if "ModalityLUTSequence" in dataset:
        raise DataError(f"{name} has a Modality LUT; export it with RescaleSlope and RescaleIntercept")


def read_frame(
    dataset: Dataset, frame: int, *, shape: tuple[int, int], slope: float, intercept: float, name: str
) -> np.ndarray:
    """Return one slice in scanner units.

    Args:
        dataset: from `read_whole`.
        frame: index of the slice in the file.
        shape: rows, columns as the header said them.
        slope: RescaleSlope.
        intercept: RescaleIntercept.
        name: what the slice is called in error messages.

    Returns:
        float32 [rows, columns], value * slope + intercept; `NOT_MEASURED` where the file says padding.

    Raises:
        DataError: there are not exactly as many pixels as the header asks for, no installed decoder knows the
            compression, or a value is beyond float32.
    """
    with parsing(name):
        # The header was read a moment before; the file may have been replaced since.
        if (value_of(dataset, "Rows"), value_of(dataset, "Columns")) != shape:
            raise DataError(f"{name} changed while it was read; run again")
        check_pixel_format(dataset, name)
        stored = read_stored(dataset, frame, name)
        padded = _is_padding(stored, dataset)
    with np.errstate(over="ignore"):
        values = (stored * np.float64(slope) + intercept).astype(np.float32)
    if not np.all(np.isfinite(values)):
        raise DataError(f"{name} has values beyond float32 after rescaling; {_EXPORT}")
    values[values == 0] = 0  # a product may be -0 as well
    values[padded] = NOT_MEASURED
    return values


def read_stored(dataset: Dataset, frame: int, name: str) -> np.ndarray:
    """Return the numbers that a frame stores.

    Args:
        dataset: from `read_whole`, with a pixel format that has been checked; use inside `parsing(name)`.
        frame: index of the frame in the file.
        name: what the frame is called in error messages.

    Returns:
        int64 [rows, columns]: the lowest BitsStored bits of each pixel, with its sign.

    Raises:
        DataError: there are not exactly as many pixels as the header asks for, or no installed decoder knows the
            compression.
    """
    _check_pixel_data(dataset, frame, name)
    shape, syntax = (dataset.Rows, dataset.Columns), dataset.file_meta.TransferSyntaxUID
    if dataset.BitsAllocated == 1:
        # pydicom's decoder returns too many pixels where a frame does not begin and end with a byte.
        size = dataset.Rows * dataset.Columns
        start, first = divmod(frame * size, 8)
        bits = unpack_bits(dataset.PixelData[start : start + (first + size + 7) // 8])
        return np.asarray(bits)[first : first + size].reshape(shape).astype(np.int64)
    if syntax == RLELossless:
        # pydicom warns of a run-length code that goes on after the last pixel and takes what is before.
        warnings.simplefilter("error", UserWarning)
    stored = pixel_array(dataset, index=frame, raw=True)
    if stored.shape != shape or stored.dtype.kind not in "iu":
        raise DataError(f"{name} decodes to {stored.shape} {stored.dtype}, not to {shape} whole numbers; {_EXPORT}")
    return _stored_values(stored, dataset)


def measured(image: sitk.Image) -> sitk.Image:
    """Return uint8, 1 where a voxel is not `NOT_MEASURED`.

    Example:
        >>> image = sitk.GetImageFromArray(np.array([[[0.0, -0.0, 5.0]]], np.float32))
        >>> sitk.GetArrayFromImage(measured(image))
        array([[[1, 0, 1]]], dtype=uint8)
    """
    values = sitk.GetArrayViewFromImage(image)
    result = sitk.GetImageFromArray((~((values == 0) & np.signbit(values))).astype(np.uint8))
    result.CopyInformation(image)
    return result


def without_padding(image: sitk.Image) -> sitk.Image:
    """Return an image to interpolate in: what is `NOT_MEASURED` has the signal of the nearest voxel that is not.

    Interpolation would mix padding into the signal beside it. Who asks for this must leave out what was not measured
    afterwards.

    Args:
        image: float32, 3-D.

    Returns:
        The image itself where all of it was measured, or nothing.
    """
    seen = sitk.GetArrayFromImage(measured(image)) > 0
    if seen.all() or not seen.any():
        return image
    nearest: Any = ndimage.distance_transform_edt(
        ~seen, sampling=image.GetSpacing()[::-1], return_distances=False, return_indices=True
    )
    result = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(image)[tuple(nearest)])
    result.CopyInformation(image)
    return result


def frame_shape(encoded: bytes) -> tuple[int, int, int] | None:
    """Return what a JPEG, JPEG-LS or JPEG 2000 frame says it is.

    Args:
        encoded: one frame as it stands in PixelData.

    Returns:
        Rows, columns, components; None for another code (run-length code has no header of its own).

    Raises:
        ValueError: it begins as one of these and has no size.

    Source: ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1.

    Example:
        >>> frame_shape(bytes.fromhex("ffd8 fff7 000b 08 0040 0020 01 011100"))
        (64, 32, 1)
    """
    start = encoded.find(_J2K_START, 0, 512)
    if start >= 0 and not encoded.startswith(_JPEG_START):
        # SOC, SIZ, then Lsiz and Rsiz, both 16 bits.
        right, bottom, left, top = struct.unpack_from(">IIII", encoded, start + 8)
        (components,) = struct.unpack_from(">H", encoded, start + 40)
        return bottom - top, right - left, components
    if not encoded.startswith(_JPEG_START):
        return None
    at = 2
    while at + 10 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", encoded, at + 5)
            return rows, columns, components
        else:
            at += 2 + struct.unpack_from(">H", encoded, at + 2)[0]
    raise ValueError("a JPEG frame without a size")


def _is_padding(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return bool, where stored values are PixelPaddingValue or between it and PixelPaddingRangeLimit.

    Source: DICOM PS3.3, C.7.5.1.1.2.
    """
    first = _padding_limit(dataset, "PixelPaddingValue")
    if first is None:
        return np.zeros(values.shape, bool)
    last = _padding_limit(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    return (values >= low) & (values <= high)


def _padding_limit(dataset: Dataset, keyword: str) -> int | None:
    value = value_of(dataset, keyword)
    if value is None:
        return None
    # Where VRs are implicit, this one may be US or SS, and pydicom leaves the bytes as they are.
    number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(np.ravel(value)[0])
    # Some write it into all the bits of a pixel, of which the decoders keep those stored.
    return int(_stored_values(np.array(number), dataset))


def _stored_values(decoded: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return int64: the lowest BitsStored bits of each value, with its sign.

    The bits above may hold an overlay or anything else, and not every decoder knows of BitsStored or of the sign.
    Source: DICOM PS3.5, 8.1.1.
    """
    span = 1 << int(dataset.BitsStored)
    values = decoded.astype(np.int64) & (span - 1)
    if dataset.PixelRepresentation == 1:
        values -= span * (values >= span >> 1)
    return values


def _check_pixel_data(dataset: Dataset, frame: int, name: str) -> None:
    """Refuse pixel data whose size is not the header's, before anything is allocated for it."""
    num_frames = value_of(dataset, "NumberOfFrames") or 1
    if not isinstance(value_of(dataset, "PixelData"), bytes):
        raise DataError(f"{name} has no PixelData; export it again")
    frame_bits = dataset.Rows * dataset.Columns * dataset.BitsAllocated
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax.is_deflated:
        expected, found = (frame_bits * num_frames + 7) // 8, len(dataset.PixelData)
        if found != expected + expected % 2:
            raise DataError(f"{name} has {found} bytes of pixels where its header asks for {expected}; export it again")
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None or not decoder.is_available or dataset.BitsAllocated == 1:
        raise DataError(f"{name} is compressed in a way no installed decoder knows; export it uncompressed")
    encoded = get_frame(dataset.PixelData, frame, number_of_frames=num_frames)
    # No method makes noise larger than this; a run-length code expands at most 64 times, which bounds the result.
    if len(encoded) > frame_bits // 4 + 1024:
        raise DataError(f"{name} has a compressed frame larger than its pixels; export it uncompressed")
    shape = frame_shape(encoded)
    if shape is not None and shape != (dataset.Rows, dataset.Columns, 1):
        raise DataError(f"{name} holds a compressed frame of another size than its header says; export it again")


_EXPORT = "export the series again as MR images"
