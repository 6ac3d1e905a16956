import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from tests.imaging.mock_dicom import random_grid
from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.imaging.nifti import as_dicom_axes, read_nifti, write_nifti

SHEARED = np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def image_on_random_grid(seed=0) -> sitk.Image:
    rng = np.random.default_rng(seed)
    grid = random_grid(rng)
    image = sitk.GetImageFromArray(rng.integers(0, 2, grid.size[::-1], np.uint8))
    grid.place(image)
    return image


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_what_is_written_reads_back(tmp_path, name):
    image = image_on_random_grid()
    write_nifti(image, tmp_path / name)
    back = sitk.ReadImage(str(tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
    # NIfTI keeps its geometry in float32, so 1e-7 of 200 mm at best.
    np.testing.assert_allclose(back.GetOrigin(), image.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(back.GetSpacing(), image.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-5)


def test_the_file_appears_whole_and_alone(tmp_path):
    write_nifti(image_on_random_grid(0), tmp_path / "a.nii.gz")
    write_nifti(image_on_random_grid(1), tmp_path / "a.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    write_nifti(image_on_random_grid(), tmp_path / "a.nii.gz")
    before = (tmp_path / "a.nii.gz").read_bytes()

    def full_disk(_image, path, **_):
        with open(path, "wb") as file:  # noqa: PTH123 - as SimpleITK gets it
            file.write(b"half")
        raise RuntimeError("no space")

    monkeypatch.setattr(sitk, "WriteImage", full_disk)
    with pytest.raises(ResourceError, match="the disk may be full"):
        write_nifti(image_on_random_grid(1), tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"must end in .nii or .nii.gz"):
        write_nifti(image_on_random_grid(), tmp_path / "a.png")


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ResourceError, match="cannot write to the output: No such file or directory"):
        write_nifti(image_on_random_grid(), tmp_path / "none" / "a.nii")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "the image is not there; check its path"),
        (lambda path: path.write_bytes(b"no image"), "the image cannot be read as NIfTI; convert it again"),
        (
            lambda path: sitk.WriteImage(sitk.Image([4, 3, 2], sitk.sitkVectorFloat32, 3), str(path)),
            "the image has 4 x 3 x 2 points of 3; one volume is needed",
        ),
        (
            lambda path: nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3), np.float32), SHEARED), path),
            "the image has axes that are not at right angles; resample it to a regular grid",
        ),
    ],
)
def test_what_is_no_volume_is_refused_without_its_path(tmp_path, spoil, message):
    path = tmp_path / "Doe.nii.gz"
    write_nifti(image_on_random_grid(), path)
    spoil(path)
    with pytest.raises(DataError) as refused:
        read_nifti(path, "the image")
    assert str(refused.value) == message


def every_direction():
    """The 48 ways to lay a grid along the patient's axes."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield np.eye(3)[:, order] * signs


@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_dicoms_axes_keep_every_voxel_where_it_is(tilt):
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    values = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    for direction in every_direction():
        image = sitk.GetImageFromArray(values)
        image.SetSpacing((1.0, 2.0, 3.0))
        image.SetOrigin((7.0, -5.0, 3.0))
        image.SetDirection((turn @ direction).ravel().tolist())
        turned = as_dicom_axes(image)
        axes = np.reshape(turned.GetDirection(), (3, 3))
        for index in ((0, 0, 0), (4, 3, 2), (1, 2, 0)):
            there = turned.TransformPhysicalPointToIndex(image.TransformIndexToPhysicalPoint(index))
            assert turned[there] == image[index]
        assert turned.GetSize()[2] == image.GetSize()[2]
        assert np.linalg.det(axes) > 0
        assert np.argmax(np.abs(axes[:, 0])) < np.argmax(np.abs(axes[:, 1]))
        again = as_dicom_axes(turned)
        assert again.GetDirection() == turned.GetDirection()
        assert sitk.Hash(again) == sitk.Hash(turned)


@pytest.mark.parametrize("joined", [1, 2])
def test_a_volume_with_a_last_dimension_of_one_is_that_volume(tmp_path, joined):
    image = sitk.Cast(image_on_random_grid(), sitk.sitkFloat32)
    sitk.WriteImage(sitk.JoinSeries([image] * joined), str(tmp_path / "a.nii"))
    if joined > 1:
        with pytest.raises(DataError, match="one volume is needed"):
            read_nifti(tmp_path / "a.nii", "the image")
    else:
        back = read_nifti(tmp_path / "a.nii", "the image")
        assert back.GetSize() == image.GetSize()
        np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-5)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
