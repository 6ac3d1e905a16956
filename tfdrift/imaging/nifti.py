"""Volumes and masks to files that other programs open, whole or not at all."""

from pathlib import Path

import SimpleITK as sitk

from tfdrift.errors import ResourceError, UsageError
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
