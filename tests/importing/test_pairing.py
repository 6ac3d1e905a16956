from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdrift.errors import DataError, UsageError
from tfdrift.importing.pairing import Reason, RoiMask, pair_lesions, read_pairs

SHAPE = (5, 24, 24)


def box(name, rows, columns, slices=(1, 4)):
    mask = np.zeros(SHAPE, bool)
    mask[slice(*slices), slice(*rows), slice(*columns)] = True
    return RoiMask(name=name, mask=mask)


LEFT = box("GTV left", (2, 8), (2, 8))
RIGHT = box("GTV right", (2, 8), (14, 20))
BOTH = box("GTV", (2, 8), (2, 20))


def named(pairs):
    return [(p.pre.name, p.post.name, p.follow_up and p.follow_up.name) for p in pairs]


def rows(exclusions):
    return [(e.visit, e.roi, e.reason) for e in exclusions]


def test_lesions_are_matched_by_place_not_by_name_or_order():
    post = [box("GTV A", (3, 7), (15, 19)), box("GTV B", (1, 9), (1, 9))]
    pairs, exclusions = pair_lesions([LEFT, RIGHT], post)
    assert named(pairs) == [("GTV left", "GTV B", None), ("GTV right", "GTV A", None)]
    assert exclusions == []


def test_overlap_is_shared_voxels_over_those_of_the_smaller():
    (pair,), _ = pair_lesions([LEFT], [box("GTV", (6, 10), (2, 8))])
    assert pair.overlap == 0.5


def test_a_remnant_inside_the_old_contour_is_the_same_lesion():
    (pair,), exclusions = pair_lesions([LEFT], [box("GTV", (5, 6), (5, 6), (2, 3))])
    assert (pair.overlap, exclusions) == (1, [])


@pytest.mark.parametrize(("shared_rows", "reasons"), [(1, set()), (2, {Reason.MERGED_AND_SPLIT})])
def test_neighbours_hang_together_from_a_quarter_shared(shared_rows, reasons):
    # Each has a counterpart of its own, so that no contour is tried again one voxel larger.
    low, shifted = box("GTV 2", (8, 16), (2, 8)), box("GTV 2", (8 - shared_rows, 16 - shared_rows), (2, 8))
    top = box("GTV 1", (0, 8), (2, 8))
    pairs, exclusions = pair_lesions([top, low], [top, shifted])
    assert ({e.reason for e in exclusions}, len(pairs)) == (reasons, 0 if reasons else 2)


@pytest.mark.parametrize(("shift", "found"), [(1, True), (2, True), (3, False)])
def test_smallest_lesion_is_found_up_to_two_voxels_off(shift, found):
    pairs, exclusions = pair_lesions([box("GTV", (5, 6), (5, 6))], [box("GTV", (5, 6), (5 + shift, 6 + shift))])
    assert [p.overlap for p in pairs] == ([0] if found else [])
    assert {e.reason for e in exclusions} == (set() if found else {Reason.NEW, Reason.VANISHED})


def test_a_lesion_does_not_reach_around_the_edge_of_the_grid():
    # One voxel on from the end of a row of the array lies the start of the next.
    pairs, _ = pair_lesions([box("GTV", (5, 6), (23, 24))], [box("GTV", (6, 7), (0, 1))])
    assert pairs == []


def test_touching_neighbours_stay_apart_when_each_has_its_own_contour():
    pre = [box("GTV 1", (2, 8), (2, 8)), box("GTV 2", (2, 8), (8, 14))]
    post = [box("GTV 1", (2, 8), (3, 9)), box("GTV 2", (2, 8), (9, 15))]
    pairs, exclusions = pair_lesions(pre, post)
    assert (named(pairs), exclusions) == ([("GTV 1", "GTV 1", None), ("GTV 2", "GTV 2", None)], [])


