import numpy as np
import pytest
import SimpleITK as sitk

from tests.clinic.patients import ORIENTATIONS, PythonModel, scaled, turned, write_patient
from tfdrift.clinic import predict
from tfdrift.clinic.patient_files import NOT_TOLD, read_dicom_files, read_nifti_files
from tfdrift.clinic.predict import predict_nifti, predict_patient
from tfdrift.errors import DataError, UsageError
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN

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
