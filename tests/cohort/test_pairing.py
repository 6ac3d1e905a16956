from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdrift.cohort.pairing import (
    MIN_OVERLAP,
    REASONS,
    VISITS,
    Roi,
    choose_visits,
    pair_lesions,
    response_group,
)
from tfdrift.cohort.pairs_table import NamedPair
from tfdrift.cohort.roi_names import compile_pattern
from tfdrift.errors import DataError, UsageError

SHAPE = (4, 10, 40)
NUMBERS = iter(range(10**9))


def roi(name, *columns, volume=100.0, shape=SHAPE):
    """An ROI that covers the given columns (start, stop) of the grid."""
    mask = np.zeros(shape, bool)
    for start, stop in columns:
        mask[1:3, 2:8, start:stop] = True
    return Roi(number=next(NUMBERS), name=name, mask=mask, volume_mm3=volume)


def outcome(*visits, **options):
    """Names instead of ROIs: [(pre, post, follow-up)], {(visit, name): reason}."""
    pairs, excluded = pair_lesions(*visits, **options)
    named = [(pair.pre.name, pair.post.name, pair.follow_up and pair.follow_up.name) for pair in pairs]
    return named, {(row.visit, row.roi.name): row.reason for row in excluded}


def test_lesions_are_paired_by_place_whatever_their_names():
    pre = [roi("GTV1", (0, 6)), roi("GTV2", (20, 26))]
    post = [roi("GTV1", (20, 25)), roi("GTV2", (1, 8))]
    assert outcome(pre, post) == ([("GTV1", "GTV2", None), ("GTV2", "GTV1", None)], {})


def test_overlap_is_the_share_of_the_smaller():
    (pair,), _ = pair_lesions([roi("GTV", (0, 8))], [roi("GTV", (6, 10))])
    assert pair.overlap == 0.5


def test_a_lesion_that_shrinks_or_grows_in_place_overlaps_fully():
    for small, large in ((roi("GTV", (5, 6)), roi("GTV", (0, 20))), (roi("GTV", (0, 20)), roi("GTV", (5, 6)))):
        (pair,), _ = pair_lesions([small], [large])
        assert pair.overlap == 1


def test_new_and_vanished_lesions_have_rows():
    named, rows = outcome([roi("GTV1", (0, 5)), roi("GTV2", (10, 15))], [roi("GTV1", (0, 5)), roi("GTV3", (30, 35))])
    assert named == [("GTV1", "GTV1", None)]
    assert rows == {("pre", "GTV2"): "vanished", ("post", "GTV3"): "new"}


def test_two_lesions_that_become_one_are_merged():
    named, rows = outcome([roi("GTV1", (0, 5)), roi("GTV2", (7, 12))], [roi("GTV1", (0, 12))])
    assert named == []
    assert rows == dict.fromkeys([("pre", "GTV1"), ("pre", "GTV2"), ("post", "GTV1")], "merged")


def test_a_lesion_that_becomes_two_is_split():
    named, rows = outcome([roi("GTV1", (0, 12))], [roi("GTV1", (0, 5)), roi("GTV2", (7, 12))])
    assert named == []
    assert rows == dict.fromkeys([("pre", "GTV1"), ("post", "GTV1"), ("post", "GTV2")], "split")


def test_a_chain_of_overlaps_is_merged_and_split():
    _, rows = outcome([roi("GTV1", (0, 6)), roi("GTV2", (8, 20))], [roi("GTV1", (2, 12)), roi("GTV2", (14, 20))])
    assert set(rows.values()) == {"merged and split"}
    assert len(rows) == 4


@pytest.mark.parametrize(("start", "paired"), [(7, True), (8, False)])
def test_the_least_overlap_still_counts(start, paired):
    named, rows = outcome([roi("GTV", (0, 10))], [roi("GTV", (start, start + 10))])  # 30% and 20% shared
    assert MIN_OVERLAP == 0.3
    assert bool(named) == paired
    assert set(rows.values()) == (set() if paired else {"overlap too small"})


def test_a_neighbour_that_barely_touches_does_not_spoil_a_pair():
    named, rows = outcome([roi("GTV1", (0, 10)), roi("GTV2", (10, 20))], [roi("GTV1", (0, 12)), roi("GTV2", (12, 20))])
    assert named == [("GTV1", "GTV1", None), ("GTV2", "GTV2", None)]
    assert rows == {}


