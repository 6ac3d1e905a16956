import shutil

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.imaging.mock_dicom import write
from tests.imaging.mock_dose import dose_dataset, plan_dataset
from tfdrift.clinic.patient_files import EarlierVisit, find_pasts, read_dicom_files
from tfdrift.cohort.earlier import EARLIER_COLUMNS
from tfdrift.cohort.samples import read_samples
from tfdrift.errors import ResourceError
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.series import read_series
from tfdrift.importing.dicom_source import find_patients
from tfdrift.importing.patient import import_patient
from tfdrift.importing.pseudonyms import pseudonym
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN

KEY = bytes(32)
VISITS = ("pre", "post", "follow_up")


@pytest.fixture(scope="module")
def patient_dir(heads, tmp_path_factory):
    """A patient with External, Brain, Met 1 to Met 4 and a PTV for each; Met 4 is lost at post, Met 1 after it."""
    folder = tmp_path_factory.mktemp("clinic") / "patient"
    shutil.copytree(sorted(path for path in heads.iterdir() if path.is_dir())[0], folder)
    _, post, follow_up = sorted(folder.iterdir())
    rewrite(post / "RTSTRUCT", lambda dataset: rename(dataset, {"Met 4": "Scar 4"}))
    rewrite(follow_up / "RTSTRUCT", lambda dataset: rename(dataset, {"Met 4": "Scar 4", "Met 1": "Scar 1"}))
    return folder


@pytest.fixture
def copy(patient_dir, tmp_path):
    """The folder of each visit of a copy that a test may change."""
    shutil.copytree(patient_dir, tmp_path / "patient")
    return dict(zip(VISITS, sorted((tmp_path / "patient").iterdir()), strict=True))


def run(folder, part, *, given=None, wrong=frozenset(), **options):
    settings = ImportSettings(**{"register": "identity", "image_size": 8, **options})
    ((patient,), _) = find_patients(folder, settings)
    return import_patient(patient, part, key=KEY, settings=settings, given=given, wrong=wrong)


def rewrite(folder, change):
    (file,) = folder.iterdir()
    dataset = pydicom.dcmread(file)
    change(dataset)
    dataset.save_as(file)


def rename(dataset, names):
    for roi in dataset.StructureSetROISequence:
        roi.ROIName = names.get(roi.ROIName, roi.ROIName)


def reasons(result, *, leave_out=("not a target name", "not in the pairs table")):
    rows = [(one.visit, one.structure, one.reason) for one in result.exclusions if one.reason not in leave_out]
    return sorted(rows, key=str)


LOST_AT_POST = [("pre", 6, "vanished")]


@pytest.fixture(scope="module")
def whole(patient_dir, tmp_path_factory):
    part = tmp_path_factory.mktemp("part") / "part.npz"
    return run(patient_dir, part), read_samples(part)


def test_every_structure_is_in_a_pair_or_has_a_reason(whole):
    result, _ = whole
    assert len(result.lesions) == 3
    assert reasons(result) == LOST_AT_POST
    not_targets = [(one.visit, one.structure) for one in result.exclusions if one.reason == "not a target name"]
    assert {number for visit, number in not_targets if visit == "pre"} == {1, 2, 7, 8, 9, 10}


def test_the_part_holds_the_slices_of_the_rows_under_pseudonyms(whole):
    result, samples = whole
    (patient_id,) = {patient for patient in samples.patient}
    assert len(patient_id) == 17
    counts = {row.lesion: row.slices for row in result.lesions}
    assert {name: int((samples.lesion == name).sum()) for name in counts} == counts
    np.testing.assert_array_equal(samples.fold, 0)


def test_a_lesion_without_follow_up_volume_has_nan(whole):
    result, samples = whole
    (lost,) = [row.lesion for row in result.lesions if row.follow_up_mm3 is None]
    assert np.isnan(samples.follow_up_mm3[samples.lesion == lost]).all()


def test_only_allowed_facts_about_the_sequence_are_kept(whole):
    result, _ = whole
    assert len(result.acquisitions) == 2
    assert set(result.acquisitions[0]) <= {
        "MagneticFieldStrength", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength",
        "SliceThickness", "ScanningSequence", "SequenceVariant", "MRAcquisitionType",
    }  # fmt: skip


