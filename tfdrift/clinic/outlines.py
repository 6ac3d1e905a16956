"""Pixels to polygons: the outlines of a mask along the edges of its pixels, with holes as keyholes.

The inverse of `tfdrift.imaging.polygons.fill_polygons`: every pixel centre is half a pixel away from every line, so
that any reader finds the same pixels, whatever it does with centres on a line.
"""

import numpy as np
from skimage.measure import label

Vertex = tuple[int, int]
_RIGHT, _DOWN, _LEFT, _UP = (1, 0), (0, 1), (-1, 0), (0, -1)


def trace_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return the closed outlines of a mask, one for each group of pixels that share edges.

    A hole is joined to the outline around it by a line that is gone along twice (keyhole, DICOM PS3.3 C.8.8.6.3), so an
    outline is the whole of its group. Pixels that touch at a corner alone are two groups.

    Args:
        mask: bool [rows, columns].

    Returns:
        Float64 [n, 2] each, (column, row) in pixels, whole numbers at pixel centres; the first point comes once.

    Example:
        >>> trace_outlines(np.array([[False, True, True]]))[0].tolist()
        [[0.5, -0.5], [2.5, -0.5], [2.5, 0.5], [0.5, 0.5]]
    """
    groups = np.asarray(label(mask, connectivity=1))
    return [_outline(groups == number) for number in range(1, groups.max(initial=0) + 1)]


def _outline(group: np.ndarray) -> np.ndarray:
    """Return the outline of one group of pixels that share edges."""
    # The first loop holds the topmost vertex of all, so it is the one around the group.
    outline, *holes = sorted(_loops(group), key=_top)
    corners: set[Vertex] = set()
    for hole in holes:  # from the top: what is met going up from a hole is the outline or a hole that is joined already
        row, column = _top(hole)
        start = (column, row)
        places = {vertex: at for at, vertex in enumerate(outline)}
        end = next((column, above) for above in range(row - 1, -1, -1) if (column, above) in places)
        at, turn = places[end], hole.index(start)
        outline = [*outline[: at + 1], *hole[turn:], *hole[:turn], start, *outline[at:]]
        corners |= {start, end}
    kept = [
        vertex
        for before, vertex, after in zip([outline[-1], *outline[:-1]], outline, [*outline[1:], outline[0]], strict=True)
        if vertex in corners or _step(before, vertex) != _step(vertex, after)
    ]
    return np.array(kept, float) - 0.5


def _loops(group: np.ndarray) -> list[list[Vertex]]:
    """Return the closed loops along pixel edges, a vertex at every corner of a pixel, the group to their right.

    Vertex (i, j) is the upper left corner of pixel (column i, row j).
    """
    padded = np.pad(group, 1)
    inside, after = padded[1:-1, 1:-1], {}
    sides = {
        _RIGHT: (padded[:-2, 1:-1], (0, 0)),  # along the upper edge of a pixel with nothing above
        _DOWN: (padded[1:-1, 2:], (1, 0)),
        _LEFT: (padded[2:, 1:-1], (1, 1)),
        _UP: (padded[1:-1, :-2], (0, 1)),
    }
    for step, (neighbour, (right, below)) in sides.items():
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            after.setdefault((column + right, row + below), []).append(step)
    loops = []
    while after:
        vertex = next(iter(after))
        step = after[vertex][0]
        loop = []
        while vertex in after:
            steps = after[vertex]
            # Where two pixels touch at a corner, the loop turns right and so stays with the pixel it is on.
            turned = (-step[1], step[0])
            step = turned if turned in steps and loop else steps[0]
            steps.remove(step)
            if not steps:
                del after[vertex]
            loop.append(vertex)
            vertex = (vertex[0] + step[0], vertex[1] + step[1])
        loops.append(loop)
    return loops


def _top(loop: list[Vertex]) -> tuple[int, int]:
    """Return row and column of a loop's topmost vertex, the leftmost of several."""
    return min((row, column) for column, row in loop)


def _step(one: Vertex, other: Vertex) -> Vertex:
    return int(np.sign(other[0] - one[0])), int(np.sign(other[1] - one[1]))