@pytest.mark.parametrize(
    ("pre", "post", "expected"),
    [
        ([LEFT], [], [("pre", "GTV left", "vanished")]),
        ([], [LEFT], [("post", "GTV left", "new")]),
        (
            [LEFT, RIGHT],
            [BOTH],
            [("pre", "GTV left", "merged"), ("pre", "GTV right", "merged"), ("post", "GTV", "merged")],
        ),
        (
            [BOTH],
            [LEFT, RIGHT],
            [("pre", "GTV", "split"), ("post", "GTV left", "split"), ("post", "GTV right", "split")],
        ),
        (
            [LEFT, box("GTV 2", (2, 8), (10, 20))],
            [box("GTV 3", (2, 8), (2, 14)), RIGHT],
            [
                ("pre", "GTV left", "merged and split"),
                ("pre", "GTV 2", "merged and split"),
                ("post", "GTV 3", "merged and split"),
                ("post", "GTV right", "merged and split"),
            ],
        ),
        ([box("PTV", (2, 8), (2, 8))], [], [("pre", "PTV", "not a target name")]),
        ([], [box("GTV", (2, 2), (2, 8))], [("post", "GTV", "empty")]),
        ([box("PTV", (2, 2), (2, 8))], [], [("pre", "PTV", "not a target name")]),
    ],
)
def test_what_is_no_pair_has_a_row_with_the_reason(pre, post, expected):
    pairs, exclusions = pair_lesions(pre, post)
    assert (pairs, rows(exclusions)) == ([], expected)


def test_follow_up_joins_the_pair_of_its_lesion():
    follow_up = [box("Met b", (3, 6), (15, 18)), box("Met a", (1, 9), (1, 9))]
    pairs, exclusions = pair_lesions([LEFT, RIGHT], [LEFT, RIGHT], follow_up)
    assert named(pairs) == [("GTV left", "GTV left", "Met a"), ("GTV right", "GTV right", "Met b")]
    assert exclusions == []


@pytest.mark.parametrize(
    ("pre", "post", "follow_up", "reasons"),
    [
        ([LEFT], [LEFT], [RIGHT], ["new"]),
        ([LEFT, RIGHT], [LEFT, RIGHT], [BOTH], ["merged"]),
        ([BOTH], [BOTH], [LEFT, RIGHT], ["split", "split"]),
        ([LEFT, RIGHT], [LEFT], [RIGHT], ["lesion without a pair"]),
    ],
)
def test_follow_up_that_joins_no_pair_has_a_row_and_leaves_the_pairs(pre, post, follow_up, reasons):
    pairs, exclusions = pair_lesions(pre, post, follow_up)
    assert [e.reason for e in exclusions if e.visit == "follow_up"] == reasons
    assert named(pairs) == [(roi.name, roi.name, None) for roi in post]


def test_own_pattern_and_threshold_are_used():
    tumour, late = box("tumour", (2, 8), (2, 8)), box("tumour", (6, 12), (2, 8))
    assert named(pair_lesions([tumour], [late], pattern="tumour")[0]) == [("tumour", "tumour", None)]
    # A third of each is shared; grown by one voxel to 5 x 8 x 8 each, they share 4 of 8 rows, below the threshold too.
    assert pair_lesions([tumour], [late], pattern="tumour", min_overlap=0.6)[0] == []


NAMES = st.sampled_from(["GTV", "GTV 1", "Met 2", "PTV", "Brain", "GTV ring"])
EDGES = st.tuples(st.integers(0, 9), st.integers(0, 4))


@st.composite
def rois(draw):
    mask = np.zeros((3, 10, 10), bool)
    (row, height), (column, width) = draw(EDGES), draw(EDGES)
    mask[draw(st.integers(0, 2)), row : row + height, column : column + width] = True
    return RoiMask(name=draw(NAMES), mask=mask)


VISIT = st.lists(rois(), max_size=6)


def tally(pairs, exclusions, visit):
    in_pairs = [getattr(pair, visit) for pair in pairs]
    return Counter([roi.name for roi in in_pairs if roi] + [e.roi for e in exclusions if e.visit == visit])


@settings(max_examples=150, deadline=None)
@given(VISIT, VISIT, VISIT)
def test_every_structure_is_in_one_pair_or_in_one_row(pre, post, follow_up):
    pairs, exclusions = pair_lesions(pre, post, follow_up)
    for visit, given_rois in {"pre": pre, "post": post, "follow_up": follow_up}.items():
        assert tally(pairs, exclusions, visit) == Counter(roi.name for roi in given_rois)
        used = [id(getattr(pair, visit)) for pair in pairs if getattr(pair, visit)]
        assert len(used) == len(set(used))


@settings(max_examples=100, deadline=None)
@given(VISIT, VISIT)
def test_time_reversed_gives_the_same_pairs_and_the_mirrored_reasons(pre, post):
    mirror = {"new": "vanished", "vanished": "new", "merged": "split", "split": "merged", "pre": "post", "post": "pre"}
    forth, forth_rows = pair_lesions(pre, post)
    back, back_rows = pair_lesions(post, pre)
    assert {(id(p.pre), id(p.post), p.overlap) for p in forth} == {(id(p.post), id(p.pre), p.overlap) for p in back}
    mirrored = [(mirror[v], name, mirror.get(reason, reason)) for v, name, reason in rows(back_rows)]
    assert Counter(rows(forth_rows)) == Counter(mirrored)


