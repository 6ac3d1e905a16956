"""Which lesion of the first visit is which of the second: every structure ends in a pair or in a row that says why not.

Structures of all visits lie on one grid, the first visit's. Two contours are of one lesion when they share at least
`MIN_OVERLAP` of the smaller of the two, so that a lesion that shrank inside its old contour, or grew around it, is
found. Those that then match nothing at all get a second chance with both contours grown by one voxel, which closes
gaps of up to two voxels that registration leaves beside the smallest lesions. Overlap is a graph between two visits;
one lesion on either side of a connected component is a pair, more is a merger or a split, which has no counterpart to
learn from.
"""

import csv
import dataclasses
import enum
import functools
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy import sparse

from tfdrift.errors import DataError, UsageError
from tfdrift.importing.sessions import VisitName
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN, is_target

GivenPair = tuple[str, str, str | None]
"""Names of one lesion's structures at the first visit, the second, and the follow-up where it has one."""

MIN_OVERLAP = 0.25
"""Smallest overlap of one lesion: above what neighbours share by careless contours, below what registration loses."""


class Reason(enum.StrEnum):
    """Why a structure is in no pair."""

    NOT_A_TARGET = "not a target name"
    EMPTY = "empty"
    """It has no voxel on the grid."""
    NEW = "new"
    """No lesion of the first visit is there."""
    VANISHED = "vanished"
    """No lesion of the second visit is there, so there is no second contour to learn from."""
    MERGED = "merged"
    """Several earlier structures belong to one later one; also a lesion contoured twice at the earlier visit."""
    SPLIT = "split"
    """Several later structures belong to one earlier one; also a lesion contoured twice at the later visit."""
    MERGED_AND_SPLIT = "merged and split"
    """Several structures of either visit hang together."""
    UNPAIRED = "lesion without a pair"
    """A structure of the follow-up whose lesion of the first visit is itself in no pair."""
    NOT_IN_TABLE = "not in the pairs table"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RoiMask:
    """A structure on the grid of the first visit.

    Args:
        name: ROIName as written, which may hold anything, a person's name too.
        mask: bool [slices, rows, columns].
    """

    name: str
    mask: np.ndarray

    @functools.cached_property
    def voxels(self) -> np.ndarray:
        """int64 [n], sorted: the flat indices of its voxels, few beside those of the grid."""
        return np.flatnonzero(self.mask)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One lesion.

    Args:
        pre: at the first visit.
        post: at the second visit.
        follow_up: at the follow-up; None where it has no contour there, which does not tell a cured lesion from one
            that nobody contoured.
        overlap: voxels that pre and post share over those of the smaller, in [0, 1]. Below `min_overlap` the pair was
            found one voxel apart or was given.
    """

    pre: RoiMask
    post: RoiMask
    follow_up: RoiMask | None
    overlap: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unpaired:
    """A structure in no pair.

    Args:
        visit: whose it is.
        roi: its name as written; identifying, like `RoiMask.name`.
        reason: why.
    """

    visit: VisitName
    roi: str
    reason: Reason


def pair_lesions(
    pre: list[RoiMask],
    post: list[RoiMask],
    follow_up: list[RoiMask] | None = None,
    *,
    pattern: str = DEFAULT_ROI_PATTERN,
    min_overlap: float = MIN_OVERLAP,
    given: list[GivenPair] | None = None,
) -> tuple[list[Pair], list[Unpaired]]:
    """Match the structures of a patient's visits.

    Args:
        pre: structures of the first visit.
        post: of the second visit.
        follow_up: of the follow-up, matched with those of the first visit; None where there was none.
        pattern: which names are lesions, see `is_target`.
        min_overlap: smallest overlap of one lesion, in (0, 1].
        given: names (pre, post, follow-up) of the pairs; overrides pattern and overlap.

    Returns:
        The pairs in the order of `pre` or of `given`, and a row for every structure that is in none.

    Raises:
        UsageError: `pattern` is not a regular expression, or `min_overlap` is not in (0, 1].
        DataError: the masks differ in shape, or `given` names a structure that is absent, ambiguous, empty or taken.

    Example:
        >>> gtv = RoiMask(name="GTV", mask=np.ones((2, 2, 2), bool))
        >>> pairs, exclusions = pair_lesions([gtv], [gtv, RoiMask(name="Brain", mask=gtv.mask)])
        >>> pairs[0].overlap, exclusions[0].roi, str(exclusions[0].reason)
        (1.0, 'Brain', 'not a target name')
    """
    if not 0 < min_overlap <= 1:
        raise UsageError(f"min_overlap must be above 0 and at most 1, got {min_overlap}")
    visits: dict[VisitName, list[RoiMask]] = {"pre": pre, "post": post, "follow_up": follow_up or []}
    shapes = {roi.mask.shape for rois in visits.values() for roi in rois}
    if len(shapes) > 1:
        raise DataError(f"masks of shapes {sorted(shapes)} are not on one grid; resample them to the first visit's")
    if given is not None:
        return _pair_as_given(visits, given)

    exclusions = []
    lesions: dict[VisitName, list[RoiMask]] = {}
    for visit, rois in visits.items():
        targets = [roi for roi in rois if is_target(roi.name, pattern)]
        lesions[visit] = [roi for roi in targets if roi.voxels.size]
        exclusions += _exclude(visit, (roi for roi in rois if roi not in targets), Reason.NOT_A_TARGET)
        exclusions += _exclude(visit, (roi for roi in targets if not roi.voxels.size), Reason.EMPTY)

    # Identity, not name, tells structures apart: two of one visit may have the same name.
    post_of: dict[RoiMask, RoiMask] = {}
    for early, late in _components(lesions["pre"], lesions["post"], min_overlap):
        reason = _reason(early, late)
        if reason is None:
            post_of[early[0]] = late[0]
        else:
            exclusions += [*_exclude("pre", early, reason), *_exclude("post", late, reason)]
    follow_up_of: dict[RoiMask, RoiMask] = {}
    for early, late in _components(lesions["pre"], lesions["follow_up"], min_overlap):
        reason = _reason(early, late) or (None if early[0] in post_of else Reason.UNPAIRED)
        if reason is None:
            follow_up_of[early[0]] = late[0]
        else:
            exclusions += _exclude("follow_up", late, reason)
    pairs = [_pair(roi, post_of[roi], follow_up_of.get(roi)) for roi in lesions["pre"] if roi in post_of]
    return pairs, exclusions


def read_pairs(path: Path) -> dict[str, list[GivenPair]]:
    """Read a table of pairs: columns patient, pre_roi, post_roi and, where wanted, follow_up_roi.

    Args:
        path: CSV file in UTF-8, separated by commas.

    Returns:
        For each patient, as written, the names to give to `pair_lesions`; None for an empty follow-up.

    Raises:
        DataError: the file cannot be read, has other columns, has no row, or a row lacks a name, has too many cells
            or names a structure of the patient's visit for the second time. Only line numbers are told, because
            names may be a person's.
    """
    columns = ["patient", "pre_roi", "post_roi", "follow_up_roi"]
    pairs: dict[str, list[GivenPair]] = {}
    taken = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = sorted(reader.fieldnames or [])
            if header not in (sorted(columns), sorted(columns[:3])):
                raise DataError(
                    f"the pairs table must have the columns {', '.join(columns)} (the last may be left out)"
                )
            for row in reader:
                cells = [(row.get(column) or "").strip() for column in columns]
                if None in row or not all(cells[:3]):
                    raise DataError(
                        f"line {reader.line_num} of the pairs table must name patient, pre_roi and post_roi"
                    )
                for column, name in zip(columns[1:], cells[1:], strict=True):
                    if name and (cells[0], column, name) in taken:
                        raise DataError(f"line {reader.line_num} of the pairs table uses a {column} a second time")
                    taken.add((cells[0], column, name))
                pairs.setdefault(cells[0], []).append((cells[1], cells[2], cells[3] or None))
    except OSError as error:
        raise DataError(f"the pairs table cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("the pairs table is not a CSV file in UTF-8; save it as one") from error
    if not pairs:
        raise DataError("the pairs table has no row below its header; write a row for each lesion")
    return pairs


def _exclude(visit: VisitName, rois: Iterable[RoiMask], reason: Reason) -> list[Unpaired]:
    return [Unpaired(visit=visit, roi=roi.name, reason=reason) for roi in rois]


def _pair(pre: RoiMask, post: RoiMask, follow_up: RoiMask | None) -> Pair:
    return Pair(pre=pre, post=post, follow_up=follow_up, overlap=_overlap(pre.voxels, post.voxels))


def _reason(early: list[RoiMask], late: list[RoiMask]) -> Reason | None:
    """Return why the structures of a connected component are no pair; None where they are one."""
    if not early:
        return Reason.NEW
    if not late:
        return Reason.VANISHED
    if len(early) > 1:
        return Reason.MERGED if len(late) == 1 else Reason.MERGED_AND_SPLIT
    return Reason.SPLIT if len(late) > 1 else None


def _components(
    early: list[RoiMask], late: list[RoiMask], min_overlap: float
) -> list[tuple[list[RoiMask], list[RoiMask]]]:
    """Return the connected components of the overlap graph, single structures too."""
    edges = _edges([roi.voxels for roi in early], [roi.voxels for roi in late], min_overlap)
    lost_early, lost_late = np.flatnonzero(~edges.any(axis=1)), np.flatnonzero(~edges.any(axis=0))
    if lost_early.size and lost_late.size:
        grown_early, grown_late = [_grow(early[i]) for i in lost_early], [_grow(late[j]) for j in lost_late]
        edges[np.ix_(lost_early, lost_late)] = _edges(grown_early, grown_late, min_overlap)

    num_nodes = len(early) + len(late)
    graph = np.zeros((num_nodes, num_nodes), bool)
    graph[: len(early), len(early) :] = edges
    count, labels = sparse.csgraph.connected_components(sparse.csr_array(graph), directed=False)
    return [
        (
            [roi for roi, label in zip(early, labels[: len(early)], strict=True) if label == component],
            [roi for roi, label in zip(late, labels[len(early) :], strict=True) if label == component],
        )
        for component in range(count)
    ]


def _edges(early: list[np.ndarray], late: list[np.ndarray], min_overlap: float) -> np.ndarray:
    """Return which structures, given by their voxels, are of one lesion: bool [early, late]."""
    edges = [_overlap(a, b) >= min_overlap for a in early for b in late]
    return np.array(edges, bool).reshape(len(early), len(late))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return np.intersect1d(a, b, assume_unique=True).size / min(a.size, b.size)


def _grow(roi: RoiMask) -> np.ndarray:
    """Return the voxels of a structure and all 26 neighbours of each that lie on the grid."""
    voxels, shape = roi.voxels, roi.mask.shape
    for axis, length in enumerate(shape):
        step = math.prod(shape[axis + 1 :])
        place = voxels // step % length
        voxels = np.unique(np.concatenate([voxels, voxels[place > 0] - step, voxels[place < length - 1] + step]))
    return voxels


def _pair_as_given(visits: dict[VisitName, list[RoiMask]], given: list[GivenPair]) -> tuple[list[Pair], list[Unpaired]]:
    rest: dict[VisitName, list[RoiMask]] = {visit: list(rois) for visit, rois in visits.items()}

    def take(visit: VisitName, name: str, row: int) -> RoiMask:
        found = [roi for roi in rest[visit] if roi.name == name]
        if len(found) != 1 or not found[0].voxels.size:
            fault = "an empty ROI" if len(found) == 1 else f"{len(found)} ROIs that are free"
            raise DataError(f"pair {row} given for this patient names {fault} for {visit}; it must name exactly one")
        rest[visit].remove(found[0])
        return found[0]

    pairs = []
    for row, (pre, post, follow_up) in enumerate(given, start=1):
        third = None if follow_up is None else take("follow_up", follow_up, row)
        pairs.append(_pair(take("pre", pre, row), take("post", post, row), third))
    return pairs, [row for visit, rois in rest.items() for row in _exclude(visit, rois, Reason.NOT_IN_TABLE)]
