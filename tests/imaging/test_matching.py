import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from tests.imaging.mock_dicom import FRAME_UID, SERIES_UID, contours_of, make_grid, slice_dataset
from tfdrift.errors import DataError
from tfdrift.imaging.matching import doubt, fits, match_series, parts_of, rois_on, weigh_candidates
from tfdrift.imaging.series import Series, assemble_series, read_slices
from tfdrift.imaging.slices import slices_of
from tfdrift.imaging.structures import Roi, StructureSet, read_structures


def series_on(grid, **changes) -> Series:
    pixels = np.zeros(grid.size[1::-1], np.int16)
    slices = [slice_dataset(grid, k, pixels) for k in range(grid.size[2])]
    series = assemble_series([one for k, dataset in enumerate(slices) for one in slices_of(dataset, f"file {k}", k)])
    return dataclasses.replace(series, **changes)


def drawn_on(grid, **changes) -> StructureSet:
    mask = np.zeros(grid.size[::-1], bool)
    mask[1:3, 2:4, 2:5] = True
    roi = Roi(number=1, name="GTV", contours_mm=tuple(contours_of(mask, grid)))
    structures = StructureSet(
        rois=(roi,),
        series_uids=frozenset({SERIES_UID}),
        frame_of_reference_uids=frozenset({FRAME_UID}),
        study_uid="1.2",
    )
    return dataclasses.replace(structures, **changes)


GRID = make_grid()
FINER = make_grid(size=(7, 6, 14), spacing_mm=(1, 1, 0.7))
NONE: frozenset[str] = frozenset()


def test_a_structure_set_fits_the_series_it_was_drawn_on():
    assert fits(drawn_on(GRID), series_on(GRID)) is None


def test_another_frame_of_reference_does_not_fit():
    reason = fits(drawn_on(GRID, frame_of_reference_uids=frozenset({"1.9"})), series_on(GRID))
    assert reason == "it was drawn in another frame of reference"


def test_an_unnamed_frame_of_reference_is_no_reason():
    assert fits(drawn_on(GRID), series_on(GRID, frame_of_reference_uid="")) is None


def test_a_set_of_two_frames_fits_by_the_structure_of_the_series_own():
    """The CT's contours are outside the MR and between its slices, and the frames of both are listed."""
    (own,) = drawn_on(GRID).rois
    of_ct = dataclasses.replace(own, number=2, frame_uid="1.9", contours_mm=(own.contours_mm[0] + 0.7,))
    both = drawn_on(
        GRID,
        rois=(of_ct, dataclasses.replace(own, frame_uid=FRAME_UID)),
        frame_of_reference_uids=frozenset({FRAME_UID, "1.9"}),
        series_uids=NONE,
    )
    assert match_series(both, [series_on(FINER, series_uid="1.9"), series_on(GRID)]).series_uid == SERIES_UID


def test_a_set_whose_structures_are_all_of_another_frame_does_not_fit():
    (roi,) = drawn_on(GRID).rois
    frames = frozenset({FRAME_UID, "1.9"})
    foreign = drawn_on(GRID, rois=(dataclasses.replace(roi, frame_uid="1.9"),), frame_of_reference_uids=frames)
    assert fits(foreign, series_on(GRID)) == "structure 1 was drawn in another frame of reference"


def test_a_reference_to_another_series_does_not_fit():
    assert fits(drawn_on(GRID), series_on(GRID, series_uid="1.9")) == "it refers to another series"


def test_a_structure_outside_the_series_does_not_fit():
    reason = fits(drawn_on(make_grid(origin_mm=(500, 0, 0))), series_on(GRID))
    assert reason == "structure 1 reaches outside the volume (contour 1); give the series it was drawn on"


def test_the_referenced_series_is_taken_among_twins():
    twin = series_on(GRID, series_uid="1.9")
    assert match_series(drawn_on(GRID), [twin, series_on(GRID)]).series_uid == SERIES_UID


def test_without_a_reference_the_slices_the_contours_lie_on_decide():
    candidates = [series_on(FINER, series_uid="1.9"), series_on(GRID)]
    assert match_series(drawn_on(GRID, series_uids=NONE), candidates).series_uid == SERIES_UID


ABSENT = drawn_on(GRID, series_uids=frozenset({"1.7"}))


def test_a_reference_to_a_series_that_is_not_there_ends_there():
    reasons = weigh_candidates(ABSENT, [series_on(GRID), series_on(FINER, series_uid="1.9")])
    assert reasons == ["it refers to a series that is not there"] * 2


