"""Whether two closed contours in one plane are one and the same, or cross."""

from collections.abc import Sequence

import numpy as np

from tfdrift.errors import DataError

SAME_CONTOUR_MM = 0.1
"""Two outlines that are nowhere further apart are one; contours are often rounded to 1/10 mm."""

MAX_EDGE_PAIRS = 50_000_000
"""Most pairs of edges that are compared in one structure; some seconds' work; a real one has a tenth of it."""

_CHUNK = 2_000_000


def unique_contours(contours_mm: Sequence[np.ndarray]) -> list[int]:
    """Return which contours are left when each outline counts once.

    Two are the same outline when every point of either lies within `SAME_CONTOUR_MM` of the other's line, so the first
    point, the direction, a repeated closing point and points in between do not matter.

    Args:
        contours_mm: float64 [n, 3] each, closed, patient coordinates.

    Returns:
        Indices in order, of each outline the first.

    Raises:
        DataError: more than `MAX_EDGE_PAIRS` pairs of edges would have to be compared.
    """
    budget = _Budget()
    copies: set[int] = set()
    for one, other in _neighbours(contours_mm, budget):
        if one not in copies and other not in copies and _same(contours_mm[one], contours_mm[other], budget):
            copies.add(other)
    return [k for k in range(len(contours_mm)) if k not in copies]


def first_crossing(contours_mm: Sequence[np.ndarray]) -> tuple[int, int] | None:
    """Return the first two contours of one plane that cross, or None where all are nested or apart.

    Two cross where parts of one lie inside the other and parts outside, both by more than `SAME_CONTOUR_MM`: lines that
    touch or run along each other do not.

    Args:
        contours_mm: float64 [n, 3] each, closed, patient coordinates.

    Returns:
        Two indices, the smaller first.

    Raises:
        DataError: more than `MAX_EDGE_PAIRS` pairs of edges would have to be compared.

    Example:
        >>> square = np.array([[0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 0.0]])
        >>> first_crossing([square, square + [10, 0, 0], square + [2, 2, 0]]), first_crossing([square, square / 2 + 1])
        ((0, 2), None)
    """
    budget = _Budget()
    for one, other in _neighbours(contours_mm, budget):
        if _cross(contours_mm[one], contours_mm[other], budget):
            return one, other
    return None


class _Budget:
    """Counts the pairs of edges: two contours of a million points each would be compared for days."""

    def __init__(self) -> None:
        self._left = MAX_EDGE_PAIRS

    def spend(self, pairs: int) -> None:
        self._left -= pairs
        if self._left < 0:
            raise DataError(f"has contours of more points than can be compared ({MAX_EDGE_PAIRS} pairs of edges)")


def _neighbours(contours_mm: Sequence[np.ndarray], budget: _Budget) -> list[tuple[int, int]]:
    """Return in order the pairs of contours, the smaller index first, whose boxes come within `SAME_CONTOUR_MM`."""
    if len(contours_mm) < 2:
        return []
    low = np.array([points.min(axis=0) for points in contours_mm]) - SAME_CONTOUR_MM / 2
    high = np.array([points.max(axis=0) for points in contours_mm]) + SAME_CONTOUR_MM / 2
    stack = int(np.argmin((high - low).sum(axis=0)))  # the axis along which contours are thin parts most of them
    order = np.argsort(low[:, stack], kind="stable")
    ends = np.searchsorted(low[order, stack], high[order, stack], side="right")
    pairs = []
    for at, (one, end) in enumerate(zip(order, ends, strict=True)):
        others = order[at + 1 : end]
        budget.spend(len(others))
        near = np.all((low[others] <= high[one]) & (low[one] <= high[others]), axis=1)
        pairs += [(min(int(one), int(other)), max(int(one), int(other))) for other in others[near]]
    return sorted(pairs)


def _same(one: np.ndarray, other: np.ndarray, budget: _Budget) -> bool:
    if max(_to_line(one, other[:1], budget)[0], _to_line(other, one[:1], budget)[0]) > SAME_CONTOUR_MM:
        return False
    return max(_to_line(one, other, budget).max(), _to_line(other, one, budget).max()) <= SAME_CONTOUR_MM


