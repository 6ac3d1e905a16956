"""The files of a prediction: maps and masks that other programs open."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from tfdrift.clinic.lesion import LesionPrediction
from tfdrift.clinic.models import About
from tfdrift.imaging.dicom_writing import Object, find_source, write_parametric_map, write_segmentation
from tfdrift.imaging.nifti import write_nifti
from tfdrift.imaging.series import Series
from tfdrift.imaging.structures import Roi

FIRST_SERIES_NUMBER = 9100  # above the scanner's own series, so that a viewer lists them last
_MAPS = {
    "drift_mean": "tfdrift: predicted drift, mean, research use",
    "drift_std": "tfdrift: predicted drift, std, research use",
}


class Lesion(NamedTuple):
    """A lesion and what a model says of it.

    Args:
        roi: as it was drawn.
        label: what it is called in files that may leave the clinic, see `public_label`.
        prediction: on the series' grid.
        warnings: sentences that speak against trusting it.
    """

    roi: Roi
    label: str
    prediction: LesionPrediction
    warnings: list[str]


def write_volumes(folder: Path, image: sitk.Image, lesions: list[Lesion]) -> None:
    """Write mean post, mean drift and standard deviation of the drift as NIfTI on the grid of the MRI, float32.

    Args:
        folder: is made; takes a file each.
        image: the MRI.
        lesions: which may overlap.
    """
    folder.mkdir()
    for name in ("post_mean", "drift_mean", "drift_std"):
        written = sitk.GetImageFromArray(on_slices(name, lesions, range(image.GetDepth()), image.GetSize()[1::-1]))
        written.CopyInformation(image)
        write_nifti(written, folder / f"{name}.nii.gz")


def write_dicom(folder: Path, headers: list[Dataset], series: Series, lesions: list[Lesion], about: About) -> None:
    """Write the maps of the drift and the predicted GTVs as DICOM objects on the slices that a lesion is on.

    Args:
        folder: is made; takes a file each.
        headers: of the MRI's slices, in the order of its grid.
        series: the MRI.
        lesions: which may overlap.
        about: the model, which the objects name.
    """
    folder.mkdir()
    slices = sorted({k for lesion in lesions for k in lesion.prediction.crops.slices})
    source = find_source(headers, series, slices)
    columns, rows, _ = series.grid.size
    made_by = {
        "model": f"{about.name} version {about.version}",
        "model_id": (about.sha256 or about.facts.get("weights_sha256") or "served")[:16],
    }
    for number, (name, text) in enumerate(_MAPS.items(), start=1):
        write_parametric_map(
            folder / f"{name}.dcm",
            source,
            on_slices(name, lesions, slices, (rows, columns)),
            Object(description=text, label=name.upper(), series_number=FIRST_SERIES_NUMBER + number, **made_by),
            signed=name == "drift_mean",
        )
    masks = np.zeros((len(slices), rows, columns, len(lesions)), bool)
    for segment, lesion in enumerate(lesions):
        places = [slices.index(k) for k in lesion.prediction.crops.slices]
        masks[(places, *lesion.prediction.window, segment)] = lesion.prediction.predicted_gtv
    about_gtv = Object(
        description="tfdrift: predicted GTV, research use",
        label="PREDICTED_GTV",
        series_number=FIRST_SERIES_NUMBER,
        **made_by,
    )
    write_segmentation(folder / "predicted_gtv.dcm", source, masks, [lesion.roi.name for lesion in lesions], about_gtv)


def on_slices(name: str, lesions: list[Lesion], slices: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Return one of `post_mean`, `drift_mean` and `drift_std` on some slices of the grid, 0 outside all crops.

    Args:
        name: of the map.
        lesions: which may overlap.
        slices: indices in the series, every slice of the lesions among them.
        shape: rows and columns of a slice.

    Returns:
        float32 [len(slices), rows, columns], scanner units.
    """
    volume = np.zeros((len(slices), *shape), np.float32)
    place = {k: i for i, k in enumerate(slices)}
    for lesion in lesions:
        where = ([place[k] for k in lesion.prediction.crops.slices], *lesion.prediction.window)
        volume[where] += lesion.prediction.drift_variance if name == "drift_std" else getattr(lesion.prediction, name)
    return np.sqrt(volume) if name == "drift_std" else volume