def test_lesions_are_named_by_patient_and_number(patient_dir, whole):
    result, _ = whole
    ((patient,), _) = find_patients(patient_dir, ImportSettings())
    names = [pseudonym(KEY, "lesion", patient.patient_id, str(number)) for number in (3, 4, 5)]
    assert [row.lesion for row in result.lesions] == names


def test_pairs_that_are_given_override_pattern_and_place(patient_dir, whole, tmp_path):
    """Met 2 becomes Met 3, which lies elsewhere, and PTVs are no targets by name."""
    automatic, _ = whole
    result = run(patient_dir, tmp_path / "part.npz", given=[("Met 2", "Met 3", "Met 2"), ("PTV 2", "PTV 2", None)])
    crossed, planned = result.lesions
    assert (crossed.pre_mm3, crossed.post_mm3) == (automatic.lesions[1].pre_mm3, automatic.lesions[2].post_mm3)
    assert planned.pre_mm3 > crossed.pre_mm3
    assert (planned.follow_up_mm3, planned.response_group) == (None, "")
    assert {one.reason for one in result.exclusions} == {"not in the pairs table"}


def test_a_pair_that_names_no_structure_is_broken_and_names_nobody(patient_dir, tmp_path):
    result = run(patient_dir, tmp_path / "part.npz", given=[("Met 2", "Doe", None)])
    reason = "pair 1 of this patient in the pairs table names 0 structures of visit 2; it must name exactly one"
    assert reasons(result) == [("", None, reason)]
    assert [one.broken for one in result.exclusions if one.reason == reason] == [True]


def test_a_pair_that_names_two_structures_is_broken(copy, tmp_path):
    rewrite(copy["pre"] / "RTSTRUCT", lambda dataset: rename(dataset, {"Met 1": "Met 2"}))
    result = run(tmp_path / "patient", tmp_path / "part.npz", given=[("Met 2", "Met 2", None)])
    reason = "pair 1 of this patient in the pairs table names 2 structures of visit 1; it must name exactly one"
    assert reasons(result) == [("", None, reason)]


def test_structures_of_one_name_are_told_apart_by_number(copy, whole, tmp_path):
    automatic, _ = whole
    for visit in copy.values():
        rewrite(visit / "RTSTRUCT", lambda dataset: rename(dataset, {f"Met {n}": "Met" for n in (1, 2, 3, 4)}))
    result = run(tmp_path / "patient", tmp_path / "part.npz")
    assert result.lesions == automatic.lesions
    assert reasons(result) == LOST_AT_POST


def test_a_visit_without_a_lesions_name_is_told(copy, tmp_path):
    rewrite(copy["post"] / "RTSTRUCT", lambda dataset: rename(dataset, {f"Met {n}": f"Doe {n}" for n in (1, 2, 3, 4)}))
    result = run(tmp_path / "patient", tmp_path / "part.npz")
    assert result.lesions == ()
    assert ("post", None, "no structure has the name of a lesion") in reasons(result)
    assert {reason for visit, _, reason in reasons(result) if visit == "pre"} == {"vanished"}
    assert not (tmp_path / "part.npz").exists()


def cut_pixels(visit):
    file = sorted((visit / "MR_T1").iterdir())[3]
    file.write_bytes(file.read_bytes()[:-100])


def test_a_second_visit_that_cannot_be_read_is_broken(copy, tmp_path):
    cut_pixels(copy["post"])
    result = run(tmp_path / "patient", tmp_path / "part.npz")
    ((visit, structure, reason),) = reasons(result)
    assert result.lesions == ()
    assert (visit, structure) == ("post", None)
    assert reason == "file 4 of 26 is cut off in element (7FE0,0010); export it again"


def test_a_pair_can_do_without_a_follow_up_that_cannot_be_read(copy, whole, tmp_path):
    automatic, _ = whole
    cut_pixels(copy["follow_up"])
    result = run(tmp_path / "patient", tmp_path / "part.npz")
    assert [row.post_mm3 for row in result.lesions] == [row.post_mm3 for row in automatic.lesions]
    assert {row.response_group for row in result.lesions} == {""}
    assert [visit for visit, _, _ in reasons(result)] == ["follow_up", "pre"]


