"""A patient's MRI and lesions through a model, into a folder of files that clinical programs open.

    OUT/prediction.json                             volumes, drift, doubts, model, seeds
    OUT/report.html                                 the same as one page with pictures
    OUT/nifti/{post_mean,drift_mean,drift_std,lesion_probability}.nii.gz   on the MRI's own grid
    OUT/dicom/{drift_mean,drift_std,lesion_probability}.dcm                Parametric Maps
    OUT/dicom/{predicted_gtv,predicted_gtv_rtstruct}.dcm                   a Segmentation, and an RTSTRUCT
    OUT/dicom/displacement.dcm                      a Deformable Spatial Registration, of a model that tells movement

Of an MRI that came as NIfTI there is no OUT/dicom. Voxels outside all crops are 0. Where the crops of two lesions
overlap their predictions are added; the outcomes of two lesions are independent, so their variances are added too.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import SimpleITK as sitk

from tfdrift.clinic.channels import check_given, read_dicom_channels, read_nifti_channels, with_channels
from tfdrift.clinic.document import describe
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.models import About, Model
from tfdrift.clinic.output import Lesion, rehearse_dicom, write_dicom, write_volumes
from tfdrift.clinic.patient_files import (
    NO_PAST,
    NO_PASTS,
    EarlierVisit,
    Pasts,
    PatientFiles,
    find_pasts,
    read_dicom_files,
    read_nifti_files,
)
from tfdrift.clinic.plausibility import dose_beyond_training, doubts
from tfdrift.clinic.report import build_report
from tfdrift.clinic.scenarios import (
    Plan,
    as_told,
    ask_scenarios,
    check_earlier,
    describe_told,
    make_plan,
    measure,
    told_of,
)
from tfdrift.cohort.dose import DOSE
from tfdrift.cohort.earlier import earlier_columns
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation.calibration import Calibration, as_calibration
from tfdrift.files import refuse_used, staged
from tfdrift.imaging.pixels import measured
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN
from tfdrift.model.channels import further
from tfdrift.model.columns import DOSE_SCALE

MAX_OUTCOMES = 1000
MAX_SEED = 2**31 - 1
NO_CHANNELS: Mapping[str, Path] = MappingProxyType({})

Progress = Callable[[Sequence[Any], int], Iterable[Any]]


def _silent(lesions: Sequence[Any], _total: int) -> Iterable[Any]:
    return lesions


def predict_patient(
    model: Model,
    *,
    series_dir: Path,
    rtstruct: Path,
    out: Path,
    earlier: Sequence[EarlierVisit] = (),
    days: Sequence[int] = (),
    roi: str = DEFAULT_ROI_PATTERN,
    by_place: bool = False,
    outcomes: int = 16,
    seed: int = 0,
    given: Sequence[str] = (),
    guidance: float = 1.0,
    dose: Path | None = None,
    channels: Mapping[str, Path] = NO_CHANNELS,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Predict the second MRI of every lesion whose structure's name matches, and write OUT.

    OUT appears when it is whole: until then everything is in a hidden folder beside it.

    Args:
        model: answers.
        series_dir: folder of the MR series.
        rtstruct: the RTSTRUCT or Segmentation file drawn on it.
        earlier: visits before it, in the order of time, for a model that takes how a lesion changed until now.
        days: of the earlier visits and of the series, where their dates do not count.
        out: a folder that is empty or does not exist.
        roi: regular expression or numbers, see `target_rule`.
        by_place: see `tfdrift.imaging.matching.fits`.
        outcomes: K, 2 to 1000.
        seed: of the noise, 0 or more.
        given: what is known, or asked "if", beside the MRI, see `tfdrift.clinic.scenarios.make_plan`.
        guidance: see there.
        dose: RTDOSE file, or a folder of RTDOSE and RTPLAN files, of a model that sees the dose.
        channels: folder of an MR series of each further channel, by its name.
        progress: wraps the iteration over lesions; called with it and its length.

    Returns:
        What stands in `prediction.json`.

    Raises:
        UsageError: an argument out of its range, or `out` is not empty.
        DataError: the series, the structure set or the model cannot be used, or they do not belong together.
        ResourceError: `out` cannot be written, or the server has gone.
    """
    check_given(channels, dose, model.about.channels)
    check_earlier(len(earlier), given, model.about.conditions)
    plan = _check(model, out, outcomes, seed, given, guidance)
    if plan.asks_dose and dose is None:
        raise UsageError(f"--given {DOSE_SCALE}: there is no dose to scale; give the RTDOSE with --dose")

    def read(series: Path, structures: Path) -> PatientFiles:
        return read_dicom_files(series, structures, roi, by_place=by_place)

    files = read(series_dir, rtstruct)
    pasts = find_pasts(earlier, files, read, days=days) if earlier else NO_PASTS
    more = read_dicom_channels(channels, dose, files.image, files.series)
    return _predict(model, files, out, outcomes, seed, plan, progress, more, pasts)


