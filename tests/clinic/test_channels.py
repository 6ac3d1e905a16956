"""A model that sees several channels is asked with those of a patient, in their own units and places."""

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from tests.clinic.patients import PythonModel, write_patient
from tests.imaging.mock_dicom import write, write_series
from tests.imaging.mock_dose import dose_dataset, plan_dataset
from tfdrift.clinic import predict
from tfdrift.clinic.channels import check_given
from tfdrift.clinic.predict import predict_nifti, predict_patient
from tfdrift.errors import DataError, UsageError

NAMES = ("T1", "FLAIR", "dose")


class SeesChannels(PythonModel):
    """A model that says nothing changes, and keeps what it was shown."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []
        super().__init__(self.answer, data={"inputs": {"channels": len(NAMES), "names": list(NAMES)}})

    def answer(self, image: np.ndarray, _seed: np.ndarray) -> dict[str, np.ndarray]:
        self.asked.append(image)
        return {"post": image[..., :1], "drift": 0 * image[..., :1]}


@pytest.fixture
def patient(tmp_path, monkeypatch):
    """A patient with a FLAIR, whose signal counts its voxels, and a dose of 18 Gy."""
    monkeypatch.setattr(predict, "build_report", lambda *_args, **_named: "")
    monkeypatch.setattr(predict, "write_dicom", lambda *_args: None)
    written = write_patient(tmp_path)
    shape = written.grid.size[::-1]
    write_flair(tmp_path / "FLAIR", written)
    (tmp_path / "RD").mkdir()
    write(dose_dataset(written.grid, np.full(shape, 18.0)), tmp_path / "RD/dose.dcm")
    write(plan_dataset(), tmp_path / "RD/plan.dcm")
    return written


def write_flair(folder, patient, **changes):
    uid = generate_uid()
    volume = np.arange(np.prod(patient.grid.size), dtype=np.uint16).reshape(patient.grid.size[::-1]) + 7

    def change(dataset, _k):
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uid, generate_uid()
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)

    write_series(folder, patient.grid, volume, change)
    return folder


def ask(patient, tmp_path, **given):
    model = SeesChannels()
    document = predict_patient(
        model, series_dir=patient.series, rtstruct=patient.rtstruct, out=tmp_path / "out", outcomes=2, **given
    )
    return model.asked[0], document["lesions"][0]["warnings"]


def test_each_channel_is_shown_in_its_own_units_inside_the_gtv(patient, tmp_path):
    image, warnings = ask(patient, tmp_path, dose=tmp_path / "RD", channels={"FLAIR": tmp_path / "FLAIR"})
    inside = image[..., 0] > 0
    np.testing.assert_allclose(image[..., 2], 18.0 * inside, atol=1e-3)
    assert (image[..., 1] > 0).sum() == inside.sum()
    assert image[..., 1].max() > 1000
    assert not [said for said in warnings if "channel" in said]


def test_what_is_not_given_is_zero_and_a_doubt(patient, tmp_path):
    image, warnings = ask(patient, tmp_path)
    assert not image[..., 1:].any()
    for name in NAMES[1:]:
        assert any(said.startswith(f"the channel {name} was not given") for said in warnings)


def test_the_dose_of_a_file_alone_and_one_that_ends_inside_the_lesion(patient, tmp_path):
    shape = patient.grid.size[::-1]
    file = write(dose_dataset(patient.grid, np.full(shape, 18.0)[: shape[0] // 2]), tmp_path / "half.dcm")
    image, warnings = ask(patient, tmp_path, dose=file)
    known = image[..., 2].max(axis=(1, 2))
    assert set(np.round(known[: len(image) // 2]).tolist()) == {0.0, 18.0}
    assert any("of it is outside the channel dose" in said for said in warnings)


@pytest.mark.parametrize("what", ["dose", "FLAIR", "CT"])
def test_what_lies_elsewhere_or_is_no_mr_is_refused(patient, tmp_path, what):
    if what == "dose":
        dataset = dose_dataset(patient.grid, np.full(patient.grid.size[::-1], 18.0))
        dataset.FrameOfReferenceUID = "1.2.3"
        given = {"dose": write(dataset, tmp_path / "elsewhere.dcm")}
    elif what == "FLAIR":
        given = {"channels": {"FLAIR": write_flair(tmp_path / "elsewhere", patient, FrameOfReferenceUID="1.2.3")}}
    else:
        given = {"channels": {"FLAIR": write_flair(tmp_path / "ct", patient, Modality="CT")}}
    with pytest.raises(DataError, match="not MR" if what == "CT" else "in another frame of reference than the MRI"):
        ask(patient, tmp_path, **given)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_dose_is_refused(patient, tmp_path):
    with pytest.raises(DataError, match="holds no RTDOSE file"):
        ask(patient, tmp_path, dose=tmp_path / "FLAIR")


@pytest.mark.parametrize(
    ("given", "dose", "names", "nifti", "said"),
    [
        ({"T2": "x"}, None, NAMES, False, "--channel T2: beside T1 the model sees FLAIR, dose"),
        ({"T1": "x"}, None, NAMES, False, "--channel T1"),
        ({"dose": "x"}, None, NAMES, False, "give the RTDOSE with --dose"),
        ({}, "x", ("T1", "FLAIR"), False, "--dose: beside T1 the model sees FLAIR"),
        ({}, "x", ("T1",), False, "--dose: the model sees T1 alone"),
        ({}, "x", NAMES, True, "--channel dose=FILE.nii.gz"),
    ],
)
def test_a_channel_that_the_model_does_not_have_is_refused(given, dose, names, nifti, said):
    with pytest.raises(UsageError, match=said):
        check_given(given, dose, names, nifti=nifti)


def test_channels_of_nifti_files_lie_on_the_images_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "build_report", lambda *_args, **_named: "")
    gtv = np.zeros((7, 20, 20), np.uint8)
    gtv[2:5, 6:14, 6:14] = 1
    files = {}
    for name, values in {"T1": 500.0 + gtv, "mask": gtv, "dose": 20.0 + gtv, "small": gtv[1:] + 1.0}.items():
        files[name] = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(sitk.GetImageFromArray(values), files[name])
    model, asked = SeesChannels(), {"image": files["T1"], "masks": [files["mask"]], "outcomes": 2}
    predict_nifti(model, out=tmp_path / "out", channels={"dose": files["dose"]}, **asked)
    assert model.asked[0][..., 2].max() == 21.0
    with pytest.raises(DataError, match="channel dose is not on the image's grid"):
        predict_nifti(model, out=tmp_path / "other", channels={"dose": files["small"]}, **asked)