def test_a_given_pair_can_do_without_a_follow_up_that_cannot_be_read(copy, tmp_path):
    cut_pixels(copy["follow_up"])
    (row,) = run(tmp_path / "patient", tmp_path / "part.npz", given=[("Met 1", "Met 1", "Met 1")]).lesions
    assert row.response_group == ""


def test_two_visits_make_a_pair_without_a_response(copy, tmp_path):
    shutil.rmtree(copy["follow_up"])
    result = run(tmp_path / "patient", tmp_path / "part.npz")
    assert [row.follow_up_days for row in result.lesions] == [None] * 3


def test_one_visit_is_told(copy, tmp_path):
    shutil.rmtree(copy["follow_up"])
    shutil.rmtree(copy["post"])
    reason = "too few visits (1): two are needed, each an MR series and a structure set drawn on it"
    assert reasons(run(tmp_path / "patient", tmp_path / "part.npz")) == [("", None, reason)]


def test_two_mris_without_common_tissue_are_broken(copy, tmp_path):
    """The second MRI keeps the three lowest slices of the head."""
    files = sorted((copy["post"] / "MR_T1").iterdir(), key=lambda file: pydicom.dcmread(file).InstanceNumber)
    rewrite(copy["post"] / "RTSTRUCT", only_lowest)
    for file in files[3:]:
        file.unlink()
    result = run(tmp_path / "patient", tmp_path / "part.npz")
    assert result.lesions == ()
    assert [one.broken for one in result.exclusions if "MRI" in one.reason] == [True]


def only_lowest(dataset):
    for drawn in dataset.ROIContourSequence:
        lowest = min(
            float(contour.ContourData[2]) for one in dataset.ROIContourSequence for contour in one.ContourSequence
        )
        drawn.ContourSequence = [one for one in drawn.ContourSequence if float(one.ContourData[2]) < lowest + 1]


def test_a_part_that_cannot_be_written_ends_the_import(patient_dir, tmp_path):
    with pytest.raises(ResourceError, match="cannot write to the slices of a patient: No such file or directory"):
        run(patient_dir, tmp_path / "absent" / "part.npz")


def what_is_drawn(row):
    """Its name and volumes; the gain also depends on where the other lesions are."""
    return row.lesion, row.pre_mm3, row.post_mm3, row.follow_up_mm3


def test_pairs_can_be_given_by_number_where_names_repeat(copy, whole, tmp_path):
    automatic, _ = whole
    for visit in copy.values():
        rewrite(visit / "RTSTRUCT", lambda dataset: rename(dataset, {f"Met {n}": "Met" for n in (1, 2, 3, 4)}))
    result = run(tmp_path / "patient", tmp_path / "part.npz", given=[("#4", "# 4", "#4")])
    assert [what_is_drawn(row) for row in result.lesions] == [what_is_drawn(automatic.lesions[1])]


def test_a_structure_can_be_asked_for_by_number(patient_dir, whole, tmp_path):
    automatic, _ = whole
    (row,) = run(patient_dir, tmp_path / "part.npz", roi="#4").lesions
    assert what_is_drawn(row) == what_is_drawn(automatic.lesions[1])


@pytest.mark.parametrize("days", [{"min_days": 60}, {"max_days": 7}], ids=str)
def test_an_interval_that_nobody_asked_for_is_broken(patient_dir, tmp_path, days):
    result = run(patient_dir, tmp_path / "part.npz", **days)
    ((_, _, reason),) = reasons(result)
    assert result.lesions == ()
    assert "days between the two MRIs, outside" in reason
    assert [one.broken for one in result.exclusions] == [True]


def test_the_orientation_and_the_interval_go_with_each_slice(whole):
    result, samples = whole
    assert samples.orientations() == [result.lesions[0].orientation] == ["axial"]
    assert set(samples.condition("interval_days")) == {float(result.lesions[0].interval_days)}


