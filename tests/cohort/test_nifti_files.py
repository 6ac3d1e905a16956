"""What other programs read of an exported cohort is the cohort's arrays to the bit, with their spacing."""

import csv
import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.random_samples import make_samples
from tfdrift.cohort.nifti_files import export_crops
from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError, ResourceError


@pytest.fixture
def samples() -> Samples:
    """Three slices a lesion, with numbers of many digits, one unknown, and values that are hard to keep."""
    made = make_samples(count=12, size=8, conditions=True)
    made.pre[0, 0, :3, 0] = [np.float32(1e-45), -0.0, np.nextafter(np.float32(1), np.float32(2))]
    follow_up_mm3 = np.where(np.arange(12) < 6, np.nan, 1 / 7).astype(np.float32)
    names = np.array([f"l{number // 3}" for number in range(12)])
    return dataclasses.replace(
        made,
        lesion=names,
        patient=np.array([f"p{number // 6}" for number in range(12)]),
        fold=(np.arange(12) // 6).astype(np.int32),
        pixel_mm=np.full(12, 2 / 3, np.float32),
        follow_up_mm3=follow_up_mm3,
    )


def rows_of(samples: Samples, **changes) -> list[dict[str, str]]:
    facts = {"fold": "0", "response_group": "A", "slices": "3", "follow_up_days": "90", "spacing_mm": "2.5 0.5 0.5"}
    lesions = dict(zip(samples.lesion.tolist(), samples.patient.tolist(), strict=True))
    return [{"patient": patient, "lesion": lesion, **facts, **changes} for lesion, patient in lesions.items()]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "slices.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read(folder: Path, row: dict[str, str], kind: str) -> np.ndarray:
    """The stored values, slices first as in the cohort."""
    return np.asanyarray(nibabel.load(folder / row[kind]).dataobj).T


@pytest.mark.parametrize("depth", [None, 4])
@pytest.mark.parametrize("channels", [("T1",), ("T1", "T2 FLAIR")])
def test_the_files_give_the_cohorts_arrays_back_to_the_bit(tmp_path, depth, channels):
    samples = make_samples(count=6, depth=depth, channels=channels)
    assert export_crops(tmp_path, samples, rows_of(samples)) == 6
    kinds = ["pre"] if len(channels) == 1 else ["pre_T1", "pre_T2_FLAIR"]
    shape = (depth or 1, 8, 8)
    for at, row in enumerate(table(tmp_path)):
        for channel, kind in enumerate(kinds):
            values = samples.pre[at, ..., channel].reshape(shape)
            image = read(tmp_path, row, kind)
            assert (image.dtype, image.tobytes()) == (np.float32, values.tobytes())
        assert read(tmp_path, row, "post").tobytes() == samples.post[at].tobytes()
        for kind in ("pre_mask", "post_mask"):
            mask = read(tmp_path, row, kind)
            assert mask.dtype == np.uint8
            np.testing.assert_array_equal(mask, getattr(samples, kind)[at].reshape(shape))


def test_values_that_are_hard_to_keep_come_back(tmp_path, samples):
    export_crops(tmp_path, samples, rows_of(samples))
    assert read(tmp_path, table(tmp_path)[0], "pre").tobytes() == samples.pre[0].tobytes()


def test_the_spacing_is_that_of_the_crop_and_of_the_slices(tmp_path, samples):
    export_crops(tmp_path, samples, rows_of(samples))
    for row in table(tmp_path):
        for kind in ("pre", "post", "pre_mask", "post_mask"):
            zooms = nibabel.load(tmp_path / row[kind]).header.get_zooms()
            assert [np.float32(mm) for mm in zooms] == [samples.pixel_mm[0], samples.pixel_mm[0], 2.5]


def test_slices_of_unknown_distance_are_a_millimetre_high(tmp_path, samples):
    rows = rows_of(samples)
    for row in rows:
        del row["spacing_mm"]  # a table of an older import
    export_crops(tmp_path, samples, rows)
    assert nibabel.load(tmp_path / table(tmp_path)[0]["pre"]).header.get_zooms()[2] == 1


def test_the_table_has_a_row_a_slice_with_all_that_is_known(tmp_path, samples):
    export_crops(tmp_path, samples, rows_of(samples))
    rows = table(tmp_path)
    assert [(row["lesion"], row["slice"]) for row in rows[:4]] == [("l0", "1"), ("l0", "2"), ("l0", "3"), ("l1", "1")]
    assert rows[0]["pre"] == "p0/l0_1_pre.nii.gz"
    for at, row in enumerate(rows):
        assert (row["patient"], row["response_group"], row["follow_up_days"]) == (samples.patient[at], "A", "90")
        assert row["orientation"] == samples.facts["orientation"][at]
        for name in ("pixel_mm", "scale", "pre_mm3", "post_mm3"):
            assert np.float32(row[name]) == getattr(samples, name)[at]
        numbers = {"follow_up_mm3": samples.follow_up_mm3[at], "interval_days": samples.condition("interval_days")[at]}
        numbers |= {f"dose_gy_{k + 1}": samples.condition("dose_gy")[at, k] for k in range(2)}
        for name, value in numbers.items():
            assert row[name] == "" if np.isnan(value) else np.float32(row[name]) == value
    assert "slices" not in rows[0]


def test_a_lesion_without_a_row_is_refused(tmp_path, samples):
    with pytest.raises(DataError, match=r"lesions.csv has no row of lesion l3 of patient p1; import the cohort again"):
        export_crops(tmp_path, samples, rows_of(samples)[:-1])


def test_a_pseudonym_that_leads_out_of_the_folder_is_refused(tmp_path, samples):
    foreign = dataclasses.replace(samples, lesion=np.array(["../../l"] * 12))
    with pytest.raises(DataError, match="a pseudonym of the cohort holds more than letters and digits"):
        export_crops(tmp_path, foreign, [{**row, "lesion": "../../l"} for row in rows_of(samples)])


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, samples):
    with pytest.raises(ResourceError, match="cannot write to"):
        export_crops(tmp_path / "none", samples, rows_of(samples))