def test_a_reference_to_a_series_that_is_no_volume_ends_there():
    assert weigh_candidates(ABSENT, [series_on(GRID)], unusable={"1.7": {"1.7.1"}}) == ["it refers to another series"]


def test_by_place_the_series_is_taken_on_whose_slices_the_contours_lie():
    candidates = [series_on(FINER, series_uid="1.9"), series_on(GRID)]
    assert match_series(ABSENT, candidates, by_place=True).series_uid == SERIES_UID


def test_by_place_a_series_the_contours_are_merely_inside_does_not_fit():
    assert weigh_candidates(ABSENT, [series_on(FINER)], by_place=True) == ["its contours are not on these slices"]


def test_by_place_does_not_pass_over_a_series_that_is_no_volume():
    reasons = weigh_candidates(ABSENT, [series_on(GRID)], unusable={"1.7": set()}, by_place=True)
    assert reasons == ["it refers to another series"]


def test_by_place_one_series_that_is_given_fits_where_the_contours_lie_on_its_slices():
    assert [fits(ABSENT, series_on(grid), by_place=True) for grid in (GRID, FINER)] == [
        None,
        "its contours are not on these slices",
    ]


@pytest.mark.parametrize(
    ("series_uids", "image_uids", "said"),
    [
        ({SERIES_UID}, NONE, ""),
        ({"1.7"}, NONE, "refers to a series that is not there; matched by place alone"),
        (NONE, NONE, "refers to no series; matched by place alone"),
        (NONE, {"own"}, "refers to no series; matched by the images its contours name"),
    ],
)
def test_what_a_match_rests_on_is_told(series_uids, image_uids, said):
    series = with_images(series_on(GRID), "own")
    structures = naming(drawn_on(GRID, series_uids=frozenset(series_uids)), image_uids)
    assert doubt(structures, series) == said


def with_images(series: Series, prefix: str) -> Series:
    """Give a series' first image this UID, and others to the rest."""
    uids = [prefix if k == 0 else f"{prefix}.{k}" for k in range(len(series.slices))]
    slices = [dataclasses.replace(one, sop_instance_uid=uid) for one, uid in zip(series.slices, uids, strict=True)]
    return dataclasses.replace(series, slices=tuple(slices))


def naming(structures: StructureSet, image_uids) -> StructureSet:
    """Have the contours of all structures name these images."""
    rois = [dataclasses.replace(roi, image_uids=frozenset(image_uids)) for roi in structures.rois]
    return dataclasses.replace(structures, rois=tuple(rois))


TWINS = [with_images(series_on(GRID, series_uid=f"1.{prefix}"), prefix) for prefix in ("8", "9")]


@pytest.mark.parametrize("series_uids", [NONE, frozenset({"1.8", "1.9"})])
@pytest.mark.parametrize("prefix", ["8", "9"])
def test_a_tie_is_settled_by_the_images_that_the_contours_name(series_uids, prefix):
    structures = naming(drawn_on(GRID, series_uids=series_uids), {f"{prefix}.2", "1.2.3"})
    assert match_series(structures, TWINS).series_uid == f"1.{prefix}"


@pytest.mark.parametrize("image_uids", [NONE, {"1.2.3"}, {"8.1", "9.1"}])
def test_a_tie_that_the_images_do_not_settle_is_refused(image_uids):
    structures = naming(drawn_on(GRID, series_uids=frozenset({"1.8", "1.9"})), image_uids)
    with pytest.raises(DataError, match="fits 2 series"):
        match_series(structures, TWINS)


@pytest.mark.parametrize("unusable", [{}, {"1.7": {"7.1"}}])
def test_of_two_references_the_one_that_can_be_used_is_taken_only_where_the_contours_name_its_images(unusable):
    structures = drawn_on(GRID, series_uids=frozenset({"1.7", "1.8"}))
    assert weigh_candidates(naming(structures, {"8.1"}), TWINS[:1], unusable=unusable) == [None]
    for image_uids in (NONE, {"7.1"}):
        assert weigh_candidates(naming(structures, image_uids), TWINS[:1], unusable=unusable) == [
            "it refers to another series as well, which is not there or cannot be used"
        ]