@pytest.fixture(scope="module")
def every_two(patient_dir, tmp_path_factory):
    part = tmp_path_factory.mktemp("part") / "part.npz"
    return run(patient_dir, part, visits="every"), read_samples(part)


def test_every_two_visits_are_pairs_with_their_own_interval_and_volumes(whole, every_two):
    """Met 1 to Met 3 are there at first and at post, Met 2 and Met 3 at the follow-up."""
    (usual, _), (result, samples) = whole, every_two
    first, to_last, later = result.lesions[:3], result.lesions[3:5], result.lesions[5:]
    assert first == usual.lesions
    assert [row.follow_up_mm3 for row in (*to_last, *later)] == [None] * 4
    days, last = first[0].interval_days, first[1].follow_up_days
    assert last is not None
    assert [row.interval_days for row in (*to_last, *later)] == [last] * 2 + [last - days] * 2
    for one, whole_way, rest in zip(first[1:], to_last, later, strict=True):
        assert whole_way.pre_mm3 == one.pre_mm3
        assert rest.pre_mm3 == one.post_mm3
        assert rest.post_mm3 == whole_way.post_mm3 == one.follow_up_mm3
    assert len({row.lesion for row in result.lesions}) == 7
    assert set(samples.condition("interval_days").tolist()) == {days, last, last - days}
    assert len(set(samples.patient.tolist())) == 1


def test_a_pair_of_later_visits_knows_how_its_lesion_changed_before(every_two):
    result, samples = every_two
    first, to_last, later = result.lesions[:3], result.lesions[3:5], result.lesions[5:]
    assert {(row.earlier_days, row.earlier_ratio) for row in (*first, *to_last)} == {(None, None)}
    for before, row in zip(first[1:], later, strict=True):
        assert row.earlier_days == before.interval_days
        assert row.earlier_ratio == pytest.approx(before.post_mm3 / before.pre_mm3)
    for row in result.lesions:
        for name in EARLIER_COLUMNS:
            (value,), expected = np.unique(samples.condition(name)[samples.lesion == row.lesion]), getattr(row, name)
            assert np.isnan(value) if expected is None else value == pytest.approx(expected)


def test_the_first_two_visits_alone_know_of_no_earlier_one(whole):
    assert not set(EARLIER_COLUMNS) & set(whole[1].conditions)


def test_a_wrong_pair_says_nothing_of_an_earlier_change(every_two, patient_dir, tmp_path):
    usual, _ = every_two
    wrong = usual.lesions[1].lesion
    result = run(patient_dir, tmp_path / "part.npz", visits="every", wrong=frozenset({wrong}))
    later = [row for row in result.lesions if row.lesion in {one.lesion for one in usual.lesions[5:]}]
    assert [row.earlier_ratio for row in later] == [None, usual.lesions[6].earlier_ratio]


def test_what_is_left_out_of_every_two_visits_names_the_visit(every_two):
    result, _ = every_two
    lost = [one for one in reasons(result) if one[2] == "vanished"]
    assert lost == [("post", 3, "vanished"), ("pre", 3, "vanished"), ("pre", 6, "vanished")]
    assert len(set(result.exclusions)) == len(result.exclusions)


def test_only_pairs_of_the_interval_that_is_asked_for_are_made(patient_dir, tmp_path):
    result = run(patient_dir, tmp_path / "part.npz", visits="every", min_days=60, max_days=80)
    assert {row.interval_days for row in result.lesions} <= set(range(60, 81))
    told = sorted((one.visit, one.broken) for one in result.exclusions if "days between the two MRIs" in one.reason)
    assert told == [("", True), ("pre and follow_up", True)]


def test_pairs_that_are_given_are_of_the_first_visits_alone(patient_dir, tmp_path):
    result = run(patient_dir, tmp_path / "part.npz", visits="every", given=[("Met 2", "Met 2", "Met 2")])
    assert len(result.lesions) == 1
    assert any("no other two are a pair" in one.reason for one in result.exclusions)


