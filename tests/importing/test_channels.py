"""Further series and the dose of a visit, found by name and put where the first channel is."""

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from tests.imaging.mock_dicom import SERIES_UID, make_grid, to_mm, write, write_series
from tests.imaging.mock_dose import dose_dataset, plan_dataset
from tfdrift.errors import DataError
from tfdrift.imaging.pixels import measured
from tfdrift.importing.catalogue import scan
from tfdrift.importing.channel_names import read_channels
from tfdrift.importing.channels import find_channels

GRID = make_grid(size=(12, 12, 6))
FINER = make_grid(size=(8, 8, 9), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(-1.0, 6.0, 6.0))


def ramp(grid):
    """A signal that rises by 10 a mm along x and z."""
    columns, rows, slices = grid.size
    k, j, i = np.meshgrid(range(slices), range(rows), range(columns), indexing="ij")
    points = to_mm(grid, np.stack([i, j, k], axis=-1))
    return np.round(500 + 10 * points[..., 0] + 10 * points[..., 2]).astype(np.uint16)


def write_more(folder, description, grid=FINER, **changes):
    """Write a series of its own into the study, called so."""
    uid = generate_uid()

    def change(dataset, _k):
        dataset.SeriesInstanceUID, dataset.SeriesDescription = uid, description
        dataset.SOPInstanceUID = generate_uid()
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)

    return write_series(folder / uid, grid, ramp(grid), change)


@pytest.fixture
def export(tmp_path):
    write_series(tmp_path / "first", GRID, ramp(GRID))
    return tmp_path


def find(folder, channels, visit="pre"):
    (patient,) = scan(folder).patients
    (on,) = [one.series for study in patient.studies for one in study.series if one.uid == SERIES_UID]
    image = sitk.GetImageFromArray(ramp(GRID).astype(np.float32))
    on.grid.place(image)
    return find_channels(patient, on, image, read_channels(channels)[1], visit=visit), image


def test_a_series_on_another_grid_is_put_where_the_first_channel_is(export):
    write_more(export, "Ax FLAIR")
    more, image = find(export, "T1,FLAIR")
    flair = more.images["FLAIR"]
    seen = sitk.GetArrayFromImage(measured(flair)) > 0
    assert flair.IsSameImageGeometryAs(image)
    assert seen.sum() == 8 * 8 * 4  # 8 x 8 mm of 1 mm, and planes at 7, 9, 11 and 13 mm
    np.testing.assert_allclose(sitk.GetArrayFromImage(flair)[seen], ramp(GRID)[seen], atol=1.0)
    assert (more.missing, more.fractions) == ((), None)


def test_a_series_on_the_same_grid_stays_what_it_is_to_the_bit(export):
    write_more(export, "", GRID, SequenceName="*t2_tse")
    more, _ = find(export, "T1,T2")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(more.images["T2"]), ramp(GRID))


@pytest.mark.parametrize(
    ("changes", "said", "broken"),
    [
        ({"SeriesDescription": "T2"}, "no other MR series of study 1 is called so", False),
        ({"FrameOfReferenceUID": "1.2.3"}, "series 2 of study 1 lies in another frame of reference", False),
        ({"ImagePositionPatient": ["0", "0", "0"]}, "series 2 of study 1 cannot be used", True),
    ],
)
def test_a_channel_that_is_not_there_is_missing_with_the_reason(export, changes, said, broken):
    write_more(export, "Doe FLAIR", **changes, SeriesNumber=4)
    more, _ = find(export, "T1,FLAIR")
    (row,) = more.missing
    assert more.images == {}
    assert row.reason.startswith(f"channel FLAIR: {said}")
    assert row.reason.endswith("the channel is unknown there")
    assert (row.visit, row.structure, row.broken) == ("pre", None, broken)
    assert "Doe" not in row.reason


def test_two_series_of_a_name_are_refused_by_their_places(export):
    write_more(export, "Doe FLAIR", SeriesNumber=4)
    write_more(export, "Doe FLAIR 2", SeriesNumber=5)
    with pytest.raises(DataError, match=r"series 2 of study 1, series 3 of study 1.*--channels FLAIR=REGEX") as refused:
        find(export, "T1,FLAIR")
    assert "Doe" not in str(refused.value)
    more, _ = find(export, "T1,FLAIR=flair 2$")
    assert set(more.images) == {"FLAIR"}


def test_the_dose_is_put_where_the_first_channel_is_with_its_fractions(export):
    write(dose_dataset(FINER, np.full(FINER.size[::-1], 24.0)), export / "dose.dcm")
    write(plan_dataset(fractions=3), export / "plan.dcm")
    more, image = find(export, "T1,dose")
    dose = more.images["dose"]
    seen = sitk.GetArrayFromImage(measured(dose)) > 0
    assert dose.IsSameImageGeometryAs(image)
    assert seen.sum() == 8 * 8 * 4
    np.testing.assert_allclose(sitk.GetArrayFromImage(dose)[seen], 24.0, atol=2e-3)
    assert more.fractions == 3


def test_a_dose_that_is_not_there_is_missing_and_two_are_refused(export):
    assert "the patient has no RTDOSE" in find(export, "T1,dose")[0].missing[0].reason
    dose = dose_dataset(FINER, np.full(FINER.size[::-1], 24.0))
    dose.FrameOfReferenceUID = "1.2.3"
    write(dose, export / "elsewhere.dcm")
    assert "another frame of reference" in find(export, "T1,dose")[0].missing[0].reason
    for name in ("a", "b"):
        write(dose_dataset(FINER, np.full(FINER.size[::-1], 24.0)), export / f"{name}.dcm")
    assert "begins with the first visit" in find(export, "T1,dose", visit="post")[0].missing[0].reason
    with pytest.raises(DataError, match="each the dose of a whole plan"):
        find(export, "T1,dose")
