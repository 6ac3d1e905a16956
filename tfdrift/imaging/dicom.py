"""Opening one DICOM file of unknown origin: bounded in size and memory, quiet, and refused in one line.

Every other module reads DICOM through here. Errors never carry a path or an element's value, because both can hold a
person's name; the caller says what the file is called, such as "file 3 of 35".
"""

import contextlib
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from tfdrift.errors import DataError
from tfdrift.imaging.nesting import check_nesting

MAX_FILE_BYTES = 512 * 2**20
"""A larger file is refused. An enhanced MR of 512 x 512 x 500 16-bit voxels has 250 MiB."""

MAX_INFLATED_BYTES = 128 * 2**20
"""What a deflated file may grow to. Deflate expands up to a thousandfold, and pydicom itself sets no bound."""

MAX_ITEMS = 200_000
"""Sequence items in one element. Each costs pydicom 20 us and 1.5 kB; the largest structure sets have 50,000."""

MAX_READS = 400_000
"""Read calls while a file is parsed: two or three an element, up to 16 a contour, and 10 us each in the worst case."""

_UNDEFINED_LENGTH = 0xFFFFFFFF
_PIXEL_GROUP = 0x7FE0
# What pydicom raises on files that are not what they say, found by the tests' broken files.
_PARSE_ERRORS = (
    InvalidDicomError, BytesLengthException, ArithmeticError, AssertionError, AttributeError, EOFError, LookupError,
    MemoryError, NameError, RuntimeError, TypeError, UserWarning, ValueError, struct.error, zlib.error,
)  # fmt: skip


class UnusableAttributeError(ValueError):
    """An attribute holds what its type does not allow; the text is its keyword, never its value."""


@contextlib.contextmanager
def parsing(name: str) -> Iterator[None]:
    """Silence pydicom's warnings and turn what it raises on a broken file into one line.

    pydicom converts values when they are first used, so the block around every use of a data set is in here too.

    Args:
        name: what the file is called in the message.

    Raises:
        DataError: the block met a file that cannot be parsed.

    Example:
        >>> with parsing("file 1 of 2"):
        ...     float("not a number")
        Traceback (most recent call last):
        tfdrift.errors.DataError: file 1 of 2 is damaged or not what it says (ValueError); export it again
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except OSError as error:
            # pydicom raises OSErrors of its own, without a reason, where a sequence breaks off.
            raise DataError(f"{name} cannot be read: {error.strerror or 'it is damaged'}; export it again") from None
        except UnusableAttributeError as error:
            raise DataError(f"{name} has no usable {error}; export it again") from None
        except _PARSE_ERRORS as error:
            kind = type(error).__name__
            raise DataError(f"{name} is damaged or not what it says ({kind}); export it again") from None


def read_header(path: Path, name: str) -> Dataset:
    """Read a DICOM file up to its pixels.

    Args:
        path: the file.
        name: what the file is called in error messages.

    Returns:
        The elements before the pixel data; their values are converted when used, so use them inside `parsing(name)`.

    Raises:
        DataError: not a regular file, not readable, too large, not DICOM, damaged or cut off.
    """
    with _opened(path, name) as file, parsing(name):
        meta, body = _split(file, name)
        return _checked(_read(meta, body, name, stop_when=lambda tag, _vr, _length: tag.group == _PIXEL_GROUP), name)


def read_whole(path: Path, name: str) -> Dataset:
    """Read a DICOM file with its pixels, still encoded; otherwise as `read_header`.

    Args:
        path: the file.
        name: what the file is called in error messages.
    """
    with _opened(path, name) as file, parsing(name):
        meta, body = _split(file, name)
        return _checked(_read(meta, body, name), name)


def read_nested(path: Path, name: str) -> Dataset:
    """Read a DICOM file whose sequences carry its meaning; otherwise as `read_whole`.

    pydicom puts up with an item that is longer or shorter than its content and then loses other items, so every item
    must end where its length says.

    Args:
        path: the file.
        name: what the file is called in error messages.
    """
    with _opened(path, name) as file, parsing(name):
        meta, body = _split(file, name)
        data = body.read()
        syntax = meta.TransferSyntaxUID
        check_nesting(data, implicit=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
        return _checked(_read(meta, io.BytesIO(data), name), name)


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return an attribute's value, or None where it is absent or empty; use inside `parsing`.

    The type a file states (VR) decides how pydicom reads the bytes, so a wrong one would make a number of any text.

    Args:
        dataset: from `read_header` and its like, or an item of a sequence in it.
        keyword: of the attribute, as in the DICOM dictionary.

    Raises:
        UnusableAttributeError: the file states another type than the DICOM dictionary has for it, or the value is none
            of its type.

    Example:
        >>> dataset = Dataset()
        >>> dataset.Rows = 128
        >>> value_of(dataset, "Rows"), value_of(dataset, "Columns")
        (128, None)
    """
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return None
    if dataset.get_item(tag).VR not in (None, "UN", *dictionary_VR(tag).split(" or ")):
        raise UnusableAttributeError(keyword)
    try:
        value = dataset[tag].value
    except _PARSE_ERRORS:
        raise UnusableAttributeError(keyword) from None
    if value == "":
        return None
    # pydicom leaves a number that is none as the text it found.
    if dictionary_VR(tag) in ("DS", "IS") and any(isinstance(one, str) for one in _each(value)):
        raise UnusableAttributeError(keyword)
    return value


