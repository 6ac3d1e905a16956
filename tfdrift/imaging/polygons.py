"""Polygons to pixels: a pixel is inside when its centre is, by the even-odd rule over all polygons of its slice."""

from collections.abc import Sequence

import numpy as np

from tfdrift.errors import DataError

MAX_CROSSINGS = 8_000_000
"""Most crossings of edges and pixel rows: 64 MB an array. A real structure has some thousand a slice."""


def fill_polygons(polygons: Sequence[np.ndarray], slices: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return which voxel centres are inside polygons.

    A centre is inside when a ray from it towards smaller columns crosses the edges of its slice an odd number of
    times. So a polygon inside another is a hole, a hole joined to the outside by a doubled line (keyhole) is the same
    hole, and of two polygons that share an edge, a centre on it belongs to exactly one: a row counts as crossed from an
    edge's lower end up to, and without, its upper end; a centre on a crossing is to the right of it, hence inside on a
    left edge and outside on a right one.

    Args:
        polygons: float64 [n, 2] each, (column, row) in pixels, whole numbers at pixel centres; closed by itself.
        slices: int [len(polygons)], the slice of each.
        shape: slices, rows, columns of the result.

    Returns:
        uint8 [slices, rows, columns], 1 inside.

    Raises:
        DataError: more than `MAX_CROSSINGS` crossings.

    Example:
        >>> square = np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5]])
        >>> fill_polygons([square], np.array([0]), (1, 4, 4))[0]
        array([[0, 0, 0, 0],
               [0, 1, 1, 0],
               [0, 1, 1, 0],
               [0, 0, 0, 0]], dtype=uint8)
    """
    num_slices, rows, columns = shape
    start = np.concatenate(polygons)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    edge_slice = np.repeat(slices, [len(polygon) for polygon in polygons])
    # Of each edge the end in the lower row comes first, so that both its directions give the same crossings to the bit.
    down = start[:, 1] > end[:, 1]
    low, high = np.where(down[:, None], end, start), np.where(down[:, None], start, end)
    first_row = np.clip(np.ceil(low[:, 1]), 0, rows).astype(np.int64)
    num_rows = np.clip(np.ceil(high[:, 1]), 0, rows).astype(np.int64) - first_row
    total = int(num_rows.sum())
    if total > MAX_CROSSINGS:
        raise DataError(f"the contours cross pixel rows {total} times; at most {MAX_CROSSINGS} are followed")
    edge = np.repeat(np.arange(len(start)), num_rows)
    row = np.arange(total) - np.repeat(np.cumsum(num_rows) - num_rows, num_rows) + first_row[edge]
    (low_column, low_row), (high_column, high_row) = low[edge].T, high[edge].T
    crossing = low_column + (row - low_row) * ((high_column - low_column) / (high_row - low_row))
    # A crossing turns every pixel from there on; the last column takes those beyond the image.
    column = np.clip(np.ceil(crossing), 0, columns).astype(np.int64)
    turns = np.zeros((num_slices, rows, columns + 1), np.uint8)
    np.bitwise_xor.at(turns, (edge_slice[edge], row, column), 1)
    return np.bitwise_xor.accumulate(turns, axis=2, out=turns)[:, :, :columns]