def _cross(one: np.ndarray, other: np.ndarray, budget: _Budget) -> bool:
    normal = _normal(one)
    if np.abs((other - one[0]) @ normal).max() > SAME_CONTOUR_MM:
        return False  # another plane
    along = np.linalg.svd(normal[None])[2][1:]  # two directions in the plane
    flat, flat_other = one @ along.T, other @ along.T
    return _straddles(flat, flat_other, budget) or _straddles(flat_other, flat, budget)


def _normal(points: np.ndarray) -> np.ndarray:
    """Return the unit normal of a closed contour by Newell's sum, which no three points on a line upset."""
    area = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
    length = float(np.linalg.norm(area))
    return area / length if length > 0 else np.array([0.0, 0.0, 1.0])


def _straddles(one: np.ndarray, other: np.ndarray, budget: _Budget) -> bool:
    """Return whether parts of the polygon `one`, [n, 2], lie clearly inside `other` and parts clearly outside."""
    points = np.concatenate([one, *_pieces(one, other, budget)])
    clear = _to_line(other, points, budget) > SAME_CONTOUR_MM
    inside = _inside(other, points[clear], budget)
    return bool(inside.any() and not inside.all())


def _pieces(one: np.ndarray, other: np.ndarray, budget: _Budget) -> list[np.ndarray]:
    """Return the middles of the pieces into which the edges of `other` cut the edges of `one`."""
    start, edges = one, np.roll(one, -1, axis=0) - one
    from_, sides = other, np.roll(other, -1, axis=0) - other
    budget.spend(len(one) * len(other))
    middles = [start + edges / 2]
    for part in np.array_split(np.arange(len(one)), max(1, len(one) * len(other) // _CHUNK)):
        edge, gap = edges[part][:, None], from_ - start[part][:, None]
        determinant = _cross_product(edge, sides)
        with np.errstate(divide="ignore", invalid="ignore"):
            at, on_other = _cross_product(gap, sides) / determinant, _cross_product(gap, edge) / determinant
        which, where = np.nonzero((at > 0) & (at < 1) & (on_other >= 0) & (on_other <= 1))
        cut = np.unique(which)
        number = np.concatenate([which, cut, cut])
        share = np.concatenate([at[which, where], np.zeros(len(cut)), np.ones(len(cut))])
        order = np.lexsort((share, number))
        number, share = number[order], share[order]
        within = number[1:] == number[:-1]
        middle = ((share[1:] + share[:-1]) / 2)[within]
        middles.append(start[part][number[1:][within]] + middle[:, None] * edges[part][number[1:][within]])
    return middles


def _cross_product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    (x, y), (other_x, other_y) = np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0)
    return x * other_y - y * other_x


def _to_line(line: np.ndarray, points: np.ndarray, budget: _Budget) -> np.ndarray:
    """Return float64 [n], the distance of each point to a closed polygon's line, in any number of dimensions."""
    start, side = line, np.roll(line, -1, axis=0) - line
    square = np.maximum((side**2).sum(axis=1), np.finfo(float).tiny)
    budget.spend(len(line) * len(points))
    nearest = []
    for part in np.array_split(points, max(1, len(line) * len(points) // _CHUNK)):
        gap = part[:, None] - start
        share = np.clip((gap * side).sum(axis=2) / square, 0, 1)
        nearest.append(np.sqrt(((gap - share[..., None] * side) ** 2).sum(axis=2).min(axis=1)))
    return np.concatenate(nearest)


def _inside(polygon: np.ndarray, points: np.ndarray, budget: _Budget) -> np.ndarray:
    """Return bool [n], by the even-odd rule."""
    budget.spend(len(polygon) * len(points))
    x0, y0 = polygon.T
    x1, y1 = np.roll(polygon, -1, axis=0).T
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    inside = []
    for part in np.array_split(points, max(1, len(polygon) * len(points) // _CHUNK)):
        x, y = part[:, :1], part[:, 1:]
        crossed = ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / rise)
        inside.append(crossed.sum(axis=1) % 2 == 1)
    return np.concatenate(inside)