def test_other_structures_have_rows():
    _, rows = outcome([roi("GTV", (0, 5)), roi("Brain", (0, 40))], [roi("GTV", (0, 5)), roi("PTV", (0, 6))])
    assert rows == {("pre", "Brain"): "not a GTV name", ("post", "PTV"): "not a GTV name"}


def test_a_pattern_decides_which_names_count():
    named, rows = outcome([roi("A", (0, 5)), roi("GTV", (9, 12))], [roi("A", (0, 5))], pattern=compile_pattern("a"))
    assert named == [("A", "A", None)]
    assert rows == {("pre", "GTV"): "not a GTV name"}


def test_an_empty_mask_has_a_row():
    _, rows = outcome([roi("GTV1", (0, 5)), roi("GTV2")], [roi("GTV1", (0, 5))])
    assert rows == {("pre", "GTV2"): "empty"}


def test_a_structure_that_holds_several_lesions_is_told_apart():
    pre = [roi("GTV1", (0, 5)), roi("GTV2", (10, 15)), roi("GTV", (0, 5), (10, 15))]
    named, rows = outcome(pre, [roi("GTV1", (0, 5)), roi("GTV2", (10, 15))])
    assert named == [("GTV1", "GTV1", None), ("GTV2", "GTV2", None)]
    assert rows == {("pre", "GTV"): "sum of lesions"}


def test_two_rois_of_one_name_both_count():
    pairs, rows = pair_lesions([roi("GTV", (0, 5)), roi("GTV", (10, 15))], [roi("GTV", (0, 5)), roi("GTV", (10, 15))])
    assert len(pairs) == 2
    assert rows == []


def test_the_follow_up_gives_the_third_volume_and_the_response():
    pre = [roi("GTV1", (0, 5), volume=1000), roi("GTV2", (10, 15), volume=1000), roi("GTV3", (20, 25), volume=1000)]
    post = [roi("GTV1", (0, 5)), roi("GTV2", (10, 15)), roi("GTV3", (20, 25))]
    later = [roi("FU GTV1", (1, 5), volume=800), roi("FU GTV2", (10, 11), volume=100)]
    pairs, rows = pair_lesions(pre, post, later)
    assert [pair.response for pair in pairs] == ["A", "B", None]
    assert rows == []


def test_a_follow_up_that_matches_no_pair_has_a_row_and_costs_no_pair():
    later = [roi("GTV1", (0, 2)), roi("GTV2", (3, 5)), roi("GTV3", (30, 32))]
    named, rows = outcome([roi("GTV", (0, 5))], [roi("GTV", (0, 5))], later)
    assert named == [("GTV", "GTV", None)]
    assert rows == {("follow-up", "GTV1"): "split", ("follow-up", "GTV2"): "split", ("follow-up", "GTV3"): "new"}


def row(pre_roi, post_roi, follow_up_roi=None, line=2):
    return NamedPair(pre_roi=pre_roi, post_roi=post_roi, follow_up_roi=follow_up_roi, line=line)


def test_a_table_overrides_names_and_places():
    pre, post = [roi("Haupt", (0, 5)), roi("GTV2", (9, 12))], [roi("Rest", (30, 35)), roi("GTV2", (9, 12))]
    named, rows = outcome(pre, post, [roi("Spaet", (20, 22))], table=[row("Haupt", "Rest", "Spaet")])
    assert named == [("Haupt", "Rest", "Spaet")]
    assert rows == {("pre", "GTV2"): "not in the pairs table", ("post", "GTV2"): "not in the pairs table"}


def test_an_empty_mask_in_the_table_has_a_row_and_so_has_its_partner():
    named, rows = outcome([roi("GTV")], [roi("GTV", (0, 4))], [roi("GTV", (0, 4))], table=[row("GTV", "GTV", "GTV")])
    assert named == []
    assert rows == {
        ("pre", "GTV"): "empty",
        ("post", "GTV"): "partner is empty",
        ("follow-up", "GTV"): "partner is empty",
    }


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (row("GTV9", "GTV"), "line 2: its pre_roi is the name of no ROI at that visit"),
        (row("GTV", "GTV9"), "line 2: its post_roi is the name of no ROI"),
        (row("GTV", "GTV", "GTV"), "line 2: its follow_up_roi is the name of no ROI"),
        (row("GTV", "Met"), "line 2: its post_roi is the name of 2 ROIs"),
    ],
)
def test_a_table_that_names_no_single_roi_is_refused(named, message):
    post = [roi("GTV", (0, 4)), roi("Met", (5, 6)), roi("Met", (7, 8))]
    with pytest.raises(DataError, match=message):
        pair_lesions([roi("GTV", (0, 4))], post, table=[named])