def add_channels(visit, *, reach=1.0):
    """Give a visit a FLAIR, which is its MR upside down, and a dose of 24 Gy in the lower share of its slices."""
    (visit / "FLAIR").mkdir()
    uid = generate_uid()
    for file in (visit / "MR_T1").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uid, generate_uid()
        dataset.SeriesDescription = "t2 FLAIR"
        dataset.PixelData = (
            (dataset.pixel_array.max() - dataset.pixel_array).astype(dataset.pixel_array.dtype).tobytes()
        )
        dataset.save_as(visit / "FLAIR" / file.name)
    image, series = read_series(visit / "MR_T1")
    dose_gy = np.full(image.GetSize()[::-1], 24.0)[: max(3, round(reach * image.GetSize()[2]))]
    dose = dose_dataset(Grid.of(image), dose_gy)
    dose.PatientID, dose.StudyInstanceUID = pydicom.dcmread(file).PatientID, series.study_uid
    dose.FrameOfReferenceUID = series.frame_of_reference_uid
    write(dose, visit / "dose.dcm")
    plan = plan_dataset(fractions=5)
    plan.PatientID, plan.StudyInstanceUID = dose.PatientID, dose.StudyInstanceUID
    write(plan, visit / "plan.dcm")


def test_channels_stand_beside_the_first_which_stays_what_it_was(copy, tmp_path):
    folder = copy["pre"].parent
    run(folder, tmp_path / "alone.npz")
    add_channels(copy["pre"])
    imported = run(folder, tmp_path / "part.npz", channels="T1,FLAIR,T2,dose")
    alone, samples = read_samples(tmp_path / "alone.npz"), read_samples(tmp_path / "part.npz")
    assert samples.channels == ("T1", "FLAIR", "T2", "dose")
    np.testing.assert_array_equal(samples.pre[..., :1], alone.pre)
    for name in ("post", "pre_mask", "scale"):
        np.testing.assert_array_equal(getattr(samples, name), getattr(alone, name))
    inside = samples.pre_mask[..., 0]
    assert (samples.pre[..., 1].max(axis=(1, 2)) == 1).all()
    assert (samples.pre[..., 2] == 0).all()
    np.testing.assert_allclose(samples.pre[..., 3], 1.2 * inside, atol=1e-4)
    assert (samples.conditions["fractions"] == 5).all()
    assert {(row.channels, row.fractions) for row in imported.lesions} == {("T1 FLAIR dose", 5)}
    (missing,) = [one.reason for one in imported.exclusions if one.reason.startswith("channel")]
    assert missing.startswith("channel T2: no other MR series")


def test_a_dose_that_ends_inside_a_lesion_is_told(copy, tmp_path):
    add_channels(copy["pre"], reach=0.5)
    imported = run(copy["pre"].parent, tmp_path / "part.npz", channels="T1,dose", slices="all")
    said = {row.channels: row.warnings for row in imported.lesions}
    assert any("of the GTV is outside the channel dose" in warnings for warnings in said.values())


def test_a_new_patient_is_measured_as_in_an_import(heads, tmp_path):
    folder = sorted(path for path in heads.iterdir() if path.is_dir())[0]
    ((patient,), _) = find_patients(folder, ImportSettings(visits="every"))
    settings = ImportSettings(visits="every", image_size=8)
    imported = import_patient(patient, tmp_path / "part.npz", key=bytes(32), settings=settings)
    expected = sorted(row.earlier_ratio for row in imported.lesions if row.earlier_ratio is not None)
    assert expected

    def read(series, rtstruct):
        return read_dicom_files(series, rtstruct, DEFAULT_ROI_PATTERN)

    files = [EarlierVisit(visit / "MR_T1", next((visit / "RTSTRUCT").iterdir())) for visit in sorted(folder.iterdir())]
    pasts = find_pasts(files[:1], read(*files[1]), read)
    found = sorted(past.change.ratio for past in pasts.lesions.values() if past.change.is_known)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    days = {row.earlier_days for row in imported.lesions} - {None}
    assert set(pasts.days_before) == days
    told = read_samples(tmp_path / "part.npz").condition("earlier_ratio")
    assert sorted(set(told[np.isfinite(told)].tolist())) == pytest.approx(expected)
