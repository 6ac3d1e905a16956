"""Arrays of many images: those too large for memory lie in a file, and what is made of them is made part by part.

The outcomes of a method are N images for each slice, of hundreds of patients several GB. In a file they take pages of
memory only while they are read or written, which the system takes back when it needs them.
"""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from tfdrift.files import writing

ON_DISK_FROM = 2**28
"""Bytes from which on an array lies in a file."""
PART_BYTES = 2**26
"""Bytes of the parts that are computed with at a time."""


def new_array(shape: Sequence[int], dtype: np.dtype | type) -> np.ndarray:
    """Return an array to be filled, in memory or, from `ON_DISK_FROM` bytes on, in a file that nobody else sees.

    The file lies in the system's folder for temporary files, `TMPDIR`, and is gone with the array, whatever happens.

    Args:
        shape: of the array.
        dtype: of its numbers.

    Raises:
        ResourceError: the disk has no room for it.

    Example:
        >>> new_array((2, 3), np.float32).shape
        (2, 3)
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < ON_DISK_FROM:
        return np.empty(shape, dtype)
    to_do = "set TMPDIR to a folder on a disk with more space, or ask for fewer outcomes"
    with writing(f"a temporary file of {size / 2**30:.1f} GiB", to_do=to_do), tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # a disk that fills up later would kill the process
            os.posix_fallocate(file.fileno(), 0, size)
        return np.asarray(np.memmap(file, dtype, "r+" if hasattr(os, "posix_fallocate") else "w+", shape=tuple(shape)))


def joined(arrays: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
    """Return arrays one after the other, as `numpy.concatenate` does, in a `new_array`.

    Args:
        arrays: of the same type, and of the same shape but for the axis.
        axis: along which.
    """
    first = arrays[0]
    shape = [*first.shape]
    shape[axis] = sum(array.shape[axis] for array in arrays)
    whole, start = new_array(shape, first.dtype), 0
    for array in arrays:
        place = [slice(None)] * first.ndim
        place[axis] = slice(start, start + array.shape[axis])
        whole[tuple(place)] = array
        start += array.shape[axis]
    return whole


def parts(array: np.ndarray, axis: int = 0) -> Iterator[slice]:
    """Yield slices along an axis of an array, each of about `PART_BYTES`; one for an array that is no larger.

    Args:
        array: any.
        axis: that is cut.

    Example:
        >>> list(parts(np.zeros((3, 4))))
        [slice(0, 3, None)]
    """
    length = array.shape[axis]
    at_once = max(1, length * PART_BYTES // max(array.nbytes, 1))
    for start in range(0, max(length, 1), at_once):
        yield slice(start, min(start + at_once, length))
