"""The further channels of a patient for a model that sees several: read, brought onto the MRI's grid, and cut out."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.clinic.lesion import Crops
from tfdrift.cohort.channels import cut_channel
from tfdrift.cohort.dose import DOSE
from tfdrift.errors import DataError, UsageError
from tfdrift.imaging.dicom import parsing, read_header, value_of
from tfdrift.imaging.dose import OtherFrameError, read_plan_dose
from tfdrift.imaging.nifti import as_dicom_axes, read_nifti
from tfdrift.imaging.resampling import resample_channel
from tfdrift.imaging.series import Series, files_of, read_series
from tfdrift.model.channels import further

NOT_GIVEN = "was not given, so the model answers as for a lesion of which it is not known"


def check_given(given: Mapping[str, Path], dose: Path | None, names: Sequence[str], *, nifti: bool = False) -> None:
    """Refuse channels that a model does not have.

    Args:
        given: series folders, or NIfTI files, by the channel's name.
        dose: RTDOSE file or folder.
        names: of all channels of the model.
        nifti: whether the MRI is NIfTI, which an RTDOSE has nothing in common with.

    Raises:
        UsageError: there is one; or an RTDOSE is given for a NIfTI, or a series as a dose.
    """
    others = further(names)
    more = ", ".join(others)
    theirs = f"beside {names[0]} the model sees {more}" if more else f"the model sees {names[0]} alone"
    for name in given:
        if name not in others:
            raise UsageError(f"--channel {name}: {theirs}")
        if name == DOSE and not nifti:
            raise UsageError(f"--channel {DOSE}: give the RTDOSE with --dose")
    if dose is not None and DOSE not in names:
        raise UsageError(f"--dose: {theirs}")
    if dose is not None and nifti:
        raise UsageError(f"--dose: with --image, a dose on the same grid is --channel {DOSE}=FILE.nii.gz, in Gy")


def read_dicom_channels(
    given: Mapping[str, Path], dose: Path | None, image: sitk.Image, series: Series
) -> dict[str, sitk.Image]:
    """Return the channels on the MRI's grid, by resampling alone.

    Args:
        given: folder of an MR series by the channel's name.
        dose: RTDOSE file, or a folder of RTDOSE and RTPLAN files; None for none.
        image: the MRI.
        series: its header.

    Raises:
        DataError: a series or the dose cannot be read, or lies in another frame of reference than the MRI.
    """
    found = {}
    for name, folder in given.items():
        channel, of_channel = read_series(folder)
        if of_channel.modality != "MR":
            raise DataError(f"channel {name} is {of_channel.modality}, not MR")
        frame = series.frame_of_reference_uid
        if not frame or of_channel.frame_of_reference_uid != frame:
            raise DataError(f"channel {name} lies in another frame of reference than the MRI; {_REGISTER}")
        found[name] = resample_channel(channel, image)
    if dose is not None:
        doses, plans = _rt_files(dose)
        try:
            read = read_plan_dose(doses, plans, frame=series.frame_of_reference_uid)
        except OtherFrameError as error:
            raise DataError(f"{error}; {_REGISTER}") from None
        found[DOSE] = resample_channel(read.image, image, interpolation="linear")
    return found


def read_nifti_channels(given: Mapping[str, Path], image: sitk.Image) -> dict[str, sitk.Image]:
    """Return the channels of NIfTI files.

    Args:
        given: file by the channel's name; a dose is in Gy.
        image: the MRI, slices as DICOM has them.

    Raises:
        DataError: a file cannot be read, or is on another grid than the MRI.
    """
    found = {}
    for name, path in given.items():
        channel = as_dicom_axes(read_nifti(path, f"channel {name}"))
        if not channel.IsSameImageGeometryAs(image, 1e-3, 1e-4):
            raise DataError(f"channel {name} is not on the image's grid; resample it to the image")
        channel.CopyInformation(image)
        found[name] = channel
    return found


def with_channels(
    crops: Crops, gtv: np.ndarray, names: Sequence[str], images: Mapping[str, sitk.Image]
) -> tuple[Crops, list[str]]:
    """Return crops that show the further channels of a model, in the units of their files, and doubts about these.

    Args:
        crops: of a lesion.
        gtv: bool [slices, rows, columns], the lesion.
        names: of the further channels, in the model's order.
        images: those that are known, on the MRI's grid; others are zero.
    """
    if not names:
        return crops, []
    found, doubts = [], []
    for name in names:
        channel = images.get(name)
        shown, share = cut_channel(channel, gtv, crops.shown_gtv, crops.box, crops.spacing_mm, crops.slices)
        if channel is None:
            doubts.append(f"the channel {name} {NOT_GIVEN}")
        elif share < 1:
            doubts.append(f"{1 - share:.0%} of it is outside the channel {name}, which is taken as zero there")
        found.append(shown)
    return dataclasses.replace(crops, more=np.concatenate(found, axis=-1)), doubts


def _rt_files(source: Path) -> tuple[list[Path], list[Path]]:
    """Return the RTDOSE and the RTPLAN files of a folder, or of a file alone."""
    if source.is_file():
        return [source], []
    found: dict[str, list[Path]] = {"RTDOSE": [], "RTPLAN": []}
    files = files_of(source)
    for number, file in enumerate(files, start=1):
        name = f"file {number} of {len(files)} of --dose"
        header = read_header(file, name)
        with parsing(name):
            found.get(str(value_of(header, "Modality")), []).append(file)
    if not found["RTDOSE"]:
        raise DataError("the folder of --dose holds no RTDOSE file")
    return found["RTDOSE"], found["RTPLAN"]


_REGISTER = "export it resampled to the MRI in your planning system"
