"""A patient's MRI and contours through a model, into a folder of files that clinical programs open.

    OUT/prediction.json                             volumes, drift, doubts, model, seeds
    OUT/report.html                                 the same as one page with pictures
    OUT/nifti/{post_mean,drift_mean,drift_std,lesion_probability}.nii.gz   on the MRI's own grid
    OUT/dicom/{drift_mean,drift_std,lesion_probability}.dcm                Parametric Maps
    OUT/dicom/{predicted_gtv,predicted_gtv_rtstruct}.dcm                   a Segmentation, and an RTSTRUCT

Voxels outside all crops are 0. Where the crops of two lesions overlap their predictions are added; the outcomes of two
lesions are independent, so their variances are added too.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from tfdrift.clinic.document import describe
from tfdrift.clinic.given import make_plan
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.models import About, Model
from tfdrift.clinic.output import Lesion, rehearse_dicom, write_dicom, write_volumes
from tfdrift.clinic.plausibility import doubts
from tfdrift.clinic.public_label import public_label
from tfdrift.clinic.report import build_report
from tfdrift.clinic.scenarios import as_told, ask_scenarios, describe_told, measure, told_of
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation.calibration import Calibration, as_calibration
from tfdrift.files import refuse_used, staged
from tfdrift.imaging.dicom import read_header
from tfdrift.imaging.matching import doubt, fits, rois_on
from tfdrift.imaging.pixels import measured
from tfdrift.imaging.series import Series, files_of, read_series
from tfdrift.imaging.structures import Roi, rasterise, read_structures
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN, target_rule

MAX_OUTCOMES = 1000
MAX_SEED = 2**31 - 1


def predict_patient(
    model: Model,
    *,
    series_dir: Path,
    rtstruct: Path,
    out: Path,
    roi: str = DEFAULT_ROI_PATTERN,
    by_place: bool = False,
    outcomes: int = 16,
    seed: int = 0,
    given: Sequence[str] = (),
    guidance: float = 1.0,
) -> dict[str, Any]:
    """Predict the second MRI of every lesion whose structure's name matches, and write OUT.

    OUT appears when it is whole: until then everything is in a hidden folder beside it.

    Args:
        model: answers.
        series_dir: folder of the MR series.
        rtstruct: the RTSTRUCT or Segmentation file drawn on it.
        out: a folder that is empty or does not exist.
        roi: regular expression or numbers, see `target_rule`.
        by_place: see `tfdrift.imaging.matching.fits`.
        outcomes: K, 2 to 1000.
        seed: of the noise, 0 or more.
        given: what is known, or asked "if", beside the MRI, see `tfdrift.clinic.given.make_plan`.
        guidance: see there.

    Returns:
        What stands in `prediction.json`.

    Raises:
        UsageError: an argument out of its range, or `out` is not empty.
        DataError: the series, the structure set or the model cannot be used, or they do not belong together.
        ResourceError: `out` cannot be written, or the server has gone.
    """
    if not 2 <= outcomes <= MAX_OUTCOMES:
        raise UsageError(f"--outcomes {outcomes}: must be 2 to {MAX_OUTCOMES}; a spread needs at least two")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"--seed {seed}: must be 0 to {MAX_SEED}")
    if outcomes < model.about.members:
        raise UsageError(
            f"--outcomes {outcomes}: the model holds {model.about.members} runs, and each draws its share; use "
            f"{model.about.members} or more"
        )
    conditions = model.about.conditions
    plan = make_plan(given, conditions, guidance=guidance)
    refuse_used(out)
    calibration = calibration_of(model.about)
    image, series = read_series(series_dir)
    if series.modality != "MR":
        raise DataError(f"the series is {series.modality}, not MR; models are trained on MR")
    voxels, spacing_mm = sitk.GetArrayViewFromImage(image), image.GetSpacing()[::-1]
    seen = sitk.GetArrayFromImage(measured(image)) > 0
    headers = read_headers(files_of(series_dir), series)
    rois = find_lesions(rtstruct, series, roi, by_place=by_place)
    drawn, skipped = [], []
    for one in rois:
        label = public_label(one, headers[0])
        try:
            mask, warnings = rasterise(one, image)
            gtv, said = without_padding(sitk.GetArrayViewFromImage(mask).astype(bool), seen)
            crops = crop_gtv(voxels, gtv, spacing_mm, model.about.image_size, seen)
        except DataError as error:
            skipped.append(f"{label}: {error}")
            continue
        drawn.append((one, label, gtv, crops, [*warnings, *said]))
    if not drawn:
        raise DataError(f"no structure that matches --roi can be predicted; {skipped[0]}")
    slices = sorted({k for _, _, _, crops, _ in drawn for k in crops.slices})
    rehearse_dicom(headers, series, slices, [one for one, *_ in drawn], model.about)
    lesions = []
    for one, label, gtv, crops, warnings in drawn:
        seeds = outcome_seeds(seed, one.number, outcomes, len(crops.slices))
        measured_of = measure(crops, gtv)
        values = told_of(conditions, measured_of, plan.told)
        prediction = predict_lesion(model, gtv, crops, seeds, as_told(values))
        found = doubts(prediction, voxels.shape[1:], series.grid.orientation, model.about.facts)
        said = [*warnings, *found, *conditions.beyond_training(values)]
        scenarios = ask_scenarios(model, gtv, crops, seeds, plan, measured_of)
        lesions.append(Lesion(one, label, prediction, said, describe_told(conditions, values), scenarios))
    document = describe(lesions, skipped, series, model.about, calibration, outcomes=outcomes, seed=seed, plan=plan)
    with staged(out) as (folder, _):
        write_volumes(folder / "nifti", image, lesions)
        write_dicom(folder / "dicom", headers, series, lesions, model.about)
        report = build_report(
            document,
            [lesion.prediction for lesion in lesions],
            scenarios=[lesion.scenarios for lesion in lesions],
            axis=plan.axis,
            direction=series.grid.direction,
            card=model.about.card,
        )
        (folder / "report.html").write_text(report, encoding="utf-8")
        (folder / "prediction.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return document


def calibration_of(about: About) -> Calibration | None:
    """Return what the model says of its calibration; None where it says nothing, as on a server.

    Raises:
        DataError: it says something that cannot be used.
    """
    document = about.facts.get("calibration")
    return None if document is None else as_calibration(document, f"the model {about.name}")


def read_headers(files: list[Path], series: Series) -> list[Dataset]:
    """Return the headers of a series' slices in the order of its grid; a file of many frames comes once a frame.

    Args:
        files: of the folder, in the order that `read_series` read them.
        series: what it found.
    """
    once = {number: read_header(files[number], f"file {number + 1}") for number in {s.file for s in series.slices}}
    return [once[one.file] for one in series.slices]


def without_padding(gtv: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the part of a GTV that the MRI shows, and a warning where that is not all of it.

    Args:
        gtv: bool [slices, rows, columns], not empty.
        measured: bool, the same grid, False in padding.

    Raises:
        DataError: all of it is padding.
    """
    shown = gtv & measured
    lost = 1 - shown.sum() / gtv.sum()
    if lost == 1:
        raise DataError("all of it is padding in the MRI, which holds no signal")
    return shown, [f"{lost:.0%} of it is padding in the MRI; volume and prediction are of the rest"] if lost else []


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
        raise DataError(f"the structure set does not belong to this series: {reason}")
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