def predict_nifti(
    model: Model,
    *,
    image: Path,
    masks: Sequence[Path],
    out: Path,
    roi: str = DEFAULT_ROI_PATTERN,
    components: bool = False,
    outcomes: int = 16,
    seed: int = 0,
    given: Sequence[str] = (),
    guidance: float = 1.0,
    dose: Path | None = None,
    channels: Mapping[str, Path] = NO_CHANNELS,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Predict the second MRI of every lesion of masks on an MRI, and write OUT as `predict_patient` does, but no DICOM.

    Args:
        model: answers.
        image: NIfTI; maps are written on its own grid, voxel for voxel.
        masks: NIfTI, see `tfdrift.clinic.patient_files.read_nifti_files`.
        out: a folder that is empty or does not exist.
        roi: which lesions, see there.
        components: see there.
        outcomes: K, 2 to 1000.
        seed: of the noise, 0 or more.
        given: see `predict_patient`.
        guidance: see there.
        dose: refused; a dose on the image's grid is a channel.
        channels: NIfTI of each further channel on the image's grid, by its name; `dose` in Gy.
        progress: see there.

    Returns:
        What stands in `prediction.json`.

    Raises:
        UsageError: an argument out of its range, or `out` is not empty.
        DataError: the image, a mask or the model cannot be used, or they do not belong together.
        ResourceError: `out` cannot be written, or the server has gone.
    """
    check_given(channels, dose, model.about.channels, nifti=True)
    plan = _check(model, out, outcomes, seed, given, guidance)
    if plan.asks_dose and DOSE not in channels:
        raise UsageError(f"--given {DOSE_SCALE}: there is no dose to scale; give it with --channel {DOSE}=FILE.nii.gz")
    files = read_nifti_files(image, masks, roi, components=components)
    more = read_nifti_channels(channels, files.image)
    return _predict(model, files, out, outcomes, seed, plan, progress, more)


def _check(model: Model, out: Path, outcomes: int, seed: int, given: Sequence[str], guidance: float) -> Plan:
    if not 2 <= outcomes <= MAX_OUTCOMES:
        raise UsageError(f"--outcomes {outcomes}: must be 2 to {MAX_OUTCOMES}; a spread needs at least two")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"--seed {seed}: must be 0 to {MAX_SEED}")
    if outcomes < model.about.members:
        raise UsageError(
            f"--outcomes {outcomes}: the model holds {model.about.members} runs, and each draws its share; use "
            f"{model.about.members} or more"
        )
    plan = make_plan(given, model.about.conditions, guidance=guidance, channels=model.about.channels)
    refuse_used(out)
    return plan


def _predict(
    model: Model,
    patient: PatientFiles,
    out: Path,
    outcomes: int,
    seed: int,
    plan: Plan,
    progress: Progress,
    more: Mapping[str, sitk.Image],
    pasts: Pasts = NO_PASTS,
) -> dict[str, Any]:
    calibration, conditions = calibration_of(model.about), model.about.conditions
    image, series = patient.image, patient.series
    voxels, spacing_mm = sitk.GetArrayViewFromImage(image), image.GetSpacing()[::-1]
    seen = sitk.GetArrayFromImage(measured(image)) > 0
    drawn, skipped = [], []
    for one in patient.lesions:
        try:
            mask, warnings = one.mask()
            gtv, said = without_padding(sitk.GetArrayViewFromImage(mask).astype(bool), seen)
            crops = crop_gtv(voxels, gtv, spacing_mm, model.about.image_size, seen, lesion=model.about.lesion)
            crops, of_channels = with_channels(crops, gtv, further(model.about.channels), more)
        except DataError as error:
            skipped.append(f"{one.label}: {error}")
            continue
        drawn.append((one, gtv, crops, [*warnings, *said, *of_channels]))
    if not drawn:
        raise DataError(f"no structure that matches --roi can be predicted; {skipped[0]}")
    if patient.headers:
        slices = sorted({k for _, _, crops, _ in drawn for k in crops.slices})
        rehearse_dicom(patient.headers, series, slices, [one.roi for one, *_ in drawn], model.about)
    lesions = []
    for one, gtv, crops, warnings in progress(drawn, len(drawn)):
        seeds = outcome_seeds(seed, one.roi.number, outcomes, len(crops.shown))
        past = pasts.lesions.get(one.roi.number, NO_PAST)
        measured_of = measure(crops, gtv) | earlier_columns(past.change, len(crops.shown))
        values = told_of(conditions, measured_of, plan.told)
        prediction = predict_lesion(model, gtv, crops, seeds, as_told(values))
        found = doubts(prediction, voxels.shape[1:], series.grid.orientation, model.about.facts)
        found += dose_beyond_training(crops, model.about.channels, model.about.facts)
        said = [*warnings, *found, *past.notes, *conditions.beyond_training(values)]
        scenarios = ask_scenarios(model, gtv, crops, seeds, plan, measured_of)
        told = describe_told(conditions, values)
        lesions.append(Lesion(one.roi, one.label, prediction, said, told, scenarios, past.document))
    document = describe(
        lesions, skipped, series, model.about, calibration, outcomes=outcomes, seed=seed, plan=plan,
        days_before=pasts.days_before,
    )  # fmt: skip
    with staged(out) as (folder, _):
        write_volumes(folder / "nifti", image, lesions, patient.own_grid)
        if patient.headers:
            write_dicom(folder / "dicom", patient.headers, series, lesions, model.about)
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