def test_an_roi_that_a_table_gives_away_twice_is_refused():
    pre, post = [roi("GTV1", (0, 4))], [roi("GTV1", (0, 4)), roi("GTV2", (6, 9))]
    with pytest.raises(DataError, match="line 3: its pre_roi already stands in another row"):
        pair_lesions(pre, post, table=[row("GTV1", "GTV1"), row("GTV1", "GTV2", line=3)])


def test_masks_on_two_grids_are_refused():
    with pytest.raises(DataError, match="2 different shapes; resample all"):
        pair_lesions([roi("GTV", (0, 4))], [roi("GTV", (0, 4), shape=(4, 10, 39))])


@pytest.mark.parametrize("share", [0, 1.1, float("nan")])
def test_a_least_overlap_out_of_range_is_refused(share):
    with pytest.raises(UsageError, match="the least overlap"):
        pair_lesions([], [], min_overlap=share)


SPANS = st.tuples(st.integers(0, 39), st.integers(0, 12)).map(lambda span: (span[0], min(span[0] + span[1], 40)))
ROIS = st.lists(
    st.tuples(st.sampled_from(["GTV", "GTV1", "Met 2", "PTV", "Brain", ""]), st.lists(SPANS, max_size=3)), max_size=6
)


@settings(max_examples=200, deadline=None)
@given(ROIS, ROIS, ROIS, st.floats(0.01, 1))
def test_every_roi_ends_in_one_pair_or_one_row(pre, post, later, share):
    visits = [[roi(name, *spans) for name, spans in visit] for visit in (pre, post, later)]
    pairs, excluded = pair_lesions(*visits, min_overlap=share)
    ended = [found for pair in pairs for found in (pair.pre, pair.post, pair.follow_up) if found is not None]
    ended += [line.roi for line in excluded]
    assert sorted(found.number for found in ended) == sorted(found.number for visit in visits for found in visit)
    where = {found.number: visit for visit, rois in zip(VISITS, visits, strict=True) for found in rois}
    assert all(where[line.roi.number] == line.visit and line.reason in REASONS for line in excluded)


@settings(max_examples=100, deadline=None)
@given(ROIS, ROIS)
def test_swapping_the_visits_swaps_the_pairs(pre, post):
    first, second = [[roi(name, *spans) for name, spans in visit] for visit in (pre, post)]
    there = {(pair.pre.number, pair.post.number) for pair in pair_lesions(first, second)[0]}
    back = {(pair.post.number, pair.pre.number) for pair in pair_lesions(second, first)[0]}
    assert there == back


def test_the_documentation_lists_every_reason():
    text = (Path(__file__).parents[2] / "docs" / "registration.md").read_text(encoding="utf-8")
    assert [reason for reason in REASONS if f"| {reason} | {REASONS[reason]} |" not in text] == []


def test_visits_are_ordered_by_date():
    assert choose_visits(["20230122", "20230101"]) == (1, 0, None)


def test_the_follow_up_is_the_last_of_several_later_visits():
    assert choose_visits(["20230122", "20230601", "20230101", "20230401"]) == (2, 0, 1)


def test_a_single_visit_is_refused():
    with pytest.raises(DataError, match="1 visit with contours; two are needed"):
        choose_visits(["20230101"])


def test_two_visits_on_one_day_are_refused():
    with pytest.raises(DataError, match="two MRIs with contours on one day"):
        choose_visits(["20230101", "20230101"])


def test_a_lesion_that_is_gone_is_a_good_response():
    assert response_group(500, 0) == "B"


@pytest.mark.parametrize("volumes", [(0, 10), (10, -1), (float("nan"), 1), (10, float("inf"))])
def test_volumes_that_are_none_give_no_response(volumes):
    with pytest.raises(DataError, match="give no response group"):
        response_group(*volumes)
