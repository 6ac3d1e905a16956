"""NIfTI images and masks as sources of patients: each rule, the axes, and the seven real pairs by both doors."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from tfdrift.cohort.samples import read_samples
from tfdrift.errors import DataError, UsageError
from tfdrift.importing.dicom_source import find_patients as find_dicom
from tfdrift.importing.lesions import taken_differently
from tfdrift.importing.nifti_source import NOT_ORIENTED, Scan, find_bids, find_table
from tfdrift.importing.patient import import_patient
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.sources import SOURCES, choose_source
from tfdrift.importing.target_names import target_rule

SHAPE = (6, 20, 20)
SETTINGS = ImportSettings()
DATA = Path(os.environ.get("TFDRIFT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def image_of(array, spacing_mm=(1.0, 1.0, 3.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing_mm)
    return image


def labels(*boxes):
    """A label map with a box of voxels for each label, from 1; a box is a slice and a first row."""
    array = np.zeros(SHAPE, np.uint8)
    for value, (k, row) in enumerate(boxes, start=1):
        array[k : k + 2, row : row + 3, 4:8] = value
    return array


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image_of(array, **options), str(path))
    return path


def write_session(root, session, mask, *, subject="sub-Doe", image_name="_T1w"):
    folder = root / subject / session / "anat"
    noise = np.random.default_rng(0).normal(500, 10, SHAPE).astype(np.float32)
    write(folder / f"{subject}_{session}{image_name}.nii.gz", noise)
    write(folder / f"{subject}_{session}_mask.nii.gz", mask)
    return folder


@pytest.fixture
def bids(tmp_path):
    """A patient with two sessions in the order of days, not of names."""
    write_session(tmp_path, "ses-b", labels((1, 2)))
    write_session(tmp_path, "ses-a", labels((1, 2), (3, 12)))
    (tmp_path / "sub-Doe" / "sub-Doe_sessions.tsv").write_text("session_id\tdays\nses-a\t40\nb\t7\n")
    return tmp_path


def visits_of(find, path, settings=SETTINGS):
    ((patient,), _) = find(path, settings)
    return patient.visits(target_rule())


def reasons(exclusions):
    return [(one.visit, one.reason) for one in exclusions]


def test_sessions_are_visits_in_the_order_of_days(bids):
    visits, exclusions = visits_of(find_bids, bids)
    assert [(one.name, one.day) for one in visits] == [("pre", 7), ("post", 40)]
    assert exclusions == []


@pytest.mark.parametrize(
    ("written", "day"), [("40.0", 40), ("4e1", 40), ("40.5", None), ("nan", None), ("inf", None), ("n/a", None)]
)
def test_days_are_whole_numbers_however_a_program_wrote_them(bids, written, day):
    (bids / "sub-Doe" / "sub-Doe_sessions.tsv").write_text(f"session_id\tdays\nses-a\t{written}\nses-b\t7\n")
    visits, _ = visits_of(find_bids, bids)
    assert [visit.day for visit in visits] == ([7, 40] if day else [7])


def test_a_day_can_be_a_date_of_acquisition(bids):
    (bids / "sub-Doe" / "sub-Doe_sessions.tsv").write_text(
        "session_id\tacq_time\nses-a\t2024-03-01T10:00:00\nses-b\t2024-02-28T23:59:00\n"
    )
    visits, _ = visits_of(find_bids, bids)
    assert visits[1].day - visits[0].day == 2  # 2024 is a leap year


def test_each_label_is_a_lesion_with_the_volume_of_its_voxels(bids):
    visits, _ = visits_of(find_bids, bids)
    session, _ = visits[1].read(visits[1].structures)
    assert session.volumes_mm3 == {1: 2 * 3 * 4 * 3.0, 2: 2 * 3 * 4 * 3.0}
    assert session.masks[2].IsSameImageGeometryAs(session.image)


def test_each_connected_part_is_a_lesion_where_asked(bids):
    both = (labels((1, 2), (3, 12)) > 0).astype(np.uint8)
    write_session(bids, "ses-a", both)
    for components, count in ((False, 1), (True, 2)):
        visits, _ = visits_of(find_bids, bids, ImportSettings(components=components))
        assert len(visits[1].structures) == count


def test_masks_below_derivatives_are_found_and_counted_through(bids):
    write(bids / "derivatives/planning/sub-Doe/ses-b/anat/sub-Doe_ses-b_label-2_mask.nii.gz", labels((3, 12)))
    visits, _ = visits_of(find_bids, bids)
    assert [one.number for one in visits[0].structures] == [1, 2]


@pytest.mark.parametrize(
    "name", ["desc-brain_mask", "label-CSF_mask", "desc-aparcaseg_dseg", "space-MNI152NLin6Asym_label-lesion_mask"]
)
def test_masks_that_are_by_name_of_no_lesion_here_are_passed_over_and_counted(bids, name):
    write(bids / f"derivatives/a_pipeline/sub-Doe/ses-b/anat/sub-Doe_ses-b_{name}.nii.gz", np.ones(SHAPE, np.uint8))
    visits, exclusions = visits_of(find_bids, bids)
    assert [len(visit.structures) for visit in visits] == [1, 2]
    assert reasons(exclusions) == [("session 2", "masks of tissue or in another space, by their names: 1")]


def test_a_segmentation_beside_probability_maps_of_tissue_is_one_of_tissue(bids):
    anat = bids / "derivatives/a_pipeline/sub-Doe/ses-b/anat"
    for name in ("dseg", "label-GM_probseg"):
        write(anat / f"sub-Doe_ses-b_{name}.nii.gz", np.ones(SHAPE, np.uint8))
    visits, _ = visits_of(find_bids, bids)
    assert [len(visit.structures) for visit in visits] == [1, 2]


@pytest.mark.parametrize("name", ["label-tumor_mask", "space-T1w_desc-manual_mask", "label-brainmet_mask", "dseg"])
def test_masks_of_other_names_are_of_lesions(bids, name):
    write(bids / f"derivatives/planning/sub-Doe/ses-b/anat/sub-Doe_ses-b_{name}.nii.gz", labels((3, 12)))
    visits, exclusions = visits_of(find_bids, bids)
    assert [len(visit.structures) for visit in visits] == [2, 2]
    assert exclusions == []


def test_an_interval_of_more_than_ten_years_is_refused_unless_asked_for(bids):
    (bids / "sub-Doe" / "sub-Doe_sessions.tsv").write_text("session_id\tdays\nses-a\t4000\nses-b\t7\n")
    ((patient,), _) = find_bids(bids, SETTINGS)
    for settings, refused in ((SETTINGS, True), (ImportSettings(max_days=4000), False)):
        result = import_patient(patient, bids / "part.npz", key=bytes(32), settings=settings)
        assert any("3993 days between the two MRIs" in one.reason for one in result.exclusions) == refused


def test_of_several_images_the_one_with_contrast_agent_counts(bids):
    write_session(bids, "ses-a", labels((1, 2)), image_name="_ce-gadolinium_T1w")
    visits, exclusions = visits_of(find_bids, bids)
    assert "_ce-" in visits[1].scan.image.name
    assert exclusions == []


def test_two_sessions_taken_differently_are_warned_of(bids):
    said = {"RepetitionTime": 2, "MagneticFieldStrength": 1.5, "ContrastBolusIngredient": "GADOLINIUM"}
    (bids / "sub-Doe/ses-b/anat/sub-Doe_ses-b_T1w.json").write_text(json.dumps(said))
    (bids / "ses-a_T1w.json").write_text('{"RepetitionTime": 0.5, "MagneticFieldStrength": 3}')
    visits, _ = visits_of(find_bids, bids)
    pre, post = (visit.read(visit.structures)[0] for visit in visits)
    (warning,) = taken_differently(pre, post)
    assert warning == (
        "the two MRIs are of another kind: MagneticFieldStrength 1.5 and 3, RepetitionTime 2000 and 500, "
        "a contrast agent is named by the first alone"
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda folder: next(folder.glob("*_T1w*")).unlink(),
            ("session 1", "0 T1w images and 1 masks; leave the right image"),
        ),
        (lambda folder: next(folder.glob("*_mask*")).unlink(), ("session 1", "1 T1w images and no mask of a lesion")),
        (
            lambda folder: next(folder.glob("*_mask*")).write_bytes(b"no image"),
            ("session 2", "a mask cannot be read as NIfTI; convert it again"),
        ),
        (
            lambda folder: write(next(folder.glob("*_mask*")), labels((1, 2)).astype(np.float32) / 2),
            ("session 2", "a mask holds values that are no labels; save whole numbers, 0 outside"),
        ),
    ],
)
def test_a_session_that_cannot_be_used_is_told_without_a_name(bids, spoil, reason):
    spoil(bids / "sub-Doe" / "ses-a" / "anat")
    visits, exclusions = visits_of(find_bids, bids)
    assert len(visits) == 1
    place = "session 1"  # by the order of names
    assert (place, reason[1]) in reasons(exclusions)
    assert "Doe" not in str(exclusions)


@pytest.mark.parametrize("images", [0, 2])
def test_no_later_session_takes_the_place_of_one_with_masks_but_no_image_of_its_own(bids, images):
    """Such as two runs, of which nothing says which one was drawn on; a session without masks is passed over."""
    write_session(bids, "ses-c", labels((1, 2)))
    (bids / "sub-Doe" / "sub-Doe_sessions.tsv").write_text("session_id\tdays\nses-b\t7\nses-a\t40\nses-c\t90\n")
    anat = bids / "sub-Doe/ses-a/anat"
    (image,) = anat.glob("*_T1w.nii.gz")
    if images:
        shutil.copy(image, anat / "sub-Doe_ses-a_run-2_T1w.nii.gz")
    else:
        image.unlink()
    visits, exclusions = visits_of(find_bids, bids)
    assert [visit.day for visit in visits] == [7]
    assert exclusions[0].broken
    assert reasons(exclusions)[0] == ("session 1", f"{images} T1w images and 1 masks; leave the right image")
    for mask in anat.glob("*_mask.nii.gz"):
        mask.unlink()
    (bids / "sub-Doe" / "ses-c" / "anat" / "sub-Doe_ses-c_mask.nii.gz").write_bytes(b"none")
    visits, exclusions = visits_of(find_bids, bids)
    assert [visit.day for visit in visits] == [7]
    assert [visit for visit, _ in reasons(exclusions)] == ["session 1", "session 3", ""]
    write_session(bids, "ses-c", labels((1, 2)))
    visits, _ = visits_of(find_bids, bids)
    assert [visit.day for visit in visits] == [7, 90]


def test_a_session_without_a_day_is_left_out(bids):
    (bids / "sub-Doe" / "sub-Doe_sessions.tsv").write_text("session_id\tdays\nses-a\tsoon\nses-b\t7\n")
    _, exclusions = visits_of(find_bids, bids)
    assert reasons(exclusions)[0] == ("session 1", "it has no day, so its place is not known")


def test_two_sessions_on_one_day_end_the_list(bids):
    (bids / "sub-Doe" / "sub-Doe_sessions.tsv").write_text("session_id\tdays\nses-a\t7\nses-b\t7\n")
    visits, exclusions = visits_of(find_bids, bids)
    assert visits == []
    assert "one of several on one day" in exclusions[0].reason


def table_of(folder, image, mask):
    (folder / "t.csv").write_text(f"patient,days,image,mask\nDoe,0,{image},{mask}\nDoe,9,{image},{mask}\n")
    return folder / "t.csv"


def test_a_mask_on_another_grid_is_refused(tmp_path):
    write(tmp_path / "i.nii.gz", np.ones(SHAPE, np.float32))
    write(tmp_path / "m.nii.gz", labels((1, 2)), spacing_mm=(1.0, 1.0, 2.0))
    visits, _ = visits_of(find_table, table_of(tmp_path, "i.nii.gz", "m.nii.gz"))
    with pytest.raises(DataError, match="the mask of lesion 1 is not on the image's grid"):
        visits[0].read(visits[0].structures)


def test_what_is_no_number_counts_as_nothing_measured(tmp_path):
    values = np.ones(SHAPE, np.float32)
    values[0, 0, :2] = np.nan, np.inf
    write(tmp_path / "i.nii.gz", values)
    write(tmp_path / "m.nii.gz", labels((1, 2)))
    visits, _ = visits_of(find_table, table_of(tmp_path, "i.nii.gz", "m.nii.gz"))
    session, _ = visits[0].read(visits[0].structures)
    assert sitk.GetArrayFromImage(session.image)[0, 0, :3].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(("code", "told"), [(1, False), (0, True)])
def test_an_image_that_does_not_say_which_side_is_left_is_warned_of(tmp_path, code, told):
    write(tmp_path / "i.nii.gz", np.ones(SHAPE, np.float32))
    write(tmp_path / "m.nii.gz", labels((1, 2)))
    header: Any = nibabel.load(tmp_path / "i.nii.gz")
    header.set_qform(header.affine, code=code)
    header.set_sform(header.affine, code=code)
    nibabel.save(header, tmp_path / "i.nii.gz")
    visits, _ = visits_of(find_table, table_of(tmp_path, "i.nii.gz", "m.nii.gz"))
    session, _ = visits[0].read(visits[0].structures)
    assert (NOT_ORIENTED in session.warnings[1]) == told


def test_a_series_over_time_is_refused(tmp_path):
    path = tmp_path / "m.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([image_of(labels((1, 2)))] * 2), str(path))
    with pytest.raises(DataError, match="one volume is needed"):
        Scan(day=0, image=path, masks=(path,)).read_masks()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,days,image\nDoe,0,i\n", "has no column mask"),
        ("patient,days,image,mask\nDoe,0,i,\n", "line 2 of the table must name"),
        ("patient,days,image,mask\nDoe,soon,i,m\n", "line 2 of the table must name"),
    ],
)
def test_a_table_that_says_too_little_is_refused_by_its_line(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message) as refused:
        find_table(tmp_path / "t.csv", SETTINGS)
    assert "Doe" not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    (tmp_path / "t.csv").write_text("patient,days,image,mask\nDoe,0,i,m\nDoe,9,i,m\n")
    _, exclusions = visits_of(find_table, tmp_path / "t.csv")
    assert reasons(exclusions)[0] == ("session 1", "a mask is not there; check its path")


def test_exports_are_known_by_their_layout(bids):
    (bids / "t.CSV").write_text("")
    assert choose_source(bids) is SOURCES["bids"]
    assert choose_source(bids / "t.CSV") is SOURCES["table"]
    assert choose_source(bids / "sub-Doe") is SOURCES["dicom"]


def table_with_flair(folder, flair):
    write(folder / "i.nii.gz", np.full(SHAPE, 500.0, np.float32))
    write(folder / "m.nii.gz", labels((1, 2)))
    write(folder / "f.nii.gz", np.full(SHAPE, 90.0, np.float32))
    write(folder / "thin.nii.gz", np.full(SHAPE, 90.0, np.float32), spacing_mm=(1.0, 1.0, 1.0))
    rows = f"Doe,0,i.nii.gz,m.nii.gz,{flair}\nDoe,9,i.nii.gz,m.nii.gz,\n"
    (folder / "t.csv").write_text(f"patient,days,image,mask,image_FLAIR\n{rows}")
    return folder / "t.csv"


def channels_of(table):
    visits, _ = visits_of(find_table, table, ImportSettings(channels="T1,FLAIR"))
    return [visit.read(visit.structures)[0].channels() for visit in visits]  # pyright: ignore[reportOptionalCall]


def test_a_column_of_a_table_is_a_channel_and_an_empty_cell_is_unknown(tmp_path):
    pre, post = channels_of(table_with_flair(tmp_path, "f.nii.gz"))
    assert sitk.GetArrayFromImage(pre.images["FLAIR"]).max() == 90
    assert (pre.missing, post.images) == ((), {})
    assert reasons(post.missing) == [
        ("post", "channel FLAIR: the table names no image_FLAIR; the channel is unknown there")
    ]


def test_a_channel_of_a_table_on_another_grid_or_by_a_pattern_is_refused(tmp_path):
    table = table_with_flair(tmp_path, "thin.nii.gz")
    with pytest.raises(DataError, match="channel FLAIR is not on the image's grid"):
        channels_of(table)
    with pytest.raises(DataError, match="no column image_T2"):
        find_table(table, ImportSettings(channels="T1,T2"))
    with pytest.raises(UsageError, match="in a table a channel is the column image_FLAIR"):
        find_table(table, ImportSettings(channels="T1,FLAIR=dark"))


def test_a_bids_folder_gives_one_channel(bids):
    with pytest.raises(UsageError, match="--channels T1,T2: a BIDS folder gives one"):
        find_bids(bids, ImportSettings(channels="T1,T2"))


def test_a_table_is_found_in_its_folder_beside_tables_of_other_columns(tmp_path):
    table_of(tmp_path, "i.nii.gz", "m.nii.gz")
    (tmp_path / "pairs.csv").write_text("patient,pre_roi,post_roi\n")
    (tmp_path / "latin.csv").write_bytes("patient,days,image,mask,größe\n".encode("latin-1"))
    assert choose_source(tmp_path) is SOURCES["table"]
    assert find_table(tmp_path, SETTINGS) == find_table(tmp_path / "t.csv", SETTINGS)


def test_of_two_tables_in_a_folder_none_is_taken(tmp_path):
    table_of(tmp_path, "i.nii.gz", "m.nii.gz").rename(tmp_path / "Doe.csv")
    table_of(tmp_path, "i.nii.gz", "m.nii.gz")
    with pytest.raises(DataError) as refused:
        choose_source(tmp_path).find_patients(tmp_path, SETTINGS, None)
    assert str(refused.value) == "the folder holds 2 tables of images and masks; name the one that is meant"


def test_a_folder_without_a_table_is_none(tmp_path):
    (tmp_path / "pairs.csv").write_text("patient,pre_roi,post_roi\n")
    assert choose_source(tmp_path) is SOURCES["dicom"]
    with pytest.raises(DataError, match="the folder holds no table with the columns patient, days, image, mask"):
        find_table(tmp_path, SETTINGS)


def test_a_head_stored_from_right_to_left_gives_the_same_crops(tmp_path):
    """NIfTI's usual order of voxels, to the right, the front and the head, and DICOM's."""
    head = np.linalg.norm((np.indices((14, 60, 60)) - 29.5 + np.array([23, 0, 0])[:, None, None, None]), axis=0) < 29
    parts = []
    for name, step in (("dicom", 1), ("nifti", -1)):
        lines = ["patient,days,image,mask"]
        for day in (0, 30):
            lesion = np.zeros((14, 60, 60), np.uint8)
            lesion[5:9, 20:30, 34 : 44 - day // 10] = 1
            noise = np.random.default_rng(day).normal(0, 5, head.shape)
            signal = (500.0 * head + 300.0 * lesion + noise).astype(np.float32)
            for kind, array in (("image", signal), ("mask", lesion)):
                image = image_of(np.ascontiguousarray(array[:, ::step, ::step]))
                image.SetDirection((step, 0, 0, 0, step, 0, 0, 0, 1))
                image.SetOrigin((0.0, 0.0, 0.0) if step == 1 else (59.0, 59.0, 0.0))
                sitk.WriteImage(image, str(tmp_path / f"{name}-{day}-{kind}.nii.gz"))
            lines.append(f"Doe,{day},{name}-{day}-image.nii.gz,{name}-{day}-mask.nii.gz")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
        ((patient,), _) = find_table(tmp_path / f"{name}.csv", SETTINGS)
        settings = ImportSettings(register="identity", image_size=16)
        result = import_patient(patient, tmp_path / f"{name}.npz", key=bytes(32), settings=settings)
        assert len(result.lesions) == 1, result.exclusions
        parts.append(read_samples(tmp_path / f"{name}.npz"))
    np.testing.assert_array_equal(parts[0].pre_mask, parts[1].pre_mask)
    np.testing.assert_allclose(parts[0].pre, parts[1].pre, atol=1e-6)
    np.testing.assert_allclose(parts[0].post, parts[1].post, atol=1e-3)


@pytest.fixture(scope="module")
def real_pair(tmp_path_factory):
    """A real patient's files as a table, and the same written as DICOM by the script beside the data."""
    folder = DATA / "longitudinal"
    if not folder.is_dir():
        pytest.skip("set TFDRIFT_TEST_DATA to the folder of the real test data")
    place = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, folder / "to_dicom.py", folder, place / "clinic", "gbm-05"], check=True)
    with (folder / "pairs.csv").open(encoding="utf-8", newline="") as file:
        (days,) = [row["days"] for row in csv.DictReader(file) if row["case"] == "gbm-05"]
    lines = ["patient,days,image,mask"]
    for day, visit in ((0, "pre"), (days, "post")):
        lines.append(f"gbm-05,{day},{folder / 'gbm-05' / visit}_image.nii.gz,{folder / 'gbm-05' / visit}_mask.nii.gz")
    (place / "pairs.csv").write_text("\n".join(lines) + "\n")
    return place


def test_a_real_pair_is_the_same_from_nifti_and_from_dicom(real_pair):
    settings = ImportSettings(register="identity", slices="all")
    rows, samples = [], []
    for find, export in ((find_table, "pairs.csv"), (find_dicom, "clinic")):
        ((patient,), _) = find(real_pair / export, settings)
        result = import_patient(patient, real_pair / "part.npz", key=bytes(32), settings=settings)
        rows.append(result.lesions)
        samples.append(read_samples(real_pair / "part.npz"))
    assert rows[0] == rows[1]
    assert samples[0].fingerprint() == samples[1].fingerprint()


def test_a_real_speckled_mask_loses_only_slices_smaller_than_a_crop_pixel(real_pair):
    settings = ImportSettings(register="identity", slices="all")
    ((patient,), _) = find_table(real_pair / "pairs.csv", settings)
    (lesion,) = import_patient(patient, real_pair / "part.npz", key=bytes(32), settings=settings).lesions
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(DATA / "longitudinal/gbm-05/pre_mask.nii.gz"))) > 0
    assert "left out, as smaller than a crop pixel: 1 of the GTV's slices" in lesion.warnings
    assert lesion.slices + 1 == mask.any(axis=(1, 2)).sum()
