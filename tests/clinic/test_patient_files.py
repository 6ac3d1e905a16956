import re
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from tests.clinic.patients import ORIENTATIONS, PythonModel, same, scaled, turned, write_patient
from tfdrift.clinic import predict
from tfdrift.clinic.patient_files import NOT_TOLD, EarlierVisit, read_dicom_files, read_nifti_files, read_visit_days
from tfdrift.clinic.predict import predict_nifti, predict_patient
from tfdrift.errors import DataError, UsageError
from tfdrift.imaging.registration import Registration
from tfdrift.importing import sessions
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN
from tfdrift.model.conditions import fit_conditions
from tfdrift.model.inputs import Inputs

TWO = {"GTV 1": {"offset_mm": (-6, 0, 0), "radius_mm": 4.5}, "GTV 2": {"offset_mm": (6, 1, 0), "radius_mm": 4.5}}
ORDERS = {  # of the voxels in the file: as DICOM has them, NIfTI's usual one, and columns before rows
    "dicom": lambda image: image,
    "to the right and the front": lambda image: sitk.Flip(image, [True, True, False]),
    "columns first": lambda image: sitk.PermuteAxes(sitk.Flip(image, [False, True, True]), (1, 0, 2)),
}
MAPS = ("post_mean", "drift_mean", "drift_std", "lesion_probability")


@pytest.fixture
def without_report(monkeypatch):
    monkeypatch.setattr(predict, "build_report", lambda *_args, **_named: "")


def write_nifti_patient(folder, patient, order):
    """The same MRI and lesions as NIfTI files, a label for each lesion."""
    files = read_dicom_files(patient.series, patient.rtstruct, DEFAULT_ROI_PATTERN)
    labels = np.sum([mask * np.uint8(number) for number, mask in enumerate(patient.masks.values(), start=1)], axis=0)
    label_map = sitk.GetImageFromArray(labels.astype(np.uint8))
    label_map.CopyInformation(files.image)
    for name, image in (("image", files.image), ("labels", label_map)):
        sitk.WriteImage(order(image), str(folder / f"{name}.nii.gz"))
    return folder / "image.nii.gz", [folder / "labels.nii.gz"]


def read(folder, name):
    return sitk.ReadImage(str(folder / f"nifti/{name}.nii.gz"))


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize("direction", [ORIENTATIONS["axial"], ORIENTATIONS["sagittal"], turned(1)])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_nifti_files_give_the_prediction_of_the_dicom_files(tmp_path, direction, order):
    patient = write_patient(tmp_path, direction=direction, lesions=TWO)
    image, masks = write_nifti_patient(tmp_path, patient, order)
    model = PythonModel(scaled)
    told = [
        predict_patient(
            model, series_dir=patient.series, rtstruct=patient.rtstruct, out=tmp_path / "from dicom", outcomes=2
        ),
        predict_nifti(model, image=image, masks=masks, out=tmp_path / "from nifti", outcomes=2),
    ]
    volumes = [[one["volume_predicted_mm3"]["mean"] for one in document["lesions"]] for document in told]
    np.testing.assert_allclose(volumes[0], volumes[1], rtol=1e-5)
    assert [one["name"] for one in told[1]["lesions"]] == ["lesion 1", "lesion 2"]
    own = sitk.ReadImage(str(image))
    for name in MAPS:
        found = read(tmp_path / "from nifti", name)
        assert found.IsSameImageGeometryAs(own, 1e-4, 1e-4)
        expected = order(read(tmp_path / "from dicom", name))
        values = sitk.GetArrayFromImage(expected)
        np.testing.assert_allclose(sitk.GetArrayFromImage(found), values, atol=1e-2)
        assert values.any()
    assert not (tmp_path / "from nifti/dicom").exists()


@pytest.mark.usefixtures("without_report")
def test_lesions_are_asked_for_by_number_and_nothing_is_said_of_the_modality(tmp_path):
    image, masks = write_nifti_patient(tmp_path, write_patient(tmp_path, lesions=TWO), ORDERS["dicom"])
    asked = {"image": image, "masks": masks, "roi": "#2", "outcomes": 2}
    document = predict_nifti(PythonModel(scaled), out=tmp_path / "out", **asked)
    assert [one["structure"] for one in document["lesions"]] == [2]
    assert document["series"]["modality"] == NOT_TOLD