def test_given_names_override_place_and_pattern():
    pre, post = [LEFT, box("Brain", (2, 8), (2, 8))], [RIGHT, box("x", (1, 3), (1, 3))]
    pairs, exclusions = pair_lesions(pre, post, [BOTH, LEFT], given=[("Brain", "x", "GTV")])
    assert named(pairs) == [("Brain", "x", "GTV")]
    assert rows(exclusions) == [
        ("pre", "GTV left", "not in the pairs table"),
        ("post", "GTV right", "not in the pairs table"),
        ("follow_up", "GTV left", "not in the pairs table"),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([("GTV left", "Jane Doe", None)], "pair 1 .* names 0 ROIs that are free for post"),
        ([("GTV left", "GTV right", None), ("GTV left", "GTV", None)], "pair 2 .* names 0 ROIs that are free for pre"),
        ([("GTV left", "GTV", "GTV left")], "pair 1 .* names 2 ROIs that are free for follow_up"),
        ([("none", "GTV", None)], "pair 1 .* names an empty ROI for pre"),
    ],
)
def test_refuses_given_names_that_do_not_name_one_contour(names, message):
    with pytest.raises(DataError, match=message) as refusal:
        pair_lesions([LEFT, box("none", (0, 0), (0, 0))], [RIGHT, BOTH], [LEFT, LEFT], given=names)
    assert "Jane" not in str(refusal.value)


def test_refuses_masks_of_two_grids():
    with pytest.raises(DataError, match="not on one grid"):
        pair_lesions([LEFT], [RoiMask(name="GTV", mask=np.ones((2, 2, 2), bool))])


@pytest.mark.parametrize("min_overlap", [0, 1.1, float("nan")])
def test_refuses_a_threshold_that_is_no_share(min_overlap):
    with pytest.raises(UsageError, match="min_overlap must be above 0"):
        pair_lesions([LEFT], [LEFT], min_overlap=min_overlap)


def written(folder, text, encoding="utf-8"):
    path = folder / "pairs.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_table_is_read_by_column_name(tmp_path):
    text = 'post_roi,patient,pre_roi,follow_up_roi\r\n"Met, left",P 1,GTV,\r\nB2,P 1,B1,B3\r\nGTV,P2,GTV,\r\n'
    assert read_pairs(written(tmp_path, text, "utf-8-sig")) == {
        "P 1": [("GTV", "Met, left", None), ("B1", "B2", "B3")],
        "P2": [("GTV", "GTV", None)],
    }


def test_follow_up_column_may_be_left_out(tmp_path):
    assert read_pairs(written(tmp_path, "patient,pre_roi,post_roi\nP,a,b\n")) == {"P": [("a", "b", None)]}


HEADER = "patient,pre_roi,post_roi,follow_up_roi\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have the columns patient, pre_roi"),
        ("patient;pre_roi;post_roi\nP;a;b\n", "must have the columns patient, pre_roi"),
        ("patient,pre_roi,post_roi,pre_roi\nP,a,b,c\n", "must have the columns patient, pre_roi"),
        (HEADER, "no row below its header"),
        (HEADER + "P,a,b,c\nP,,e,\n", "line 3 .* must name patient, pre_roi and post_roi"),
        (HEADER + "P,a\n", "line 2 .* must name patient"),
        (HEADER + "P,a,b,c,d\n", "line 2 .* must name patient"),
        (HEADER + "P,a,b,\nP,a,c,\n", "line 3 .* uses a pre_roi a second time"),
        (HEADER + "P,a,b,\nP,c,b,\n", "line 3 .* uses a post_roi a second time"),
        (HEADER + "P,a,b,f\nP,c,d,f\n", "line 3 .* uses a follow_up_roi a second time"),
        (HEADER + 'P,"a" x,b,\n', "not a CSV file in UTF-8"),
    ],
)
def test_refuses_a_table_that_is_wrong(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_pairs(written(tmp_path, text))


def test_refuses_a_table_in_another_encoding(tmp_path):
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        read_pairs(written(tmp_path, HEADER + "Müller,a,b,\n", "latin-1"))


def test_refuses_a_table_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_pairs(tmp_path / "none.csv")
