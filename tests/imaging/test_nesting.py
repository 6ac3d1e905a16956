import struct
from io import BytesIO

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as Items

from tests.imaging.mock_dicom import structures_dataset
from tfdrift.imaging.nesting import check_nesting

ENCODINGS = pytest.mark.parametrize(("implicit", "little_endian"), [(True, True), (False, True), (False, False)])


def encoded(implicit=False, little_endian=True, undefined=False) -> bytes:
    """A structure set as pydicom writes it, its sequences and items of known length or ended by delimiters."""
    dataset = structures_dataset({"GTV": [np.eye(3), np.ones((4, 3))], "PTV": [np.eye(3)]})

    def open_ends(level: Dataset) -> None:
        for element in level:
            if element.VR == "SQ":
                element.is_undefined_length = True
                for item in element.value:
                    item.is_undefined_length_sequence_item = True
                    open_ends(item)

    if undefined:
        open_ends(dataset)
    del dataset.file_meta
    file = BytesIO()
    out = DicomIO(file)
    out.is_implicit_VR, out.is_little_endian = implicit, little_endian
    write_dataset(out, dataset)
    return file.getvalue()


@ENCODINGS
@pytest.mark.parametrize("undefined", [False, True])
def test_what_pydicom_writes_nests(implicit, little_endian, undefined):
    check_nesting(encoded(implicit, little_endian, undefined), implicit=implicit, little_endian=little_endian)


@ENCODINGS
def test_an_item_one_element_too_long_or_short_is_refused(implicit, little_endian):
    data = encoded(implicit, little_endian)
    item = b"\xfe\xff\x00\xe0" if little_endian else b"\xff\xfe\xe0\x00"
    order = "little" if little_endian else "big"
    places = [at for at in range(len(data)) if data.startswith(item, at)]
    assert len(places) > 8
    for at in places:
        length = int.from_bytes(data[at + 4 : at + 8], order)
        for other in (length - 2, length + 2, length + 8):
            broken = data[: at + 4] + other.to_bytes(4, order) + data[at + 8 :]
            with pytest.raises(ValueError, match=r"an item or its end|goes on after"):
                check_nesting(broken, implicit=implicit, little_endian=little_endian)


def test_an_unknown_value_without_a_length_is_an_implicit_sequence():
    inner = Dataset()
    inner.PatientID = "x"
    dataset = Dataset()
    dataset.ReferencedSeriesSequence = Items([inner])
    sequence = bytes.fromhex("0900 0110") + b"UN\0\0" + b"\xff" * 4
    item = (
        bytes.fromhex("feff 00e0 ffffffff")
        + bytes.fromhex("1000 2000 02000000")
        + b"x "
        + bytes.fromhex("feff 0de0 00000000")
    )
    check_nesting(sequence + item + bytes.fromhex("feff dde0 00000000"), implicit=False, little_endian=True)


def test_a_missing_delimiter_is_refused():
    data = encoded(undefined=True)
    with pytest.raises(struct.error, match="unpack_from requires a buffer"):
        check_nesting(data[: data.rindex(b"\xfe\xff\xdd\xe0")], implicit=False, little_endian=True)


@pytest.mark.parametrize("fragment", [b"\xff\xd8\xff\x00", b"\xfe\xff\x00\xe0", b""])
def test_compressed_pixels_nest_whatever_they_hold(fragment):
    items = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(one)) + one for one in (b"", fragment))
    head, end = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    check_nesting(head + items + end, implicit=False, little_endian=True)
    longer = struct.pack("<HHI", 0xFFFE, 0xE000, len(fragment) + 9) + fragment
    with pytest.raises(ValueError, match="goes on after"):
        check_nesting(head + longer + end, implicit=False, little_endian=True)
