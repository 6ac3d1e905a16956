"""Volumes and masks to files that other programs open, whole or not at all."""

import tempfile
from pathlib import Path

import SimpleITK as sitk

from tfdrift.errors import ResourceError, UsageError


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
    try:
        with tempfile.TemporaryDirectory(prefix=".tfdrift-", dir=path.parent) as folder:
            part = Path(folder) / f"part{suffix}"
            sitk.WriteImage(image, str(part), useCompression=suffix == ".nii.gz")
            part.replace(path)
    except OSError as error:
        raise ResourceError(f"the output cannot be written: {error.strerror}; choose another folder") from None
    except RuntimeError:
        raise ResourceError("the output cannot be written: the disk may be full; choose another folder") from None
