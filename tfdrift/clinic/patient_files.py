"""A patient's MRI and what is drawn on it, from DICOM or from NIfTI, as a prediction needs them."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import SimpleITK as sitk
from pydicom.dataset import Dataset

from tfdrift.clinic.public_label import public_label
from tfdrift.errors import DataError
from tfdrift.imaging.dicom import read_header
from tfdrift.imaging.geometry import Grid
from tfdrift.imaging.matching import doubt, fits, rois_on
from tfdrift.imaging.nifti import read_nifti
from tfdrift.imaging.series import Series, files_of, read_series
from tfdrift.imaging.structures import Roi, rasterise, read_structures
from tfdrift.importing.nifti_source import Lesion, NiftiVisit, Scan
from tfdrift.importing.target_names import target_rule

NOT_TOLD = "not told"
"""Modality of an MRI whose file does not say what it is."""


class DrawnLesion(NamedTuple):
    """A lesion as it was drawn.

    Args:
        roi: its number and its name.
        label: what it is called in files that may leave the clinic.
        mask: returns it on the MRI's grid, with what is odd about it; raises DataError where it cannot be used.
    """

    roi: Roi
    label: str
    mask: Callable[[], tuple[sitk.Image, Sequence[str]]]


class PatientFiles(NamedTuple):
    """What was read of a patient.

    Args:
        image: the MRI, float32, slices as DICOM has them.
        own_grid: the grid of its file, which maps are written on.
        series: of the MRI; without slices and UIDs where it is no DICOM.
        headers: of its slices in the order of the grid; none where it is no DICOM.
        lesions: drawn on it.
    """

    image: sitk.Image
    own_grid: Grid
    series: Series
    headers: list[Dataset]
    lesions: list[DrawnLesion]


def read_dicom_files(series_dir: Path, rtstruct: Path, pattern: str, *, by_place: bool = False) -> PatientFiles:
    """Read an MR series and the structures that match.

    Args:
        series_dir: folder of the series.
        rtstruct: the RTSTRUCT or Segmentation file drawn on it.
        pattern: regular expression or numbers, see `target_rule`.
        by_place: see `tfdrift.imaging.matching.fits`.

    Raises:
        UsageError: the pattern is neither.
        DataError: the series or the structure set cannot be read, they do not belong together, or nothing matches.
    """
    image, series = read_series(series_dir)
    if series.modality != "MR":
        raise DataError(f"the series is {series.modality}, not MR; models are trained on MR")
    headers = read_headers(files_of(series_dir), series)

    def drawn(roi: Roi) -> DrawnLesion:
        return DrawnLesion(roi, public_label(roi, headers[0]), lambda: rasterise(roi, image))

    rois = find_lesions(rtstruct, series, pattern, by_place=by_place)
    return PatientFiles(image, Grid.of(image), series, headers, [drawn(roi) for roi in rois])


def read_nifti_files(image: Path, masks: Sequence[Path], pattern: str, *, components: bool = False) -> PatientFiles:
    """Read an MRI and the lesions of masks or label maps on its grid, as the import reads them.

    Args:
        image: NIfTI.
        masks: NIfTI; of one label a lesion, of several labels a lesion each.
        pattern: numbers such as `#3`, or a regular expression for the names `lesion 1`, `lesion 2`; see `target_rule`.
        components: whether each connected part of a label is a lesion.

    Raises:
        UsageError: the pattern is neither.
        DataError: a file cannot be read, a mask is on another grid, or no lesion matches.
    """
    is_wanted = target_rule(pattern)
    scan = Scan(day=0, image=image, masks=tuple(masks), components=components)
    lesions = tuple(Lesion(number=number) for number in scan.read_masks())
    if not lesions:
        raise DataError("the masks hold no lesion: every voxel is 0")
    wanted = [lesion for lesion in lesions if is_wanted(lesion)]
    if not wanted:
        raise DataError(f"none of the {len(lesions)} lesions of the masks matches --roi {pattern!r}")
    session, _ = NiftiVisit(name="pre", day=0, structures=lesions, scan=scan).read(wanted)
    series = Series(
        grid=Grid.of(session.image),
        slices=(),
        series_uid="",
        frame_of_reference_uid="",
        study_uid="",
        study_date=None,
        modality=NOT_TOLD,
        acquisition={},
    )

    def drawn(lesion: Lesion) -> DrawnLesion:
        roi = Roi(number=lesion.number, name=lesion.name, contours_mm=())
        return DrawnLesion(roi, lesion.name, lambda: (session.masks[lesion.number], session.warnings[lesion.number]))

    own_grid = Grid.of(read_nifti(image, "the image"))
    return PatientFiles(session.image, own_grid, series, [], [drawn(lesion) for lesion in wanted])


def read_headers(files: list[Path], series: Series) -> list[Dataset]:
    """Return the headers of a series' slices in the order of its grid; a file of many frames comes once a frame.

    Args:
        files: of the folder, in the order that `read_series` read them.
        series: what it found.
    """
    once = {number: read_header(files[number], f"file {number + 1}") for number in {s.file for s in series.slices}}
    return [once[one.file] for one in series.slices]


def find_lesions(rtstruct: Path, series: Series, pattern: str, *, by_place: bool = False) -> list[Roi]:
    """Return the structures whose names match, with a warning where they do not belong to the series by reference.

    Args:
        rtstruct: the RTSTRUCT or Segmentation file.
        series: that it must belong to.
        pattern: regular expression or numbers, see `target_rule`.
        by_place: see `tfdrift.imaging.matching.fits`.

    Raises:
        UsageError: the pattern is neither.
        DataError: the structure set cannot be read or belongs to another series, or no structure matches.
    """
    is_wanted = target_rule(pattern)
    structures = read_structures(rtstruct)
    reason = fits(structures, series, by_place=by_place)
    if reason:
        raise DataError(f"the structure set does not fit this series: {reason}")
    said = doubt(structures, series)
    doubts_of_set = (f"its structure set {said}",) if said else ()
    matching = [
        dataclasses.replace(one, warnings=(*doubts_of_set, *one.warnings))
        for one in rois_on(structures, series)
        if is_wanted(one)
    ]
    if not matching:
        raise DataError(
            f"none of the {len(structures.rois)} structures matches --roi {pattern!r}; "
            "`tfdrift cohort scan` lists names and numbers"
        )
    return matching