def test_several_masks_and_connected_parts_are_lesions(tmp_path):
    image, masks = write_nifti_patient(tmp_path, write_patient(tmp_path, lesions=TWO), ORDERS["dicom"])
    twice = read_nifti_files(image, masks * 2, DEFAULT_ROI_PATTERN)
    assert [lesion.label for lesion in twice.lesions] == [f"lesion {number}" for number in (1, 2, 3, 4)]
    apart = read_nifti_files(image, masks, DEFAULT_ROI_PATTERN, components=True)
    assert len(apart.lesions) == 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda mask: mask * 0, "the masks hold no lesion: every voxel is 0"),
        (lambda mask: sitk.Cast(mask, sitk.sitkFloat32) / 3, "a mask holds values that are no labels"),
        (lambda mask: mask[1:], "the mask of lesion 1 is not on the image's grid; resample it to the image"),
        (lambda mask: sitk.JoinSeries([mask, mask]), "one volume is needed"),
    ],
)
def test_what_is_no_mask_of_the_image_is_refused(tmp_path, spoil, message):
    image, (mask,) = write_nifti_patient(tmp_path, write_patient(tmp_path, lesions=TWO), ORDERS["dicom"])
    sitk.WriteImage(spoil(sitk.ReadImage(str(mask))), str(mask))
    with pytest.raises(DataError, match=message):
        read_nifti_files(image, [mask], DEFAULT_ROI_PATTERN)


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("#7", DataError, "none of the 2 lesions of the masks matches --roi '#7'"),
        ("(", UsageError, "is not a regular expression"),
    ],
)
def test_a_pattern_that_finds_nothing_is_refused(tmp_path, pattern, error, message):
    image, masks = write_nifti_patient(tmp_path, write_patient(tmp_path, lesions=TWO), ORDERS["dicom"])
    with pytest.raises(error, match=message):
        read_nifti_files(image, masks, pattern)


COLUMNS = {
    "interval_days": np.array([20.0, 90.0]),
    "earlier_days": np.array([10.0, 60.0]),
    "earlier_ratio": np.array([0.1, 1.5]),
}
LEFT, RIGHT = (-6, 0, 0), (6, 1, 0)


def on(date: str, patient_id: str = "4711"):
    """Return what makes the slices of a series those of a day and a patient."""

    def change(dataset, _k):
        dataset.StudyDate, dataset.AcquisitionDate, dataset.PatientID = date, date, patient_id

    return change


def model(*names: str) -> PythonModel:
    conditions = fit_conditions(names, {name: COLUMNS[name] for name in names})
    facts: Any = {"data": {"inputs": Inputs(conditions=conditions).as_document()}}
    return PythonModel(same, **facts)


def visit(folder, date: str, lesions: dict, patient_id: str = "4711") -> EarlierVisit:
    patient = write_patient(folder, lesions=lesions, change=on(date, patient_id))
    return EarlierVisit(patient.series, patient.rtstruct)