def test_contours_that_name_images_of_a_series_that_is_no_volume_go_to_no_other():
    structures = naming(drawn_on(GRID, series_uids=NONE), {"7.1"})
    reasons = weigh_candidates(structures, [series_on(GRID)], unusable={"1.7": {"7.1"}})
    assert reasons == ["it refers to another series as well, which is not there or cannot be used"]


def two_structures(*changes) -> StructureSet:
    """Return a structure set of two structures that differ in these fields, and refers to both twins."""
    (roi,) = drawn_on(GRID).rois
    rois = [dataclasses.replace(roi, number=number, **change) for number, change in enumerate(changes, start=1)]
    frames = frozenset({FRAME_UID, "1.6"})
    return drawn_on(GRID, rois=tuple(rois), series_uids=frozenset({"1.8", "1.9"}), frame_of_reference_uids=frames)


IMAGES = {"1.8": {"8", "8.1"}, "1.9": {"9", "9.1"}}


def parts(structures: StructureSet) -> list[tuple[list[int], set[str]]]:
    return [([roi.number for roi in part.rois], set(part.series_uids)) for part in parts_of(structures, IMAGES)]


def test_structures_of_two_frames_are_two_parts_each_with_the_references_of_its_frame():
    structures = dataclasses.replace(
        two_structures({"frame_uid": FRAME_UID}, {"frame_uid": "1.6"}),
        series_of_frame={FRAME_UID: frozenset({"1.8"}), "1.6": frozenset({"1.9"})},
    )
    assert parts(structures) == [([1], {"1.8"}), ([2], {"1.9"})]


def test_structures_that_name_images_of_two_series_are_two_parts():
    structures = two_structures({"image_uids": frozenset({"9.1"})}, {"image_uids": frozenset({"8.1"})})
    assert parts(structures) == [([1], {"1.8", "1.9"}), ([2], {"1.8", "1.9"})]


@pytest.mark.parametrize("image_uids", [NONE, frozenset({"1.2.3"})])
def test_a_structure_that_names_no_known_image_is_no_part_beside_one_that_does(image_uids):
    structures = two_structures({"image_uids": frozenset({"9.1"})}, {"image_uids": image_uids})
    assert parts_of(structures, IMAGES) == [structures]


def test_a_series_sees_the_structures_that_were_drawn_on_its_twin_without_contours():
    own, other = two_structures({"image_uids": frozenset({"8.1"})}, {"image_uids": frozenset({"9.1"})}).rois
    structures = two_structures({"image_uids": own.image_uids}, {"image_uids": other.image_uids})
    seen = rois_on(structures, TWINS[0])
    assert [(len(roi.contours_mm), roi.fault) for roi in seen] == [(2, ""), (0, "was drawn on another series")]


def test_images_that_no_structure_names_rightly_do_not_count():
    structures = two_structures({"image_uids": frozenset({"1.2"})}, {"image_uids": frozenset({"1.3"})})
    assert [roi.fault for roi in rois_on(structures, TWINS[0])] == ["", ""]


def test_ambiguity_is_refused_with_the_candidates():
    candidates = [series_on(GRID, series_uid="1.8"), series_on(GRID, series_uid="1.9", modality="CT")]
    with pytest.raises(DataError, match=r"fits 2 series \(MR, 7 x 6 x 5 voxels of 1 x 1 x 2 mm, axial; CT, 7 x"):
        match_series(drawn_on(GRID, series_uids=NONE), candidates)


def test_no_fitting_series_is_refused_with_each_reason():
    with pytest.raises(DataError, match=r"fits no series \(MR, .* axial: it was drawn in another frame"):
        match_series(drawn_on(GRID, frame_of_reference_uids=frozenset({"1.9"})), [series_on(GRID)])


def test_no_series_at_all_is_refused():
    with pytest.raises(DataError, match=r"fits no series \(there is none\)"):
        match_series(drawn_on(GRID), [])


def test_three_real_structure_sets_of_one_frame_find_their_own_modality():
    data = Path(os.environ.get("TFDRIFT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (data / "ibsi_sts").is_dir():
        pytest.skip("no real data: set TFDRIFT_TEST_DATA")
    folders = {
        modality: data / "ibsi_sts/STS_008" / name for modality, name in [("MR", "MR_T1"), ("CT", "CT"), ("PT", "PET")]
    }
    series = [assemble_series(read_slices(sorted((folder / "image").iterdir()))) for folder in folders.values()]
    for modality, folder in folders.items():
        assert match_series(read_structures(next((folder / "mask").iterdir())), series).modality == modality
