"""Volumes and masks as NIfTI: to files that other programs open, whole or not at all, and back."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.files import whole_file, writing


def write_nifti(image: sitk.Image, path: Path) -> None:
    """Write an image as NIfTI; the file appears whole or not at all.

    Args:
        image: in DICOM's LPS; SimpleITK turns it to NIfTI's RAS in the header.
        path: ends in `.nii` or `.nii.gz`; an existing file is replaced.

    Raises:
        UsageError: the name ends otherwise.
        ResourceError: the folder does not exist or cannot be written, or the disk is full.
    """
    suffix = next((suffix for suffix in (".nii.gz", ".nii") if path.name.endswith(suffix)), None)
    if suffix is None:
        raise UsageError("the output's name must end in .nii or .nii.gz")
    with writing("the output"), whole_file(path) as part:
        try:
            sitk.WriteImage(image, str(part), useCompression=suffix == ".nii.gz")
        except RuntimeError:
            raise ResourceError("cannot write to the output: the disk may be full; choose another folder") from None


def read_nifti(path: Path, what: str) -> sitk.Image:
    """Read one volume.

    Args:
        path: the file.
        what: it is called in messages, which do not name the path: file names can hold a person's name.

    Returns:
        The image, float32, LPS mm; ITK reads what is no number as 0, nothing measured.

    Raises:
        DataError: there is no such file, or it holds no NIfTI, several volumes or more than one number a voxel.
    """
    if not path.is_file():
        raise DataError(f"{what} is not there; check its path")
    try:
        image = sitk.ReadImage(str(path), imageIO="NiftiImageIO")
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise DataError(f"{what} has axes that are not at right angles; resample it to a regular grid") from None
        raise DataError(f"{what} cannot be read as NIfTI; convert it again") from None
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:  # as converters write it: one volume of a series
        image = sitk.Extract(image, (*image.GetSize()[:-1], 0))
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        size = " x ".join(str(length) for length in image.GetSize())
        raise DataError(f"{what} has {size} points of {image.GetNumberOfComponentsPerPixel()}; one volume is needed")
    return sitk.Cast(image, sitk.sitkFloat32)


def tells_orientation(path: Path) -> bool:
    """Return whether a NIfTI file says how its voxels lie in the patient; else left and right are the reader's guess.

    Args:
        path: a file that `read_nifti` reads.

    Source: the NIfTI-1 standard, `qform_code` and `sform_code`, of which 0 is unknown.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return any(int(reader.GetMetaData(name)) > 0 for name in ("qform_code", "sform_code"))


def as_dicom_axes(image: sitk.Image) -> sitk.Image:
    """Return an image with its slices as DICOM has them: each voxel stays where it is in the patient.

    Rows run to the left or to the back, columns to the back or to the feet, and the stack along their cross product, so
    that the same head gives the same crops from both kinds of files. The slices stay the slices.

    Args:
        image: 3-D.
    """
    axis_of = [int(np.argmax(np.abs(column))) for column in np.reshape(image.GetDirection(), (3, 3)).T]
    if axis_of[0] > axis_of[1]:
        image = sitk.PermuteAxes(image, (1, 0, 2))
    columns = np.reshape(image.GetDirection(), (3, 3)).T
    flips = [bool(_largest(column) * (-1 if np.argmax(np.abs(column)) == 2 else 1) < 0) for column in columns[:2]]
    image = sitk.Flip(image, [*flips, False])
    return sitk.Flip(image, [False, False, bool(np.linalg.det(np.reshape(image.GetDirection(), (3, 3))) < 0)])


def _largest(column: np.ndarray) -> float:
    return float(column[np.argmax(np.abs(column))])
