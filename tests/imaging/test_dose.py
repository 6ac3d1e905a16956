"""Doses come back in Gy where they lie, and what is not one dose of one plan is refused."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from tests.imaging.mock_dicom import FRAME_UID, base_dataset, decimal, make_grid, random_grid, write
from tests.imaging.mock_dose import SCALING, dose_dataset, plan_dataset
from tfdrift.errors import DataError
from tfdrift.imaging.dose import OtherFrameError, read_dose, read_plan, read_plan_dose
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.pixels import measured

GRID = make_grid()
RNG = np.random.default_rng(0)


def gy(grid=GRID):
    return RNG.uniform(0, 30, grid.size[::-1])


def save(folder, *datasets):
    return [write(dataset, folder / f"{number}.dcm") for number, dataset in enumerate(datasets)]


def beam(number, dose_gy, grid=GRID, **options):
    return dose_dataset(grid, dose_gy, summation="BEAM", parts=[(1, number)], **options)


def array(image):
    return sitk.GetArrayFromImage(image)


@pytest.mark.parametrize("seed", range(3))
def test_a_dose_is_in_gy_where_it_lies(tmp_path, seed):
    grid = random_grid(np.random.default_rng(seed), largest=9)
    dose_gy = gy(grid)
    (file,) = save(tmp_path, dose_dataset(grid, dose_gy))
    read = read_plan_dose([file])
    np.testing.assert_allclose(array(read.image), dose_gy, atol=SCALING)
    for name, expected in dataclasses.asdict(grid).items():
        np.testing.assert_allclose(getattr(Grid.of(read.image), name), expected, atol=1e-6)
    assert (read.frame_of_reference_uid, read.fractions) == (FRAME_UID, None)


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1)])
def test_offsets_that_are_z_coordinates_mean_the_same(tmp_path, direction):
    grid, dose_gy = make_grid(direction=direction), gy()
    files = save(tmp_path, *(dose_dataset(grid, dose_gy, absolute=absolute) for absolute in (True, False)))
    absolute, relative = (read_plan_dose([file]).image for file in files)
    assert absolute.IsSameImageGeometryAs(relative)
    np.testing.assert_array_equal(array(absolute), array(relative))


def test_frames_that_go_down_are_put_in_order(tmp_path):
    dose_gy = gy()
    down = dose_dataset(GRID, dose_gy[::-1])
    down.ImagePositionPatient = decimal([*GRID.origin_mm[:2], GRID.origin_mm[2] + 8])
    down.GridFrameOffsetVector = decimal([0, -2, -4, -6, -8])
    (file,) = save(tmp_path, down)
    image = read_plan_dose([file]).image
    np.testing.assert_allclose(array(image), dose_gy, atol=SCALING)
    assert image.GetOrigin() == pytest.approx(GRID.origin_mm)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"DoseUnits": "RELATIVE"}, "is not in Gy"),
        ({"DoseUnits": None}, "says no DoseUnits"),
        ({"DoseType": "ERROR"}, "no physical dose"),
        ({"DoseGridScaling": "0"}, "DoseGridScaling"),
        ({"GridFrameOffsetVector": ["0", "2", "4"]}, "5 frames and 3 offsets"),
        ({"GridFrameOffsetVector": ["0", "2", "1", "6", "8"]}, "in no order"),
        ({"GridFrameOffsetVector": ["0", "2", "4", "6", "9"]}, "uneven slice distances"),
        ({"GridFrameOffsetVector": ["4", "6", "8", "10", "12"]}, "neither with 0 nor with its z"),
        ({"PixelRepresentation": 1}, "below 0"),
        ({"BitsStored": 12}, "not stored as whole numbers"),
        ({"DoseSummationType": "BRACHY"}, "DoseSummationType is none of"),
        ({"Modality": "MR", "SOPClassUID": "1.2.3"}, "is no RTDOSE"),
    ],
)
def test_a_dose_that_is_none_is_refused(tmp_path, change, said):
    dataset = dose_dataset(GRID, np.full(GRID.size[::-1], 3e6))  # the highest bit is set
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    with pytest.raises(DataError, match=said):
        read_plan_dose(save(tmp_path, dataset))


def test_a_file_with_too_few_pixels_is_refused(tmp_path):
    dataset = dose_dataset(GRID, gy())
    dataset.PixelData = dataset.PixelData[:-4]
    (file,) = save(tmp_path, dataset)
    with pytest.raises(DataError, match="bytes of pixels"):
        read_dose(file).read()


def test_beams_that_are_all_of_their_plan_are_summed(tmp_path):
    parts = [gy(), gy()]
    *doses, plan = save(tmp_path, beam(1, parts[0]), beam(2, parts[1]), plan_dataset({1: [1, 2, 9]}, setup=[9]))
    read = read_plan_dose(doses, [plan])
    np.testing.assert_allclose(array(read.image), sum(parts), atol=2 * SCALING)
    assert read.fractions == 3


def test_fraction_groups_that_are_all_of_their_plan_are_summed(tmp_path):
    parts = [gy(), gy()]
    groups = [dose_dataset(GRID, one, summation="FRACTION", parts=[(n, None)]) for n, one in enumerate(parts, start=1)]
    *doses, plan = save(tmp_path, *groups, plan_dataset({1: [1], 2: [2]}))
    read = read_plan_dose(doses, [plan])
    np.testing.assert_allclose(array(read.image), sum(parts), atol=2 * SCALING)
    assert read.fractions is None  # it does not say whether the groups follow each other


def test_beams_on_other_grids_are_resampled_and_the_sum_is_known_where_all_are(tmp_path):
    other = make_grid(size=(7, 6, 9), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(-2.0, 4.0, 5.0))
    ramp = np.broadcast_to(np.arange(9.0)[:, None, None], other.size[::-1])
    *doses, plan = save(tmp_path, beam(1, np.ones(GRID.size[::-1])), beam(2, ramp, other), plan_dataset({1: [1, 2]}))
    image = read_plan_dose(doses, [plan]).image
    np.testing.assert_allclose(array(image)[:, 2, 3], 1 + 2.0 * np.arange(5), atol=2 * SCALING)
    assert not array(measured(image))[:, :, 0].any()
    assert array(measured(image))[:, :, 1:].all()


@pytest.mark.parametrize(
    ("beams", "groups", "said"),
    [
        ([1], {1: [1, 2]}, "1 missing"),
        ([1, 1], {1: [1]}, "1 twice"),
        ([1, 3], {1: [1]}, "1 not of it"),
        ([1, 2], None, "a plan that is not there"),
    ],
)
def test_beams_that_are_not_all_of_their_plan_once_are_refused(tmp_path, beams, groups, said):
    doses = save(tmp_path, *(beam(number, gy()) for number in beams))
    plans = [] if groups is None else [write(plan_dataset(groups), tmp_path / "plan.dcm")]
    with pytest.raises(DataError, match=said):
        read_plan_dose(doses, plans)


def test_the_dose_of_a_plan_is_used_as_it_is_beside_that_of_its_beams(tmp_path):
    whole = gy()
    doses = save(tmp_path, beam(1, gy()), dose_dataset(GRID, whole))
    np.testing.assert_allclose(array(read_plan_dose(doses).image), whole, atol=SCALING)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([dose_dataset(GRID, gy())], "each the dose of a whole plan"),
        ([beam(1, gy(), plan_uid="1.2.3")], "of several plans"),
    ],
)
def test_a_plan_beside_another_is_refused(tmp_path, others, said):
    with pytest.raises(DataError, match=said):
        read_plan_dose(save(tmp_path, dose_dataset(GRID, gy()), *others))


def test_beams_of_two_plans_are_refused(tmp_path):
    with pytest.raises(DataError, match="parts of 2 plans"):
        read_plan_dose(save(tmp_path, beam(1, gy()), beam(2, gy(), plan_uid="1.2.3")))


def test_doses_of_another_frame_are_passed_over_and_alone_refused(tmp_path):
    here, elsewhere = dose_dataset(GRID, gy()), dose_dataset(GRID, gy())
    elsewhere.FrameOfReferenceUID = generate_uid()
    files = save(tmp_path, here, elsewhere)
    assert read_plan_dose(files, frame=FRAME_UID).frame_of_reference_uid == FRAME_UID
    with pytest.raises(DataError, match="several frames of reference"):
        read_plan_dose(files)
    for frame in ("1.2.3", ""):
        with pytest.raises(OtherFrameError, match="another frame of reference"):
            read_plan_dose(files, frame=frame)


def test_a_plan_says_its_fractions_and_what_treats(tmp_path):
    file, other = save(tmp_path, plan_dataset({1: [1, 2, 3]}, setup=[3], fractions=5), plan_dataset(fractions=None))
    plan = read_plan(file)
    assert (plan.fractions, plan.beams, plan.groups) == (5, {(1, 1), (1, 2)}, {(1, None)})
    assert read_plan(other).fractions is None


def test_what_is_no_plan_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no RTPLAN"):
        read_plan(save(tmp_path, base_dataset("1.2.3", "MR", "1.2.4"))[0])


def test_nothing_of_a_patient_is_in_a_message(tmp_path):
    folder = tmp_path / "Doe"
    folder.mkdir()
    dataset = dose_dataset(GRID, gy())
    dataset.DoseUnits = "DOE"
    with pytest.raises(DataError) as refused:
        read_plan_dose(save(folder, dataset))
    assert "doe" not in str(refused.value).lower()
