import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from tests.imaging.mock_dicom import FRAME_UID, SERIES_UID, contours_of, make_grid, slice_dataset
from tfdrift.errors import DataError
from tfdrift.imaging.matching import fits, match_series, weigh_candidates
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


def test_a_broken_reference_is_mended_by_a_series_on_whose_slices_the_contours_lie():
    structures = drawn_on(GRID, series_uids=frozenset({"1.7"}))
    assert match_series(structures, [series_on(FINER, series_uid="1.9"), series_on(GRID)]).series_uid == SERIES_UID


def test_a_broken_reference_is_not_mended_by_a_series_the_contours_are_merely_inside():
    structures = drawn_on(GRID, series_uids=frozenset({"1.7"}))
    assert weigh_candidates(structures, [series_on(FINER)]) == [
        "it refers to a series that is not there, and its contours are not on these slices"
    ]


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
