"""Which lesion of the first visit is which of the second, and of the follow-up; nothing is dropped without a row.

Masks of all visits stand on one grid here (see `imaging.registration`). Two lesions of one patient are taken for the
same by where they are, never by what they are called: planning systems number lesions anew at every visit.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tfdrift.cohort.pairs_table import FOLLOW_UP_COLUMN, PAIR_COLUMNS, NamedPair
from tfdrift.cohort.roi_names import is_gtv_name
from tfdrift.errors import DataError, UsageError

VISITS = ("pre", "post", "follow-up")
MIN_OVERLAP = 0.3
POOR_RESPONSE_SHARE = 0.8


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Roi:
    """One region of interest of one visit.

    Args:
        number: ROI Number, unique within the visit's structure set.
        name: ROI Name, which need not be unique.
        mask: bool [slices, rows, columns] on the grid common to all visits.
        volume_mm3: on the visit's own grid, before any resampling.
    """

    number: int
    name: str
    mask: np.ndarray
    volume_mm3: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LesionPair:
    """One lesion at two visits, and at the follow-up where it was contoured there.

    Args:
        pre: at the first visit.
        post: at the second.
        overlap: voxels in both over voxels of the smaller, in [0, 1].
        follow_up: at the follow-up, or None.
    """

    pre: Roi
    post: Roi
    overlap: float
    follow_up: Roi | None = None

    @property
    def response(self) -> str | None:
        """Group `A` (poor) or `B` (good), see `response_group`; None without a follow-up."""
        return response_group(self.pre.volume_mm3, self.follow_up.volume_mm3) if self.follow_up else None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Exclusion:
    """One ROI that is in no pair, and why: one of `REASONS`."""

    visit: str
    roi: Roi
    reason: str


REASONS = {
    "not a GTV name": "the name does not match the pattern for lesions",
    "empty": "no voxel on the common grid",
    "sum of lesions": "holds two or more other lesions of its visit",
    "new": "touches no lesion of the visit before",
    "vanished": "touches no lesion of the next visit",
    "merged": "one of several lesions that became one, or the one they became",
    "split": "a lesion that became several, or one of the several",
    "merged and split": "one of a group that overlaps several to several",
    "overlap too small": "touches a lesion of the other visit, but shares less than the least overlap",
    "not in the pairs table": "the table of pairs lists this patient, but not this ROI",
    "partner is empty": "the table of pairs gives it a partner without a voxel",
}


def choose_visits(dates: Sequence[str]) -> tuple[int, int, int | None]:
    """Return which of a patient's visits are pre, post and follow-up: the first two and the last of the rest by date.

    Args:
        dates: YYYYMMDD of each visit, in any order.

    Raises:
        DataError: fewer than two visits, or two on one day.

    Example:
        >>> choose_visits(["20230301", "20230101", "20230122"])
        (1, 2, 0)
    """
    if len(dates) < 2:
        raise DataError(f"a patient has {len(dates)} visit with contours; two are needed")
    if len(set(dates)) < len(dates):
        raise DataError("a patient has two MRIs with contours on one day; keep the one to be used")
    order = sorted(range(len(dates)), key=lambda visit: dates[visit])
    return order[0], order[1], order[-1] if len(order) > 2 else None


def response_group(initial_mm3: float, follow_up_mm3: float) -> str:
    """Return `A` (poor response) where the follow-up volume is at least 80% of the initial one, else `B` (good).

    Raises:
        DataError: a volume is not finite, the initial one is not above 0, or the follow-up's is below 0.

    Source: paper, "PULSAR data collection".

    Example:
        >>> response_group(1000.0, 800.0), response_group(1000.0, 799.0)
        ('A', 'B')
    """
    if not (0 < initial_mm3 < np.inf and 0 <= follow_up_mm3 < np.inf):
        raise DataError(f"volumes {initial_mm3:g} and {follow_up_mm3:g} mm3 give no response group")
    return "A" if follow_up_mm3 >= POOR_RESPONSE_SHARE * initial_mm3 else "B"


def pair_lesions(
    pre: Sequence[Roi],
    post: Sequence[Roi],
    follow_up: Sequence[Roi] = (),
    *,
    pattern: re.Pattern[str] | None = None,
    min_overlap: float = MIN_OVERLAP,
    table: Sequence[NamedPair] | None = None,
) -> tuple[list[LesionPair], list[Exclusion]]:
    """Pair one patient's lesions; every ROI ends in one pair or in one exclusion, whatever was given.

    Two ROIs belong together when they share at least `min_overlap` of the smaller one, which a lesion that shrinks or
    grows in place does fully. ROIs that belong together, directly or through others, are one group; a group of one and
    one is a pair, any other has merged or split and is excluded with a row for each. A lesion without a contour at the
    second visit is `vanished`, not a pair with volume 0: whether it is gone or was not contoured cannot be told.
    The follow-up is matched in the same way against the pair's two masks together; where it is missing, merged or
    split the pair stays and has no follow-up.

    Args:
        pre: every ROI of the first visit.
        post: every ROI of the second.
        follow_up: every ROI of the follow-up; none where there is no follow-up.
        pattern: for lesion names instead of the default, see `is_gtv_name`.
        min_overlap: in (0, 1].
        table: this patient's pairs, which then are the only ones; overlaps and names are not asked.

    Returns:
        (pairs in the order of `pre`, exclusions in the order of the visits).

    Raises:
        UsageError: `min_overlap` is out of range.
        DataError: the masks differ in shape, or the table names an ROI that a visit does not have or has
            twice, or that another row has taken.
    """
    if not 0 < min_overlap <= 1:
        raise UsageError(f"the least overlap {min_overlap:g} must be above 0 and at most 1")
    visits: dict[str, Sequence[Roi]] = dict(zip(VISITS, (pre, post, follow_up), strict=True))
    shapes = {roi.mask.shape for rois in visits.values() for roi in rois}
    if len(shapes) > 1:
        raise DataError(
            f"masks of one patient have {len(shapes)} different shapes; resample all to the first MRI's grid"
        )
    reasons: dict[int, str] = {}  # by id of the ROI, as neither names nor numbers are unique over visits
    if table is not None:
        pairs = _pairs_of_table(table, visits, reasons)
    else:
        pairs = _pairs_by_overlap(visits, reasons, pattern, min_overlap)
    excluded = [
        Exclusion(visit=visit, roi=roi, reason=reasons[id(roi)])
        for visit, rois in visits.items()
        for roi in rois
        if id(roi) in reasons
    ]
    return pairs, excluded


def _pairs_by_overlap(
    visits: Mapping[str, Sequence[Roi]], reasons: dict[int, str], pattern: re.Pattern[str] | None, min_overlap: float
) -> list[LesionPair]:
    lesions = {visit: _lesions(rois, reasons, pattern) for visit, rois in visits.items()}
    matched = _match(lesions["pre"], lesions["post"], reasons, min_overlap)
    unions = [
        dataclasses.replace(first, mask=first.mask | second.mask)  # stands for the pair
        for first, second, _ in matched
    ]
    later = {id(union): roi for union, roi, _ in _match(unions, lesions["follow-up"], reasons, min_overlap)}
    for union in unions:
        reasons.pop(id(union), None)  # the pair stays without its follow-up
    return [
        LesionPair(pre=first, post=second, overlap=share, follow_up=later.get(id(union)))
        for (first, second, share), union in zip(matched, unions, strict=True)
    ]


def _lesions(rois: Sequence[Roi], reasons: dict[int, str], pattern: re.Pattern[str] | None) -> list[Roi]:
    """Return the ROIs that are single lesions, and note why the others are not."""
    for roi in rois:
        if not is_gtv_name(roi.name, pattern):
            reasons[id(roi)] = "not a GTV name"
        elif not roi.mask.any():
            reasons[id(roi)] = "empty"
    named = [roi for roi in rois if id(roi) not in reasons]
    voxels = [np.flatnonzero(roi.mask) for roi in named]
    for whole in named:
        inside = [
            part
            for part, where in zip(named, voxels, strict=True)
            if part is not whole and whole.mask.ravel()[where].mean() >= 0.9
        ]
        apart = [
            part for part in inside if not any((part.mask & other.mask).any() for other in inside if other is not part)
        ]
        if len(apart) >= 2:
            reasons[id(whole)] = "sum of lesions"
    return [roi for roi in named if id(roi) not in reasons]


def _match(
    before: Sequence[Roi], after: Sequence[Roi], reasons: dict[int, str], min_overlap: float
) -> list[tuple[Roi, Roi, float]]:
    """Return (before, after, overlap) of the groups of one and one; note a reason for all other ROIs."""
    overlap = _overlaps(before, after)
    joined = overlap >= min_overlap
    matched = []
    for rows, columns in _groups(joined):
        first, second = [before[row] for row in rows], [after[column] for column in columns]
        if len(first) == len(second) == 1:
            matched.append((first[0], second[0], float(overlap[rows[0], columns[0]])))
        elif first and second:
            merged, split = len(first) > 1, len(second) > 1
            reason = "merged and split" if merged and split else "merged" if merged else "split"
            reasons.update((id(roi), reason) for roi in (*first, *second))
        elif first:
            reasons[id(first[0])] = "overlap too small" if overlap[rows[0]].any() else "vanished"
        else:
            reasons[id(second[0])] = "overlap too small" if overlap[:, columns[0]].any() else "new"
    return matched


def _overlaps(before: Sequence[Roi], after: Sequence[Roi]) -> np.ndarray:
    """Return float64 [before, after], voxels in both over voxels of the smaller; no mask is empty."""
    after_sizes = [np.count_nonzero(roi.mask) for roi in after]
    overlap = np.zeros((len(before), len(after)))
    for row, one in enumerate(before):
        where = np.flatnonzero(one.mask)
        for column, other in enumerate(after):
            shared = np.count_nonzero(other.mask.ravel()[where])
            overlap[row, column] = shared / min(where.size, after_sizes[column])
    return overlap


def _groups(joined: np.ndarray) -> list[tuple[list[int], list[int]]]:
    """Return the connected components (rows, columns) of a bipartite graph bool [n, m], by their first row."""
    rows, columns = joined.shape
    first, second = np.nonzero(joined)
    nodes = rows + columns  # the rows come first
    edges = coo_array((np.ones(first.size), (first, rows + second)), shape=(nodes, nodes))
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for node, label in enumerate(connected_components(edges, directed=False)[1].tolist()):
        of_rows, of_columns = groups.setdefault(label, ([], []))
        of_rows.append(node) if node < rows else of_columns.append(node - rows)
    return list(groups.values())


def _pairs_of_table(
    table: Sequence[NamedPair], visits: Mapping[str, Sequence[Roi]], reasons: dict[int, str]
) -> list[LesionPair]:
    for rois in visits.values():
        reasons.update((id(roi), "not in the pairs table") for roi in rois)
    pairs = []
    for row in table:
        names = (row.pre_roi, row.post_roi, row.follow_up_roi)
        columns = (*PAIR_COLUMNS[1:], FOLLOW_UP_COLUMN)
        first, second, third = (
            None if name is None else _take(name, rois, reasons, f"--pairs, line {row.line}: its {column}")
            for name, rois, column in zip(names, visits.values(), columns, strict=True)
        )
        assert first is not None
        assert second is not None
        given = [roi for roi in (first, second, third) if roi is not None]
        reasons.update((id(roi), "empty") for roi in given if not roi.mask.any())
        if id(first) in reasons or id(second) in reasons:
            reasons.update((id(roi), "partner is empty") for roi in given if id(roi) not in reasons)
            continue
        overlap = float(_overlaps([first], [second])[0, 0])
        seen = third is not None and id(third) not in reasons
        pairs.append(LesionPair(pre=first, post=second, overlap=overlap, follow_up=third if seen else None))
    return pairs


def _take(name: str, rois: Sequence[Roi], reasons: dict[int, str], place: str) -> Roi:
    """Return the one ROI of that name, and drop its reason, which only an ROI that is still free has."""
    found = [roi for roi in rois if roi.name.strip() == name]
    if len(found) != 1:
        number = "no ROI" if not found else f"{len(found)} ROIs"
        raise DataError(f"{place} is the name of {number} at that visit; it must be one")
    if reasons.pop(id(found[0]), None) != "not in the pairs table":
        raise DataError(f"{place} already stands in another row of the patient")
    return found[0]
