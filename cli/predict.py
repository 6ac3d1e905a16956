"""`tfdrift predict`: a patient's lesions at the second MRI, for a DICOM viewer and a colleague."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from tfdrift.errors import UsageError
from tfdrift.files import refuse_used
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN

from .quiet import start_tensorflow


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Exported model: a version's folder, or the versions'; or a boxed one's name: direct, method1, method2.",
)
@click.option("--server", metavar="HOST:PORT", help="gRPC address of a model server, instead of --model.")
@click.option("--name", help="Name of the model on the server.")
@click.option(
    "--series", "series_dirs", multiple=True, type=click.Path(path_type=Path),
    help="Folder of one MR series. Again, each with its --rtstruct and in order of time: earlier visits, for a model "
    "trained with them; the last one is predicted from.",
)  # fmt: skip
@click.option(
    "--rtstruct", "--structures", "rtstructs", multiple=True, type=click.Path(path_type=Path),
    help="The RTSTRUCT or Segmentation (SEG) file drawn on it; one for each --series.",
)  # fmt: skip
@click.option("--days", metavar="DAY,DAY...", help="Days of the visits, where the dates of their series do not count.")
@click.option("--image", type=click.Path(path_type=Path), help="NIfTI file of the MRI, instead of --series.")
@click.option(
    "--mask", "masks", multiple=True, type=click.Path(path_type=Path),
    help="NIfTI file of lesions on its grid, a mask or labels; may be given again.",
)  # fmt: skip
@click.option("--components", is_flag=True, help="Each connected part of a --mask is a lesion.")
@click.option(
    "--roi", metavar="REGEX|#N", help="The lesions by name or number.  [default: names of GTVs and metastases]"
)
@click.option("--by-place", is_flag=True, help="Take the structures although they refer to another series.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; empty or not there yet.")
@click.option("--outcomes", "--samples", default=16, show_default=True, help="Draws of the second MRI, at least 2.")
@click.option(
    "--given", multiple=True, metavar="NAME=VALUE[,VALUE...]",
    help="What is known beside the MRI, of what the model was trained with (--condition); repeatable. Several values, "
    "or a response, are cases side by side.",
)  # fmt: skip
@click.option(
    "--guidance", default=1.0, show_default=True, metavar="W", help="How strongly a given class leads; 1 is plain."
)
@click.option(
    "--dose", type=click.Path(path_type=Path),
    help="RTDOSE file, or a folder of RTDOSE and RTPLAN files, of a model that sees the dose.",
)  # fmt: skip
@click.option(
    "--channel", "channels", multiple=True, metavar="NAME=SERIES",
    help="Folder of another MR series (with --image, a NIfTI file) of a model that sees several channels; repeatable.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the draws; the same seed gives the same answer.")
def predict(
    model: Path | None,
    server: str | None,
    name: str | None,
    series_dirs: tuple[Path, ...],
    rtstructs: tuple[Path, ...],
    days: str | None,
    image: Path | None,
    masks: tuple[Path, ...],
    components: bool,
    roi: str | None,
    by_place: bool,
    out: Path,
    outcomes: int,
    seed: int,
    given: tuple[str, ...],
    guidance: float,
    dose: Path | None,
    channels: tuple[str, ...],
) -> None:
    """Predict the second MRI of every lesion of a patient.

    The MRI and its lesions are --series and --rtstruct, or --image and --mask. Writes OUT/report.html,
    OUT/prediction.json, OUT/nifti (predicted MRI, drift, its spread and the share of outcomes with lesion, on the MRI's
    own grid) and, of a series, OUT/dicom (the same as Parametric Maps, and the predicted GTVs as a Segmentation for a
    viewer and as an RTSTRUCT for a planning system). A server is sent crops, seeds and what is given, and nothing
    that says whose they are.

    \b
    Example:
      tfdrift predict --model saved_models/first --series MR_T1 --rtstruct RS.dcm --out prediction
      tfdrift predict --model saved_models/mine --series MR_T1 --rtstruct RS.dcm --out prediction \\
        --given interval_days=42 --given response=good,poor --guidance 2
      tfdrift predict --model saved_models/mine --series MR_T1 --rtstruct RS.dcm --out prediction \\
        --channel FLAIR=MR_FLAIR --dose RD.dcm
      tfdrift predict --model saved_models/visits --series MR_1 --rtstruct RS_1.dcm --series MR_2 --rtstruct RS_2.dcm \\
        --given interval_days=60 --out prediction
      tfdrift predict --server localhost:8500 --name first --series MR_T1 --rtstruct RS.dcm --out prediction
      tfdrift predict --model saved_models/first --image T1c.nii.gz --mask gtv.nii.gz --out prediction
    """
    if (model is None) == (server is None):
        raise UsageError("give either --model or --server")
    if (server is None) != (name is None):
        raise UsageError("--server and --name go together")
    if series_dirs and rtstructs and not (image or masks or components):
        files = {**_visits(series_dirs, rtstructs, days), "by_place": by_place}
    elif image and masks and not (series_dirs or rtstructs or by_place or days):
        files = {"image": image, "masks": masks, "components": components}
    else:
        raise UsageError("give --series and --rtstruct (with --by-place), or --image and --mask (with --components)")
    given_channels = _by_name(channels)
    start_tensorflow()
    from tfdrift.clinic.local_model import LocalModel
    from tfdrift.clinic.predict import predict_nifti, predict_patient
    from tfdrift.clinic.served_model import ServedModel
    from tfdrift.export.boxed_models import model_or_boxed

    refuse_used(out)
    answering = LocalModel(model_or_boxed(model)) if model else ServedModel(server or "", name or "")
    try:
        document = (predict_nifti if image else predict_patient)(
            answering,
            **files,
            out=out,
            roi=DEFAULT_ROI_PATTERN if roi is None else roi,
            outcomes=outcomes,
            seed=seed,
            given=given,
            guidance=guidance,
            dose=dose,
            channels=given_channels,
            progress=_progress,
        )
    finally:
        answering.close()
    for line in document["skipped"]:
        click.echo(f"warning: {line}", err=True)
    for lesion in document["lesions"]:
        for warning in lesion["warnings"]:
            click.echo(f"warning: structure {lesion['structure']}: {warning}", err=True)
        click.echo(_line(lesion))
        for case in lesion.get("scenarios", []):
            for warning in case["warnings"]:
                click.echo(f"warning: structure {lesion['structure']}, {case['words']}: {warning}", err=True)
            volume = case["volume_mm3"]
            click.echo(
                f"  {case['words'][:44]:<44} {volume['mean']:>9,.0f} mm3 [{volume['raw_low']:,.0f}, "
                f"{volume['raw_high']:,.0f}]: a case, no forecast"
            )
    known = document["calibration"]
    click.echo(
        f"{'90% intervals':<24} "
        + (f"calibrated on {known['patients']} patients" if known else "not calibrated: far too narrow")
    )
    click.echo(f"{'report':<24} {out / 'report.html'}")


def _by_name(channels: Sequence[str]) -> dict[str, Path]:
    found = {}
    for text in channels:
        name, separator, path = (part.strip() for part in text.partition("="))
        if not (name and separator and path):
            raise UsageError("--channel: say NAME=SERIES, such as FLAIR=MR_FLAIR")
        if name in found:
            raise UsageError(f"--channel {name}: it comes twice")
        found[name] = Path(path)
    return found


def _visits(series_dirs: Sequence[Path], rtstructs: Sequence[Path], days: str | None) -> dict[str, Any]:
    from tfdrift.clinic.patient_files import EarlierVisit, read_visit_days

    if len(series_dirs) != len(rtstructs):
        raise UsageError(
            f"--series {len(series_dirs)} times and --rtstruct {len(rtstructs)} times: give one --rtstruct for each "
            "--series, in the same order"
        )
    *earlier, (series_dir, rtstruct) = zip(series_dirs, rtstructs, strict=True)
    return {
        "series_dir": series_dir,
        "rtstruct": rtstruct,
        "earlier": [EarlierVisit(*one) for one in earlier],
        "days": read_visit_days(days, len(series_dirs)) if days is not None else (),
    }


def _progress(lesions: Sequence, total: int) -> Iterator:
    """A bar on a terminal, a line for each lesion elsewhere."""
    from tqdm import tqdm

    for number, lesion in enumerate(tqdm(lesions, total=total, unit="lesion", disable=None), start=1):
        if not sys.stderr.isatty():
            click.echo(f"lesion {number} of {total}", err=True)
        yield lesion


def _line(lesion: dict) -> str:
    predicted = lesion["volume_predicted_mm3"]
    return (
        f"{lesion['name'][:24]:<24} {lesion['volume_now_mm3']:>9,.0f} mm3 now, {predicted['mean']:>9,.0f} predicted "
        f"[{predicted['low']:,.0f}, {predicted['high']:,.0f}]"
    )
