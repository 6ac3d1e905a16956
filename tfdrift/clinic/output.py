"""The files of a prediction: maps and masks that other programs open."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from tfdrift.clinic.dicom_writing import Object, Scale, write_parametric_map, write_segmentation
from tfdrift.clinic.lesion import LesionPrediction
from tfdrift.clinic.models import About
from tfdrift.clinic.movement import MAPS, in_patient
from tfdrift.clinic.registration_writing import write_deformation
from tfdrift.clinic.scenarios import Scenario
from tfdrift.clinic.source_images import find_source
from tfdrift.clinic.structure_writing import Structure, write_structure_set
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.nifti import write_nifti
from tfdrift.imaging.series import Series
from tfdrift.imaging.structures import Roi

FIRST_SERIES_NUMBER = 9100  # above the scanner's own series, so that a viewer lists them last
VOLUMES = ("post_mean", "drift_mean", "drift_std", "lesion_probability")
"""Maps that are written as NIfTI."""

_MAPS = {
    "drift_mean": ("DRIFT_MEAN", "tfdrift: predicted drift, mean, research use", Scale.SIGNED),
    "drift_std": ("DRIFT_STD", "tfdrift: predicted drift, std, research use", Scale.POSITIVE),
    "lesion_probability": ("LESION_SHARE", "tfdrift: share of outcomes with lesion, research use", Scale.SHARE),
}
_PREDICTED = "tfdrift: predicted GTV, research use"
_CONTOURS = "tfdrift: predicted GTV (predicted, research use)"
_DISPLACEMENT = "tfdrift: predicted displacement, research use"
_ROI = "predicted, research"
_ABOUT_ROI = (
    "Predicted, research use, not a medical device: where at least half of the drawn outcomes of the second MRI show "
    "the lesion. Not drawn by a person."
)


class Lesion(NamedTuple):
    """A lesion and what a model says of it.

    Args:
        roi: as it was drawn.
        label: what it is called in files that may leave the clinic, see `public_label`.
        prediction: on the series' grid.
        warnings: sentences that speak against trusting it.
        told: what the model was told of it by column, see `tfdrift.clinic.scenarios.describe_told`.
        scenarios: answers to "what if".
        earlier: what an earlier visit shows of it, see `tfdrift.clinic.patient_files.Past`; None where none does.
    """

    roi: Roi
    label: str
    prediction: LesionPrediction
    warnings: list[str]
    told: Mapping[str, Any] | None = None
    scenarios: tuple[Scenario, ...] = ()
    earlier: Mapping[str, Any] | None = None


class _Block(NamedTuple):
    """Displacements of a block of voxels, float64 [n, rows, columns, 3], and slice, row and column of its first."""

    vectors_mm: np.ndarray
    corner: tuple[int, int, int]


def write_volumes(folder: Path, image: sitk.Image, lesions: list[Lesion], own_grid: Grid) -> None:
    """Write each of `VOLUMES` as NIfTI on the grid of the MRI's file, float32, and how lesions move where that is told.

    The displacement has a vector in each voxel, mm in DICOM's axes of the patient, as ITK reads and writes it.

    Args:
        folder: is made; takes a file each.
        image: the MRI.
        lesions: which may overlap.
        own_grid: the same voxels, perhaps in another order.
    """

    def write(written: sitk.Image, name: str) -> None:
        written.CopyInformation(image)
        if Grid.of(image) != own_grid:
            place = (own_grid.origin_mm, own_grid.spacing_mm, own_grid.direction)
            written = sitk.Resample(written, own_grid.size, sitk.Transform(), sitk.sitkNearestNeighbor, *place)
        write_nifti(written, folder / f"{name}.nii.gz")

    folder.mkdir()
    for name in VOLUMES:
        write(sitk.GetImageFromArray(on_slices(name, lesions, range(image.GetDepth()), image.GetSize()[1::-1])), name)
    if all(lesion.prediction.field is None for lesion in lesions):
        return
    for name in MAPS:
        values = field_on_grid(name, lesions, image.GetSize()[::-1])
        if name == "displacement_mm":
            values = in_patient(values, image.GetDirection())
        write(sitk.GetImageFromArray(values.astype(np.float32).squeeze(), isVector=name == "displacement_mm"), name)


def field_on_grid(name: str, lesions: list[Lesion], shape: tuple[int, int, int]) -> np.ndarray:
    """Return a map of `tfdrift.clinic.movement.MAPS` on the grid, 0 outside all crops; lesions that overlap add.

    Args:
        name: of the map.
        lesions: which may overlap.
        shape: slices, rows and columns of the grid.

    Returns:
        float64 [slices, rows, columns, c].
    """
    told = [(lesion.prediction, lesion.prediction.field) for lesion in lesions]
    volume = np.zeros((*shape, max(field.grid[name].shape[-1] for _, field in told if field is not None)))
    for prediction, field in told:
        if field is not None:
            volume[(prediction.crops.slices, *prediction.window)] += field.grid[name]
    return volume


def write_dicom(folder: Path, headers: list[Dataset], series: Series, lesions: list[Lesion], about: About) -> None:
    """Write the maps and the predicted GTVs as DICOM objects: maps and Segmentation on the slices that a lesion is on.

    Args:
        folder: is made; takes a file each.
        headers: of the MRI's slices, in the order of its grid.
        series: the MRI.
        lesions: which may overlap.
        about: the model, which the objects name.
    """
    slices = sorted({k for lesion in lesions for k in lesion.prediction.crops.slices})
    columns, rows, _ = series.grid.size
    masks = np.zeros((len(slices), rows, columns, len(lesions)), bool)
    for segment, lesion in enumerate(lesions):
        places = [slices.index(k) for k in lesion.prediction.crops.slices]
        masks[(places, *lesion.prediction.window, segment)] = lesion.prediction.predicted_gtv
    maps = {name: on_slices(name, lesions, slices, (rows, columns)) for name in _MAPS}
    block = None
    if any(lesion.prediction.field is not None for lesion in lesions):
        block = _moving_block(lesions, slices, series)
    _write_objects(folder, headers, series, slices, [lesion.roi for lesion in lesions], maps, masks, block, about)


def _moving_block(lesions: list[Lesion], slices: list[int], series: Series) -> _Block:
    """Return the displacements, LPS mm, of the smallest block of voxels that holds all crops."""
    windows = [lesion.prediction.window for lesion in lesions]
    rows, columns = (
        slice(min(one[axis].start for one in windows), max(one[axis].stop for one in windows)) for axis in (0, 1)
    )
    first, last = slices[0], slices[-1] + 1
    num_columns, num_rows, num_slices = series.grid.size
    vectors = field_on_grid("displacement_mm", lesions, (num_slices, num_rows, num_columns))[first:last, rows, columns]
    return _Block(in_patient(vectors, series.grid.direction), (first, rows.start, columns.start))


def rehearse_dicom(headers: list[Dataset], series: Series, slices: list[int], rois: list[Roi], about: About) -> None:
    """Make the DICOM objects of a prediction without its values, and leave nothing behind.

    So headers that no object can be made of are refused before the model is asked.

    Args:
        headers: of the MRI's slices, in the order of its grid.
        series: the MRI.
        slices: that a lesion is on, in order.
        rois: the lesions.
        about: the model.

    Raises:
        DataError: the headers hold something that a new object may not.
    """
    columns, rows, _ = series.grid.size
    maps = {name: np.zeros((len(slices), rows, columns), np.float32) for name in _MAPS}
    masks = np.zeros((len(slices), rows, columns, len(rois)), bool)
    block = _Block(np.zeros((1, 1, 1, 3)), (slices[0], 0, 0)) if about.tells_field else None
    with tempfile.TemporaryDirectory() as folder:
        _write_objects(Path(folder) / "dicom", headers, series, slices, rois, maps, masks, block, about)


def _write_objects(
    folder: Path,
    headers: list[Dataset],
    series: Series,
    slices: list[int],
    rois: list[Roi],
    maps: dict[str, np.ndarray],
    masks: np.ndarray,
    block: _Block | None,
    about: About,
) -> None:
    """Write maps [n, rows, columns] and masks [n, rows, columns, L] on n slices, and displacements where there are."""
    folder.mkdir()
    source = find_source(headers, series, slices)
    made_by = {
        "model": f"{about.name} version {about.version}",
        "model_id": (about.sha256 or about.facts.get("weights_sha256") or "served")[:16],
    }
    for number, (name, (label, text, scale)) in enumerate(_MAPS.items(), start=1):
        described = Object(description=text, label=label, series_number=FIRST_SERIES_NUMBER + number, **made_by)
        write_parametric_map(folder / f"{name}.dcm", source, maps[name], described, scale=scale)
    about_gtv = Object(description=_PREDICTED, label="PREDICTED_GTV", series_number=FIRST_SERIES_NUMBER, **made_by)
    names = [f"{(roi.name.strip() or f'structure {roi.number}')[:40]} ({_ROI})" for roi in rois]
    write_segmentation(folder / "predicted_gtv.dcm", source, masks, names, about_gtv)
    whole = np.zeros((len(series.slices), *masks.shape[1:]), bool)
    whole[slices] = masks
    structures = [
        Structure(roi.number, name, _ABOUT_ROI, whole[..., place])
        for place, (roi, name) in enumerate(zip(rois, names, strict=True))
    ]
    number = FIRST_SERIES_NUMBER + len(_MAPS) + 1
    about_contours = Object(description=_CONTOURS, label="pred., research", series_number=number, **made_by)
    write_structure_set(
        folder / "predicted_gtv_rtstruct.dcm",
        find_source(headers, series, range(len(series.slices))),
        structures,
        about_contours,
    )
    if block is None:
        return
    spanned = range(block.corner[0], block.corner[0] + len(block.vectors_mm))
    described = Object(description=_DISPLACEMENT, label="DISPLACEMENT", series_number=number + 1, **made_by)
    write_deformation(
        folder / "displacement.dcm",
        find_source(headers, series, spanned),
        series.grid,
        block.vectors_mm,
        described,
        corner=block.corner,
    )


def on_slices(name: str, lesions: list[Lesion], slices: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Return one of `VOLUMES` on some slices of the grid, 0 outside all crops.

    Means add where lesions overlap. Their outcomes are independent: variances add, and a voxel shows no lesion with the
    product of the shares that show none.

    Args:
        name: of the map.
        lesions: which may overlap.
        slices: indices in the series, every slice of the lesions among them.
        shape: rows and columns of a slice.

    Returns:
        float32 [len(slices), rows, columns], scanner units; a share for `lesion_probability`.
    """
    volume = np.zeros((len(slices), *shape), np.float32)
    place = {k: i for i, k in enumerate(slices)}
    for lesion in lesions:
        where = ([place[k] for k in lesion.prediction.crops.slices], *lesion.prediction.window)
        if name == "drift_std":
            volume[where] += lesion.prediction.drift_variance
        elif name == "lesion_probability":
            volume[where] = 1 - (1 - volume[where]) * (1 - lesion.prediction.lesion_probability)
        else:
            volume[where] += getattr(lesion.prediction, name)
    return np.sqrt(volume) if name == "drift_std" else volume
