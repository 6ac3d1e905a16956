import json
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from tests.clinic.patients import write_patient
from tfdrift.app.volumes import CONTOURS, MRI, write_lengths, write_request
from tfdrift.errors import DataError
from tfdrift.imaging.nifti import write_nifti

LESIONS = {"GTV 1": {"offset_mm": (-6, 0, 0), "radius_mm": 4}, "GTV 2": {"offset_mm": (6, 0, 0), "radius_mm": 4}}


def test_an_mri_and_its_contours_lie_on_one_grid_and_a_lesion_is_where_it_is_said_to_be(tmp_path):
    patient = write_patient(tmp_path, lesions=LESIONS)
    request = {"series": str(patient.series), "structures": str(patient.rtstruct), "out": str(tmp_path)}
    found = write_request(request)
    mri, contours = (sitk.ReadImage(str(tmp_path / name)) for name in (MRI, CONTOURS))
    assert mri.GetSize() == contours.GetSize() == patient.grid.size
    labels = sitk.GetArrayFromImage(contours)
    assert [lesion["name"] for lesion in found["lesions"]] == ["GTV 1", "GTV 2"]
    for lesion, mask in zip(found["lesions"], patient.masks.values(), strict=True):
        np.testing.assert_array_equal(labels == lesion["label"], mask)
        right, front, head = lesion["centre_ras_mm"]
        place = contours.TransformPhysicalPointToIndex((-right, -front, head))
        assert contours[place] == lesion["label"]
        assert lesion["volume_mm3"] == pytest.approx(mask.sum() * 0.9 * 1.1 * 2)


def test_nifti_is_read_as_the_prediction_reads_it(tmp_path):
    patient = write_patient(tmp_path)
    request = {"series": str(patient.series), "structures": str(patient.rtstruct), "out": str(tmp_path)}
    write_request(request)
    (tmp_path / "out").mkdir()
    again = {"image": str(tmp_path / MRI), "masks": [str(tmp_path / CONTOURS)], "out": str(tmp_path / "out")}
    assert [lesion["name"] for lesion in write_request(again)["lesions"]] == ["lesion 1"]
    one, other = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / CONTOURS))) for folder in (tmp_path, tmp_path / "out")
    )
    np.testing.assert_array_equal(one, other)


def test_lengths_of_vectors(tmp_path):
    vectors = sitk.GetImageFromArray(np.full((2, 3, 4, 3), (3.0, 4.0, 0.0), np.float32), isVector=True)
    write_nifti(vectors, tmp_path / "v.nii.gz")
    write_lengths(tmp_path / "v.nii.gz", tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "l.nii.gz"))), np.full((2, 3, 4), 5)
    )


def test_files_that_do_not_belong_together_are_one_line(tmp_path):
    patient, other = write_patient(tmp_path / "a"), write_patient(tmp_path / "b")
    request = {"series": str(patient.series), "structures": str(other.series / "x"), "out": str(tmp_path)}
    with pytest.raises(DataError):
        write_request(request)
    (tmp_path / "request.json").write_text(json.dumps(request))
    command = [sys.executable, "-m", "tfdrift.app.volumes", str(tmp_path / "request.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