@pytest.fixture(scope="module", autouse=True)
def in_place():
    """Heads lie still: what is imaged here is no head that could be registered."""
    still = Registration(kind="identity", transform=sitk.Euler3DTransform(), residual_percent=0.0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sessions, "register", lambda *_args, **_named: still)
        yield


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    """Two lesions; the left one has shrunk from 6 mm, the right one is new."""
    lesions = {"GTV 1": {"offset_mm": LEFT, "radius_mm": 4.5}, "GTV 2": {"offset_mm": RIGHT, "radius_mm": 4.0}}
    return visit(tmp_path_factory.mktemp("now"), "20240131", lesions)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The left lesion alone, by another name and number, 30 days earlier."""
    lesions = {"Brain": {"radius_mm": 9}, "GTV a": {"offset_mm": LEFT, "radius_mm": 6.0}}
    return visit(tmp_path_factory.mktemp("before"), "20240101", lesions)


def run(now, earlier, out, asked=None, **given):
    return predict_patient(
        asked or model(*COLUMNS), series_dir=now.series_dir, rtstruct=now.rtstruct, earlier=earlier, out=out,
        outcomes=2, **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def predicted(now, before, tmp_path_factory):
    out, asked = tmp_path_factory.mktemp("out") / "out", model(*COLUMNS)
    document = run(now, [before], out, asked, given=["interval_days=42"])
    return document, (out / "report.html").read_text(), asked


def test_a_lesion_is_told_how_it_changed_whatever_it_was_called(predicted):
    document, _, asked = predicted
    lesion = document["lesions"][0]
    assert lesion["earlier"]["days"] == 30
    assert lesion["earlier"]["ratio"] == pytest.approx(lesion["volume_now_mm3"] / lesion["earlier"]["volume_mm3"])
    assert lesion["earlier"]["ratio"] == pytest.approx((4.5 / 6) ** 3, rel=0.15)
    told = [one.condition for one in asked.told]
    np.testing.assert_allclose(told[0][0], [42, 30, lesion["earlier"]["ratio"]], rtol=1e-6)
    assert document["earlier_visits"] == {"days_before": [30]}


def test_a_lesion_that_no_earlier_visit_shows_is_unknown_and_the_report_says_so(predicted):
    document, page, asked = predicted
    lesion = document["lesions"][1]
    assert "earlier" not in lesion
    assert lesion["told"] == {"interval_days": 42.0, "earlier_days": None, "earlier_ratio": None}
    assert any(warning.startswith("no earlier visit shows it") for warning in lesion["warnings"])
    assert np.isnan(asked.told[-1].condition[:, 1:]).all()
    assert "no earlier visit shows it" in page


def test_the_report_says_what_was_used(predicted):
    lesion = predicted[0]["lesions"][0]
    assert "from the visit 30 days before: earlier_days, earlier_ratio" in predicted[1]
    assert f"30 days before (now {lesion['earlier']['ratio']:.0%} of that)" in predicted[1]


@pytest.mark.usefixtures("without_report")
def test_the_first_visit_that_shows_a_lesion_counts(now, before, tmp_path):
    both = {"GTV 1": {"offset_mm": LEFT, "radius_mm": 5.0}, "GTV 2": {"offset_mm": RIGHT, "radius_mm": 5.0}}
    between = visit(tmp_path / "between", "20240111", both)
    found = [one["earlier"] for one in run(now, [before, between], tmp_path / "out")["lesions"]]
    assert [(one["visit"], one["days"]) for one in found] == [(1, 30), (2, 20)]


@pytest.mark.usefixtures("without_report")
def test_days_that_are_given_count_in_place_of_dates(now, tmp_path):
    undated = visit(tmp_path / "undated", "", {"GTV": {"offset_mm": LEFT}})
    with pytest.raises(DataError, match=re.escape("visit 1 has no date that is understood; say the days of all")):
        run(now, [undated], tmp_path / "out")
    document = run(now, [undated], tmp_path / "out", days=(3, 17))
    assert document["earlier_visits"] == {"days_before": [14]}


@pytest.mark.usefixtures("without_report")
def test_a_lesion_that_was_two_is_unknown(now, tmp_path):
    parts = {
        "GTV 1": {"offset_mm": (LEFT[0] - 2, 0, 0), "radius_mm": 2.5},
        "GTV 2": {"offset_mm": (LEFT[0] + 2, 0, 0), "radius_mm": 2.5},
    }
    two = visit(tmp_path / "two", "20240101", parts)
    lesion = run(now, [two], tmp_path / "out")["lesions"][0]
    assert "earlier" not in lesion
    assert any(one.startswith("its contours at the earlier visit are merged") for one in lesion["warnings"])


@pytest.mark.parametrize(
    ("date", "patient_id", "said"),
    [
        ("20240131", "4711", "visits 1 and 2 are of one day by their dates"),
        ("20240202", "4711", "visit 1 is 2 days after visit 2 by their dates; give --series in the order of time"),
        ("20240101", "4712", "visit 1 and the last visit have two PatientIDs"),
    ],
)
def test_visits_that_are_not_in_order_or_of_one_patient_are_refused(now, tmp_path, date, patient_id, said):
    other = visit(tmp_path / "other", date, {"GTV": {"offset_mm": LEFT}}, patient_id)
    with pytest.raises(DataError, match=re.escape(said)):
        run(now, [other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_visit_without_a_lesion_by_name_is_refused_by_its_number(now, tmp_path):
    other = visit(tmp_path / "other", "20240101", {"Brain": {}})
    with pytest.raises(DataError, match=r"^visit 1: none of the 1 structures matches --roi"):
        run(now, [other], tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "given", "said"),
    [
        (
            (),
            (),
            "the model was not trained with earlier_days or earlier_ratio (its conditions: none)",
        ),
        (("interval_days",), (), "(its conditions: interval_days); give the last visit alone"),
        (tuple(COLUMNS), ("earlier_ratio=0.5",), "--given earlier_ratio: it is measured from the earlier visit"),
    ],
)
def test_a_model_that_cannot_use_earlier_visits_is_not_asked(now, before, tmp_path, names, given, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        run(now, [before], tmp_path / "out", model(*names), given=given)


@pytest.mark.parametrize("text", ["0", "21,0", "0,0", "0,x", "0,", "0,1,2", "0,-3"])
def test_days_that_are_no_order_are_refused(text):
    with pytest.raises(UsageError, match="give a whole number for each of the 2 visits"):
        read_visit_days(text, 2)