def _each(value: Any) -> Iterator[Any]:
    return iter(value if isinstance(value, MultiValue) else [value])


def needless(dataset: Dataset, keyword: str) -> Any:
    """Return an attribute that no result depends on: as `value_of`, but None where its value cannot be used.

    Args:
        dataset: from `read_header` and its like, or an item of a sequence in it.
        keyword: of the attribute, as in the DICOM dictionary.

    Example:
        >>> dataset = Dataset()
        >>> dataset.add_new("InstanceNumber", "UL", 3)
        >>> needless(dataset, "InstanceNumber") is None
        True
    """
    try:
        return value_of(dataset, keyword)
    except UnusableAttributeError:
        return None


def text_of(dataset: Dataset, keyword: str, *, declared: bool) -> str:
    """Return an attribute's text; use inside `parsing`.

    Args:
        dataset: from `read_header` and its like, or an item of a sequence in it.
        keyword: of a text attribute, as in the DICOM dictionary.
        declared: whether the file names a character set. Where it names none, bytes that are UTF-8 are read as that:
            they are rarely anything else.

    Returns:
        Empty where the attribute is absent or empty.
    """
    element = dataset.get_item(keyword) if keyword in dataset else None
    raw = getattr(element, "value", None)
    if not declared and isinstance(raw, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode("utf-8").rstrip(" \0")
    return str(value_of(dataset, keyword) or "")


@contextlib.contextmanager
def _opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """Open a regular file; a FIFO or a device would block or never end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{name} is not a regular file")
        # Without O_NONBLOCK a FIFO that took the file's place since then would block for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise DataError(f"{name} cannot be opened: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{name} is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise DataError(f"{name} has {status.st_size} bytes; at most {MAX_FILE_BYTES} are read")
        yield file


def _split(file: BinaryIO, name: str) -> tuple[FileMetaDataset, BinaryIO]:
    """Return the file meta information, and the data set's bytes, inflated if they were deflated."""
    if file.read(132)[128:] != b"DICM":
        raise DataError(f"{name} is not a DICOM file")
    meta = FileMetaDataset(read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2))
    if not meta.get("TransferSyntaxUID"):
        raise DataError(f"{name} names no transfer syntax (0002,0010)")
    if meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        return meta, file
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(file.read(), MAX_INFLATED_BYTES)
    if not inflater.eof:
        raise DataError(f"{name} is cut off, or inflates to more than {MAX_INFLATED_BYTES} bytes; decompress it first")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta, io.BytesIO(inflated)


def _read(meta: FileMetaDataset, body: BinaryIO, name: str, stop_when: Callable[..., bool] | None = None) -> Dataset:
    syntax = meta.TransferSyntaxUID
    counted = cast(BinaryIO, _CountedReads(body, name))
    dataset = read_dataset(counted, syntax.is_implicit_VR, syntax.is_little_endian, stop_when=stop_when)
    dataset.file_meta = meta
    return dataset


def _checked(dataset: Dataset, name: str) -> Dataset:
    """Refuse what pydicom passes over in silence: an element cut short, an element of a million empty items."""
    for tag in dataset.keys():  # noqa: SIM118 - iterating the data set itself would convert every value
        element = dataset.get_item(tag)
        value = getattr(element, "value", None)
        if not isinstance(value, bytes):
            continue
        length = getattr(element, "length", _UNDEFINED_LENGTH)
        if length not in (_UNDEFINED_LENGTH, len(value)):
            raise DataError(f"{name} is cut off in element {tag}; export it again")
        items = max(value.count(b"\xfe\xff\x00\xe0"), value.count(b"\xff\xfe\xe0\x00"))
        if items > MAX_ITEMS:
            raise DataError(f"{name} has {items} items in element {tag}; at most {MAX_ITEMS} are read")
    return dataset


class _CountedReads(io.RawIOBase):
    """A file that stops a parser which asks too often: a small file can hold millions of empty elements."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._of, self._reads = file, name, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        self._reads += 1
        if self._reads > MAX_READS:
            raise DataError(f"{self._of} has too many elements to be an image or a structure set")
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
